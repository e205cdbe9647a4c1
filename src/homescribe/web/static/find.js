// Find within the transcript: the field, the counter, and the way from hit to hit.

import { onKey } from "./app.js";
import { findHits } from "./hits.js";
import { cue, follow } from "./playback.js";
import { focusLine, highlight, isShown, timeAt } from "./transcript.js";

const field = document.getElementById("find");
const counter = document.getElementById("hit-counter");
const TYPING_PAUSE = 90; // milliseconds without a key before the words are looked for

let hits = [];
let currentHit = -1;

function drawCounter() {
  counter.hidden = !field.value.trim();
  const number = `${hits.length} ${hits.length === 1 ? "hit" : "hits"}`;
  counter.querySelector("span").textContent = currentHit < 0 ? number : `${currentHit + 1} of ${hits.length}`;
}

/** Mark the hit with this number as the current one. */
export function markHit(number) {
  currentHit = number;
  highlight("current-hit", hits[number]?.ranges ?? [], 1);
  drawCounter();
}

/** Go to a hit; `focus`: also move the focus to its line. */
export function goToHit(number, focus = true) {
  if (!hits.length) return false;
  markHit((number + hits.length) % hits.length);
  const { line, offset } = hits[currentHit];
  follow(false);
  line.scrollIntoView({ block: "center" });
  if (focus) focusLine(line);
  cue(timeAt(line, offset));
}

/** Look for the words of the field among the lines that are shown. The current hit stays the current one. */
export function showHits() {
  if (!field) return;
  const before = hits[currentHit];
  const words = field.value.trim();
  hits = words ? findHits(words).filter((hit) => isShown(hit.line)) : [];
  highlight("hit", hits.flatMap((hit) => hit.ranges));
  markHit(before ? hits.findIndex((hit) => hit.line === before.line && hit.offset === before.offset) : -1);
}

/** Number of the first hit at or after a line; -1 without one. */
export const hitFrom = (lines, first, last) => hits.findIndex((hit) => lines.indexOf(hit.line) >= first && lines.indexOf(hit.line) <= last);

if (field) {
  let timer = 0;
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      hits = [];
      showHits();
      goToHit(0, false);
    }, TYPING_PAUSE);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      goToHit(currentHit + (event.shiftKey ? -1 : 1), false);
    }
  });
  for (const button of counter.querySelectorAll("button")) button.onclick = () => goToHit(currentHit + Number(button.dataset.step), false);
  onKey("w", () => { field.focus(); field.select(); });
  onKey("n", () => goToHit(currentHit + 1));
  onKey("p", () => goToHit(currentHit < 0 ? -1 : currentHit - 1));
}
