// Corrections: the text of a line is edited in place.

import { apiAddress, request, showMessage } from "./app.js";
import { showHits } from "./find.js";
import { pause, scrollToLine } from "./playback.js";
import { focusLine, transcript } from "./transcript.js";

const correctButton = document.getElementById("correct-mode");
export const isCorrecting = () => correctButton?.getAttribute("aria-pressed") === "true";
const segmentAddress = (line) => apiAddress(transcript.dataset.key, `segments/${line.id.slice(1)}`);

export function edit(line) {
  if (!line || line.isContentEditable || !correctButton) return;
  pause();
  const before = line.textContent;
  focusLine(line);
  scrollToLine(line);
  try {
    line.contentEditable = "plaintext-only";
  } catch {
    line.contentEditable = "true"; // older browsers; only the text is read afterwards
  }
  line.setAttribute("role", "textbox");
  line.setAttribute("aria-label", "Correct this line. Enter saves, Escape cancels.");
  line.focus();
  let ended = false;
  const end = async (save) => {
    if (ended) return;
    ended = true;
    line.onkeydown = line.onblur = null;
    const text = line.textContent.replace(/\s+/g, " ").trim();
    for (const name of ["contenteditable", "role", "aria-label"]) line.removeAttribute(name);
    line.textContent = before;
    showHits(); // the old ranges pointed into text that was replaced
    if (!save || !text || text === before) return;
    try {
      drawSegment(line, await request("PUT", segmentAddress(line), { text, expected: before }));
      showMessage("Corrected.", ["Undo", () => undo(line)]);
    } catch {
      // request() has shown the error. The typed text stays in the editor.
      edit(line);
      line.textContent = text;
    }
  };
  line.onkeydown = (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter" || event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      end(event.key === "Enter");
      focusLine(line);
    }
  };
  line.onblur = () => end(true);
}

async function undo(line) {
  drawSegment(line, await request("DELETE", segmentAddress(line)));
  showMessage("Correction undone.");
}

/** Show a line as the server has stored it. */
function drawSegment(line, stored) {
  line.textContent = stored.text;
  line.words = null;
  if (stored.words) line.dataset.w = stored.words;
  else delete line.dataset.w;
  line.classList.toggle("corrected", stored.original !== null);
  line.classList.toggle("doubt", Boolean(stored.doubt));
  line.title = stored.original !== null ? `Original transcript: ${stored.original}` : stored.doubt ? `Uncertain: ${stored.doubt}` : "";
  showHits();
}

if (correctButton) {
  correctButton.onclick = () => {
    const on = !isCorrecting();
    correctButton.setAttribute("aria-pressed", String(on));
    transcript.classList.toggle("correcting", on);
    if (on) showMessage("Click a line to correct it. Enter saves, Escape cancels.");
  };
}

