// Shared by all pages: messages, requests to the API, keyboard shortcuts and menus.

const toast = document.getElementById("toast");
let hideTimer = 0;

/** Show a message for a few seconds, with a button if `action` is [label, function]. */
export function showMessage(text, action) {
  clearTimeout(hideTimer);
  toast.replaceChildren(text);
  if (action) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = action[0];
    button.onclick = () => { toast.classList.remove("shown"); action[1](); };
    toast.append(button);
  }
  toast.classList.add("shown");
  hideTimer = setTimeout(() => toast.classList.remove("shown"), action ? 10000 : 4000);
}

// --- What this page may do: access.js has read the token of this server before the page was painted ---

const root = document.documentElement;
const storedToken = () => localStorage.getItem("token");

/** The header with the token, which changes need. */
export function authorization() {
  const token = storedToken();
  return token === null ? {} : { Authorization: `Bearer ${token}` };
}

/** Whether this page may change the library. */
export const canWrite = () => root.dataset.access === "write";

/** Show a message if this page may not change the library; returns whether it may. */
export function checkWrite() {
  if (!canWrite()) showMessage(root.dataset.access === "no-token" ? "This page is read-only: it has no token of this server." : "The library is read-only.");
  return canWrite();
}

/** The style sheet hides what a read-only page cannot do; names stay, as text. */
function setAccess(access) {
  root.dataset.access = access;
  if (canWrite()) return;
  for (const button of document.querySelectorAll("button.name")) {
    button.disabled = true;
    button.removeAttribute("title");
  }
}

/** Whether the server accepts `token`; null if it does not respond. */
async function isAccepted(token) {
  const response = await fetch("/api/access", { headers: { Authorization: `Bearer ${token}` } }).catch(() => null);
  return response?.ok ? (await response.json()).write : null;
}

/** Check the token once for each start of the server, so that later pages know before they are painted. */
async function checkToken() {
  if (!canWrite() || storedToken() === null || localStorage.getItem("start") === root.dataset.start) return;
  const accepted = await isAccepted(storedToken());
  if (accepted) localStorage.setItem("start", root.dataset.start);
  else if (accepted === false) {
    localStorage.removeItem("token");
    setAccess("no-token");
  }
}

setAccess(root.dataset.access);
checkToken();

document.getElementById("unlock").addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = event.target.elements.token.value.trim();
  const inAddress = given.match(/[#?&]token=([^&]+)/);
  const token = inAddress ? decodeURIComponent(inAddress[1]) : given;
  const accepted = await isAccepted(token);
  if (!accepted) return showMessage(accepted === null ? "homescribe does not respond. Is it still running in its terminal?" : "This is not the token of this server.");
  localStorage.setItem("token", token);
  location.reload();
});

const inPath = (key) => encodeURIComponent(key).replaceAll("%3A", ":").replaceAll("%2F", "/");

/** The address of the page of an item. */
export const itemAddress = (key) => `/items/${inPath(key)}`;

/** The address of an item in the API, or of a part of it: "title", "speakers". */
export const apiAddress = (key, part = "") => `/api/items/${inPath(key)}${part && `/${part}`}`;

function headers(body) {
  return {
    ...authorization(),
    ...(body === undefined ? {} : { "Content-Type": "application/json" }),
  };
}

/** Send a request to the API and return its JSON. Shows and throws errors. */
export async function request(method, path, body) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: headers(body),
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    const message = "homescribe does not respond. Is it still running in its terminal?";
    showMessage(message);
    throw new Error(message, { cause: error });
  }
  const content = await response.json().catch(() => ({}));
  if (!response.ok) {
    if (response.status === 403 && canWrite()) setAccess("no-token"); // the server was started again
    const { message = response.statusText, hint = "" } = content.error ?? {};
    const text = hint ? `${message} ${hint}` : message;
    showMessage(text);
    throw new Error(text);
  }
  return content;
}

/** Seconds as "1:02:03" or "2:03". */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const twoDigits = (number) => String(number).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours}:${twoDigits(minutes)}:${twoDigits(rest)}` : `${minutes}:${twoDigits(rest)}`;
}

// --- Keyboard shortcuts ---------------------------------------------------------------------------

const actions = {};
const dialog = document.getElementById("keys");
const enabled = document.getElementById("keys-on");
enabled.checked = localStorage.getItem("keys") !== "off";
enabled.onchange = () => localStorage.setItem("keys", enabled.checked ? "on" : "off");

/** Run `action` when a key is pressed. It returns false to leave the key to the browser. */
export function onKey(key, action, { writes = false } = {}) {
  actions[key] = writes ? (event) => checkWrite() && action(event) : action;
}

const isTextField = (element) => element.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(element.tagName) && element.type !== "range" && element.type !== "checkbox";

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeMenus();
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (isTextField(event.target) || document.querySelector("dialog[open]") || !(event.key in actions)) return;
  if (!enabled.checked && event.key !== "?") return;
  // Space and Enter press a focused button or link.
  const presses = event.key === " " || event.key === "Enter";
  if (presses && event.target.closest("a, button, summary, label, input")) return;
  if (actions[event.key](event) !== false) event.preventDefault();
});

onKey("/", () => {
  const field = [...document.querySelectorAll("input[type=search]")].find((each) => each.offsetParent);
  field?.focus();
  field?.select();
});
onKey("?", () => dialog.showModal());

function focusHit(step) {
  const links = [...document.querySelectorAll("a.hit")].filter((link) => link.offsetParent);
  if (!links.length) return false;
  const current = links.indexOf(document.activeElement);
  const next = current < 0 ? (step > 0 ? 0 : links.length - 1) : (current + step + links.length) % links.length;
  links[next].focus();
}
onKey("n", () => focusHit(1));
onKey("p", () => focusHit(-1));

// --- Menus --------------------------------------------------------------------------------------

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (menu !== except) menu.open = false;
}
document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu")));
