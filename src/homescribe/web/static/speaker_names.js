// The names of the speakers: edited in place, everywhere in the recording at once.

import { count } from "./amounts.js";
import { apiAddress, onKey, request, showMessage } from "./app.js";
import { editName, undoNaming } from "./name_field.js";
import { spoken } from "./playback.js";
import { lines, transcript } from "./transcript.js";

const section = document.getElementById("speakers");
const address = apiAddress(transcript.dataset.key, "speakers");
const addressOf = (label) => `${address}/${encodeURIComponent(label)}`;

/** Show the names as the server has stored them. */
function draw(speakers) {
  for (const { label, name, named_by: namedBy, display_name: shown } of speakers) {
    const own = `[data-speaker="${CSS.escape(label)}"]`;
    for (const button of transcript.querySelectorAll(`.name${own}`)) {
      button.textContent = shown;
      button.dataset.given = name ?? "";
    }
    const entry = section.querySelector(`li${own}`);
    if (!entry) continue;
    entry.querySelector(".name-text").textContent = shown;
    for (const button of entry.querySelectorAll(".answer")) {
      button.hidden = namedBy !== "maybe";
      button.setAttribute("aria-label", button.dataset.answer === "confirm" ? `Yes, this is ${name}` : `No, this is not ${name}`);
    }
  }
}

/** In which other recordings the voice is known now, as a sentence. */
function elsewhere({ recordings, maybe }) {
  const known = recordings && `in ${count(recordings, "other recording")}`;
  const perhaps = maybe && `perhaps in ${known ? maybe : count(maybe, "other recording")}${known ? " more" : ""}`;
  const places = [known, perhaps].filter(Boolean).join(", ");
  return places ? ` Also known ${places}.` : "";
}

async function change(method, label, body, message) {
  let changed;
  try {
    changed = await request(method, addressOf(label), body);
  } catch {
    return; // request() has shown the error
  }
  draw(changed.speakers);
  const { name } = changed.speakers.find((speaker) => speaker.label === label);
  showMessage(message(name) + elsewhere(changed), changed.naming === null ? undefined : ["Undo", () => undo(changed.naming)]);
}

async function undo(naming) {
  if (!(await undoNaming(naming))) return;
  draw((await request("GET", address)).speakers);
  showMessage("Undone.");
}

/** Edit the name of a speaker at `button`. */
function rename(button) {
  const label = button.dataset.speaker;
  editName(button, button.dataset.given, `Name of ${button.textContent}. Enter saves, Escape cancels.`, (given) =>
    change("PUT", label, { name: given }, (name) => (name ? `This is ${name}.` : "Name removed.")),
  );
}

transcript.addEventListener("click", (event) => {
  const button = event.target.closest(".name");
  if (button) rename(button);
});
section.addEventListener("click", (event) => {
  const button = event.target.closest(".answer");
  if (!button) return;
  const label = button.closest("[data-speaker]").dataset.speaker;
  const confirms = button.dataset.answer === "confirm";
  button.closest("li").querySelector(".chip").focus();
  change("POST", label, { action: button.dataset.answer }, (name) => (confirms ? `This is ${name}.` : "Name removed."));
});
onKey("r", () => {
  const line = document.activeElement.closest?.(".line") ?? lines[spoken] ?? lines[0];
  let paragraph = line?.closest(".paragraph");
  // The paragraph above shows the name, where the same person goes on.
  while (paragraph?.matches(".continued") && !transcript.matches(".filtered")) paragraph = paragraph.previousElementSibling;
  const button = paragraph?.querySelector(".name");
  if (!button) return false;
  rename(button);
}, { writes: true });
