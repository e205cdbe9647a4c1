// The audio that the library keeps: remove that of one recording, or the oldest above a limit.

import { apiAddress, request } from "./app.js";

// --- The page of an item ----------------------------------------------------------------------------

const removeButton = document.getElementById("remove-audio");
removeButton?.addEventListener("click", async () => {
  if (removeButton.dataset.sure === undefined) {
    removeButton.dataset.sure = "";
    removeButton.textContent = "Remove it? The transcript stays.";
    return;
  }
  await request("DELETE", apiAddress(removeButton.dataset.key, "audio"));
  location.reload();
});

// --- The page of statistics -------------------------------------------------------------------------

const form = document.getElementById("prune");
const plan = document.getElementById("prune-plan");
let planned = null; // the limit whose effect is shown

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const limit = form.elements.limit.value;
  const remove = planned === limit;
  const done = await request("POST", "/api/audio", { limit, remove });
  if (remove) return location.reload();
  planned = done.files ? limit : null;
  plan.textContent = done.files ? `${done.text} Press again to remove it. The transcripts stay.` : "There is no more than that.";
});
form?.elements.limit.addEventListener("input", () => {
  planned = null;
  plan.textContent = "";
});
