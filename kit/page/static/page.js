// Opens the rows behind the numbers: lists, comparisons, single items, and the jobs that made them.
// Texts are shown as text alone: nodes are made one by one, and no text is ever read as HTML.
"use strict";

const SCHEMA = 1;
const head = readHead();
const sets = new Map(head.sets.map((set) => [set.id, set]));
const explorer = document.getElementById("explorer");
const parts = document.getElementById("parts");
const ROWS_A_PAGE = 100;
const SHOWN_CHARACTERS = 4000;
const MOST_WORDS = 4000; // of a side whose differences are marked word by word; a space counts as one
const WORDS = /\s+|[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|[^\s\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]+/gu;
const STATES = { right: "✓ right", wrong: "✕ wrong", partly: "◐ partly", unread: "? unread" };
const FILTERS = { "": "all", right: "right", wrong: "wrong", partly: "partly right", unread: "not read" };
const COMPARED = {
  first: "only the first is right",
  second: "only the second is right",
  differ: "outcomes differ",
  texts: "texts differ",
};
const COMPARED_OF_KIND = {
  items: COMPARED,
  scores: { "": "all", differ: "numbers differ", texts: "texts differ" },
  pairs: { "": "all", texts: "texts differ" },
};
const ADDRESS_DELAY_MS = 300; // browsers refuse pages that change their address at every letter
const reportTitle = document.title;
const opened = new Map(); // block -> promise of its document
let shown = 0; // number of the view that was asked for last
let waiting = 0; // timer of an address that is to be changed
let opener = null; // link of the report that was followed into the explorer

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
    const text = cut(piece.text, left);
    left -= piece.text.length;
    nodes.push(piece.kind === "same" ? text : element("mark", { class: piece.kind }, text));
  }
  box.replaceChildren(...nodes);
}

/** Return a text's beginning, without the first half of a character at its end. */
function cut(text, most) {
  return text.slice(0, most).replace(/[\ud800-\udbff]$/, "");
}

// ---------------------------------------------------------------- data

/** Return the list of all sets; one without any, and the reason, where the page is damaged. */
function readHead() {
  try {
    const found = JSON.parse(document.getElementById("report").textContent);
    if (found.schema !== SCHEMA) throw new Error(`it has schema ${found.schema}, not ${SCHEMA}`);
    return found;
  } catch (error) {
    return { sets: [], damage: `The page's list of rows can't be read: ${error.message}.` };
  }
}

/** Return the document of a block: from the page itself, or from the server that it came from. */
function openBlock(id) {
  if (!opened.has(id)) opened.set(id, (head.served ? ask(id) : unpack(id)).catch((error) => refuse(id, error)));
  return opened.get(id);
}

function refuse(id, error) {
  opened.delete(id); // a server may be there again
  const cure = head.served ? "is `kit report --serve` still running?" : "write the page again with `kit report --html`";
  throw new Error(`The rows ${id} can't be read: ${error.message}; ${cure}`);
}

async function ask(id) {
  const reply = await fetch(`blocks/${encodeURIComponent(id)}.json`);
  if (!reply.ok) throw new Error(`the server answered ${reply.status}`);
  return reply.json();
}

async function unpack(id) {
  const packed = document.getElementById(`block-${id}`);
  if (!packed) throw new Error("the page lacks them");
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
    if (!Array.isArray(rows)) throw new Error(`The rows ${set.block} can't be read: there is no list of rows in them`);
    set.rows = rows.map((row) => whole(row, set, prompts, known));
    set.byId = new Map(set.rows.map((row) => [row.id, row]));
  }
  return set.rows;
}

function whole(row, set, prompts, known) {
  const texts = row.texts || known.get(row.id) || [];
  const asked = prompts && Object.hasOwn(prompts.prompts, row.id) ? prompts.prompts[row.id] : undefined;
  const verdicts = row.verdicts || [];
  const words = [row.id, row.text, row.answer, row.reason, row.skipped, ...texts.map((step) => step.text)];
  words.push(...verdicts.map((verdict) => `${verdict.label} ${verdict.text}`));
  if (asked) words.push(...asked.turns.map((turn) => turn.content), asked.problem);
  return { ...row, set, texts, asked, verdicts, words: words.filter(Boolean).join("\n").toLowerCase() };
}

async function find(set, id) {
  await rowsOf(set);
  const row = set.byId && set.byId.get(id);
  if (!row) throw new Error(`There is no row ${id} in ${fullTitle(set)}.`);
  return row;
}

function setNamed(id) {
  const set = sets.get(id);
  if (!set) throw new Error(head.damage || `There are no rows named ${id} in this page.`);
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

/** Return the pieces of two texts; the words that only one of them has are marked. */
function differences(before, after) {
  const [first, second] = [before, after].map((text) => text.match(WORDS) || []);
  let start = 0;
  while (start < first.length && start < second.length && first[start] === second[start]) start++;
  let end = 0;
  const most = Math.min(first.length, second.length) - start;
  while (end < most && first[first.length - 1 - end] === second[second.length - 1 - end]) end++;
  const middles = [first, second].map((words) => words.slice(start, words.length - end));
  const marked = middles.some((words) => words.length > MOST_WORDS)
    ? middles.map((words) => words.map((word) => [word, "changed"]))
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
      found[0].push([first[row++], "changed"]);
    } else {
      found[1].push([second[column++], "changed"]);
    }
  }
  return found;
}

/** Join words that are marked alike; a space between two marked words is marked with them. */
function joined(words) {
  const pieces = [];
  words.forEach(([text, ownKind], place) => {
    const last = pieces[pieces.length - 1];
    const between = last && last.kind === "changed" && !text.trim() && words[place + 1]?.[1] === "changed";
    const kind = between ? "changed" : ownKind;
    if (last && last.kind === kind) last.text += text;
    else pieces.push({ text, kind });
  });
  return pieces;
}

// ---------------------------------------------------------------- lists

/** Show the rows of a set, or of all sets of items: search, filter, compare, a page of rows at a time. */
async function showList(query) {
  const list = { ...(await listOf(query)), body: element("div"), count: element("p", { role: "status" }) };
  const { all, set, other, from, rows } = list;
  const title = all ? `All items: ${counted(rows.length)} in ${counted(from.length)} sets` : fullTitle(set);
  const content = [...about(list), other ? crossed(list) : null, tools(list), list.count, list.body];
  return [title, content, () => fillList(list)];
}

/** Return the rows that a list is made from, and what its address asks of them. */
async function listOf(query) {
  if (head.damage) throw new Error(head.damage);
  const all = query.set === "all";
  const set = all ? null : setNamed(query.set);
  const other = query.beside && !all ? setNamed(query.beside) : null;
  const from = all ? head.sets.filter((one) => one.kind === "items") : [set];
  const rows = (await Promise.all(from.map(rowsOf))).flat();
  if (other) await rowsOf(other);
  return { query: { ...query }, all, set, other, from, rows };
}

function about({ all, set, other }) {
  if (all) return [];
  const facts = [];
  if (other) facts.push(["first", nameIn(set, other)], ["second", link(nameIn(other, set), { set: other.id })]);
  for (const [table, place, said] of set.numbers || []) facts.push([table, said ? `${place}: ${said}` : place]);
  facts.push(["rows", counted(set.count)]);
  const links = [jobLink("the job that made it", set.job)];
  if (set.trained_on) links.push(link("pairs that its model was tuned on", { set: set.trained_on }));
  const made = [element("dl", {}, facts.map(([name, text]) => fact(name, text))), element("p", {}, spaced(links))];
  if (set.note) made.push(element("p", { class: "note" }, set.note));
  return made;
}

/** Return the coordinates by which a set differs from another; its whole title where they tell nothing. */
function nameIn(set, other) {
  const [own, others] = [set.at || {}, other.at || {}];
  const found = Object.keys(own).filter((axis) => own[axis] !== others[axis]).map((axis) => own[axis]);
  if (set.store !== other.store) found.push(set.store || "this page's store");
  return found.length ? found.join(", ") : fullTitle(set);
}

/** Say how many items both, one or none of two models have right. */
function crossed({ set, other, rows }) {
  if (set.kind !== "items") return null;
  const pairs = rows.map((row) => [row, other.byId.get(row.id)]).filter(([, match]) => match);
  const count = (first, second) =>
    counted(pairs.filter(([row, match]) => isRight(row) === first && isRight(match) === second).length);
  const text = `Both are right at ${count(true, true)} of ${counted(pairs.length)} items that both were asked, only the \
first at ${count(true, false)}, only the second at ${count(false, true)}, neither at ${count(false, false)}.`;
  return element("p", { class: "crossed" }, text);
}

function isRight(row) {
  return row.state === "right";
}

function jobLink(text, key) {
  return link(text, { job: key });
}

function spaced(nodes) {
  return nodes.flatMap((node, place) => (place ? [" · ", node] : [node]));
}

function fact(name, value) {
  return element("div", {}, element("dt", {}, name), element("dd", { dir: "auto" }, value));
}

function tools(list) {
  const search = element("input", { type: "search", value: list.query.find || "", autocomplete: "off" });
  search.addEventListener("input", () => change(list, { find: search.value, page: "" }));
  const found = [element("label", {}, "Search all texts", search)];
  found.push(list.all ? setChooser(list) : chooser(list.set, list.other, list.query), filter(list));
  return element("div", { class: "tools", role: "search" }, found);
}

/** Return a button for each filter, with the number of rows that it lets through; none for an outcome that no row has. */
function filter(list) {
  const compared = list.other ? COMPARED_OF_KIND[list.set.kind] : {};
  const names = list.all || list.set.kind === "items" ? { ...FILTERS, ...compared } : compared;
  const buttons = [];
  for (const [show, text] of Object.entries(names)) {
    const count = list.rows.filter((row) => passes(row, show, list.other)).length;
    const pressed = show === (list.query.show || "");
    if (!count && !pressed && !Object.hasOwn(compared, show)) continue;
    const made = element("button", { type: "button", "aria-pressed": String(pressed) }, `${text} (${counted(count)})`);
    made.addEventListener("click", () => {
      for (const one of buttons) one.setAttribute("aria-pressed", String(one === made));
      change(list, { show, page: "" });
    });
    buttons.push(made);
  }
  if (!buttons.length) return null;
  return element("div", { class: "filters", role: "group", "aria-label": "Show" }, buttons);
}

/** Return the choice of a set to set beside another, or beside one of its rows. */
function chooser(set, other, query) {
  const options = comparable(set).map((one) =>
    element("option", { value: one.id, selected: one === other }, fullTitle(one)),
  );
  if (!options.length) return null;
  const chosen = element("select", {}, element("option", { value: "" }, "nothing"), options);
  chosen.addEventListener("change", () => {
    location.hash = address({ ...query, beside: chosen.value, show: "", page: "" });
  });
  return element("label", {}, "Beside it", chosen);
}

function setChooser(list) {
  const options = list.from.map((set) =>
    element("option", { value: set.id, selected: set.id === list.query.of }, fullTitle(set)),
  );
  const chosen = element("select", {}, element("option", { value: "" }, "all sets"), options);
  chosen.addEventListener("change", () => change(list, { of: chosen.value, page: "" }));
  return element("label", {}, "Set", chosen);
}

/** Change what a list shows, and the page's address with it, without a step back in the history for each letter. */
function change(list, changes) {
  Object.assign(list.query, changes);
  clearTimeout(waiting);
  waiting = setTimeout(() => history.replaceState(null, "", address(list.query)), ADDRESS_DELAY_MS);
  fillList(list);
}

/** Return the rows of a list that its search and its filter let through. */
function matching({ query, rows, other }) {
  const words = (query.find || "").toLowerCase();
  const found = (row) => (!words || row.words.includes(words)) && (!query.of || row.set.id === query.of);
  return rows.filter((row) => found(row) && passes(row, query.show || "", other));
}

function passes(row, show, other) {
  if (!show) return true;
  if (!Object.hasOwn(COMPARED, show)) return row.state === show;
  const match = other && other.byId.get(row.id);
  if (!match) return false;
  if (show === "first") return isRight(row) && !isRight(match);
  if (show === "second") return !isRight(row) && isRight(match);
  return show === "differ" ? outcome(row) !== outcome(match) : lastText(row) !== lastText(match);
}

function outcome(row) {
  return row.state || JSON.stringify(row.values || row.skipped);
}

function lastText(row) {
  return row.text ?? row.texts.at(-1)?.text ?? "";
}

function fillList(list) {
  const found = matching(list);
  const pages = Math.max(1, Math.ceil(found.length / ROWS_A_PAGE));
  const page = Math.min(Math.max(1, Math.trunc(Number(list.query.page)) || 1), pages);
  const some = found.slice((page - 1) * ROWS_A_PAGE, page * ROWS_A_PAGE);
  list.count.textContent = `${counted(found.length)} of ${counted(list.rows.length)} rows`;
  const table = element(
    "table",
    { class: "rows" },
    element("thead", {}, element("tr", {}, headings(list).map((text) => element("th", { scope: "col" }, text)))),
    element("tbody", {}, some.map((row) => listed(row, list))),
  );
  const region = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Rows" }, table);
  const turn = (to) => {
    change(list, { page: String(to) });
    list.body.firstChild.focus();
  };
  list.body.replaceChildren(region, ...(pages > 1 ? [turning(page, pages, turn)] : []));
}

function turning(page, pages, turn) {
  const button = (text, to) => {
    const made = element("button", { type: "button", disabled: to < 1 || to > pages }, text);
    made.addEventListener("click", () => turn(to));
    return made;
  };
  const where = element("span", {}, `page ${counted(page)} of ${counted(pages)}`);
  return element("div", { class: "tools" }, button("Previous rows", page - 1), where, button("Next rows", page + 1));
}

function headings({ all, set, other }) {
  if (all) return ["item", "outcome", "answer", "set"];
  const sides = other ? [`first: ${nameIn(set, other)}`, `second: ${nameIn(other, set)}`] : [""];
  if (set.kind === "items") return other ? ["item", ...sides] : ["item", "outcome", "read", "answer"];
  if (set.kind === "scores") {
    const metrics = set.metrics || [];
    const named = metrics.flatMap((name) => sides.map((side) => [name, side].filter(Boolean).join(", ")));
    return ["row", ...named, "instruction"];
  }
  return ["row", "seed instruction", ...sides.map((side) => ["response", side].filter(Boolean).join(", "))];
}

function listed(row, list) {
  const view = row.set.kind === "items" ? "item" : "row";
  const { find, show } = list.query;
  const query = { [view]: row.id, set: row.set.id, beside: list.other && list.other.id, find, show };
  const cells = [element("th", { scope: "row" }, link(row.id, query))];
  for (const cell of columns(row, list)) cells.push(element("td", {}, cell));
  return element("tr", {}, cells);
}

function columns(row, { all, set, other }) {
  if (all) return [state(row), beginning(row.text), fullTitle(row.set)];
  const sides = other ? [row, other.byId.get(row.id)] : [row];
  if (set.kind === "items" && !other) return [state(row), beginning(row.answer), beginning(row.text)];
  if (set.kind === "items") return sides.map((one) => (one ? [state(one), beginning(one.text)] : "not asked"));
  if (set.kind === "scores") {
    const value = (one, name) => (one ? numberText(one.values && one.values[name], one.skipped) : "not there");
    const values = (set.metrics || []).flatMap((name) => sides.map((one) => value(one, name)));
    return [...values, beginning(lastText(row))];
  }
  return [beginning(row.texts[0] && row.texts[0].text), ...sides.map((one) => beginning(one ? lastText(one) : "not there"))];
}

function state(row) {
  return element("span", { class: `state state-${row.state}` }, STATES[row.state] || row.state);
}

function numberText(value, skipped) {
  return value === undefined || value === null ? skipped || "none" : String(Math.round(value * 1e4) / 1e4);
}

function beginning(text) {
  const start = (text || "").slice(0, 160);
  return element("span", { class: "start", dir: "auto" }, start + ((text || "").length > 160 ? "…" : ""));
}

// ---------------------------------------------------------------- one row

/** Show one item: what was asked, what was answered, what was read in it; beside another model's where that is asked. */
async function showItem(query) {
  const list = await listOf(query);
  const row = await find(list.set, query.item);
  const match = list.other ? list.other.byId.get(query.item) : null;
  const sides = match ? besides(row, match) : [side(row, same(row.text))];
  const content = [
    neighbours(list, row),
    element("div", { class: "tools" }, chooser(list.set, list.other, query)),
    element("h3", {}, "Prompt"),
    ...question(row),
    match && JSON.stringify(match.asked) !== JSON.stringify(row.asked) ? otherQuestion(match) : null,
    element("h3", {}, match ? "Answers" : "Answer"),
    list.other && !match ? element("p", {}, `${fullTitle(list.other)} was not asked this item.`) : null,
    match ? element("p", { class: "note" }, comparedText(row.text, match.text)) : null,
    element("div", { class: match ? "pair two" : "pair" }, sides),
  ];
  return [`${row.id}: ${list.set.benchmark}`, content];
}

function same(text) {
  return [{ text, kind: "same" }];
}

function besides(row, match) {
  const texts = differences(row.text, match.text);
  return [row, match].map((one, place) => side(one, texts[place]));
}

function comparedText(first, second) {
  if (first === second) return "The two answers are identical.";
  return "Words that only one of the two answers has are marked.";
}

function question(row) {
  const made = [];
  if (!row.asked || !row.asked.turns.length) made.push(element("p", { class: "note" }, row.set.note || "Not known."));
  for (const turn of row.asked ? row.asked.turns : []) {
    made.push(element("p", { class: "role" }, turn.role), textBox(turn.content, `prompt: ${turn.role}`));
  }
  if (row.asked && row.asked.problem) {
    const fields = textBox(row.asked.problem, "fields of the problem");
    made.push(element("details", {}, element("summary", {}, "The problem as its file has it"), fields));
  }
  return made;
}

function otherQuestion(match) {
  const summary = element("summary", {}, `${fullTitle(match.set)} was asked otherwise`);
  return element("details", {}, summary, question(match));
}

function side(row, pieces) {
  const label = `answer: ${fullTitle(row.set)}`;
  const facts = [
    ["outcome", state(row)],
    ["grader read", row.answer || "nothing"],
    ...(row.reason ? [["reason", row.reason]] : []),
    ["scores", Object.entries(row.scores || {}).map(([name, [right, of]]) => `${name} ${right} of ${of}`).join(", ")],
    ["ended", `${row.finish || "not known"}, ${counted(row.tokens || 0)} tokens`],
  ];
  const links = [link("all its items", { set: row.set.id }), jobLink("its job: commit, image, machine", row.set.job)];
  if (row.set.trained_on) links.push(link("pairs it was tuned on", { set: row.set.trained_on }));
  return element(
    "section",
    { class: "side", "aria-label": label },
    element("h4", { dir: "auto" }, fullTitle(row.set)),
    markedBox(pieces, label),
    element("dl", {}, facts.map(([name, value]) => fact(name, value))),
    replies(row, "h5"),
    element("p", {}, spaced(links)),
  );
}

function replies(row, heading) {
  if (!row.verdicts.length) return null;
  const made = row.verdicts.flatMap((verdict) => [
    element("p", { class: "role" }, `${verdict.id}: ${verdict.label || "no label"} ${verdict.model || ""}`.trim()),
    verdict.text
      ? textBox(verdict.text, `reply: ${verdict.id}`)
      : element("p", { class: "note" }, "No reply: the judge was asked for the likelihood of each label."),
  ]);
  return element("div", {}, element(heading, {}, "What the judge said"), made);
}

/** Return links to the list, and to the rows before and after this one among those that the list shows. */
function neighbours(list, row) {
  const { set, query } = list;
  const found = matching(list);
  const rows = found.includes(row) ? found : list.rows;
  const place = rows.indexOf(row);
  const view = set.kind === "items" ? "item" : "row";
  const near = [
    ["Previous", rows[place - 1]],
    ["Next", rows[place + 1]],
  ].filter(([, one]) => one);
  const links = near.map(([text, one]) => link(`${text}: ${one.id}`, { ...query, [view]: one.id }));
  const { [view]: _, ...back } = query;
  links.unshift(link("back to the list", back));
  const where = element("span", { class: "note" }, `${counted(place + 1)} of ${counted(rows.length)}`);
  return element("p", { class: "neighbours" }, spaced([...links, where]));
}

/** Show a row of an instruction set: seed instruction, what each round made of it, response; scores and replies. */
async function showRow(query) {
  const list = await listOf(query);
  const row = await find(list.set, query.row);
  const match = list.other ? list.other.byId.get(query.row) : null;
  const rows = match ? [row, match] : [row];
  const columns = element("div", { class: match ? "pair two" : "pair" });
  const marking = element("input", { type: "checkbox", checked: true });
  const draw = () => columns.replaceChildren(...rows.map((one) => way(one, marking.checked)));
  marking.addEventListener("change", draw);
  draw();
  const label = element("label", { class: "check" }, marking, "mark what each step changed");
  const choice = chooser(list.set, list.other, query);
  const content = [neighbours(list, row), element("div", { class: "tools" }, choice, label)];
  if (list.other && !match) content.push(element("p", {}, `${fullTitle(list.other)} has no such row.`));
  content.push(columns);
  return [`${row.id}: ${fullTitle(list.set)}`, content];
}

/** Return the way of one row, with its numbers and the judge's replies. */
function way(row, marks) {
  const values = Object.entries(row.values || {}).map(([name, value]) => fact(name, numberText(value)));
  return element(
    "section",
    { class: "side", "aria-label": fullTitle(row.set) },
    element("h3", { dir: "auto" }, fullTitle(row.set)),
    values.length ? element("dl", {}, values) : null,
    row.skipped ? element("p", {}, `Without a score: ${row.skipped}`) : null,
    chain(row, marks),
    replies(row, "h4"),
    element("p", {}, jobLink("the job: commit, image, machine", row.set.job)),
  );
}

function chain(row, marks) {
  if (!row.texts.length) return [element("p", { class: "note" }, "Its texts are not known.")];
  return row.texts.flatMap((step, place) => {
    const before = row.texts[place - 1];
    const changed = marks && before && step.label.startsWith("round");
    const pieces = changed ? differences(before.text, step.text)[1] : same(step.text);
    const unchanged = changed && before.text === step.text ? element("p", { class: "note" }, "Nothing changed.") : null;
    const title = step.by ? `${step.label}, by ${step.by}` : step.label;
    return [element("h4", { dir: "auto" }, title), unchanged, markedBox(pieces, step.label)];
  });
}

/** Show a job: which commit, image and machine made it, from what, and the command that shows it in a terminal. */
async function showJob(query) {
  if (head.damage) throw new Error(head.damage);
  const { jobs } = await openBlock("jobs");
  const jobOf = (key) => (Object.hasOwn(jobs, key) ? jobs[key] : null);
  const job = jobOf(query.job);
  if (!job) throw new Error(`There is no job ${query.job} in this page.`);
  const inputs = Object.entries(job.inputs).map(([role, key]) =>
    fact(role, jobOf(key) ? jobLink(jobOf(key).id, key) : `${key.slice(0, 12)}, not in the store`),
  );
  const own = head.sets.filter((set) => set.job === query.job);
  const params = textBox(JSON.stringify(job.params, null, 1), "parameters");
  const command = element("pre", { class: "command", tabindex: "0" }, element("code", {}, job.command));
  return [
    job.id,
    [
      element("dl", {}, [["key", query.job], ...job.facts].map(([name, text]) => fact(name, text))),
      own.length ? element("p", {}, spaced(own.map((set) => link(`rows: ${fullTitle(set)}`, { set: set.id })))) : null,
      element("h3", {}, "Made from"),
      inputs.length ? element("dl", {}, inputs) : element("p", {}, "nothing: it was fetched"),
      element("details", {}, element("summary", {}, "Parameters"), params),
      element("h3", {}, "In a terminal"),
      command,
      copying(job.command),
    ],
  ];
}

function copying(text) {
  if (!navigator.clipboard) return null;
  const button = element("button", { type: "button" }, "Copy the command");
  const say = (words) => () => button.replaceChildren(words);
  button.addEventListener("click", () => {
    navigator.clipboard.writeText(text).then(say("Copied"), say("Not allowed here: select it and copy"));
  });
  return element("p", { role: "status" }, button);
}

// ---------------------------------------------------------------- ways

const VIEWS = { item: showItem, row: showRow, job: showJob, set: showList };

/** Show what the page's address names: a view of the explorer, or the report itself. */
async function go() {
  clearTimeout(waiting);
  const hash = location.hash;
  const mine = ++shown;
  const query = Object.fromEntries(new URLSearchParams(hash.slice(1).replaceAll("+", "%2B")));
  const part = decoded(hash.slice(1));
  if (!part || document.getElementById(part)) showReport(part);
  else await showView(query, mine);
  if (mine === shown) explorer.dataset.shown = hash;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function showView(query, mine) {
  const view = Object.keys(VIEWS).find((name) => query[name]);
  let [title, content, finish] = ["This can't be shown", [], null];
  explorer.parentElement.setAttribute("aria-busy", "true");
  try {
    if (!view) throw new Error(`The report has no part and no rows named ${cut(location.hash, 80)}.`);
    [title, content, finish] = await VIEWS[view](query);
  } catch (error) {
    content = [element("p", { class: "alert", role: "alert" }, error.message)];
  }
  if (mine !== shown) return; // something else was asked for meanwhile
  explorer.parentElement.removeAttribute("aria-busy");
  const heading = element("h2", { id: "explorer-title", tabindex: "-1", dir: "auto" }, title);
  const back = element("p", {}, element("a", { href: "#main" }, "Back to the report"));
  explorer.replaceChildren(back, heading, ...content.filter(Boolean));
  if (finish) finish();
  document.title = `${title} - ${reportTitle}`;
  parts.hidden = true;
  explorer.hidden = false;
  document.body.classList.add("exploring");
  heading.focus();
}

/** Show the report at one of its parts; on the way back from the explorer, at the number that led there. */
function showReport(part) {
  const returning = !explorer.hidden && (!part || part === "main");
  explorer.hidden = true;
  explorer.replaceChildren();
  explorer.parentElement.removeAttribute("aria-busy");
  document.title = reportTitle;
  parts.hidden = false;
  document.body.classList.remove("exploring");
  if (returning) (opener || document.getElementById("main")).focus();
  else if (part) document.getElementById(part).scrollIntoView();
}

/** Skip to what is shown: the explorer's heading stands where the report did. */
function skip(event) {
  if (explorer.hidden) return;
  event.preventDefault();
  document.getElementById("explorer-title").focus();
}

parts.addEventListener("click", (event) => {
  opener = event.target.closest("a") || opener;
});
document.querySelector(".skip").addEventListener("click", skip);
const hasItems = head.sets.some((set) => set.kind === "items");
for (const hidden of document.querySelectorAll(".needs-script")) hidden.hidden = !hasItems;
addEventListener("hashchange", go);
go();
