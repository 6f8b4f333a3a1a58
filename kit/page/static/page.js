// Opens the rows behind the numbers: lists, comparisons, single items, and the jobs that made them.
// Texts are shown as text alone: nodes are made one by one, and no text is ever read as HTML.
"use strict";

const head = JSON.parse(document.getElementById("report").textContent);
const sets = new Map(head.sets.map((set) => [set.id, set]));
const explorer = document.getElementById("explorer");
const parts = document.getElementById("parts");
const ROWS_A_PAGE = 100;
const SHOWN_CHARACTERS = 4000;
const MOST_WORDS = 2000; // of a side whose differences are marked word by word
const STATES = { right: "✓ right", wrong: "✕ wrong", partly: "◐ partly", unread: "? unread" };
const FILTERS = { "": "all rows", right: "right", wrong: "wrong", partly: "partly right", unread: "not read" };
const COMPARED = {
  first: "only the first is right",
  second: "only the second is right",
  differ: "outcomes differ",
  texts: "texts differ",
};
const opened = new Map(); // block -> promise of its document
let shown = 0; // number of the view that was asked for last

// ---------------------------------------------------------------- nodes

/** Make an element; a child that is a text becomes a text node. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

function link(text, query, attributes = {}) {
  return element("a", { href: address(query), dir: "auto", ...attributes }, text);
}

/** Return the address of a view within the page. */
function address(query) {
  const found = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  return "#" + found.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
}

function counted(number) {
  return number.toLocaleString("en");
}

/** Show a text as it is; a long one is cut, with a button that shows all of it. */
function textBox(text, label) {
  return markedBox([{ text, kind: "same" }], label);
}

/** Show a text in pieces, of which some are marked as added or removed. */
function markedBox(pieces, label) {
  const length = pieces.reduce((sum, piece) => sum + piece.text.length, 0);
  const box = element("pre", { class: "text", dir: "auto", tabindex: "0", role: "group", "aria-label": label });
  fill(box, pieces, SHOWN_CHARACTERS);
  if (length <= SHOWN_CHARACTERS) return element("div", {}, length ? box : element("p", { class: "note" }, "(empty)"));
  const more = element("button", { type: "button" }, `Show all ${counted(length)} characters`);
  more.addEventListener("click", () => {
    fill(box, pieces, Infinity);
    more.remove();
    box.focus();
  });
  return element("div", {}, box, more);
}

function fill(box, pieces, most) {
  let left = most;
  const nodes = [];
  for (const piece of pieces) {
    if (left <= 0) break;
    const text = piece.text.slice(0, left);
    left -= text.length;
    nodes.push(piece.kind === "same" ? text : element("mark", { class: piece.kind }, text));
  }
  box.replaceChildren(...nodes);
}

// ---------------------------------------------------------------- data

/** Return the document of a block: from the page itself, or from the server that it came from. */
function openBlock(id) {
  if (!opened.has(id)) opened.set(id, head.served ? ask(id) : unpack(id));
  return opened.get(id);
}

async function ask(id) {
  const reply = await fetch(`blocks/${encodeURIComponent(id)}.json`);
  if (!reply.ok) throw new Error(`the server answered ${reply.status} for the rows ${id}`);
  return reply.json();
}

async function unpack(id) {
  const packed = document.getElementById(`block-${id}`);
  if (!packed) throw new Error(`the page has no rows named ${id}`);
  const bytes = Uint8Array.from(atob(packed.textContent.trim()), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

/** Return the rows of a set, each with the words by which it is searched. */
async function rowsOf(set) {
  if (!set.rows) {
    if (!set.block) return [];
    const [block, prompts, texts] = await Promise.all([
      openBlock(set.block),
      set.prompts ? openBlock(set.prompts) : null,
      set.texts ? openBlock(set.texts) : null,
    ]);
    const known = new Map((texts ? texts.rows : []).map((row) => [row.id, row.texts]));
    const rows = block.items || block.rows;
    set.rows = rows.map((row) => whole(row, set, prompts, known));
    set.byId = new Map(set.rows.map((row) => [row.id, row]));
  }
  return set.rows;
}

function whole(row, set, prompts, known) {
  const texts = row.texts || known.get(row.id) || [];
  const asked = prompts ? prompts.prompts[row.id] : undefined;
  const verdicts = row.verdicts || [];
  const words = [row.id, row.text, row.answer, row.reason, row.skipped, ...texts.map((step) => step.text)];
  words.push(...verdicts.map((verdict) => `${verdict.label} ${verdict.text}`));
  if (asked) words.push(...asked.turns.map((turn) => turn.content));
  return { ...row, set, texts, asked, verdicts, words: words.filter(Boolean).join("\n").toLowerCase() };
}

async function find(set, id) {
  await rowsOf(set);
  const row = set.byId && set.byId.get(id);
  if (!row) throw new Error(`${set.title} has no row ${id}`);
  return row;
}

function setNamed(id) {
  const set = sets.get(id);
  if (!set) throw new Error(`the page has no rows named ${id}`);
  return set;
}

function fullTitle(set) {
  return set.store ? `${set.title} (${set.store})` : set.title;
}

/** Return the sets that a set can be compared with: other answers to the same benchmark, other rows of the same kind. */
function comparable(set) {
  const alike = (other) => other !== set && other.kind === set.kind && (other.benchmark || "") === (set.benchmark || "");
  return head.sets.filter(alike);
}

// ---------------------------------------------------------------- differences

/** Return the pieces of two texts, those that only one of them has marked. */
function differences(before, after) {
  const [first, second] = [before, after].map((text) => text.match(/\s+|[^\s]+/g) || []);
  let start = 0;
  while (start < first.length && start < second.length && first[start] === second[start]) start++;
  let end = 0;
  const most = Math.min(first.length, second.length) - start;
  while (end < most && first[first.length - 1 - end] === second[second.length - 1 - end]) end++;
  const middles = [first, second].map((words) => words.slice(start, words.length - end));
  const marked = middles.some((words) => words.length > MOST_WORDS)
    ? middles.map((words, side) => words.map((word) => [word, side ? "added" : "removed"]))
    : byWord(...middles);
  return marked.map((middle, side) => {
    const words = side ? second : first;
    const same = (some) => some.map((word) => [word, "same"]);
    return joined([...same(words.slice(0, start)), ...middle, ...same(words.slice(words.length - end))]);
  });
}

/** Mark the words that are in no longest common sequence of two lists. */
function byWord(first, second) {
  const width = second.length + 1;
  const lengths = new Uint16Array((first.length + 1) * width);
  for (let row = first.length - 1; row >= 0; row--) {
    for (let column = second.length - 1; column >= 0; column--) {
      const here = row * width + column;
      lengths[here] =
        first[row] === second[column]
          ? lengths[here + width + 1] + 1
          : Math.max(lengths[here + width], lengths[here + 1]);
    }
  }
  const found = [[], []];
  let [row, column] = [0, 0];
  while (row < first.length || column < second.length) {
    const here = row * width + column;
    if (row < first.length && column < second.length && first[row] === second[column]) {
      found[0].push([first[row++], "same"]);
      found[1].push([second[column++], "same"]);
    } else if (column >= second.length || (row < first.length && lengths[here + width] >= lengths[here + 1])) {
      found[0].push([first[row++], "removed"]);
    } else {
      found[1].push([second[column++], "added"]);
    }
  }
  return found;
}

function joined(words) {
  const pieces = [];
  for (const [text, kind] of words) {
    const last = pieces[pieces.length - 1];
    if (last && last.kind === kind) last.text += text;
    else pieces.push({ text, kind });
  }
  return pieces;
}
