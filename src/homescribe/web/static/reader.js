// The page of one item: playback from any word, keys for its lines, and what its address names.

import { onKey } from "./app.js";
import { edit, isCorrecting } from "./corrections.js";
import { goToHit, hitFrom, markHit, showHits } from "./find.js";
import { controls, cue, follow, playFrom, scrollToLine, spoken } from "./playback.js";
import { copyLink, copyQuote, focusedLine, showToolbar } from "./quotes.js";
import { focusLine, highlight, isShown, lineAt, lines, rangeIn, timeAt, transcript, wordsOf } from "./transcript.js";

const query = new URLSearchParams(location.search);

/** Focus the next (1) or previous (-1) line. */
function focusNext(step) {
  const shown = lines.filter(isShown);
  if (!shown.length) return false;
  const focused = shown.indexOf(document.activeElement);
  const current = shown.indexOf(lines[spoken]);
  const from = focused >= 0 ? focused : Math.max(current, 0) - (step > 0 && current < 0 ? 1 : 0);
  follow(false);
  const line = shown[Math.max(0, Math.min(shown.length - 1, from + step))];
  focusLine(line);
  scrollToLine(line);
}

// --- Clicks and keys --------------------------------------------------------------------------------

/** [node, offset] of the character at a point of the window. */
function characterAt(x, y) {
  if (document.caretPositionFromPoint) {
    const position = document.caretPositionFromPoint(x, y);
    return position && [position.offsetNode, position.offset];
  }
  const range = document.caretRangeFromPoint?.(x, y);
  return range && [range.startContainer, range.startOffset];
}

transcript?.addEventListener("click", (event) => {
  const time = event.target.closest("a.time");
  if (time && controls) {
    event.preventDefault();
    return playFrom(Number(time.dataset.t));
  }
  const line = event.target.closest(".line");
  if (!line || line.isContentEditable || !getSelection().isCollapsed) return;
  if (isCorrecting()) return edit(line);
  const character = characterAt(event.clientX, event.clientY);
  const offset = character && character[0] === line.firstChild ? character[1] : 0;
  focusLine(line);
  if (controls) playFrom(timeAt(line, offset));
});
document.querySelector(".chapters")?.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || !controls) return;
  event.preventDefault();
  document.querySelector(link.hash)?.scrollIntoView();
  playFrom(Number(link.dataset.t));
});
showToolbar({ play: (words) => playFrom(words.start, words.end), correct: (words) => edit(words.line) });

onKey("l", () => focusedLine() ? copyLink(focusedLine()) : false);
onKey("q", () => focusedLine() ? copyQuote(focusedLine()) : false);
onKey("j", () => focusNext(1));
onKey("k", () => focusNext(-1));
onKey("e", () => edit(focusedLine()?.line ?? lines[spoken]), { writes: true });
onKey("Enter", (event) => {
  if (!event.target.matches(".line") || !controls) return false;
  playFrom(Number(event.target.dataset.s));
});

// --- The address ------------------------------------------------------------------------------------

/** The `t` of the address: [start] or [start, end] in seconds, or null. */
function excerpt() {
  const times = (query.get("t") ?? "").split(",").filter(Boolean).map(Number);
  return times.length && times.every((time) => Number.isFinite(time) && time >= 0) ? times : null;
}

/** Highlight the words from `start` to `end` in these lines. */
function highlightExcerpt(excerptLines, start, end) {
  highlight("excerpt", excerptLines.map((line) => {
    const words = wordsOf(line);
    const from = line === excerptLines[0] ? words.find((word) => word[2] >= start - 0.02)?.[0] ?? 0 : 0;
    const to = line === excerptLines.at(-1) ? words.findLast((word) => word[2] < end - 0.02)?.[1] ?? line.firstChild.length : line.firstChild.length;
    return rangeIn(line, from, to);
  }));
}

/** Scroll to what the address names: an excerpt, else the first hit. */
function openAddress() {
  if (lines.length) lines[0].tabIndex = 0;
  showHits();
  const times = excerpt();
  if (times) cue(...times);
  if (!times || !lines.length) return times ? undefined : goToHit(0);
  const [start, end] = times;
  const first = Math.max(0, lineAt(start));
  const last = end === undefined ? first : Math.max(first, lineAt(end - 0.03));
  if (end !== undefined) highlightExcerpt(lines.slice(first, last + 1), start, end);
  const nearest = hitFrom(lines, first, last + 1);
  if (nearest >= 0) markHit(nearest);
  lines[first].scrollIntoView({ block: "center" });
  focusLine(lines[first]);
  if (document.getElementById("media")) playFrom(start, end);
}
openAddress();
