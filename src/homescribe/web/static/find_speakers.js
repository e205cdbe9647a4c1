// Find who speaks in a recording that is transcribed: the text stays, and the page shows the speakers when it is done.

import { request, showMessage } from "./app.js";
import { onSnapshot } from "./live.js";

const form = document.getElementById("find-speakers");
const status = document.getElementById("finding");
const bar = document.getElementById("finding-progress");
let searching = false; // whether this page has started it, or has seen it under way

function draw(text, fraction) {
  status.textContent = text;
  bar.hidden = fraction === undefined;
  // A bar without a value shows that something is done.
  if (fraction === undefined || fraction === null) bar.removeAttribute("value");
  else bar.value = fraction;
  for (const field of form.querySelectorAll("select, button")) field.disabled = Boolean(text);
}

/** Show how the search for this recording goes on, and its result. */
function follow({ finding_speakers: keys, progress: run, recent, state, error }) {
  const { key } = form.dataset;
  const active = keys.includes(key) && (state === "running" || state === "stopping");
  if (active) {
    searching = true;
    form.hidden = false;
    const item = run?.transcribing.find((each) => each.key === key);
    if (item) draw(item.fraction ? `Finding speakers, ${Math.round(100 * item.fraction)} %` : "Finding speakers", item.fraction);
    else draw(run?.downloading.length ? "Downloading the recording" : "Loading", null);
    return;
  }
  if (!searching) return;
  searching = false;
  draw("");
  const result = keys.includes(key) ? recent.find((each) => each.key === key) : null;
  if (result?.done) return location.reload();
  const failed = result ? { message: result.error, hint: result.hint } : error;
  if (failed) showMessage([failed.message, failed.hint].filter(Boolean).join(" "));
}

if (form) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const speakers = form.elements.speakers.value;
    const snapshot = await request("POST", "/api/queue", { action: "speakers", key: form.dataset.key, speakers }).catch(() => null);
    if (!snapshot) return;
    searching = true;
    follow(snapshot);
  });
  document.getElementById("find-again")?.addEventListener("click", (event) => {
    event.target.closest("details").open = false;
    form.hidden = false;
    form.elements.speakers.focus();
  });
  onSnapshot(follow);
}
