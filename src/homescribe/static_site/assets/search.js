// The search of the site. It loads the scripts of the index that a query needs, and keeps them.
"use strict";

globalThis.homescribe = (() => {
  const {parse, mark, hasPhrases} = globalThis.siteWords;
  const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const VALUES = new Uint8Array(128);
  [...DIGITS].forEach((digit, value) => { VALUES[digit.charCodeAt(0)] = value; });
  const SHOWN = 20; // hits, before "More"
  const FIRST = 8; // hits that fill a screen: each may be in another script of the index, so they do not wait for the rest
  const PHRASE_CANDIDATES = 5000; // paragraphs that are read to find a phrase

  let site; // what directory.js says
  const loaded = {words: new Map(), texts: new Map()};
  const field = document.getElementById("q");
  const results = document.getElementById("results");
  const status = document.getElementById("status");
  const list = document.getElementById("recordings");
  let latest = 0;

  const waiting = new Map();

  /** Load a script of the index once. */
  function load(kind, number) {
    if (loaded[kind].has(number)) return loaded[kind].get(number);
    const name = `${kind}${number}`;
    if (!waiting.has(name)) {
      waiting.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = `index/${kind}-${number}.js`;
        script.onload = () => { script.remove(); resolve(loaded[kind].get(number)); };
        script.onerror = () => { waiting.delete(name); reject(new Error(`${script.src} cannot be loaded.`)); };
        document.head.append(script);
      }));
    }
    return waiting.get(name);
  }

  function decode(text) {
    const places = [];
    let place = 0, value = 0, shift = 0;
    for (let at = 0; at < text.length; at += 1) {
      const digit = VALUES[text.charCodeAt(at)];
      value += (digit & 31) * 2 ** shift;
      if (digit > 31) shift += 5;
      else { place += value; places.push(place); value = 0; shift = 0; }
    }
    return places;
  }

  /** The number of the script that has a word, or would have it. */
  function shardOf(word) {
    let low = 0, high = site.shards.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (site.shards[middle] <= word) low = middle; else high = middle - 1;
    }
    return low;
  }

  /** The paragraphs that have a word of the query, in order. */
  async function placesOf(term) {
    if (!site.shards.length) return [];
    const first = shardOf(term.word);
    if (term.exact) {
      const shard = await load("words", first);
      return Object.hasOwn(shard, term.word) ? decode(shard[term.word]) : [];
    }
    let last = first;
    while (last + 1 < site.shards.length && site.shards[last + 1].startsWith(term.word)) last += 1;
    const numbers = Array.from({length: last - first + 1}, (_, n) => first + n);
    const shards = await Promise.all(numbers.map(number => load("words", number)));
    const lists = [];
    for (const shard of shards) {
      for (const word of Object.keys(shard)) if (word.startsWith(term.word)) lists.push(decode(shard[word]));
    }
    if (lists.length === 1) return lists[0];
    const marks = new Uint8Array(site.paragraphs);
    for (const places of lists) for (const place of places) marks[place] = 1;
    const all = [];
    for (let place = 0; place < marks.length; place += 1) if (marks[place]) all.push(place);
    return all;
  }

  function both(one, other) {
    const found = [];
    for (let a = 0, b = 0; a < one.length && b < other.length;) {
      if (one[a] === other[b]) { found.push(one[a]); a += 1; b += 1; }
      else if (one[a] < other[b]) a += 1;
      else b += 1;
    }
    return found;
  }

  async function paragraph(place) {
    const texts = await load("texts", Math.floor(place / site.perScript));
    return texts[place % site.perScript];
  }

  const textOf = ([, , lines]) => lines.filter((_, n) => n % 2).join(" ");

  async function withPhrases(places, phrases) {
    if (!phrases.length) return places;
    const found = [];
    for (const place of places.slice(0, PHRASE_CANDIDATES)) {
      if (hasPhrases(textOf(await paragraph(place)), phrases)) found.push(place);
    }
    return found;
  }

  /** Find the paragraphs with all words of a query. */
  async function find(query) {
    const {terms, phrases} = parse(query);
    if (!terms.length) return {terms, places: []};
    const lists = await Promise.all(terms.map(placesOf));
    lists.sort((one, other) => one.length - other.length);
    return {terms, places: await withPhrases(lists.reduce(both), phrases)};
  }

  const clock = seconds => {
    const whole = Math.floor(seconds), two = number => String(number).padStart(2, "0");
    const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
    return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  };

  /** A hit: its time, who speaks, and the lines around the first match. */
  function hit(query, terms, [recording, speaker, lines]) {
    const texts = lines.filter((_, n) => n % 2), starts = lines.filter((_, n) => n % 2 === 0);
    const scratch = document.createElement("span");
    const first = Math.max(0, texts.findIndex(text => mark(scratch, text, terms)));
    const link = document.createElement("a");
    link.className = "hit";
    link.href = `${site.recordings[recording].page}?q=${encodeURIComponent(query)}#t${Math.round(starts[first] * 1000)}`;
    const time = link.appendChild(document.createElement("span"));
    time.className = "time";
    time.textContent = clock(starts[first]);
    const said = link.appendChild(document.createElement("span"));
    if (speaker) {
      const name = said.appendChild(document.createElement("b"));
      name.textContent = `${speaker}: `;
    }
    mark(said, texts.slice(Math.max(0, first - 1), first + 3).join(" "), terms);
    return link;
  }

  /** Show the hits `from` to `to`, below those that are shown already. */
  async function show(query, terms, places, from, to) {
    const mine = latest;
    const found = await Promise.all(places.slice(from, to).map(paragraph));
    if (mine !== latest) return;
    if (!from) results.replaceChildren();
    results.querySelector(".more")?.remove();
    for (const each of found) {
      const {title, date, page} = site.recordings[each[0]];
      let group = results.lastElementChild;
      if (group?.dataset.page !== page) {
        group = document.createElement("section");
        group.dataset.page = page;
        const heading = group.appendChild(document.createElement("h2"));
        const link = heading.appendChild(document.createElement("a"));
        link.href = page;
        link.textContent = title;
        group.appendChild(document.createElement("p")).textContent = date;
        results.append(group);
      }
      group.append(hit(query, terms, each));
    }
    if (to < places.length) {
      const more = results.appendChild(document.createElement("button"));
      more.className = "more";
      more.textContent = "More";
      more.onclick = () => show(query, terms, places, to, to + SHOWN);
    }
  }

  async function search() {
    const query = field.value, mine = latest += 1;
    try {
      history.replaceState(null, "", query.trim() ? `#q=${encodeURIComponent(query)}` : "#");
    } catch { /* some browsers do not allow it for a page that is opened from a disk */ }
    list.hidden = Boolean(query.trim());
    if (!query.trim()) {
      results.replaceChildren();
      status.textContent = "";
      return;
    }
    try {
      const began = performance.now();
      const {terms, places} = await find(query);
      if (mine !== latest) return;
      const paragraphs = places.length === 1 ? "paragraph" : "paragraphs";
      status.textContent = places.length ? `${places.length.toLocaleString()} ${paragraphs}` : "Nobody says that.";
      await show(query, terms, places, 0, FIRST);
      status.dataset.milliseconds = String(Math.round(performance.now() - began));
      if (mine === latest && places.length > FIRST) await show(query, terms, places, FIRST, SHOWN);
    } catch (error) {
      status.textContent = error.message;
    }
  }

  addEventListener("DOMContentLoaded", () => {
    const asked = new URLSearchParams(location.hash.slice(1)).get("q");
    if (asked) field.value = asked;
    field.addEventListener("input", search);
    field.form.addEventListener("submit", event => { event.preventDefault(); search(); });
    if (field.value) search();
  });

  return {
    directory(_, value) { site = value; },
    words(number, value) { loaded.words.set(number, value); },
    texts(number, value) { loaded.texts.set(number, value); },
    find,
  };
})();
