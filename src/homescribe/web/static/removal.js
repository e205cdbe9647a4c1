// Removes the recording of a page, after saying what goes with it.

import { apiAddress, request } from "./app.js";
import { confirmRemoval } from "./removal_dialog.js";

const button = document.getElementById("remove-item");
const dialog = document.getElementById("removal");
const address = apiAddress(button.dataset.key, "removal");

button.addEventListener("click", async () => {
  const preview = await request("GET", address).catch(() => null);
  if (!preview) return;
  confirmRemoval(dialog, preview, async (choices) => {
    const removed = await request("DELETE", `${address}?${new URLSearchParams(choices)}`).catch(() => null);
    if (removed) location.assign("/library");
  });
});
