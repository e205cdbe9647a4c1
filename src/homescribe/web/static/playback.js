// The player of an item's page: an <audio>, a <video> or YouTube's player, and the bar that controls each of them.

import { clock, onKey, showMessage } from "./app.js";
import { highlight, lineAt, lines, rangeIn, wordAt } from "./transcript.js";
import { YouTube } from "./youtube.js";

const SKIP = 5; // seconds, for the arrow keys

// --- Player -----------------------------------------------------------------------------------------

export const controls = document.getElementById("player"); // null when the recording cannot be played here
const playButton = document.getElementById("play");
const seekBar = document.getElementById("seek");
const clockText = document.getElementById("now");
const followButton = document.getElementById("follow");
const speedChoice = document.getElementById("speed");

let player = document.getElementById("media"); // an <audio>, a <video>, a YouTube or null
let playUntil = Infinity; // seconds at which a shared excerpt ends
let cued = [0, Infinity]; // start and end in seconds of what is played first, until there is a player
let started = false; // whether anything was played
export let spoken = -1; // index of the line being spoken
let following = true; // whether the page scrolls to the spoken line

function attachPlayer() {
  player.addEventListener("play", drawState);
  player.addEventListener("play", () => { started = true; });
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
export async function playFrom(seconds, end = Infinity) {
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
    if (error.name === "NotAllowedError") showMessage(matchMedia("(hover: hover)").matches ? "Press Space to play." : "Press Play.");
    else if (error.name !== "AbortError") showPlayerError();
  }
}

/** Let every way to play start at `start` and stop at `end`, as long as nothing was played. */
export function cue(start, end = Infinity) {
  if (!controls || started) return;
  cued = [start, end];
  playUntil = end;
  if (player) player.currentTime = start;
  drawPosition(start);
}

export function pause() {
  if (player && !player.paused) player.pause();
}

function togglePlayback() {
  if (!player) return playFrom(...cued);
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
  drawPosition(seconds);
  drawWord(seconds);
}

/** Show `seconds` on the bar and mark the line. */
function drawPosition(seconds) {
  if (document.activeElement !== seekBar || !seekBar.matches(":active")) seekBar.value = seconds;
  const text = clock(seconds);
  if (clockText.textContent !== text) {
    clockText.textContent = text;
    seekBar.setAttribute("aria-valuetext", text);
  }
  drawLine(seconds);
}

function drawLine(seconds) {
  const current = lineAt(seconds);
  if (current === spoken) return;
  lines[spoken]?.classList.remove("now");
  lines[spoken]?.removeAttribute("aria-current");
  spoken = current;
  lines[spoken]?.classList.add("now");
  lines[spoken]?.setAttribute("aria-current", "true");
  if (following && player && !player.paused) scrollToLine(lines[spoken]);
  drawChapter(seconds);
}

function drawWord(seconds) {
  if (!window.Highlight) return;
  const line = lines[spoken];
  const word = line && !line.isContentEditable && wordAt(line, seconds);
  if (!word || player.paused) return CSS.highlights.delete("word");
  const spaces = line.textContent.slice(word[0], word[1]).search(/\S/);
  highlight("word", [rangeIn(line, word[0] + Math.max(spaces, 0), word[1])], 2);
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

export function scrollToLine(line) {
  if (!line) return;
  const box = line.getBoundingClientRect();
  if (box.top > innerHeight * 0.15 && box.bottom < innerHeight * 0.7) return;
  scrolledAt = performance.now();
  line.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

export function follow(on) {
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

// --- Buttons and keys -------------------------------------------------------------------------------

if (controls) {
  if (player) attachPlayer();
  playButton.onclick = togglePlayback;
  const loadButton = document.getElementById("load-player");
  if (loadButton) loadButton.onclick = () => {
    if (!player) return playFrom(...cued);
    player.pause(); // the audio that is kept
    loadVideo(player.currentTime);
  };
  seekBar.oninput = () => {
    playUntil = Infinity;
    if (player) player.currentTime = Number(seekBar.value);
    else cue(Number(seekBar.value));
  };
  speedChoice.onchange = () => player && (player.playbackRate = Number(speedChoice.value));
  followButton.onclick = () => follow(!following);
  onKey(" ", togglePlayback);
  onKey("f", () => follow(!following));
  const skip = (seconds) => (event) => {
    if (event.target === seekBar) return false;
    if (player) player.currentTime = Math.max(0, player.currentTime + seconds);
    else cue(Math.max(0, cued[0] + seconds));
  };
  onKey("ArrowLeft", skip(-SKIP));
  onKey("ArrowRight", skip(SKIP));
}
