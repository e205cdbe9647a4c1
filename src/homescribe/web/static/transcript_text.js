// The whole text of the transcript: copied as it is shown, with the time of each line if these are shown.

import { clock } from "./app.js";
import { copy } from "./quotes.js";
import { isShown, transcript } from "./transcript.js";

const timesButton = document.getElementById("line-times");
const copyButton = document.getElementById("copy-all");

/** Show the time of each line, and each line in a row of its own; or the paragraphs. */
function showTimes(on) {
  timesButton.setAttribute("aria-pressed", String(on));
  transcript.classList.toggle("timed", on);
  if (!on) return;
  // Only now, so that pages without these times are smaller.
  for (const line of transcript.querySelectorAll(".line")) line.dataset.clock = clock(Number(line.dataset.s));
}

/** The lines of a paragraph that are shown, as text. */
function paragraphText(paragraph) {
  const lines = [...paragraph.querySelectorAll(".line")].filter(isShown);
  if (transcript.classList.contains("timed")) return lines.map((line) => `${line.dataset.clock} ${line.textContent}`).join("\n");
  // Between two lines is a space, or nothing in scripts that put no spaces between words.
  return lines.map((line) => line.textContent + (line.nextSibling?.textContent ?? "")).join("").trim();
}

/** Headings, paragraphs and who says them. */
function shownText() {
  const parts = [];
  let speaker = null;
  for (const part of transcript.querySelectorAll("h2, .paragraph, .hole")) {
    const isParagraph = part.matches(".paragraph");
    const text = isParagraph ? paragraphText(part) : part.textContent.trim();
    if (!text || !isShown(part)) continue;
    const name = part.querySelector(".name")?.textContent ?? "";
    const begins = isParagraph && name && part.dataset.speaker !== speaker;
    if (isParagraph) speaker = part.dataset.speaker ?? null;
    const separator = transcript.classList.contains("timed") ? "\n" : " ";
    parts.push(begins ? `${name}:${separator}${text}` : text);
  }
  return `${parts.join("\n\n")}\n`;
}

if (timesButton) {
  timesButton.onclick = () => {
    const on = timesButton.getAttribute("aria-pressed") !== "true";
    localStorage.setItem("line-times", on ? "on" : "off");
    showTimes(on);
  };
  copyButton.onclick = () => copy(shownText(), "Transcript copied.");
  if (localStorage.getItem("line-times") === "on") showTimes(true);
}
