// On the page of a recording: mark the words of the search that led here.
"use strict";

addEventListener("DOMContentLoaded", () => {
  const query = new URLSearchParams(location.search).get("q");
  if (!query) return;
  const {terms} = globalThis.siteWords.parse(query);
  for (const line of document.querySelectorAll(".line")) {
    const text = line.textContent;
    const marked = document.createElement("span");
    if (globalThis.siteWords.mark(marked, text, terms)) line.replaceChildren(...marked.childNodes);
  }
});
