// Uploads of this browser: one after the other, shown in a corner of every page, continued after a reload.

import { count } from "./amounts.js";
import { canWrite, itemAddress } from "./app.js";
import { onSnapshot } from "./live.js";
import { forgetUpload, storeUpload, storedUploads } from "./upload_store.js";
import { giveUp, hasArrived, Refused, TakenOver, transfer } from "./upload_transfer.js";

const tray = document.getElementById("uploads");
const list = tray.querySelector("ul");
const uploads = []; // in order; each with `state`: waiting, uploading, retrying, lost, taken, failed, done
let isWorking = false;

const percent = (upload) => Math.floor((100 * (upload.sent ?? 0)) / Math.max(1, upload.size));
const TEXTS = {
  waiting: () => "waiting",
  uploading: (upload) => upload.sent === upload.size ? "uploaded, being added…" : `${percent(upload)} % uploaded`,
  retrying: (upload) => `${percent(upload)} %, no connection, trying again…`,
  lost: () => "Choose the file again to continue.",
  taken: () => "continues in another window",
  failed: (upload) => upload.error,
  done: (upload) => [upload.progress ?? (upload.isNew ? "added" : "is in the library already"), upload.warning].filter(Boolean).join(". "),
};

// --- Drawing --------------------------------------------------------------------------------------

function button(label, name, action) {
  const element = Object.assign(document.createElement("button"), { type: "button", className: "link", textContent: label, onclick: action });
  element.setAttribute("aria-label", `${label}: ${name}`);
  return element;
}

function row(upload) {
  const line = document.createElement("li");
  line.dataset.state = upload.state;
  const name = Object.assign(document.createElement(upload.key ? "a" : "bdi"), { className: "name", textContent: upload.name });
  if (upload.key) name.href = itemAddress(upload.key);
  const text = Object.assign(document.createElement("span"), { className: upload.state === "failed" ? "soft bad" : "soft", textContent: TEXTS[upload.state](upload) });
  line.append(name, text);
  if (upload.state === "lost") line.append(button("Choose", upload.name, pickFiles));
  if (["failed", "done"].includes(upload.state)) line.append(button("Hide", upload.name, () => drop(upload)));
  else if (upload.state !== "uploading" || upload.sent !== upload.size) line.append(button("Cancel", upload.name, () => cancel(upload)));
  if (["uploading", "retrying"].includes(upload.state)) {
    const bar = Object.assign(document.createElement("progress"), { max: upload.size, value: upload.sent ?? 0 });
    bar.setAttribute("aria-label", `Upload of ${upload.name}`);
    line.append(bar);
  }
  return line;
}

function draw() {
  tray.hidden = !uploads.length;
  const left = uploads.filter((upload) => ["waiting", "uploading", "retrying"].includes(upload.state)).length;
  tray.querySelector("h2").textContent = left ? `Uploading ${count(left, "file")}` : "Uploads";
  const focused = [...list.querySelectorAll("button")].indexOf(document.activeElement);
  list.replaceChildren(...uploads.map(row));
  if (focused >= 0) list.querySelectorAll("button")[focused]?.focus();
}

function drop(upload) {
  uploads.splice(uploads.indexOf(upload), 1);
  forgetUpload(upload.id);
  draw();
}

// --- Uploading ------------------------------------------------------------------------------------

async function cancel(upload) {
  upload.stop?.abort(new Error("cancelled"));
  drop(upload);
  if (!upload.location || await giveUp(upload.location)) return;
  Object.assign(upload, { state: "waiting", sent: upload.size }); // too late: it is shown what becomes of it
  uploads.push(upload);
  await work();
}

async function uploadOne(upload) {
  upload.stop = new AbortController();
  upload.state = "uploading";
  draw();
  try {
    const result = await transfer(upload, {
      signal: upload.stop.signal,
      onBegun: () => storeUpload(upload),
      onProgress: (bytes) => { Object.assign(upload, { state: "uploading", sent: bytes }); draw(); },
      onWaiting: () => { upload.state = "retrying"; draw(); },
    });
    Object.assign(upload, result, { state: "done" });
    await forgetUpload(upload.id);
  } catch (error) {
    if (upload.stop.signal.aborted) return;
    upload.state = error instanceof TakenOver ? "taken" : "failed";
    upload.error = error instanceof Refused ? error.message : String(error);
    if (upload.state === "failed") await forgetUpload(upload.id);
  }
  draw();
}

/** Take up what other pages of this browser have left. */
async function takeUp() {
  for (const stored of await storedUploads()) {
    if (uploads.some((upload) => upload.id === stored.id)) continue;
    const file = stored.file ?? (await hasArrived(stored) ? new Blob() : null);
    uploads.push({ ...stored, file, isStored: Boolean(file), state: file ? "waiting" : "lost" });
  }
  draw();
}

async function uploadAll() {
  await takeUp();
  for (;;) {
    const next = uploads.find((upload) => upload.state === "waiting");
    if (!next) return;
    await uploadOne(next);
  }
}

/** Upload what waits. Of several pages of this browser, one uploads; the next one continues when it is closed. */
async function work() {
  if (isWorking) return;
  isWorking = true;
  try {
    // Pages that are opened by a name in the local network have no locks; the server lets the latest one upload.
    await (navigator.locks ? navigator.locks.request("homescribe-uploads", uploadAll) : uploadAll());
  } finally {
    isWorking = false;
  }
  if (uploads.some((upload) => upload.state === "waiting")) return work();
  openOnlyUpload();
}

let added = 0; // files that were added on this page

/** After a single file was added, its page shows how the transcription goes on, unless the reader does something else. */
function openOnlyUpload() {
  const [only] = uploads;
  const isBusy = document.querySelector("dialog[open]") || document.activeElement?.matches("input, textarea, select, [contenteditable]") && document.activeElement.value || [...document.querySelectorAll("audio, video")].some((media) => !media.paused);
  if (added === 1 && uploads.length === 1 && only.state === "done" && !only.warning && !isBusy) location.assign(itemAddress(only.key));
}

/** Upload files. One that continues an unfinished upload is known by its name, size and date. */
export async function addFiles(files, transcribe) {
  for (const file of files) {
    const same = uploads.find((each) => each.name === file.name && each.size === file.size && each.modified === file.lastModified && each.state !== "failed");
    if (same && same.state !== "lost") continue;
    const upload = same ?? { id: `${Date.now()}-${Math.random()}`, name: file.name, size: file.size, modified: file.lastModified, transcribe, location: null };
    Object.assign(upload, { file, state: file.size ? "waiting" : "failed", error: "The file is empty." });
    added += 1;
    if (!same) uploads.push(upload);
    draw();
    if (file.size) await storeUpload(upload);
  }
  await work();
}

/** Let the reader choose files. */
export function pickFiles() {
  document.getElementById("upload-files").click();
}

addEventListener("beforeunload", (event) => {
  if (uploads.some((upload) => ["uploading", "retrying", "waiting"].includes(upload.state) && !upload.isStored)) event.preventDefault();
});

onSnapshot((snapshot) => {
  let changed = false;
  for (const upload of uploads.filter((each) => each.state === "done")) {
    const active = snapshot.progress?.transcribing.find((each) => each.key === upload.key);
    const ended = snapshot.recent.find((each) => each.key === upload.key);
    const text = active ? `transcribing ${Math.round(100 * (active.fraction ?? 0))} %` : ended ? (ended.done ? "transcribed" : ended.error) : snapshot.queued.includes(upload.key) ? "transcribed next" : upload.progress;
    if (text !== upload.progress) [upload.progress, changed] = [text, true];
  }
  if (changed) draw();
});

if (canWrite()) storedUploads().then((stored) => stored.length && work());
