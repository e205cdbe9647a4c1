// A run in progress, on every page: beside "Queue" and in the title of the tab.

import { onSnapshot } from "./live.js";

const link = document.getElementById("queue-link");
const badge = document.getElementById("run-badge");
let title = document.title;
let written = title; // the title that this file has set last; another one is of a search on this page

/** "Transcribing 42 %", and what the badge shows of it; null if nothing runs. */
function status({ state, progress }) {
  if (state === "paused") return ["Paused", "paused"];
  if (!["running", "stopping", "elsewhere"].includes(state)) return null;
  if (state === "elsewhere" || !progress?.items) return ["Transcribing", "…"];
  const finished = (progress.done + progress.failed) / progress.items;
  const fraction = progress.audio_seconds ? Math.max(finished, progress.transcribed_seconds / progress.audio_seconds) : finished;
  const percent = `${Math.min(99, Math.floor(100 * fraction))} %`;
  return [`Transcribing ${percent}`, percent];
}

onSnapshot((snapshot) => {
  const current = status(snapshot);
  badge.hidden = !current;
  badge.textContent = current?.[1] ?? "";
  if (current) link.setAttribute("aria-label", `Queue: ${current[0]}`);
  else link.removeAttribute("aria-label");
  const [text] = current ?? [""];
  if (document.title !== written) title = document.title;
  written = text ? `${text} · ${title}` : title;
  document.title = written;
});
