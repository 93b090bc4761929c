"use strict";
// What the page knows: DATA as Python wrote it, and the tokens unpacked from their byte planes.

const DATA = JSON.parse(document.getElementById("data").textContent);
const SVG = document.querySelector("svg").namespaceURI;
const TOKENS = { count: 0, at: [], column: {}, ids: [], texts: [], bare: false };

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

async function unpackTokens() {
  const packed = DATA.tokens;
  [TOKENS.ids, TOKENS.texts] = JSON.parse(new TextDecoder().decode(await inflate(packed.strings)));
  TOKENS.bare = TOKENS.texts.every((text) => text === null); // only ids
  for (const [first, end] of packed.ranges) for (let at = first; at < end; at++) TOKENS.at.push(at);
  TOKENS.count = TOKENS.at.length;
  const planes = new Uint8Array(await inflate(packed.planes));
  let from = 0;
  for (const column of packed.columns) {
    const codes = new Float64Array(TOKENS.count);
    for (let byte = 0; byte < column.width; byte++, from += TOKENS.count) {
      for (let k = 0; k < TOKENS.count; k++) codes[k] += planes[from + k] * 256 ** byte;
    }
    TOKENS.column[column.name] = codes.map((code) => decoded(code, column));
  }
}

function decoded(code, column) {
  if (column.kind === "whole") return code - 1;
  if (code >= 65533) return [-Infinity, Infinity, NaN][code - 65533];
  if (column.kind === "fixed") return code * column.step;
  return code === 0 ? 0 : column.least * 10 ** ((code - 1) / column.steps);
}

function value(name, k) {
  return TOKENS.column[name]?.[k];
}

// The place of a token of the flat targets among those of this page, or -1.
function placeOf(at) {
  let low = 0, high = TOKENS.count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (TOKENS.at[middle] < at) low = middle + 1; else high = middle;
  }
  return TOKENS.at[low] === at ? low : -1;
}

function isIgnored(k) {
  return value("ignored", k) === 0;
}

function number(x, digits = 4) {
  if (x === null || x === undefined) return "—";
  if (typeof x === "string") return { Infinity: "∞", "-Infinity": "−∞" }[x] ?? x;
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 1e7 || size < 1e-4) {
    return x.toExponential(2).replace("e+", " × 10^").replace("e-", " × 10^−").replace("-", "−")
      .replace(/\^(−?)(\d+)/, (_, sign, power) => (sign ? "⁻" : "") + [...power].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]).join(""));
  }
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return x.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }).replace("-", "−");
}

function fixed(x, decimals = 3) {
  return Number.isFinite(x) ? x.toFixed(decimals).replace("-", "−") : number(x);
}

function whole(x) {
  return typeof x === "number" ? x.toLocaleString("en-US") : number(x);
}

function percent(x, digits = 3) {
  if (!Number.isFinite(x)) return number(x);
  const hundred = 100 * x;
  if (hundred > 0 && hundred < 0.001) return "< 0.001 %";
  const decimals = hundred === 0 ? 0 : Math.min(3, Math.max(0, digits - 1 - Math.floor(Math.log10(hundred))));
  return `${hundred.toFixed(hundred >= 99.95 && hundred < 100 ? 2 : decimals)} %`;
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, content] of Object.entries(attributes)) {
    if (key === "class") made.className = content; else if (content !== null) made.setAttribute(key, content);
  }
  made.append(...children);
  return made;
}

// Strings of tokens reach the page by text nodes alone. Blanks stay blanks, which can be copied, with a mark above them.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]|[^\S ]/u;
const MARKS = { "\n": "↵", "\t": "→", "\r": "␍", "\u00a0": "⍽", "\u00ad": "‧" };

function visible(text, flowing = false) {
  const made = document.createDocumentFragment();
  if (text === "") made.append(element("span", { class: "mark", title: "an empty string" }, "∅"));
  let plain = "";
  const flush = () => { if (plain) made.append(plain); plain = ""; };
  for (const letter of text) {
    if (letter === " ") {
      flush();
      made.append(element("span", { class: "blank" }, " "));
    } else if (UNSEEN.test(letter) && !(letter === "\u200d" && text.length > 1)) {
      flush();
      const code = letter.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
      made.append(element("span", { class: "mark", title: `U+${code}` }, MARKS[letter] ?? `U+${code}`));
      if (letter === "\n" && flowing) made.append("\n");
    } else {
      plain += letter;
    }
  }
  flush();
  return made;
}

// The string of a number of the table, or its id where there is none.
function tokenNode(index, flowing = false) {
  if (index === undefined || index < 0) return element("span", { class: "id" }, "none");
  const text = TOKENS.texts[index];
  return text === null ? element("span", { class: "id" }, `${TOKENS.bare ? "" : "#"}${TOKENS.ids[index]}`) : visible(text, flowing);
}

function spokenToken(index) {
  if (index < 0) return "no token";
  const text = TOKENS.texts[index];
  return text === null ? `id ${TOKENS.ids[index]}` : text.trim() || "blank";
}
