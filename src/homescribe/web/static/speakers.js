// The filter by speaker: a chip for each.

import { onKey } from "./app.js";
import { showHits } from "./find.js";
import { transcript } from "./transcript.js";

const chips = [...document.querySelectorAll(".chip")];
const labelOf = (element) => element.closest("[data-speaker]").dataset.speaker;

/** Show only what the speakers with a pressed chip say; everything without one. */
function filter() {
  const chosen = new Set(chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map(labelOf));
  transcript.classList.toggle("filtered", chosen.size > 0);
  for (const part of transcript.querySelectorAll(".paragraph, .hole")) part.hidden = chosen.size > 0 && !chosen.has(part.dataset.speaker);
  showHits();
}

function press(chip, on) {
  chip.setAttribute("aria-pressed", String(on));
}

/** Show only one speaker, or everybody where that one is shown alone. */
function showOnly(chip) {
  const alone = chips.every((each) => (each.getAttribute("aria-pressed") === "true") === (each === chip));
  for (const each of chips) press(each, each === chip && !alone);
  filter();
}

for (const [number, chip] of chips.entries()) {
  chip.onclick = () => {
    press(chip, chip.getAttribute("aria-pressed") !== "true");
    filter();
  };
  if (number < 9) onKey(String(number + 1), () => showOnly(chip));
}
onKey("0", () => {
  for (const chip of chips) press(chip, false);
  filter();
});
