// The page of a recording: rename it, ignore it, and undo both.

import { apiAddress, request, showMessage } from "./app.js";
import { editName } from "./name_field.js";

const heading = document.querySelector(".item-header h1");
const button = document.getElementById("rename-item");
const { key } = button.dataset;
const address = apiAddress(key, "title");

/** Store a title, "" for that of the source. */
async function rename(title, undoes = true) {
  const renamed = await request("PUT", address, { title }).catch(() => null);
  if (!renamed) return false;
  heading.textContent = renamed.title;
  document.title = `${renamed.title} · homescribe`;
  showMessage(`Renamed: ${renamed.title}`, undoes ? ["Undo", () => rename(renamed.before, false)] : undefined);
  return true;
}

button.addEventListener("click", () => {
  button.closest("details").open = false;
  editName(heading, heading.textContent, "Title. Enter saves, Escape cancels. An empty title is that of the source.", rename, { suggests: false });
});

for (const action of ["ignore", "stop-ignoring"]) {
  document.getElementById(`${action}-item`)?.addEventListener("click", async () => {
    const done = await request("POST", "/api/selection", { action, keys: [key] }).catch(() => null);
    if (done) location.reload();
  });
}
