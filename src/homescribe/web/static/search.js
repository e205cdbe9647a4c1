// Search while typing. The address holds the whole search, so that it can be bookmarked, shared and revisited.

const form = document.getElementById("search");
const input = document.getElementById("q");
const results = document.getElementById("results");
const TYPING_PAUSE = 90; // milliseconds without a key before a request is sent

let typingTimer = 0;
let pending = null; // AbortController of the current request
let shown = location.search; // query string of the results on the page

function formQuery() {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value.trim()) query.set(name, value.trim());
  const text = query.toString();
  return text ? `?${text}` : "";
}

function showError(text) {
  results.replaceChildren(Object.assign(document.createElement("p"), { className: "nothing", textContent: text }));
}

async function show(search) {
  pending?.abort();
  pending = new AbortController();
  const { signal } = pending;
  const query = new URLSearchParams(search);
  const overview = document.getElementById("overview");
  if (!query.get("q") && !query.get("speaker")) {
    results.replaceChildren();
    if (overview) overview.hidden = false;
    else if (search !== shown) location.reload(); // the page was opened with a query, without the overview
    shown = search;
    return;
  }
  try {
    const response = await fetch(`/results${search}`, { signal });
    const text = response.ok ? await response.text() : null;
    if (signal.aborted) return;
    if (text === null) return showError("The search failed. Check the dates, then try again.");
    const parsed = new DOMParser().parseFromString(text, "text/html");
    results.replaceChildren(...parsed.body.childNodes);
  } catch (error) {
    if (error.name === "AbortError") return;
    showError("homescribe does not respond. Is it still running in its terminal?");
  }
  if (overview) overview.hidden = true;
  // Screen readers announce a count: all results, read aloud while typing, would be too much.
  const hits = results.querySelectorAll(".hit").length;
  const more = results.querySelector(".more") ? "or more " : "";
  document.getElementById("result-count").textContent = `${hits} ${more}results in ${results.querySelectorAll(".group").length} recordings`;
  shown = search;
  document.title = `${query.get("q") ?? query.get("speaker")} · homescribe`;
}

/** Update the address and the results: one history entry for each search, not for each letter. */
function update() {
  const search = formQuery();
  if (search === location.search) return;
  const isFirst = !new URLSearchParams(location.search).get("q");
  history[isFirst ? "pushState" : "replaceState"](null, "", `/${search}`);
  show(search);
}

input.addEventListener("input", () => {
  clearTimeout(typingTimer);
  typingTimer = setTimeout(update, TYPING_PAUSE);
});
form.addEventListener("change", (event) => {
  if (event.target !== input) update();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(typingTimer);
  update();
});
addEventListener("popstate", () => {
  const query = new URLSearchParams(location.search);
  for (const field of form.elements) if (field.name) field.value = query.get(field.name) ?? "";
  show(location.search);
});
results.addEventListener("click", (event) => {
  const suggestion = event.target.closest(".suggestions a");
  if (suggestion && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    input.value = new URLSearchParams(suggestion.search).get("q");
    input.focus();
    return update();
  }
  const button = event.target.closest(".show-all");
  if (!button) return;
  const group = button.closest(".group");
  group.classList.add("open");
  group.querySelector(".folded .hit").focus();
  button.remove();
});
