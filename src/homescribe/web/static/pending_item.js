// The page of an item without a transcript: starts it, shows how it goes on, and shows the transcript when it is done.

import { apiAddress, request, showMessage } from "./app.js";
import { onSnapshot } from "./live.js";

const section = document.querySelector(".no-transcript");
const { key } = section.dataset;
const progress = document.getElementById("item-progress");
const start = document.getElementById("start-item");
let asked = false; // whether the item was looked up after its run

start?.addEventListener("click", async () => {
  start.disabled = true;
  const action = section.dataset.state === "failed" ? "retry" : "enqueue";
  const snapshot = await request("POST", "/api/queue", { action, keys: [key] }).catch(() => null);
  if (!snapshot) return (start.disabled = false);
  if (!(snapshot.started ?? snapshot.queued)) showMessage("Another run uses the library. It stays pending until the next one.");
});

/** Load the page again when there is a transcript, or another error. */
async function lookUp() {
  const response = await fetch(apiAddress(key)).catch(() => null);
  const item = response?.ok ? await response.json() : null;
  if (item && (item.state === "done" || item.state !== section.dataset.state)) location.reload();
}

onSnapshot(({ progress: run, queued, recent, state }) => {
  const isActive = state === "running" || state === "stopping";
  const transcribing = isActive && run?.transcribing.find((each) => each.key === key);
  const downloading = isActive && run?.downloading.some((each) => each.key === key);
  if (recent.some((each) => each.key === key) && !transcribing && !asked) {
    asked = true;
    lookUp();
  }
  if (transcribing) {
    asked = false;
    progress.textContent = transcribing.fraction === null ? "transcribing" : `transcribing ${Math.round(100 * transcribing.fraction)} %`;
  } else if (downloading) progress.textContent = "downloading";
  else if (queued.includes(key)) progress.textContent = "next";
  else progress.textContent = isActive && run?.loading ? `loading model ${run.loading}` : "";
  if (start) start.hidden = Boolean(transcribing || downloading || queued.includes(key));
});
