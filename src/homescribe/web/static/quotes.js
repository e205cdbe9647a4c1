// Links to and quotes of the selected words, and the toolbar beside a selection.

import { clock, showMessage } from "./app.js";
import { lines, timeAt, transcript, wordsOf } from "./transcript.js";

const toolbar = document.getElementById("selection");
const TOOLBAR_DELAY = 120; // milliseconds without a change of the selection
const MARGIN = 8; // pixels between the toolbar and the edge of the window

/** The part of a line's text inside a range. */
function overlap(range, line) {
  const text = line.firstChild;
  const from = range.startContainer === text ? range.startOffset : 0;
  const to = range.endContainer === text ? range.endOffset : text.length;
  return text.data.slice(from, to);
}

/** {line, lines, start, end, text, range} of the selected words; null without a selection in the transcript. */
export function selectedWords() {
  const selection = getSelection();
  if (!transcript || selection.isCollapsed || !selection.rangeCount) return null;
  const range = selection.getRangeAt(0);
  if (!transcript.contains(range.commonAncestorContainer)) return null;
  const inside = lines.filter((line) => range.intersectsNode(line) && overlap(range, line).length);
  if (!inside.length) return null;
  const [first, last] = [inside[0], inside.at(-1)];
  const start = range.startContainer === first.firstChild ? timeAt(first, range.startOffset) : Number(first.dataset.s);
  let end = Number(last.dataset.e);
  if (range.endContainer === last.firstChild) {
    const next = wordsOf(last).find(([from]) => from >= range.endOffset);
    if (next) end = next[2];
  }
  const paragraphs = Map.groupBy(inside, (line) => line.closest(".paragraph"));
  const text = [...paragraphs.values()].map((each) => each.map((line) => overlap(range, line) + (line.nextSibling?.textContent ?? "")).join("").trim()).join("\n\n");
  return { line: first, lines: inside, start, end, text, range };
}

/** The focused line, in the form of selectedWords(). */
export function focusedLine() {
  const line = document.activeElement;
  if (!line.matches(".line")) return null;
  return { line, lines: [line], start: Number(line.dataset.s), end: Number(line.dataset.e), text: line.textContent };
}

/** A link to this page that highlights and plays the words. */
function pageLink({ start, end }) {
  const link = new URL(location.pathname, location.href);
  link.searchParams.set("t", `${start.toFixed(2)},${end.toFixed(2)}`);
  return link.href.replaceAll("%2C", ",").replaceAll("%3A", ":");
}

/** A link to the published recording at the words; to this page for a file on this disk. */
function publicLink(words) {
  // The page's own link opens the recording at second 0; each site writes the second in its own way.
  const original = document.querySelector("a[rel~=external]");
  return original ? original.href.replace(/([#?&]t=)0(?=s?$)/, `$1${Math.floor(words.start)}`) : pageLink(words);
}

/** Copy text, and show `message`. */
export async function copy(text, message) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // The clipboard needs permission and a secure origin; another machine's http is none.
    const area = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    if (!copied) return showMessage("The browser does not let this page copy.");
  }
  showMessage(message);
}

export function copyLink(words) {
  copy(pageLink(words), "Link copied.");
}

export function copyQuote(words) {
  const { title, channel, date } = transcript.dataset;
  const citation = [channel, title, date, clock(words.start)].filter(Boolean).join(", ");
  copy(`“${words.text}”\n${citation}\n${publicLink(words)}\n`, "Quote copied.");
}

// --- The toolbar ----------------------------------------------------------------------------------

function placeToolbar() {
  const words = selectedWords();
  toolbar.hidden = !words;
  if (!words) return;
  const box = words.range.getBoundingClientRect();
  const centered = box.left + box.width / 2 - toolbar.offsetWidth / 2;
  const left = Math.min(Math.max(MARGIN, centered), innerWidth - toolbar.offsetWidth - MARGIN);
  const fitsAbove = box.top > toolbar.offsetHeight + 12;
  toolbar.style.left = `${left + scrollX}px`;
  toolbar.style.top = `${(fitsAbove ? box.top - toolbar.offsetHeight - MARGIN : box.bottom + MARGIN) + scrollY}px`;
}

/** Show the toolbar beside every selection. `play` and `correct` take the selected words. */
export function showToolbar({ play, correct }) {
  if (!toolbar) return;
  const actions = { play, correct, link: copyLink, quote: copyQuote };
  let timer = 0;
  toolbar.addEventListener("mousedown", (event) => event.preventDefault()); // keeps the selection
  toolbar.addEventListener("click", (event) => {
    const action = actions[event.target.dataset.action];
    const words = selectedWords();
    if (!action || !words) return;
    action(words);
    getSelection().removeAllRanges();
  });
  document.addEventListener("selectionchange", () => {
    clearTimeout(timer);
    timer = setTimeout(placeToolbar, TOOLBAR_DELAY);
  });
}
