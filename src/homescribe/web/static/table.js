// The table of the library: select rows, and act on one or on all that are selected.

import { count } from "./amounts.js";
import { apiAddress, authorization, request, showMessage } from "./app.js";
import { editName } from "./name_field.js";
import { confirmRemoval } from "./removal_dialog.js";

const BATCH = 2000; // keys in one request
const bulk = document.getElementById("bulk");
const menu = document.getElementById("row-menu");
const dialog = document.getElementById("removal");
let everything = false; // selected: all that the filters find, also on other pages
let last = null; // the row whose box was clicked last
let opener = null; // the button that opened the menu

const table = () => document.querySelector("table.items");
const rows = () => [...table().tBodies[0].rows];
const box = (row) => row.querySelector("input");
const picked = () => rows().filter((row) => box(row).checked);
const total = () => Number(table().dataset.total);

// --- Selection --------------------------------------------------------------------------------------

function showSelection() {
  const [all, chosen] = [rows(), picked()];
  for (const row of all) row.classList.toggle("picked", box(row).checked);
  if (chosen.length < all.length) everything = false;
  const head = document.getElementById("pick-all");
  head.checked = chosen.length === all.length;
  head.indeterminate = chosen.length > 0 && !head.checked;
  bulk.hidden = !chosen.length;
  document.body.classList.toggle("selecting", chosen.length > 0);
  bulk.querySelector("strong").textContent = `${count(everything ? total() : chosen.length, "item")} selected`;
  const more = bulk.querySelector("[data-action=all]");
  more.hidden = everything || !head.checked || total() === all.length;
  more.textContent = `Select all ${total().toLocaleString("en")}`;
  const states = new Set(chosen.map((row) => row.dataset.state));
  const offers = { retry: ["failed"], again: ["done"], ignore: ["pending", "failed"] };
  for (const [action, fit] of Object.entries(offers)) {
    bulk.querySelector(`[data-action=${action}]`).disabled = !everything && !fit.some((state) => states.has(state));
  }
}

function select(chosen, checked) {
  for (const row of chosen) box(row).checked = checked;
  showSelection();
}

document.querySelector("main").addEventListener("click", (event) => {
  const input = event.target.closest("td.pick input");
  if (!input) return;
  if (input.id === "pick-all") return select(rows(), input.checked);
  const row = input.closest("tr");
  const [all, from] = [rows(), last?.isConnected && event.shiftKey ? last : row];
  const ends = [all.indexOf(from), all.indexOf(row)].sort((a, b) => a - b);
  last = row;
  select(all.slice(ends[0], ends[1] + 1), input.checked);
});

/** The keys of all that is selected. */
async function keys() {
  if (!everything) return picked().map((row) => row.dataset.key);
  return (await request("GET", `/api/selection${location.search}`)).keys;
}

// --- Actions ----------------------------------------------------------------------------------------

/** Show what the library page has now. */
async function refresh() {
  const response = await fetch(location.href).catch(() => null);
  if (!response?.ok) return location.reload();
  const current = new DOMParser().parseFromString(await response.text(), "text/html");
  if (!current.querySelector("table.items")) return location.reload();
  for (const part of [".headline", "table.items", ".pagination"]) document.querySelector(part).replaceWith(current.querySelector(part));
  everything = false;
  showSelection();
}

/** Send an action on `chosen` in batches; returns the answers. */
async function send(action, chosen, options = {}) {
  const answers = [];
  for (let at = 0; at < chosen.length; at += BATCH) {
    answers.push(await request("POST", "/api/selection", { action, keys: chosen.slice(at, at + BATCH), ...options }));
  }
  return answers;
}

const sum = (answers, name) => answers.reduce((number, answer) => number + (Array.isArray(answer[name]) ? answer[name].length : answer[name]), 0);

const actions = {
  async ignore(chosen) {
    const answers = await send("ignore", chosen);
    const ignored = answers.flatMap((answer) => answer.ignored);
    const done = sum(answers, "transcribed");
    await refresh();
    const left = done ? ` ${count(done, "transcribed item")} left as before: remove what has a transcript.` : "";
    const undo = ["Undo", async () => {
      await send("stop-ignoring", ignored);
      await refresh();
    }];
    showMessage(`${count(ignored.length, "item")} ignored.${left}`, ignored.length ? undo : undefined);
  },
  async "stop-ignoring"(chosen) {
    const answers = await send("stop-ignoring", chosen);
    await refresh();
    showMessage(`${count(sum(answers, "pending"), "item")} no longer ignored.`);
  },
  async remove(chosen) {
    const answers = await send("preview-removal", chosen);
    const preview = {
      items: sum(answers, "items"),
      transcripts: sum(answers, "transcripts"),
      corrections: sum(answers, "corrections"),
      files: answers.flatMap((answer) => answer.files),
      bytes: sum(answers, "bytes"),
    };
    dialog.querySelector("h2").textContent = `Remove ${count(chosen.length, "item")}?`;
    confirmRemoval(dialog, preview, async (choices) => {
      const removed = await send("remove", chosen, choices).catch(() => null);
      if (!removed) return;
      await refresh();
      showMessage(`${count(sum(removed, "removed"), "item")} removed.`);
    });
  },
  async retry(chosen) {
    const { retried, started } = await request("POST", "/api/queue", { action: "retry", keys: chosen });
    await refresh();
    showMessage(`${count(retried, "item")} ${started ? "tried again now." : "pending again."}`, ["Show the queue", () => location.assign("/queue")]);
  },
  async again(chosen) {
    await request("POST", "/api/queue", { action: "again", keys: chosen });
    showMessage("Transcribing again.", ["Show the queue", () => location.assign("/queue")]);
  },
  async run(chosen) {
    await request("POST", "/api/queue", { action: "enqueue", keys: chosen });
    showMessage("Transcribing.", ["Show the queue", () => location.assign("/queue")]);
  },
};

async function exportAll(format) {
  if (everything) return location.assign(`/export/${format}${format.startsWith("combined.") ? "" : ".zip"}${location.search}`);
  const response = await fetch(`/api/selection/export/${format}`, {
    method: "POST",
    headers: { ...authorization(), "Content-Type": "application/json" },
    body: JSON.stringify({ keys: await keys() }),
  }).catch(() => null);
  if (!response?.ok) return showMessage("The export failed. Is homescribe still running in its terminal?");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = decodeURIComponent(response.headers.get("Content-Disposition").split("''")[1]);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

bulk.addEventListener("click", async (event) => {
  const { action, format } = event.target.closest("button")?.dataset ?? {};
  if (format) {
    bulk.querySelector("details").open = false;
    return exportAll(format);
  }
  if (action === "none") return select(rows(), false);
  if (action === "all") {
    everything = true;
    return showSelection();
  }
  if (action) actions[action](await keys()).catch(() => {}); // request() has shown the error
});

// --- The menu of a row ------------------------------------------------------------------------------

function rename(row) {
  const link = row.querySelector(".name a");
  const store = async (title) => {
    const renamed = await request("PUT", apiAddress(row.dataset.key, "title"), { title }).catch(() => null);
    if (!renamed) return false;
    await refresh();
    showMessage(`Renamed: ${renamed.title}`, ["Undo", () => {
      request("PUT", apiAddress(row.dataset.key, "title"), { title: renamed.before }).then(refresh, () => {});
    }]);
  };
  const hint = row.dataset.listed ? " An empty title is that of the source." : "";
  editName(link, link.textContent, `Title. Enter saves, Escape cancels.${hint}`, store, { suggests: false });
}

function openMenu(button) {
  opener = button;
  const { state } = button.closest("tr").dataset;
  for (const entry of menu.children) entry.hidden = !(entry.dataset.states ?? state).split(" ").includes(state);
  menu.hidden = false;
  const at = button.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(at.left, document.documentElement.clientWidth - menu.offsetWidth - 8)) + scrollX}px`;
  const below = at.bottom + menu.offsetHeight + 8 < innerHeight;
  menu.style.top = `${(below ? at.bottom + 2 : at.top - menu.offsetHeight - 2) + scrollY}px`;
  menu.querySelector("button:not([hidden])").focus();
}

function closeMenu() {
  if (menu.hidden) return;
  menu.hidden = true;
  opener?.focus();
}

document.querySelector("main").addEventListener("click", (event) => {
  const button = event.target.closest("td.act button");
  if (button) openMenu(button);
});
document.addEventListener("pointerdown", (event) => {
  if (!menu.contains(event.target)) menu.hidden = true;
});
menu.addEventListener("keydown", (event) => {
  const entries = [...menu.querySelectorAll("button:not([hidden])")];
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) entries[(entries.indexOf(document.activeElement) + step + entries.length) % entries.length].focus();
  if (event.key === "Escape" || event.key === "Tab") closeMenu();
  if (step || event.key === "Escape") event.preventDefault();
});
menu.addEventListener("click", (event) => {
  const { action } = event.target.closest("button")?.dataset ?? {};
  if (!action) return;
  const row = opener.closest("tr");
  closeMenu();
  if (action === "rename") return rename(row);
  actions[action]([row.dataset.key]).catch(() => {});
});
addEventListener("pageshow", showSelection); // a browser that goes back restores the boxes
