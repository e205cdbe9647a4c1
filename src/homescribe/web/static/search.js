// Results while typing. The address holds the whole state, so that it can be kept, sent and gone back to.

const form = document.getElementById("search");
const box = document.getElementById("q");
const results = document.getElementById("results");
const PAUSE = 90; // milliseconds without a key before the server is asked

let waiting = 0;
let asked = null; // the request under way
let shown = location.search; // what is on the page now

function state() {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value.trim()) query.set(name, value.trim());
  const text = query.toString();
  return text ? `?${text}` : "";
}

async function show(search) {
  asked?.abort();
  asked = new AbortController();
  const mine = asked;
  const query = new URLSearchParams(search);
  const overview = document.getElementById("overview");
  if (!query.get("q")) {
    results.replaceChildren();
    if (overview) overview.hidden = false;
    else if (search !== shown) location.reload(); // came here by a search: the overview was never sent
    shown = search;
    return;
  }
  try {
    const answer = await fetch(`/results${search}`, { signal: mine.signal });
    const text = answer.ok ? await answer.text() : null;
    if (mine.signal.aborted) return;
    if (text === null) return results.replaceChildren(Object.assign(document.createElement("p"), { className: "nothing", textContent: "The search failed. Check the dates, then try again." }));
    const parsed = new DOMParser().parseFromString(text, "text/html");
    results.replaceChildren(...parsed.body.childNodes);
  } catch (error) {
    if (error.name === "AbortError") return;
    results.replaceChildren(Object.assign(document.createElement("p"), { className: "nothing", textContent: "homescribe does not answer. Is it still running in its terminal?" }));
  }
  if (overview) overview.hidden = true;
  // Told in a sentence: reading all results aloud while somebody types would help nobody.
  const places = results.querySelectorAll(".hit").length;
  const more = results.querySelector(".more") ? "or more " : "";
  document.getElementById("found").textContent = `${places} ${more}places in ${results.querySelectorAll(".group").length} recordings`;
  shown = search;
  document.title = `${query.get("q")} · homescribe`;
}

/** One entry in the history for each search, not for each letter. */
function change() {
  const search = state();
  if (search === location.search) return;
  const begins = !new URLSearchParams(location.search).get("q");
  history[begins ? "pushState" : "replaceState"](null, "", `/${search}`);
  show(search);
}

box.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(change, PAUSE);
});
form.addEventListener("change", (event) => {
  if (event.target !== box) change();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(waiting);
  change();
});
addEventListener("popstate", () => {
  const query = new URLSearchParams(location.search);
  for (const field of form.elements) if (field.name) field.value = query.get(field.name) ?? "";
  show(location.search);
});
results.addEventListener("click", (event) => {
  const button = event.target.closest(".unfold");
  if (!button) return;
  const group = button.closest(".group");
  group.classList.add("open");
  group.querySelector(".beyond .hit").focus();
  button.remove();
});
