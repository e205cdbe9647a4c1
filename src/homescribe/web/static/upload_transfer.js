// Uploads a file in parts with tus (https://tus.io/protocols/resumable-upload), again and again until it is
// complete: after a lost connection it continues where it stopped.

import { authorization } from "./app.js";

const PART = 16 * 2 ** 20; // bytes of one request
const LONGEST_DELAY = 30_000; // milliseconds between two attempts
const TUS = { "Tus-Resumable": "1.0.0" };

/** The server, or the disk of this machine, refuses the file: trying again does not help. */
export class Refused extends Error {}
/** Another page continues the upload. */
export class TakenOver extends Error {}

const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/** Refused, with the message of an error response. */
function refusal(status, text) {
  try {
    const { message, hint } = JSON.parse(text).error;
    return new Refused(hint ? `${message} ${hint}` : message);
  } catch {
    return new Refused(`The server refused the file (status ${status}).`);
  }
}

const isRefusal = (status) => status >= 400 && status < 500 && ![404, 408, 409, 423].includes(status) || status === 507;

async function begin({ file, name, modified, transcribe }) {
  const metadata = [`filename ${base64(name || "recording")}`, `modified ${base64(String(modified))}`];
  if (transcribe) metadata.push(`transcribe ${base64("1")}`);
  const response = await fetch("/api/uploads", {
    method: "POST",
    headers: { ...authorization(), ...TUS, "Upload-Length": file.size, "Upload-Metadata": metadata.join(",") },
  });
  if (response.status === 201) return response.headers.get("Location");
  const text = await response.text();
  throw isRefusal(response.status) ? refusal(response.status, text) : new Error(text);
}

/** What the response to the last part says about the item; null while parts are missing. */
function resultOf(header) {
  const key = header("Upload-Item");
  if (key === null) return null;
  return { key: decodeURIComponent(key), warning: decodeURIComponent(header("Upload-Warning") ?? ""), isNew: header("Upload-New") === "true", isTranscribing: header("Upload-Transcribing") === "true" };
}

/** The offset from which the upload continues, or its result; null if the server does not know it any more. */
async function stateOf(location) {
  const response = await fetch(location, { method: "HEAD", headers: { ...authorization(), ...TUS } });
  if (response.status === 404) return null;
  if (!response.ok) throw isRefusal(response.status) ? refusal(response.status, "") : new Error(response.statusText);
  return { offset: Number(response.headers.get("Upload-Offset")), result: resultOf((name) => response.headers.get(name)) };
}

/** Tell the server to delete what has arrived. Returns false if that is too late: the file is being added. */
export const giveUp = (location) => fetch(location, { method: "DELETE", headers: { ...authorization(), ...TUS } }).then((response) => response.status !== 409, () => true);

/** Whether every byte has arrived, so that the file is not needed any more. */
export const hasArrived = ({ location, size }) => location ? stateOf(location).then((state) => state?.offset === size, () => false) : false;

/** Send a part. fetch() does not say how much of a request has been sent, XMLHttpRequest does. */
function send(location, offset, part, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PATCH", location);
    const headers = { ...authorization(), ...TUS, "Upload-Offset": offset, "Content-Type": "application/offset+octet-stream" };
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onProgress(offset + event.loaded);
    request.onload = () => resolve(request);
    request.onerror = () => reject(new Error("The connection was lost."));
    request.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(part);
  });
}

/** Send parts from `offset` on. Returns the result, or null if the server has another offset. */
async function sendParts(upload, offset, onProgress, signal) {
  for (;;) {
    const part = upload.file.slice(offset, offset + PART);
    const response = await send(upload.location, offset, part, onProgress, signal);
    if (response.status === 423) throw new TakenOver();
    if (response.status === 404 || response.status === 409) return null;
    if (response.status !== 204) throw isRefusal(response.status) ? refusal(response.status, response.responseText) : new Error(response.statusText);
    const result = resultOf((name) => response.getResponseHeader(name));
    if (result) return result;
    offset = Number(response.getResponseHeader("Upload-Offset"));
    onProgress(offset);
  }
}

async function attempt(upload, { onBegun, onProgress, signal }) {
  for (;;) {
    signal.throwIfAborted();
    const state = upload.location ? await stateOf(upload.location) : null;
    if (state?.result) return state.result;
    if (!state) {
      if (upload.file.size !== upload.size) throw new Refused("Choose the file again: the server does not know it any more.");
      upload.location = await begin(upload);
      await onBegun();
    }
    onProgress(state?.offset ?? 0);
    const result = await sendParts(upload, state?.offset ?? 0, onProgress, signal);
    if (result) return result;
  }
}

/** Whether the file can still be read: it may have been moved, or its disk removed. */
const isReadable = (file) => file.slice(0, 1).arrayBuffer().then(() => true, () => false);

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const end = () => { clearTimeout(timer); removeEventListener("online", end); resolve(); };
    const timer = setTimeout(end, milliseconds);
    addEventListener("online", end);
    signal.addEventListener("abort", end, { once: true });
  });
}

/**
 * Upload `upload.file` and return {key, isNew, isTranscribing} of its item.
 * `upload.location` is where it continues; calls onBegun when that is known, and onWaiting between attempts.
 */
export async function transfer(upload, callbacks) {
  const { onWaiting, signal } = callbacks;
  for (let delay = 1000; ; delay = Math.min(delay * 2, LONGEST_DELAY)) {
    try {
      return await attempt(upload, { ...callbacks, onProgress: (bytes) => { delay = 1000; callbacks.onProgress(bytes); } });
    } catch (error) {
      if (signal.aborted || error instanceof Refused || error instanceof TakenOver) throw error;
      if (!(await isReadable(upload.file))) throw new Refused("The file cannot be read any more. Was it moved or changed?");
      onWaiting();
      await pause(delay, signal);
    }
  }
}
