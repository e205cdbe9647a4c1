// The page of voices: rename one in all recordings, or forget it.

import { request, showMessage } from "./app.js";
import { editName, undoNaming } from "./name_field.js";

const table = document.querySelector(".voices");
const dialog = document.getElementById("forget");
const keep = dialog.querySelector("[name=keep]");
let address = ""; // of what the dialog would delete
let name = "";

const addressOf = (row) => `/api/voices/${row.dataset.voice}`;

function ask(newAddress, newName, title) {
  [address, name] = [newAddress, newName];
  document.getElementById("forget-title").textContent = title;
  document.getElementById("forget-what").textContent = "What is known of the sound of the voice is deleted from this library and cannot be restored. New recordings are not recognized any more.";
  keep.checked = true;
  dialog.showModal();
}

table?.addEventListener("click", (event) => {
  const row = event.target.closest("tr");
  if (event.target.closest(".forget")) {
    const given = row.querySelector(".name").textContent;
    ask(addressOf(row), given, `Forget the voice of ${given}?`);
  } else if (event.target.closest(".name")) {
    const button = event.target.closest(".name");
    editName(button, button.textContent, `Name of ${button.textContent}. Enter saves, Escape cancels.`, async (given) => {
      if (!given) return;
      let naming;
      try {
        ({ naming } = await request("PUT", addressOf(row), { name: given }));
      } catch {
        return; // request() has shown the error
      }
      button.textContent = given;
      row.querySelector(".forget").setAttribute("aria-label", `Forget ${given}`);
      const undo = async () => {
        if (await undoNaming(naming)) location.reload();
      };
      showMessage(`This is ${given} in all recordings now.`, naming === null ? undefined : ["Undo", undo]);
    });
  }
});
document.getElementById("forget-all")?.addEventListener("click", () => ask("/api/voices", "", "Forget all voices?"));
dialog.addEventListener("close", async () => {
  if (dialog.returnValue !== "forget") return;
  dialog.returnValue = "";
  const deleted = await request("DELETE", `${address}?keep_names=${keep.checked}`).catch(() => null);
  if (!deleted) return;
  sessionStorage.setItem("message", name ? `The voice of ${name} is forgotten.` : "All voices are forgotten.");
  location.reload();
});
const message = sessionStorage.getItem("message");
if (message) {
  sessionStorage.removeItem("message");
  showMessage(message);
}
