// Words of a text and of a query, as search_index.py makes them. A script, not a module: a page that is opened from
// a disk may not load modules.
"use strict";

globalThis.siteWords = (() => {
  // Scripts without spaces between words: each character is a word. As UNSPACED in text/scripts.py.
  const unspaced = "[\\u0e00-\\u0eff\\u1000-\\u109f\\u1780-\\u17ff\\u3005-\\u3007\\u3040-\\u30ff\\u3105-\\u312f" +
    "\\u31a0-\\u31bf\\u31f0-\\u31ff\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff\\u{20000}-\\u{3ffff}\\uac00-\\ud7a3]";
  const word = new RegExp(`${unspaced}|(?:(?!${unspaced})[\\p{L}\\p{N}\\p{M}])+`, "gu");
  // A word in a text as it is written, with its accents.
  const written = new RegExp(`${unspaced}\\p{M}*|(?:(?!${unspaced})[\\p{L}\\p{N}]\\p{M}*)+`, "gu");

  const fold = text => text.normalize("NFKD").replace(/\p{Mn}/gu, "").normalize("NFC").toLowerCase();
  const words = text => fold(text).match(word) ?? [];

  /** Parse a query: words, phrases in quotes, speaker:name; the last word may be the beginning of one. */
  function parse(query) {
    const terms = [], phrases = [];
    for (const [, field, quoted, plain] of query.matchAll(/(speaker:)?(?:"([^"]*)"?|(\S+))/giu)) {
      const found = words(quoted ?? plain);
      if (field) terms.push(...found.map(each => ({word: "speaker:" + each, exact: true})));
      else {
        if (found.length > 1) phrases.push(found);
        terms.push(...found.map(each => ({word: each, exact: quoted !== undefined || !/\p{L}/u.test(each)})));
      }
    }
    const last = terms.at(-1);
    for (const term of terms) term.exact ||= term !== last || /\s$/u.test(query) || term.word.length < 3;
    return {terms, phrases};
  }

  /** Whether a word of a text is one of the query. */
  const matches = (term, folded) =>
    term.word === folded || (!term.exact && folded.startsWith(term.word));

  /** Add `text` to `element`, with the words of the query in <mark>. Returns how many. */
  function mark(element, text, terms) {
    let at = 0, count = 0;
    for (const found of text.matchAll(written)) {
      if (!words(found[0]).some(each => terms.some(term => matches(term, each)))) continue;
      element.append(text.slice(at, found.index));
      element.appendChild(document.createElement("mark")).textContent = found[0];
      at = found.index + found[0].length;
      count += 1;
    }
    element.append(text.slice(at));
    return count;
  }

  /** Whether the words of a text have each phrase in them. */
  function hasPhrases(text, phrases) {
    if (!phrases.length) return true;
    const all = words(text);
    return phrases.every(phrase => {
      const starts = all.length - phrase.length;
      for (let begin = 0; begin <= starts; begin += 1) {
        if (phrase.every((each, number) => all[begin + number] === each)) return true;
      }
      return false;
    });
  }

  return {words, parse, matches, mark, hasPhrases};
})();
