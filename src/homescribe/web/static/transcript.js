// The transcript on the page: its lines, the time of every word, and highlights.

export const transcript = document.getElementById("transcript");
export const lines = transcript ? [...transcript.querySelectorAll(".line")] : [];
const starts = lines.map((line) => Number(line.dataset.s));
let end = 0;
const ends = lines.map((line) => (end = Math.max(end, Number(line.dataset.e)))); // of a line and all before it
const TOLERANCE = 0.02; // seconds: players seek a little short of the requested time

/** Index of the line spoken at `seconds`, of several the one that began last; else of the last one before, or -1. */
export function lineAt(seconds) {
  let [low, high] = [0, lines.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= seconds + TOLERANCE) low = middle + 1;
    else high = middle;
  }
  // A line that began later may have ended before, where people speak at once.
  for (let n = low - 1; n >= 0 && ends[n] > seconds + TOLERANCE; n -= 1) {
    if (Number(lines[n].dataset.e) > seconds + TOLERANCE) return n;
  }
  return low - 1;
}

/** [from, to, seconds] of each word of a line: offsets in its text, and the time at which it starts. */
export function wordsOf(line) {
  if (line.words) return line.words;
  let offset = 0;
  line.words = (line.dataset.w ?? "").split(" ").filter(Boolean).map((pair) => {
    const [length, seconds] = pair.split(":").map(Number);
    const word = [offset, offset + length, seconds];
    offset += length;
    return word;
  });
  return line.words;
}

/** The word of a line spoken at `seconds`, or the last one before. */
export const wordAt = (line, seconds) => wordsOf(line).findLast((word) => word[2] <= seconds + TOLERANCE);

/** Start of the word at `offset` in a line; start of the line where word times are unknown. */
export function timeAt(line, offset) {
  const word = wordsOf(line).findLast(([from]) => from <= offset);
  return word ? word[2] : Number(line.dataset.s);
}

/** The characters `from` to `to` of a line. */
export function rangeIn(line, from, to) {
  const range = document.createRange();
  const text = line.firstChild;
  range.setStart(text, Math.min(from, text.length));
  range.setEnd(text, Math.min(to, text.length));
  return range;
}

/** Draw ranges in the style ::highlight(name), above those of a lower priority. No ranges remove it. */
export function highlight(name, ranges, priority = 0) {
  if (window.Highlight) CSS.highlights.set(name, Object.assign(new Highlight(...ranges), { priority }));
}

/** Lines that are not filtered out. */
export const isShown = (line) => line.offsetParent !== null;

/** Make `line` the one line that Tab reaches, and focus it. */
export function focusLine(line) {
  for (const other of transcript.querySelectorAll(".line[tabindex='0']")) other.tabIndex = -1;
  line.tabIndex = 0;
  line.focus({ preventScroll: true });
}
