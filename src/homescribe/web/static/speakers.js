// The filter by speaker: a chip for each.

import { onKey } from "./app.js";
import { showHits } from "./find.js";
import { transcript } from "./transcript.js";

const chips = [...document.querySelectorAll(".chip")];
const isPressed = (chip) => chip.getAttribute("aria-pressed") === "true";
const nameOf = (chip) => chip.querySelector(".name-text").textContent;
/** The chips of one person: two speakers may have been given one name. */
const samePerson = (chip) => chips.filter((each) => nameOf(each) === nameOf(chip));
const labelOf = (element) => element.closest("[data-speaker]").dataset.speaker;

/** Show only what the speakers with a pressed chip say; everything without one. */
function filter() {
  const chosen = new Set(chips.filter(isPressed).map(labelOf));
  transcript.classList.toggle("filtered", chosen.size > 0);
  for (const part of transcript.querySelectorAll(".paragraph, .hole")) part.hidden = chosen.size > 0 && !chosen.has(part.dataset.speaker);
  showHits();
}

function press(some, on) {
  for (const chip of some) chip.setAttribute("aria-pressed", String(on));
}

/** Show only one person, or everybody where that one is shown alone. */
function showOnly(chip) {
  const person = samePerson(chip);
  const alone = chips.every((each) => isPressed(each) === person.includes(each));
  press(chips, false);
  press(person, !alone);
  filter();
}

for (const [number, chip] of chips.entries()) {
  chip.onclick = () => {
    press(samePerson(chip), !isPressed(chip));
    filter();
  };
  if (number < 9) onKey(String(number + 1), () => showOnly(chip));
}
onKey("0", () => {
  press(chips, false);
  filter();
});
