// Reading along: a click on a word plays from it, the line being spoken is marked and kept in view, words that
// are selected become a link or a quote, and a line can be corrected in its place.

import { ask, clock, onKey, say } from "./app.js";
import { YouTube } from "./youtube.js";

const transcript = document.getElementById("transcript");
const lines = transcript ? [...transcript.querySelectorAll(".line")] : [];
const starts = lines.map((line) => Number(line.dataset.s));
const address = new URLSearchParams(location.search);
const bar = document.getElementById("player");
const LEAP = 5; // seconds of an arrow key

// --- Times ----------------------------------------------------------------------------------------

/** Number of the line that is spoken at `seconds`, or was last. */
function lineAt(seconds) {
  let [low, high] = [0, lines.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= seconds + 0.02) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** [from, to, seconds] of each word of a line, as offsets in its text. */
function wordsOf(line) {
  if (line.words) return line.words;
  let at = 0;
  line.words = (line.dataset.w ?? "").split(" ").filter(Boolean).map((pair) => {
    const [length, seconds] = pair.split(":").map(Number);
    const word = [at, at + length, seconds];
    at += length;
    return word;
  });
  return line.words;
}

/** When the character at `offset` of a line is said: at the start of its word, else of the line. */
function timeAt(line, offset) {
  const word = wordsOf(line).findLast(([from]) => from <= offset);
  return word ? word[2] : Number(line.dataset.s);
}

function placeAt(x, y) {
  if (document.caretPositionFromPoint) {
    const place = document.caretPositionFromPoint(x, y);
    return place && [place.offsetNode, place.offset];
  }
  const range = document.caretRangeFromPoint?.(x, y);
  return range && [range.startContainer, range.startOffset];
}

// --- Playing ----------------------------------------------------------------------------------------

let player = document.getElementById("media");
let until = Infinity; // seconds at which a passage ends
let spoken = -1;
let following = true;

const button = document.getElementById("play");
const seek = document.getElementById("seek");
const now = document.getElementById("now");
const follow = document.getElementById("follow");
const speed = document.getElementById("speed");

function attach() {
  player.addEventListener("play", drawState);
  player.addEventListener("pause", drawState);
  player.addEventListener("ended", drawState);
  player.addEventListener("timeupdate", draw);
  player.addEventListener("durationchange", () => {
    if (Number.isFinite(player.duration) && player.duration > 0) {
      seek.max = player.duration;
      document.getElementById("length").textContent = clock(player.duration);
    }
  });
  player.addEventListener("error", () => say("This recording cannot be played here. Was the file moved?"));
  player.playbackRate = Number(speed.value);
  requestAnimationFrame(frame);
}

function loadVideo(start) {
  player = new YouTube(document.getElementById("stage"), transcript?.dataset.video ?? bar.dataset.video, start, document.title);
  attach();
}

/** Play from `seconds`, to `end` if it is a passage. */
async function playFrom(seconds, end = Infinity) {
  until = end;
  keepInView(true);
  if (!player) {
    if (document.getElementById("load-player")) loadVideo(seconds);
    else say("There is no recording on this disk to play.");
    return;
  }
  player.currentTime = seconds;
  draw();
  await start();
}

async function start() {
  try {
    await player.play();
  } catch (error) {
    if (error.name === "NotAllowedError") say("Press Space to play.");
    else if (error.name !== "AbortError") say("This recording cannot be played here. Was the file moved?");
  }
}

function toggle() {
  if (!player) return playFrom(0);
  if (!player.paused) return player.pause();
  keepInView(true);
  start();
}

function drawState() {
  button.classList.toggle("playing", !player.paused);
  button.setAttribute("aria-label", player.paused ? "Play" : "Pause");
  if (!player.paused) requestAnimationFrame(frame);
}

function frame() {
  if (!player || player.paused) return;
  draw();
  requestAnimationFrame(frame);
}

function draw() {
  const seconds = player.currentTime;
  if (seconds >= until) {
    until = Infinity;
    player.pause();
  }
  if (document.activeElement !== seek || !seek.matches(":active")) seek.value = seconds;
  const shown = clock(seconds);
  if (now.textContent !== shown) {
    now.textContent = shown;
    seek.setAttribute("aria-valuetext", shown);
  }
  const at = lineAt(seconds);
  if (at !== spoken) {
    lines[spoken]?.classList.remove("now");
    lines[spoken]?.removeAttribute("aria-current");
    spoken = at;
    lines[spoken]?.classList.add("now");
    lines[spoken]?.setAttribute("aria-current", "true");
    if (following && !player.paused) bringIntoView(lines[spoken]);
    markChapter(seconds);
  }
  drawWord(seconds);
}

function drawWord(seconds) {
  if (!window.Highlight) return;
  const line = lines[spoken];
  const word = line && !line.isContentEditable && wordsOf(line).findLast((each) => each[2] <= seconds + 0.02);
  if (!word || player.paused) return CSS.highlights.delete("word");
  const blank = line.textContent.slice(word[0], word[1]).search(/\S/);
  highlight("word", [rangeIn(line, word[0] + Math.max(blank, 0), word[1])]);
}

function markChapter(seconds) {
  const all = [...document.querySelectorAll(".chapters a")];
  const current = all.findLast((link) => Number(link.dataset.t) <= seconds + 0.02);
  for (const link of all) link === current ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
}

// --- Following --------------------------------------------------------------------------------------

let scrolledByUs = 0;

function bringIntoView(line) {
  if (!line) return;
  const box = line.getBoundingClientRect();
  if (box.top > innerHeight * 0.15 && box.bottom < innerHeight * 0.7) return;
  scrolledByUs = performance.now();
  line.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

function keepInView(on) {
  following = on;
  follow?.setAttribute("aria-pressed", String(on));
  if (on && spoken >= 0 && player && !player.paused) bringIntoView(lines[spoken]);
}

// A reader who scrolls wants to look elsewhere: wheel, touch and keys are never ours.
for (const kind of ["wheel", "touchmove"]) addEventListener(kind, () => following && keepInView(false), { passive: true });
addEventListener("keydown", (event) => {
  if (["PageUp", "PageDown", "Home", "End", "ArrowUp", "ArrowDown"].includes(event.key) && event.target !== seek) keepInView(false);
});
addEventListener("scroll", () => {
  // The scroll bar, dragged: a scroll that nobody else explains, long after our last one.
  if (following && player && !player.paused && performance.now() - scrolledByUs > 1500) keepInView(false);
}, { passive: true });

// --- Hits -------------------------------------------------------------------------------------------

const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

function rangeIn(line, from, to) {
  const range = document.createRange();
  const text = line.firstChild;
  range.setStart(text, Math.min(from, text.length));
  range.setEnd(text, Math.min(to, text.length));
  return range;
}

function highlight(name, ranges) {
  if (window.Highlight) CSS.highlights.set(name, new Highlight(...ranges));
}

/** The text of a paragraph without case and accents, and for each letter its line and place there. */
function folded(paragraph) {
  let text = "";
  const places = [];
  for (const line of paragraph.querySelectorAll(".line")) {
    if (text) (text += " "), places.push(null);
    [...line.textContent].reduce((at, letter) => {
      for (const piece of plain(letter)) (text += piece), places.push([line, at, at + letter.length]);
      return at + letter.length;
    }, 0);
  }
  return [text, places];
}

function findHits(query) {
  const terms = [...query.matchAll(/["“„«]([^"”»]*)["”»]?|([^\s"“”„«»]+)/g)].map((match) => plain(match[1] ?? match[2]).trim()).filter(Boolean);
  const found = [];
  for (const paragraph of transcript.querySelectorAll(".paragraph p")) {
    const [text, places] = folded(paragraph);
    for (const term of terms) {
      const wide = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Thai}]/u.test(term);
      const words = term.split(/[^\p{L}\p{N}]+/u).filter(Boolean).join("[^\\p{L}\\p{N}]+");
      if (!words) continue;
      const pattern = wide ? [...term].map((letter) => letter.replace(/[^\p{L}\p{N}]/u, "\\s*")).join("\\s*") : `(?<![\\p{L}\\p{N}])${words}`;
      for (const match of text.matchAll(new RegExp(pattern, "gu"))) {
        const inside = places.slice(match.index, match.index + match[0].length).filter(Boolean);
        const ranges = [...new Set(inside.map(([line]) => line))].map((line) => {
          const own = inside.filter(([other]) => other === line);
          return rangeIn(line, own[0][1], own.at(-1)[2]);
        });
        found.push({ line: inside[0][0], offset: inside[0][1], ranges });
      }
    }
  }
  const order = new Map(lines.map((line, number) => [line, number]));
  return found.sort((a, b) => order.get(a.line) - order.get(b.line) || a.offset - b.offset);
}

let hits = [];
let hit = -1;

function goTo(number) {
  if (!hits.length) return false;
  hit = (number + hits.length) % hits.length;
  const { line, ranges } = hits[hit];
  keepInView(false);
  highlight("current-hit", ranges);
  line.scrollIntoView({ block: "center" });
  focusLine(line, true);
  document.querySelector("#hits-of span").textContent = `${hit + 1} of ${hits.length}`;
}

function showHits() {
  const query = address.get("q");
  if (!query || !transcript) return;
  hits = findHits(query);
  highlight("hit", hits.flatMap((each) => each.ranges));
  const box = document.getElementById("hits-of");
  box.querySelector("span").textContent = `${hits.length} ${hits.length === 1 ? "hit" : "hits"}`;
  for (const turn of box.querySelectorAll("button")) turn.onclick = () => goTo(hit + Number(turn.dataset.go));
}

// --- The line that has the focus ------------------------------------------------------------------

function focusLine(line, quiet) {
  for (const other of transcript.querySelectorAll(".line[tabindex='0']")) other.tabIndex = -1;
  line.tabIndex = 0;
  line.focus({ preventScroll: true });
  if (!quiet) bringIntoView(line);
}

function step(by) {
  if (!lines.length) return false;
  const at = lines.indexOf(document.activeElement);
  const from = at >= 0 ? at : Math.max(spoken, 0) - (by > 0 && spoken < 0 ? 1 : 0);
  keepInView(false);
  focusLine(lines[Math.max(0, Math.min(lines.length - 1, from + by))]);
}

// --- What is selected -----------------------------------------------------------------------------

const popover = document.getElementById("selected");

/** First and last line of the selection, the times of its first and last word, and its text. */
function selected() {
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
    const after = wordsOf(last).find(([from]) => from >= range.endOffset);
    if (after) end = after[2];
  }
  const paragraphs = Map.groupBy(inside, (line) => line.closest(".paragraph"));
  const text = [...paragraphs.values()].map((each) => each.map((line) => overlap(range, line) + (line.nextSibling?.textContent ?? "")).join("").trim()).join("\n\n");
  return { first, start, end, text, range };
}

function overlap(range, line) {
  const text = line.firstChild;
  const from = range.startContainer === text ? range.startOffset : 0;
  const to = range.endContainer === text ? range.endOffset : text.length;
  return text.data.slice(from, to);
}

function offer() {
  const words = popover && selected();
  if (!popover) return;
  popover.hidden = !words;
  if (!words) return;
  const box = words.range.getBoundingClientRect();
  const left = Math.min(Math.max(8, box.left + box.width / 2 - popover.offsetWidth / 2), innerWidth - popover.offsetWidth - 8);
  const above = box.top > popover.offsetHeight + 12;
  popover.style.left = `${left + scrollX}px`;
  popover.style.top = `${(above ? box.top - popover.offsetHeight - 8 : box.bottom + 8) + scrollY}px`;
}

function passageLink({ start, end }) {
  const link = new URL(location.pathname, location.href);
  link.searchParams.set("t", `${start.toFixed(2)},${end.toFixed(2)}`);
  return link.href.replaceAll("%2C", ",").replaceAll("%3A", ":");
}

/** Where the recording itself opens at `seconds`; the passage on this page for a file of our own. */
function publicLink(words) {
  // The link opens it at second 0, as its site spells that.
  const original = document.querySelector("a[rel~=external]");
  return original ? original.href.replace(/([#?&]t=)0(?=s?$)/, `$1${Math.floor(words.start)}`) : passageLink(words);
}

function quote(words) {
  const { title, channel, date } = transcript.dataset;
  const from = [channel, title, date, clock(words.start)].filter(Boolean).join(", ");
  return `“${words.text}”\n${from}\n${publicLink(words)}\n`;
}

async function copy(text, done) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Not on a secure origin (another machine by http), or not allowed.
    const area = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    if (!copied) return say("The browser does not let this page copy.");
  }
  say(done);
}

popover?.addEventListener("mousedown", (event) => event.preventDefault()); // the selection stays
popover?.addEventListener("click", (event) => {
  const what = event.target.dataset.do;
  const words = selected();
  if (!what || !words) return;
  if (what === "play") playFrom(words.start, words.end);
  if (what === "link") copy(passageLink(words), "Link copied.");
  if (what === "quote") copy(quote(words), "Quote copied.");
  if (what === "correct") edit(words.first);
  getSelection().removeAllRanges();
});
document.addEventListener("selectionchange", () => {
  clearTimeout(offer.waiting);
  offer.waiting = setTimeout(offer, 120);
});

// --- Correcting -----------------------------------------------------------------------------------

const correct = document.getElementById("correct");
const correcting = () => correct?.getAttribute("aria-pressed") === "true";
const segment = (line) => `/api/items/${encodeURIComponent(transcript.dataset.key)}/segments/${line.id.slice(1)}`;

function edit(line) {
  if (!line || line.isContentEditable || !correct) return;
  if (player && !player.paused) player.pause();
  const before = line.textContent;
  focusLine(line);
  try {
    line.contentEditable = "plaintext-only";
  } catch {
    line.contentEditable = "true"; // an older browser; only the text is read from it anyway
  }
  line.setAttribute("role", "textbox");
  line.setAttribute("aria-label", "Correct this line. Enter keeps it, Escape leaves it.");
  line.focus();
  let ended = false;
  const end = async (keep) => {
    if (ended) return;
    ended = true;
    line.onkeydown = line.onblur = null;
    const text = line.textContent.replace(/\s+/g, " ").trim();
    for (const name of ["contenteditable", "role", "aria-label"]) line.removeAttribute(name);
    line.textContent = before;
    showHits(); // their ranges were in the text that is gone
    if (!keep || !text || text === before) return;
    try {
      draw1(line, await ask("PUT", segment(line), { text, was: before }));
      say("Corrected.", ["Undo", () => undo(line)]);
    } catch {
      // It was said why; the words that were typed are not thrown away.
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
      focusLine(line, true);
    }
  };
  line.onblur = () => end(true);
}

async function undo(line) {
  draw1(line, await ask("DELETE", segment(line)));
  say("The earlier words are back.");
}

/** Show a line as the server keeps it. */
function draw1(line, kept) {
  line.textContent = kept.text;
  line.words = null;
  if (kept.words) line.dataset.w = kept.words;
  else delete line.dataset.w;
  line.classList.toggle("corrected", kept.heard !== null);
  line.classList.toggle("doubt", Boolean(kept.doubt));
  line.title = kept.heard !== null ? `The machine heard: ${kept.heard}` : kept.doubt ? `Doubtful: ${kept.doubt}` : "";
  if (kept.heard !== null) line.dataset.heard = kept.heard;
  else delete line.dataset.heard;
  showHits();
}

if (correct) {
  correct.onclick = () => {
    const on = !correcting();
    correct.setAttribute("aria-pressed", String(on));
    transcript.classList.toggle("correcting", on);
    if (on) say("Click a line to correct it. Enter keeps it, Escape leaves it.");
  };
}

// --- Beginning ------------------------------------------------------------------------------------

transcript?.addEventListener("click", (event) => {
  const time = event.target.closest("a.time");
  if (time && bar) {
    event.preventDefault();
    return playFrom(Number(time.dataset.t));
  }
  const line = event.target.closest(".line");
  if (!line || line.isContentEditable || !getSelection().isCollapsed) return;
  if (correcting()) return edit(line);
  const place = placeAt(event.clientX, event.clientY);
  const offset = place && place[0] === line.firstChild ? place[1] : 0;
  focusLine(line, true);
  if (bar) playFrom(timeAt(line, offset));
});
document.querySelector(".chapters")?.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || !bar) return;
  event.preventDefault();
  document.querySelector(link.hash)?.scrollIntoView();
  playFrom(Number(link.dataset.t));
});

/** The whole line that has the focus, as if its words were selected. */
function focused() {
  const line = document.activeElement;
  if (!line.matches(".line")) return null;
  return { first: line, start: Number(line.dataset.s), end: Number(line.dataset.e), text: line.textContent };
}
onKey("l", () => focused() ? copy(passageLink(focused()), "Link copied.") : false);
onKey("q", () => focused() ? copy(quote(focused()), "Quote copied.") : false);
onKey("j", () => step(1));
onKey("k", () => step(-1));
onKey("n", () => goTo(hit + 1));
onKey("p", () => goTo(hit < 0 ? -1 : hit - 1));
onKey("e", () => (document.activeElement.matches?.(".line") ? edit(document.activeElement) : edit(lines[spoken])));
onKey("Enter", (event) => {
  if (!event.target.matches(".line") || !bar) return false;
  playFrom(Number(event.target.dataset.s));
});
if (bar) {
  if (player) attach();
  button.onclick = toggle;
  const loader = document.getElementById("load-player");
  if (loader) loader.onclick = () => loadVideo(wanted()?.[0] ?? 0);
  seek.oninput = () => {
    until = Infinity;
    if (player) player.currentTime = Number(seek.value);
    else now.textContent = clock(Number(seek.value));
  };
  speed.onchange = () => player && (player.playbackRate = Number(speed.value));
  follow.onclick = () => keepInView(!following);
  onKey(" ", toggle);
  onKey("f", () => keepInView(!following));
  const leap = (by) => (event) => {
    if (!player || event.target === seek) return false;
    player.currentTime = Math.max(0, player.currentTime + by);
  };
  onKey("ArrowLeft", leap(-LEAP));
  onKey("ArrowRight", leap(LEAP));
}

/** What the address asks for: [from] or [from, to] in seconds. */
function wanted() {
  const times = (address.get("t") ?? "").split(",").filter(Boolean).map(Number);
  return times.length && times.every((time) => Number.isFinite(time) && time >= 0) ? times : null;
}

function open() {
  if (lines.length) lines[0].tabIndex = 0;
  showHits();
  const times = wanted();
  if (!times || !lines.length) return hits.length && !times ? goTo(0) : undefined;
  const [from, to] = times;
  const first = Math.max(0, lineAt(from));
  const last = to === undefined ? first : Math.max(first, lineAt(to - 0.03));
  if (to !== undefined) {
    highlight("passage", lines.slice(first, last + 1).map((line) => {
      const words = wordsOf(line);
      const begin = line === lines[first] ? words.find((word) => word[2] >= from - 0.02)?.[0] ?? 0 : 0;
      const end = line === lines[last] ? words.findLast((word) => word[2] < to - 0.02)?.[1] ?? line.firstChild.length : line.firstChild.length;
      return rangeIn(line, begin, end);
    }));
  }
  const nearest = hits.findIndex((each) => lines.indexOf(each.line) >= first);
  if (nearest >= 0 && lines.indexOf(hits[nearest].line) <= last + 1) {
    hit = nearest;
    highlight("current-hit", hits[hit].ranges);
    document.querySelector("#hits-of span").textContent = `${hit + 1} of ${hits.length}`;
  }
  lines[first].scrollIntoView({ block: "center" });
  focusLine(lines[first], true);
  if (document.getElementById("media")) playFrom(from, to);
}
open();
