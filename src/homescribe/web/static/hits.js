// Finds the words of a search query in the transcript on the page, as the library's search does.

import { lines, rangeIn, transcript } from "./transcript.js";

const UNSPACED_SCRIPTS = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Thai}]/u;

// Letters that Unicode does not decompose. The library's search has more of them (text/letter_folds.py).
const LETTERS = { ß: "ss", æ: "ae", œ: "oe", ø: "o", đ: "d", ð: "d", ł: "l", þ: "th", ħ: "h", ı: "i", ŋ: "n", ґ: "г" };
const HYPHENS = "[-\u2010\u2011\u00ad]";

/** Text without case and accents. */
const fold = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().replace(/[ßæœøđðłþħıŋґ]/gu, (letter) => LETTERS[letter]);

/** The folded text of a paragraph, and for each of its characters [line, from, to]; null between lines. */
function foldParagraph(paragraph) {
  let text = "";
  const places = [];
  for (const line of paragraph.querySelectorAll(".line")) {
    if (text) {
      text += " ";
      places.push(null);
    }
    let offset = 0;
    for (const letter of line.textContent) {
      for (const piece of fold(letter)) {
        text += piece;
        // A regular expression's matches are counted in UTF-16 code units, so each unit has its place.
        for (let unit = 0; unit < piece.length; unit++) places.push([line, offset, offset + letter.length]);
      }
      offset += letter.length;
    }
  }
  return [text, places];
}

/** Words and quoted phrases of a query, folded. */
function termsOf(query) {
  const matches = query.matchAll(/["“„«]([^"”»]*)["”»]?|([^\s"“”„«»]+)/g);
  return [...matches].map((match) => fold(match[1] ?? match[2]).trim()).filter(Boolean);
}

/** A pattern for a term: at the start of a word, or anywhere in scripts without spaces. */
function patternOf(term) {
  // A word is found with and without hyphens inside.
  const joined = term.replace(new RegExp(`(?<=[\\p{L}\\p{N}])${HYPHENS}(?=[\\p{L}\\p{N}])`, "gu"), "");
  const words = joined.split(/[^\p{L}\p{N}]+/u).filter(Boolean).map((word) => [...word].join(`${HYPHENS}?`)).join("[^\\p{L}\\p{N}]+");
  if (!words) return null;
  if (!UNSPACED_SCRIPTS.test(term)) return new RegExp(`(?<![\\p{L}\\p{N}])${words}`, "gu");
  return new RegExp([...term].map((letter) => letter.replace(/[^\p{L}\p{N}]/u, "\\s*")).join("\\s*"), "gu");
}

/** The hits {line, offset, ranges} of a query, in the order of the transcript. */
export function findHits(query) {
  const patterns = termsOf(query).map(patternOf).filter(Boolean);
  const found = [];
  for (const paragraph of transcript.querySelectorAll(".paragraph p")) {
    const [text, places] = foldParagraph(paragraph);
    for (const pattern of patterns) {
      for (const match of text.matchAll(pattern)) {
        const inside = places.slice(match.index, match.index + match[0].length).filter(Boolean);
        const ranges = [...new Set(inside.map(([line]) => line))].map((line) => {
          const own = inside.filter(([other]) => other === line);
          return rangeIn(line, own[0][1], own.at(-1)[2]);
        });
        found.push({ line: inside[0][0], offset: inside[0][1], ranges });
      }
    }
  }
  const order = new Map(lines.map((line, index) => [line, index]));
  return found.sort((a, b) => order.get(a.line) - order.get(b.line) || a.offset - b.offset);
}
