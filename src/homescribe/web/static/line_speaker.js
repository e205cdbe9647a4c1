// Correct who says a line: the selected lines, or the focused one, get another speaker.

import { count } from "./amounts.js";
import { apiAddress, onKey, request, showMessage } from "./app.js";
import { focusedLine, selectedWords } from "./quotes.js";
import { transcript } from "./transcript.js";

const menu = document.getElementById("line-speaker");
const address = apiAddress(transcript.dataset.key, "speakers");
let chosen = []; // lines

const numberOf = (line) => Number(line.id.slice(1));

/** Store who says these segments, by label, and load the page again where it is. */
async function store(labels, message) {
  const before = {};
  for (const [label, positions] of labels) {
    const changed = await request("PUT", address, { positions, label });
    Object.assign(before, changed.before);
  }
  sessionStorage.setItem("line-speaker", JSON.stringify({ message, before }));
  location.reload();
}

function open(words) {
  if (!words) return false;
  chosen = words.lines;
  getSelection().removeAllRanges();
  for (const entry of menu.querySelectorAll("button")) {
    // A name may have been changed since the page was loaded.
    entry.querySelector("bdi").textContent = document.querySelector(`#speakers li[data-speaker="${CSS.escape(entry.dataset.speaker)}"] .name-text`).textContent;
  }
  menu.hidden = false;
  const box = words.line.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(box.left, innerWidth - menu.offsetWidth - 8)) + scrollX}px`;
  menu.style.top = `${box.bottom + 8 + scrollY}px`;
  menu.querySelector("button").focus();
}

function close() {
  if (menu.hidden) return;
  menu.hidden = true;
  chosen[0]?.focus();
}

menu.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  menu.hidden = true;
  const positions = chosen.map(numberOf);
  store([[button.dataset.speaker, positions]], `${count(positions.length, "line")}: ${button.textContent.trim()}.`).catch(() => {});
});
menu.addEventListener("keydown", (event) => {
  if (event.key === "Escape") close();
});
document.addEventListener("pointerdown", (event) => {
  if (!menu.contains(event.target)) menu.hidden = true;
});
document.querySelector("#selection [data-action=speaker]").addEventListener("click", () => open(selectedWords()));
onKey("s", () => open(focusedLine()), { writes: true });

const stored = sessionStorage.getItem("line-speaker");
if (stored) {
  sessionStorage.removeItem("line-speaker");
  const { message, before } = JSON.parse(stored);
  const labels = new Map();
  for (const [position, label] of Object.entries(before)) if (label !== null) labels.set(label, [...(labels.get(label) ?? []), Number(position)]);
  // What nobody said before cannot be undone.
  const canUndo = labels.size && !Object.values(before).includes(null);
  showMessage(message, canUndo ? ["Undo", () => store(labels, "Undone.").catch(() => {})] : undefined);
}
