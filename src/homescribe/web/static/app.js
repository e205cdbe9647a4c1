// What every page has: words to the reader, keys, writing to the server, menus that close.

const toast = document.getElementById("toast");
let fading = 0;

/** Say something for a few seconds, with an action to take if there is one: ["Undo", function]. */
export function say(text, action) {
  clearTimeout(fading);
  toast.replaceChildren(text);
  if (action) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = action[0];
    button.onclick = () => { toast.classList.remove("shown"); action[1](); };
    toast.append(button);
  }
  toast.classList.add("shown");
  fading = setTimeout(() => toast.classList.remove("shown"), action ? 10000 : 4000);
}

/** Ask the server's API; what went wrong is said and thrown. */
export async function ask(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    const message = "homescribe does not answer. Is it still running in its terminal?";
    say(message);
    throw new Error(message);
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const { message = answer.statusText, hint = "" } = content.error ?? {};
    say(hint ? `${message} ${hint}` : message);
    throw new Error(message);
  }
  return content;
}

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

// --- Keys ---------------------------------------------------------------------------------------

const actions = {};
const dialog = document.getElementById("keys");
const keysOn = document.getElementById("keys-on");
keysOn.checked = localStorage.getItem("keys") !== "off";
keysOn.onchange = () => localStorage.setItem("keys", keysOn.checked ? "on" : "off");

/** Do `action` on a key. It may return false to leave the key to the browser. */
export function onKey(key, action) {
  actions[key] = action;
}

const typing = (element) => element.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(element.tagName) && element.type !== "range" && element.type !== "checkbox";

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeMenus();
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (typing(event.target) || dialog.open || !(event.key in actions)) return;
  if (!keysOn.checked && event.key !== "?") return;
  // A button or link keeps the keys by which it is pressed.
  const pressed = event.key === " " || event.key === "Enter";
  if (pressed && event.target.closest("a, button, summary, label, input")) return;
  if (actions[event.key](event) !== false) event.preventDefault();
});

onKey("/", () => {
  const field = document.querySelector("input[type=search]");
  field?.focus();
  field?.select();
});
onKey("?", () => dialog.showModal());

const links = () => [...document.querySelectorAll("a.hit")].filter((link) => link.offsetParent);
function go(step) {
  const all = links();
  if (!all.length) return false;
  const at = all.indexOf(document.activeElement);
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : (at + step + all.length) % all.length];
  next.focus();
}
onKey("n", () => go(1));
onKey("p", () => go(-1));

// --- Menus --------------------------------------------------------------------------------------

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (menu !== except) menu.open = false;
}
document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu")));
