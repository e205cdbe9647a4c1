// The dialog "Transcribe again" on the page of an item: model, language, and what would differ.

import { count, span } from "./amounts.js";
import { request, showMessage } from "./app.js";

const dialog = document.getElementById("again");
const form = dialog.querySelector("form");
const changes = document.getElementById("again-changes");
let asked = 0; // number of the latest request: answers to earlier ones are ignored

const paragraph = (text, className = "note") => Object.assign(document.createElement("p"), { className, textContent: text });
const choice = () => ({ key: form.dataset.key, model: form.elements.model.value, language: form.elements.language.value });

function listOf(texts) {
  const list = document.createElement("ul");
  list.append(...texts.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  return list;
}

function priceText({ backend, dollars, seconds }) {
  if (!dollars) return backend === "local" ? "On this machine, free." : `With ${backend}.`;
  return `With ${backend}: about $${dollars.toFixed(2)}${seconds ? ` and ${span(seconds)}` : ""}.`;
}

function draw(preview) {
  const differ = preview.differences.length ? [paragraph("What differs:"), listOf(preview.differences)] : [paragraph("Nothing differs: the same model and options.")];
  const corrections = preview.corrections ? [paragraph(`${count(preview.corrections, "correction")}: kept wherever the new text is the same.`)] : [];
  changes.replaceChildren(paragraph(`Made with ${preview.made_with}.`), ...differ, ...corrections, paragraph(`${priceText(preview.plan)} This transcript stays until the new one is stored.`));
}

/** Show what the choice would change, or why it is not possible. */
async function update() {
  const number = ++asked;
  const start = form.querySelector("[value=start]");
  const response = await fetch(`/api/again?${new URLSearchParams(choice())}`).catch(() => null);
  const content = await response?.json().catch(() => null);
  if (number !== asked) return;
  start.disabled = !response?.ok;
  if (response?.ok) draw(content);
  else changes.replaceChildren(paragraph(content ? `${content.error.message} ${content.error.hint}` : "homescribe does not respond.", "note bad"));
}

document.getElementById("transcribe-again").addEventListener("click", () => {
  dialog.showModal();
  update();
});
form.addEventListener("change", update);
dialog.addEventListener("close", async () => {
  if (dialog.returnValue !== "start") return;
  dialog.returnValue = "";
  const started = await request("POST", "/api/queue", { action: "again", ...choice() }).catch(() => null);
  if (started) showMessage("Transcribing again.", ["Show the queue", () => location.assign("/queue")]);
});
