// The queue page. Every event carries the whole state, so a reload or a lost connection loses nothing.

import { count, span } from "./amounts.js";
import { clock, itemAddress, request, showMessage } from "./app.js";
import { onSnapshot } from "./live.js";

const LISTS_DELAY = 300; // milliseconds after a change, so that a burst of changes is one request

const element = (id) => document.getElementById(id);
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

// --- Text -----------------------------------------------------------------------------------------

const STATES = {
  idle: "Idle",
  running: "Transcribing",
  stopping: "Stopping. Finished transcripts are kept.",
  paused: "Paused. Items that were being transcribed start over, finished transcripts are kept.",
};

function stateText({ state, process, progress, error }) {
  if (state === "elsewhere") return `Another process (${process || "unknown number"}) is transcribing. This page shows its progress.`;
  if (state === "running" && progress?.captions) return "Requesting captions";
  if (state === "running" && progress?.loading) return `Loading model ${progress.loading}…`;
  if (state === "idle" && progress && !error) return progress.items ? "Run finished" : "Nothing to transcribe";
  return STATES[state] ?? state;
}

function totalsText(snapshot) {
  const { progress, state } = snapshot;
  if (state === "running" && progress?.captions) {
    const { items, requested, found, seconds_left: left } = progress.captions;
    const parts = [`${requested.toLocaleString("en")} of ${count(items, "item")}`, `${found.toLocaleString("en")} found`];
    if (left) parts.push(`${clock(left)} left`);
    return parts.join(" · ");
  }
  if (isOwnRun(snapshot)) {
    const parts = [`${(progress.done + progress.failed).toLocaleString("en")} of ${count(progress.items, "item")}`];
    if (progress.audio_seconds) parts.push(`${span(progress.transcribed_seconds)} of ${span(progress.audio_seconds)}`);
    if (progress.failed) parts.push(`${progress.failed} failed`);
    if (progress.speed && state === "running") parts.push(`${progress.speed.toFixed(1)}× realtime`);
    if (progress.seconds_left && state === "running") parts.push(`${clock(progress.seconds_left)} left`);
    return parts.join(" · ");
  }
  const all = sum(Object.values(snapshot.items));
  if (!all) return "The library is empty.";
  const waiting = snapshot.to_upgrade ? ` · ${snapshot.searchable.toLocaleString("en")} searchable, ${snapshot.to_upgrade.toLocaleString("en")} of them by captions until they are transcribed` : "";
  return `${snapshot.items.done.toLocaleString("en")} of ${count(all, "item")} transcribed · ${span(snapshot.audio_seconds_done)} of ${span(snapshot.audio_seconds)}${waiting}`;
}

function planNotes(plan) {
  const notes = [];
  if (plan.download_seconds) notes.push(`Downloads take at least ${span(plan.download_seconds)}, with pauses that keep the load on the site low.`);
  if (plan.captions_to_request) notes.push(`Captions of the publisher are requested first for ${count(plan.captions_to_request, "item")}. Where they are kept, nothing is transcribed.`);
  if (plan.prices) notes.push(`Prices: ${plan.prices}. --max-cost limits the price of a run.`);
  if (plan.backend === "local") {
    notes.push(plan.speed ? `The latest transcripts on this machine ran at ${plan.speed.toFixed(1)}× realtime.` : "The speed of this machine is known after the first transcript.");
  } else if (plan.speed) {
    notes.push(`Expected speed of one machine: ${plan.speed.toFixed(0)}× realtime.`);
  }
  if (plan.unknown_durations && plan.unknown_durations < plan.items) notes.push(`The duration of ${count(plan.unknown_durations, "item")} is not known yet.`);
  return notes.join(" ");
}

// --- Drawing --------------------------------------------------------------------------------------

const isOwnRun = ({ progress, state }) => Boolean(progress && progress.items && state !== "elsewhere");

function note(text, isError) {
  return Object.assign(document.createElement("p"), { className: isError ? "note bad" : "note", textContent: text });
}

/** A list entry: a label, then a text that may be a link. */
function entry(label, text, href) {
  const line = document.createElement("li");
  const first = Object.assign(document.createElement("span"), { textContent: label });
  const second = Object.assign(document.createElement(href ? "a" : "bdi"), { textContent: text });
  if (href) second.href = href;
  line.append(first, second);
  return line;
}

function showButton(action, visible, text) {
  const button = document.querySelector(`[data-action=${action}]`);
  button.hidden = !visible;
  if (text) button.textContent = text;
}

function drawPlan(plan) {
  element("plan").hidden = !plan;
  if (!plan) return;
  element("plan-title").textContent = plan.titles.join(", ");
  const facts = [
    ["New items", plan.items.toLocaleString("en")],
    ["Audio", plan.audio_seconds ? span(plan.audio_seconds) : "unknown"],
    ["Time", plan.seconds === null ? "unknown" : `about ${span(plan.seconds)}`],
    ["Price", plan.dollars === null ? "unknown" : plan.dollars ? `$${plan.dollars.toFixed(2)}` : "free"],
  ];
  document.querySelector("#plan dl").replaceChildren(...facts.map(([name, value]) => {
    const pair = document.createElement("div");
    for (const [tag, text] of [["dt", name], ["dd", value]]) pair.append(Object.assign(document.createElement(tag), { textContent: text }));
    return pair;
  }));
  element("plan-note").textContent = planNotes(plan);
}

/** What a listing of one source contained: that it has moved, what was not listed, and the number of new items. */
function listedNotes(source) {
  if (source.error) return [note(`${source.title}: ${source.error} ${source.hint ?? ""}`, true)];
  const moved = source.moved_from ? [note(`${source.title} has moved: ${source.moved_from} is now ${source.url}`)] : [];
  const warnings = source.warnings.map((warning) => note(`${source.title}: ${warning}`, true));
  return [...moved, ...warnings, note(`${source.title}: ${count(source.new, "new item")}`)];
}

function drawListing(listing) {
  const box = element("listing");
  const isActive = Boolean(listing && !listing.finished);
  box.hidden = !listing;
  element("add").querySelector("[type=submit]").disabled = element("sync").disabled = isActive;
  showButton("cancel-listing", isActive);
  if (!listing) return;
  const notes = listing.sources.flatMap(listedNotes);
  if (isActive) notes.push(note(`Listing ${listing.url || "all sources"}…`));
  if (listing.error) notes.push(note(`${listing.error.message} ${listing.error.hint}`, true));
  box.replaceChildren(...notes);
}

function progressValue(snapshot) {
  const { items, progress, state } = snapshot;
  if (state === "running" && progress?.captions) return progress.captions.requested / progress.captions.items;
  if (!isOwnRun(snapshot)) return items.done / (sum(Object.values(items)) || 1);
  const finished = progress.done + progress.failed;
  if (finished === progress.items || !progress.audio_seconds) return finished / progress.items;
  return progress.transcribed_seconds / progress.audio_seconds;
}

function drawRun(snapshot) {
  const { error, items, progress, state } = snapshot;
  element("state").replaceChildren(stateText(snapshot));
  if (error) element("state").append(Object.assign(document.createElement("span"), { className: "bad", textContent: ` ${error.message} ${error.hint}` }));
  element("totals").textContent = totalsText(snapshot);
  element("progress").value = progressValue(snapshot);
  const active = isOwnRun(snapshot) && state === "running" ? progress : { transcribing: [], downloading: [] };
  element("active").replaceChildren(
    ...active.transcribing.map((each) => entry(each.fraction === null ? "transcribing" : `transcribing ${Math.round(each.fraction * 100)} %`, each.title, itemAddress(each.key))),
    ...active.downloading.map((each) => entry("downloading", each.title, itemAddress(each.key))),
    ...Object.entries(snapshot.waiting_for).map(([site, wait]) => entry("waiting", `${site}, until ${new Date(wait.until * 1000).toLocaleTimeString()}: ${wait.reason}`)),
  );
  element("recent").replaceChildren(...snapshot.recent.map((each) => entry(each.done ? "transcribed" : each.blocked ? "blocked" : "failed", each.done ? [each.title, each.note].filter(Boolean).join(": ") : `${each.title}: ${each.error} ${each.hint ?? ""}`, itemAddress(each.key))));
  showButton("run", state === "idle" && items.pending > 0, `Transcribe ${count(items.pending, "item")}`);
  showButton("resume", state === "paused");
  showButton("pause", state === "running");
  showButton("cancel", state === "paused"); // a run that goes on is paused first
}

let listed = null; // the part of the snapshot that the lists below were drawn from

function drawStorageProblem(text) {
  element("storage-problem").textContent = text ?? "";
  element("storage-problem").hidden = !text;
}

function draw(snapshot) {
  drawStorageProblem(snapshot.storage_problem);
  drawPlan(snapshot.plan);
  drawListing(snapshot.listing);
  drawRun(snapshot);
  const current = JSON.stringify([snapshot.items, snapshot.listing?.sources]);
  if (listed !== null && listed !== current) reloadLists();
  listed = current;
}

let listsTimer = 0;

/** Fetch the lists of failed items and sources again, unless the focus is inside them. */
function reloadLists() {
  clearTimeout(listsTimer);
  listsTimer = setTimeout(async () => {
    const response = await fetch("/queue/lists").catch(() => null);
    if (!response?.ok || element("lists").contains(document.activeElement)) return;
    element("lists").replaceChildren(...new DOMParser().parseFromString(await response.text(), "text/html").body.childNodes);
  }, LISTS_DELAY);
}

// --- Actions --------------------------------------------------------------------------------------

async function act(body) {
  try {
    draw(await request("POST", "/api/queue", body));
  } catch {
    // request() has shown the error.
  }
}

async function retry(button) {
  button.disabled = true;
  const snapshot = await request("POST", "/api/queue", { action: "retry", keys: [button.dataset.retry] }).catch(() => null);
  if (!snapshot) return (button.disabled = false);
  button.blur();
  showMessage(snapshot.started ? "Trying again now." : "The next run tries it again.");
  draw(snapshot);
}

element("add").addEventListener("submit", (event) => {
  event.preventDefault();
  act({ action: "add", url: event.target.elements.url.value });
});
element("sync").addEventListener("click", () => act({ action: "sync" }));
document.addEventListener("click", ({ target }) => {
  if (target.dataset?.action) act({ action: target.dataset.action });
  else if (target.dataset?.retry) retry(target);
});

draw(JSON.parse(element("snapshot").textContent));
document.body.classList.add("drawn");

// --- Events ---------------------------------------------------------------------------------------

onSnapshot(draw, () => {
  element("state").textContent = "Connection lost. Reconnecting…";
});
