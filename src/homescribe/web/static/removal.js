// Removes the recording of a page, after saying what goes with it.

import { count } from "./amounts.js";
import { request, showMessage } from "./app.js";

const button = document.getElementById("remove-item");
const dialog = document.getElementById("removal");
const address = `/api/items/${encodeURIComponent(button.dataset.key).replaceAll("%3A", ":").replaceAll("%2F", "/")}/removal`;

function whatGoes({ transcript, corrections }) {
  if (!transcript) return "There is no transcript of it.";
  return corrections ? `Its transcript and ${count(corrections, "correction")} are removed, too.` : "Its transcript is removed, too.";
}

button.addEventListener("click", async () => {
  const response = await fetch(address).catch(() => null);
  if (!response?.ok) return showMessage("homescribe does not respond. Is it still running in its terminal?");
  const preview = await response.json();
  dialog.querySelector("[data-goes]").textContent = whatGoes(preview);
  const { parentElement: label } = dialog.querySelector("[name=file]");
  label.hidden = !preview.files.length;
  label.querySelector("span").textContent = `Delete the uploaded file (${(preview.bytes / 1e6).toFixed(1)} MB)`;
  dialog.showModal();
});

dialog.addEventListener("close", async () => {
  if (dialog.returnValue !== "remove") return;
  dialog.returnValue = "";
  const chosen = new URLSearchParams({ ignore: dialog.querySelector("[name=ignore]").checked, keep_files: !dialog.querySelector("[name=file]").checked });
  const removed = await request("DELETE", `${address}?${chosen}`).catch(() => null);
  if (removed) location.assign("/library");
});
