// The page of one item: playback from any word, the spoken line marked and kept in view, and corrections.

import { clock, onKey, request, showMessage } from "./app.js";
import { findHits } from "./hits.js";
import { copyLink, copyQuote, focusedLine, showToolbar } from "./quotes.js";
import { highlight, lineAt, lines, rangeIn, timeAt, transcript, wordAt, wordsOf } from "./transcript.js";
import { YouTube } from "./youtube.js";

const query = new URLSearchParams(location.search);
const SKIP = 5; // seconds, for the arrow keys

// --- Player -----------------------------------------------------------------------------------------

const controls = document.getElementById("player"); // null when the recording cannot be played here
const playButton = document.getElementById("play");
const seekBar = document.getElementById("seek");
const clockText = document.getElementById("now");
const followButton = document.getElementById("follow");
const speedChoice = document.getElementById("speed");

let player = document.getElementById("media"); // an <audio>, a <video>, a YouTube or null
let playUntil = Infinity; // seconds at which a shared excerpt ends
let spoken = -1; // index of the line being spoken
let following = true; // whether the page scrolls to the spoken line

function attachPlayer() {
  player.addEventListener("play", drawState);
  player.addEventListener("pause", drawState);
  player.addEventListener("ended", drawState);
  player.addEventListener("timeupdate", drawTime);
  player.addEventListener("durationchange", () => {
    if (Number.isFinite(player.duration) && player.duration > 0) {
      seekBar.max = player.duration;
      document.getElementById("length").textContent = clock(player.duration);
    }
  });
  player.addEventListener("error", showPlayerError);
  player.playbackRate = Number(speedChoice.value);
  requestAnimationFrame(drawFrame);
}

function showPlayerError() {
  showMessage("The browser cannot play this recording. Was the file moved?");
}

function loadVideo(start) {
  const container = document.getElementById("video");
  player = new YouTube(container, container.dataset.youtube, start, document.title);
  attachPlayer();
}

/** Play from `seconds` to `end`. */
async function playFrom(seconds, end = Infinity) {
  playUntil = end;
  follow(true);
  if (!player) {
    if (document.getElementById("load-player")) loadVideo(seconds);
    else showMessage("This recording is not on this disk, so it cannot be played here.");
    return;
  }
  player.currentTime = seconds;
  drawTime();
  await startPlayer();
}

async function startPlayer() {
  try {
    await player.play();
  } catch (error) {
    if (error.name === "NotAllowedError") showMessage("Press Space to play.");
    else if (error.name !== "AbortError") showPlayerError();
  }
}

function togglePlayback() {
  if (!player) return playFrom(0);
  if (!player.paused) return player.pause();
  follow(true);
  startPlayer();
}

function drawState() {
  playButton.classList.toggle("playing", !player.paused);
  playButton.setAttribute("aria-label", player.paused ? "Play" : "Pause");
  if (!player.paused) requestAnimationFrame(drawFrame);
}

function drawFrame() {
  if (!player || player.paused) return;
  drawTime();
  requestAnimationFrame(drawFrame);
}

function drawTime() {
  const seconds = player.currentTime;
  if (seconds >= playUntil) {
    playUntil = Infinity;
    player.pause();
  }
  if (document.activeElement !== seekBar || !seekBar.matches(":active")) seekBar.value = seconds;
  const text = clock(seconds);
  if (clockText.textContent !== text) {
    clockText.textContent = text;
    seekBar.setAttribute("aria-valuetext", text);
  }
  drawLine(seconds);
  drawWord(seconds);
}

function drawLine(seconds) {
  const current = lineAt(seconds);
  if (current === spoken) return;
  lines[spoken]?.classList.remove("now");
  lines[spoken]?.removeAttribute("aria-current");
  spoken = current;
  lines[spoken]?.classList.add("now");
  lines[spoken]?.setAttribute("aria-current", "true");
  if (following && !player.paused) scrollToLine(lines[spoken]);
  drawChapter(seconds);
}

function drawWord(seconds) {
  if (!window.Highlight) return;
  const line = lines[spoken];
  const word = line && !line.isContentEditable && wordAt(line, seconds);
  if (!word || player.paused) return CSS.highlights.delete("word");
  const spaces = line.textContent.slice(word[0], word[1]).search(/\S/);
  highlight("word", [rangeIn(line, word[0] + Math.max(spaces, 0), word[1])]);
}

function drawChapter(seconds) {
  const links = [...document.querySelectorAll(".chapters a")];
  const current = links.findLast((link) => Number(link.dataset.t) <= seconds + 0.02);
  for (const link of links) {
    if (link === current) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

// --- Following --------------------------------------------------------------------------------------

const SCROLL_TIME = 1500; // milliseconds that one of our own scrolls may take
let scrolledAt = 0; // performance.now() of our latest scroll

function scrollToLine(line) {
  if (!line) return;
  const box = line.getBoundingClientRect();
  if (box.top > innerHeight * 0.15 && box.bottom < innerHeight * 0.7) return;
  scrolledAt = performance.now();
  line.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

function follow(on) {
  following = on;
  followButton?.setAttribute("aria-pressed", String(on));
  if (on && spoken >= 0 && player && !player.paused) scrollToLine(lines[spoken]);
}

// A reader who scrolls wants to look elsewhere. Wheel, touch and keys never come from our own scrolls.
for (const kind of ["wheel", "touchmove"]) addEventListener(kind, () => following && follow(false), { passive: true });
addEventListener("keydown", (event) => {
  if (["PageUp", "PageDown", "Home", "End", "ArrowUp", "ArrowDown"].includes(event.key) && event.target !== seekBar) follow(false);
});
addEventListener("scroll", () => {
  // A dragged scroll bar sends no other event, so any scroll long after our own counts as the reader's.
  if (following && player && !player.paused && performance.now() - scrolledAt > SCROLL_TIME) follow(false);
}, { passive: true });

// --- Hits -------------------------------------------------------------------------------------------

let hits = [];
let currentHit = -1;

function setHitCounter(text) {
  document.querySelector("#hit-counter span").textContent = text;
}

function goToHit(number) {
  if (!hits.length) return false;
  currentHit = (number + hits.length) % hits.length;
  const { line, ranges } = hits[currentHit];
  follow(false);
  highlight("current-hit", ranges);
  line.scrollIntoView({ block: "center" });
  focusLine(line);
  setHitCounter(`${currentHit + 1} of ${hits.length}`);
}

function showHits() {
  const words = query.get("q");
  if (!words || !transcript) return;
  hits = findHits(words);
  highlight("hit", hits.flatMap((hit) => hit.ranges));
  setHitCounter(`${hits.length} ${hits.length === 1 ? "hit" : "hits"}`);
  for (const button of document.querySelectorAll("#hit-counter button")) button.onclick = () => goToHit(currentHit + Number(button.dataset.step));
}

// --- Focus ------------------------------------------------------------------------------------------

function focusLine(line) {
  for (const other of transcript.querySelectorAll(".line[tabindex='0']")) other.tabIndex = -1;
  line.tabIndex = 0;
  line.focus({ preventScroll: true });
}

/** Focus the next (1) or previous (-1) line. */
function focusNext(step) {
  if (!lines.length) return false;
  const focused = lines.indexOf(document.activeElement);
  const from = focused >= 0 ? focused : Math.max(spoken, 0) - (step > 0 && spoken < 0 ? 1 : 0);
  follow(false);
  const line = lines[Math.max(0, Math.min(lines.length - 1, from + step))];
  focusLine(line);
  scrollToLine(line);
}

// --- Corrections ------------------------------------------------------------------------------------

const correctButton = document.getElementById("correct-mode");
const isCorrecting = () => correctButton?.getAttribute("aria-pressed") === "true";
const segmentAddress = (line) => `/api/items/${encodeURIComponent(transcript.dataset.key)}/segments/${line.id.slice(1)}`;

function edit(line) {
  if (!line || line.isContentEditable || !correctButton) return;
  if (player && !player.paused) player.pause();
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
onKey("n", () => goToHit(currentHit + 1));
onKey("p", () => goToHit(currentHit < 0 ? -1 : currentHit - 1));
onKey("e", () => edit(focusedLine()?.line ?? lines[spoken]));
onKey("Enter", (event) => {
  if (!event.target.matches(".line") || !controls) return false;
  playFrom(Number(event.target.dataset.s));
});

if (controls) {
  if (player) attachPlayer();
  playButton.onclick = togglePlayback;
  const loadButton = document.getElementById("load-player");
  if (loadButton) loadButton.onclick = () => loadVideo(excerpt()?.[0] ?? 0);
  seekBar.oninput = () => {
    playUntil = Infinity;
    if (player) player.currentTime = Number(seekBar.value);
    else clockText.textContent = clock(Number(seekBar.value));
  };
  speedChoice.onchange = () => player && (player.playbackRate = Number(speedChoice.value));
  followButton.onclick = () => follow(!following);
  onKey(" ", togglePlayback);
  onKey("f", () => follow(!following));
  const skip = (seconds) => (event) => {
    if (!player || event.target === seekBar) return false;
    player.currentTime = Math.max(0, player.currentTime + seconds);
  };
  onKey("ArrowLeft", skip(-SKIP));
  onKey("ArrowRight", skip(SKIP));
}

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
  if (!times || !lines.length) return hits.length && !times ? goToHit(0) : undefined;
  const [start, end] = times;
  const first = Math.max(0, lineAt(start));
  const last = end === undefined ? first : Math.max(first, lineAt(end - 0.03));
  if (end !== undefined) highlightExcerpt(lines.slice(first, last + 1), start, end);
  const nearest = hits.findIndex((hit) => lines.indexOf(hit.line) >= first);
  if (nearest >= 0 && lines.indexOf(hits[nearest].line) <= last + 1) {
    currentHit = nearest;
    highlight("current-hit", hits[currentHit].ranges);
    setHitCounter(`${currentHit + 1} of ${hits.length}`);
  }
  lines[first].scrollIntoView({ block: "center" });
  focusLine(lines[first]);
  if (document.getElementById("media")) playFrom(start, end);
}
openAddress();
