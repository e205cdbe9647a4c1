// A name that is edited in place: a field takes the place of the button with the name.

import { request } from "./app.js";

/** The names of known voices, which the field suggests. Loaded when the first name is edited. */
async function suggestNames(field) {
  let list = document.getElementById("known-names");
  if (!list) {
    list = Object.assign(document.createElement("datalist"), { id: "known-names" });
    document.body.append(list);
    const { voices } = await request("GET", "/api/voices");
    list.append(...voices.map((voice) => Object.assign(document.createElement("option"), { value: voice.name })));
  }
  field.setAttribute("list", list.id);
}

/**
 * Edit `name` in place of `button`. Enter and leaving the field save a changed name with `save`, which returns false
 * where it failed; Escape cancels. The field suggests the names of voices, unless told not to by `suggests`.
 */
export function editName(button, name, label, save, { suggests = true } = {}) {
  const field = Object.assign(document.createElement("input"), { type: "text", className: "name-field", value: name, autocomplete: "off", spellcheck: false, maxLength: suggests ? 200 : 500 });
  field.setAttribute("aria-label", label);
  let ended = false;
  const end = async (saves, refocus) => {
    if (ended) return;
    ended = true;
    const given = field.value.trim();
    field.replaceWith(button);
    if (refocus) button.focus();
    if (saves && given !== name && (given || refocus)) await save(given);
  };
  field.onkeydown = (event) => {
    if (event.isComposing) return;
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    end(event.key === "Enter", true);
  };
  field.onblur = () => end(true, false);
  button.replaceWith(field);
  field.focus();
  field.select();
  if (suggests) suggestNames(field).catch(() => {}); // request() has shown the error
}

/** Undo a naming, by its id; returns whether it is undone. request() shows an error if another one was made since. */
export async function undoNaming(naming) {
  return (await request("POST", `/api/speakers/undo?naming=${naming}`).catch(() => null)) !== null;
}
