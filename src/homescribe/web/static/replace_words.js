// The dialog "Replace everywhere": a misheard word is replaced in all transcripts.

import { count } from "./amounts.js";
import { onKey, request, showMessage } from "./app.js";
import { focusedLine, selectedWords } from "./quotes.js";

const dialog = document.getElementById("replace-words");
const form = dialog.querySelector("form");
const found = document.getElementById("replace-count");
const address = "/api/replacements";
const TYPING_PAUSE = 250; // milliseconds without a key before the count is requested
let timer = 0;
let latest = 0; // number of the latest request for a count

const given = () => ({ old: form.old.value.trim(), new: form.new.value.trim(), match_case: form.match_case.checked });
const places = ({ words, lines, recordings }) => `${count(words, "time")} in ${count(lines, "line")} of ${count(recordings, "recording")}`;

/** Show how often the word is found. */
async function showCount() {
  const number = ++latest;
  const body = given();
  form.querySelector("[value=replace]").disabled = !body.old || !body.new || body.old === body.new;
  if (!body.old || !body.new || body.old === body.new) return found.replaceChildren();
  let text;
  try {
    const replaced = await request("POST", address, { ...body, dry_run: true });
    text = replaced.words ? `Found ${places(replaced)}.` : "No transcript has it. Later ones will be corrected.";
    if (replaced.corrected) text += ` ${count(replaced.corrected, "line")} that you corrected will stay.`;
  } catch (error) {
    text = error.message;
  }
  if (number === latest) found.textContent = text;
}

/** Ask for the word and its replacement. `word` is given, or "" for a line that was reached with the keyboard. */
function ask(word) {
  getSelection().removeAllRanges();
  form.old.value = form.new.value = word;
  found.replaceChildren();
  showCount();
  dialog.showModal();
  const field = word ? form.new : form.old;
  field.focus();
  field.select();
}

function open(words) {
  if (!words) return;
  const text = words.text.replace(/\s+/g, " ").replace(/^[\s.,;:!?…"“”„«»()]+|[\s.,;:!?…"“”„«»()]+$/g, "");
  ask(text);
}

/** Load the page again where it is, and show `message` there, with Undo for a replacement. */
function reload(message, id = null) {
  sessionStorage.setItem("replace-words", JSON.stringify({ message, id }));
  location.reload();
}

async function undo(id) {
  const { recordings } = await request("DELETE", `${address}/${id}`);
  reload(`Undone in ${count(recordings, "recording")}.`);
}

form.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(showCount, TYPING_PAUSE);
});
dialog.addEventListener("close", async () => {
  clearTimeout(timer);
  if (dialog.returnValue !== "replace") return;
  dialog.returnValue = "";
  try {
    const replaced = await request("POST", address, given());
    reload(`Replaced ${places(replaced)}.`, replaced.id);
  } catch {
    // request() has shown the error
  }
});
document.querySelector("#selection [data-action=replace]").addEventListener("click", () => open(selectedWords()));
onKey("x", () => focusedLine() ? ask("") : false, { writes: true });

const stored = sessionStorage.getItem("replace-words");
if (stored) {
  sessionStorage.removeItem("replace-words");
  const { message, id } = JSON.parse(stored);
  showMessage(message, id === null ? undefined : ["Undo", () => undo(id).catch(() => {})]);
}
