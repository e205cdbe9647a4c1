// Adding recordings on any page: files that are dropped or chosen, addresses, and the settings of the next run.

import { canWrite, checkWrite, request, showMessage } from "./app.js";
import { addFiles, pickFiles } from "./uploads.js";

const dialog = document.getElementById("add-dialog");
const picker = document.getElementById("upload-files");
const hint = document.getElementById("drop-hint");
const MEDIA = /\.(3gp|aac|ac3|aif|aiff|amr|ape|au|avi|caf|flac|flv|m2ts|m4a|m4b|m4v|mka|mkv|mov|mp2|mp3|mp4|mpeg|mpg|mts|oga|ogg|ogv|opus|ra|spx|ts|vob|wav|weba|webm|wma|wmv|wv)$/i;

// --- Uploads at once ------------------------------------------------------------------------------

/** Whether an upload is transcribed as soon as it is complete. By default, unless that costs money. */
async function transcribesAtOnce() {
  const chosen = localStorage.getItem("transcribe-at-once");
  if (chosen !== null) return chosen === "yes";
  const response = await fetch("/api/settings").catch(() => null);
  return response?.ok ? (await response.json()).backend === "local" : true;
}

async function upload(files) {
  if (!files.length) return showMessage("There is no audio or video among these files.");
  if (dialog.open) dialog.close();
  await addFiles(files, await transcribesAtOnce());
}

// --- The dialog -----------------------------------------------------------------------------------

/** What the fields of the settings say; "" and false are the default. */
function chosenSettings(form) {
  const { model, language, speakers, captions, initial_prompt, task, word_timestamps, keep_audio } = form.elements;
  return {
    model: model.selectedIndex >= 0 ? model.value : null,
    language: language.value || null,
    speakers: speakers.value || null,
    captions: captions.value,
    initial_prompt: initial_prompt.value.trim() || null,
    task: task.checked ? "translate" : null,
    word_timestamps: word_timestamps.checked || null,
    keep_audio: keep_audio.checked ? keep_audio.value : null,
  };
}

async function saveSettings(form, before) {
  const chosen = chosenSettings(form);
  const changed = Object.fromEntries(Object.entries(chosen).filter(([name, value]) => value !== before[name]));
  if (!Object.keys(changed).length) return before;
  const saved = dialog.querySelector("[data-saved]");
  const state = await request("PUT", "/api/settings", changed).catch((error) => error);
  saved.classList.toggle("bad", state instanceof Error);
  saved.textContent = state instanceof Error ? state.message : "Saved for the next run.";
  return state instanceof Error ? before : chosen;
}

async function saveGlossary({ value }) {
  const saved = await request("PUT", "/api/glossary", { text: value }).catch((error) => error);
  const failed = saved instanceof Error;
  const note = dialog.querySelector("[data-glossary-note]");
  note.classList.toggle("bad", failed);
  note.textContent = failed ? saved.message : saved.note ?? "Saved for the next run.";
}

function connectDialog() {
  const form = dialog.querySelector("[data-run-settings]");
  const { at_once: atOnce, glossary } = form.elements;
  const chosen = localStorage.getItem("transcribe-at-once");
  atOnce.checked = chosen === null ? !atOnce.dataset.rented : chosen === "yes";
  let before = chosenSettings(form);
  form.addEventListener("change", async ({ target }) => {
    if (target === atOnce) localStorage.setItem("transcribe-at-once", atOnce.checked ? "yes" : "no");
    else if (target === glossary) await saveGlossary(glossary);
    else before = await saveSettings(form, before);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  dialog.querySelector("[data-pick]").addEventListener("click", pickFiles);
  dialog.querySelector("[data-add-address]").addEventListener("submit", async (event) => {
    event.preventDefault();
    const { value } = event.target.elements.url;
    const added = await request("POST", "/api/queue", { action: "add", url: value }).catch(() => null);
    if (added) location.assign("/queue"); // where the listing and what it costs appear
  });
}

async function openDialog() {
  const response = await fetch("/add").catch(() => null);
  if (!response?.ok) return showMessage("homescribe does not respond. Is it still running in its terminal?");
  dialog.replaceChildren(...new DOMParser().parseFromString(await response.text(), "text/html").body.childNodes);
  connectDialog();
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-open-add]") || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  openDialog();
});
picker.addEventListener("change", () => {
  upload([...picker.files]);
  picker.value = "";
});

// --- Dropping -------------------------------------------------------------------------------------

const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
const isMedia = (file) => /^(audio|video)\//.test(file.type) || MEDIA.test(file.name);

/** The files in a folder that was dropped, and in the folders below. */
async function filesBelow(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const found = [];
  for (;;) { // a reader returns its entries in portions
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return found;
    for (const each of entries) found.push(...(await filesBelow(each)));
  }
}

async function droppedFiles({ dataTransfer }) {
  const single = [...dataTransfer.files];
  const entries = [...dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return single;
  const found = (await Promise.all(entries.map(filesBelow))).flat();
  return found.filter(isMedia);
}

let depth = 0; // of the elements that the pointer has entered
addEventListener("dragenter", (event) => {
  if (!hasFiles(event) || !canWrite()) return;
  depth += 1;
  hint.hidden = false;
});
addEventListener("dragleave", (event) => {
  if (hasFiles(event) && (depth -= 1) <= 0) hint.hidden = true;
});
addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault(); // also on a read-only page: the browser would open the file in place of it
  event.dataTransfer.dropEffect = canWrite() ? "copy" : "none";
});
addEventListener("drop", async (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  [depth, hint.hidden] = [0, true];
  if (checkWrite()) upload(await droppedFiles(event));
});
