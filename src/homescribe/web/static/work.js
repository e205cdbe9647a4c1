// The work as it goes on. Every event is the whole state, so a reload or a lost connection costs nothing.

import { ask, clock, say } from "./app.js";

const at = (id) => document.getElementById(id);
const span = (seconds) => seconds >= 3600 ? `${(seconds / 3600).toFixed(1)} h` : seconds >= 60 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds)} s`;
const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

function entry(first, words, href) {
  const line = document.createElement("li");
  const label = document.createElement("span");
  label.textContent = first;
  const text = document.createElement(href ? "a" : "bdi");
  text.textContent = words;
  if (href) text.href = href;
  line.append(label, text);
  return line;
}
const item = (key) => `/items/${encodeURIComponent(key).replaceAll("%3A", ":").replaceAll("%2F", "/")}`;

const STATES = {
  idle: "Nothing is being done.",
  running: "Transcribing.",
  stopping: "Stopping. What was finished is kept.",
  paused: "Paused. What was being transcribed begins anew, nothing else is lost.",
};

function state(now) {
  if (now.state === "elsewhere") return `A run in another window is at work (process ${now.process || "unknown"}). This page follows it.`;
  if (now.state === "running" && now.progress?.loading) return `Loading the model ${now.progress.loading}…`;
  if (now.state === "idle" && now.progress && !now.error) return now.progress.items ? "The run has ended." : "There was nothing to transcribe.";
  return STATES[now.state] ?? now.state;
}

function figures(now) {
  const { progress } = now;
  if (progress && progress.items && now.state !== "elsewhere") {
    const parts = [`${(progress.done + progress.failed).toLocaleString("en")} of ${count(progress.items, "item")}`];
    if (progress.audio_seconds) parts.push(`${span(progress.heard_seconds)} of ${span(progress.audio_seconds)}`);
    if (progress.failed) parts.push(`${progress.failed} failed`);
    if (progress.speed && now.state === "running") parts.push(`${progress.speed.toFixed(1)}× realtime`);
    if (progress.seconds_left && now.state === "running") parts.push(`${clock(progress.seconds_left)} left`);
    return parts.join(" · ");
  }
  const all = Object.values(now.items).reduce((sum, number) => sum + number, 0);
  return `${now.items.done.toLocaleString("en")} of ${count(all, "item")} transcribed · ${span(now.audio_seconds_done)} of ${span(now.audio_seconds)}`;
}

function plan(now) {
  const { plan } = now;
  at("plan").hidden = !plan;
  if (!plan) return;
  at("plan-title").textContent = plan.titles.join(", ");
  const facts = [
    ["New items", plan.items.toLocaleString("en")],
    ["Audio", plan.audio_seconds ? span(plan.audio_seconds) : "unknown"],
    ["Time", plan.seconds === null ? "unknown" : `about ${span(plan.seconds)}`],
    ["Price", plan.dollars === null ? "unknown" : plan.dollars ? `$${plan.dollars.toFixed(2)}` : "nothing"],
  ];
  document.querySelector("#plan dl").replaceChildren(...facts.map(([name, value]) => {
    const pair = document.createElement("div");
    for (const [tag, text] of [["dt", name], ["dd", value]]) pair.append(Object.assign(document.createElement(tag), { textContent: text }));
    return pair;
  }));
  const notes = [];
  if (plan.download_seconds) notes.push(`Downloads are spread over at least ${span(plan.download_seconds)}, to be polite.`);
  if (plan.prices) notes.push(`Prices: ${plan.prices}. --max-cost keeps a run below what you allow.`);
  if (plan.backend !== "local") notes.push(plan.pace ? `One machine there is taken to work at ${plan.pace.toFixed(0)}× realtime.` : "");
  else if (plan.pace) notes.push(`The latest transcripts here took 1 hour for ${plan.pace.toFixed(1)} hours of audio.`);
  else notes.push("How fast this machine is will be known after the first transcript.");
  if (plan.unknown_lengths && plan.unknown_lengths < plan.items) notes.push(`The length of ${count(plan.unknown_lengths, "item")} is not known yet.`);
  at("plan-note").textContent = notes.join(" ");
}

const line = (text, bad) => Object.assign(document.createElement("p"), { className: bad ? "note bad" : "note", textContent: text });

function listing({ listing }) {
  const box = at("listing");
  box.hidden = !listing;
  const busy = Boolean(listing && !listing.over);
  at("add").querySelector("[type=submit]").disabled = at("sync").disabled = busy;
  show("cancel-listing", busy);
  if (!listing) return;
  const lines = listing.listed.map((each) => line(each.error ? `${each.title}: ${each.error}` : `${each.title}: ${count(each.new, "new item")}`, each.error));
  if (busy) lines.push(line(`Reading ${listing.url || "every source"}…`));
  if (listing.error) lines.push(line(`${listing.error.message} ${listing.error.hint}`, true));
  box.replaceChildren(...lines);
}

function show(button, on, text) {
  const found = typeof button === "string" ? document.querySelector(`[data-do=${button}]`) : button;
  found.hidden = !on;
  if (text) found.textContent = text;
}

let lists = null; // what the lists below were made from

function draw(now) {
  plan(now);
  listing(now);
  at("state").replaceChildren(state(now));
  if (now.error) at("state").append(Object.assign(document.createElement("span"), { className: "bad", textContent: ` ${now.error.message} ${now.error.hint}` }));
  at("figures").textContent = figures(now);
  const { progress } = now;
  const bar = at("progress");
  const own = progress && progress.items && now.state !== "elsewhere";
  const all = Object.values(now.items).reduce((sum, number) => sum + number, 0);
  const ended = own && progress.done + progress.failed === progress.items;
  bar.value = ended ? 1 : own ? (progress.audio_seconds ? progress.heard_seconds / progress.audio_seconds : (progress.done + progress.failed) / progress.items) : now.items.done / (all || 1);
  const busy = own && now.state === "running";
  at("doing").replaceChildren(
    ...(busy ? progress.transcribing.map((each) => entry(each.share === null ? "hearing" : `hearing ${Math.round(each.share * 100)} %`, each.title, item(each.key))) : []),
    ...(busy ? progress.downloading.map((each) => entry("fetching", each.title, item(each.key))) : []),
    ...Object.entries(now.waiting_for).map(([site, wait]) => entry("waiting", `${site}, until ${new Date(wait.until * 1000).toLocaleTimeString()}: ${wait.reason}`)),
  );
  at("recent").replaceChildren(...now.recent.map((each) => entry(each.done ? "done" : each.blocked ? "blocked" : "failed", each.done ? each.title : `${each.title}: ${each.error} ${each.hint ?? ""}`, item(each.key))));
  show("run", ["idle", "paused"].includes(now.state) && now.items.pending > 0, `Transcribe ${count(now.items.pending, "item")}`);
  at("run").classList.toggle("quiet", now.state === "paused");
  show("resume", now.state === "paused");
  show("pause", now.state === "running");
  show("cancel", ["running", "paused"].includes(now.state));

  const kept = JSON.stringify([now.items, now.listing?.listed]);
  if (lists !== null && lists !== kept) renew();
  lists = kept;
}

let renewing = 0;
function renew() {
  clearTimeout(renewing);
  renewing = setTimeout(async () => {
    const answer = await fetch("/work/lists").catch(() => null);
    if (!answer?.ok || at("lists").contains(document.activeElement)) return;
    at("lists").replaceChildren(...new DOMParser().parseFromString(await answer.text(), "text/html").body.childNodes);
  }, 300);
}

async function act(what) {
  try {
    draw(await ask("POST", "/api/work", what));
  } catch {
    // It was said why.
  }
}

at("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = event.target.elements.url;
  await act({ do: "add", url: field.value });
});
at("sync").addEventListener("click", () => act({ do: "sync" }));
document.addEventListener("click", async (event) => {
  const what = event.target.dataset?.do;
  if (what) return act({ do: what });
  const key = event.target.dataset?.retry;
  if (!key) return;
  event.target.disabled = true;
  const answer = await ask("POST", "/api/work", { do: "retry", keys: [key] }).catch(() => null);
  if (!answer) return (event.target.disabled = false);
  event.target.blur();
  say(answer.began ? "Trying again now." : "It is tried again by the next run.");
  draw(answer);
});

draw(JSON.parse(at("snapshot").textContent));
document.body.classList.add("drawn");

let events = null;

function listen() {
  events?.close();
  events = new EventSource("/api/work/events");
  events.addEventListener("work", (event) => draw(JSON.parse(event.data)));
  events.addEventListener("error", () => {
    at("state").textContent = "The connection is lost. Trying again…";
    // A browser gives up on some errors; we do not.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  });
}

// A browser keeps few connections to one server: a page that nobody sees holds none of them.
document.addEventListener("visibilitychange", () => (document.hidden ? events.close() : listen()));
listen();
