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

// ---------------------------------------------------------------- lists

/** Show the rows of a set, or of all sets of items: search, filter, compare, a page of rows at a time. */
async function showList(query) {
  const all = query.set === "all";
  const set = all ? null : setNamed(query.set);
  const other = query.beside ? setNamed(query.beside) : null;
  const from = all ? head.sets.filter((one) => one.kind === "items") : [set];
  const rows = (await Promise.all(from.map(rowsOf))).flat();
  if (other) await rowsOf(other);
  const list = { query: { ...query }, all, set, other, rows, body: element("div"), count: element("p") };
  list.count.setAttribute("role", "status");
  const title = all ? `All items: ${counted(rows.length)} of ${counted(from.length)} sets` : fullTitle(set);
  return [title, [...about(list), tools(list), list.count, list.body], () => fillList(list)];
}

function about({ all, set, other }) {
  if (all) return [];
  const facts = [];
  for (const [table, place, said] of set.numbers || []) facts.push([table, said ? `${place}: ${said}` : place]);
  facts.push(["rows", counted(set.count)]);
  const links = [jobLink("the job that made it", set.job)];
  if (set.trained_on) links.push(link("pairs that its model was tuned on", { set: set.trained_on }));
  const made = [element("dl", {}, facts.map(([name, text]) => fact(name, text))), element("p", {}, spaced(links))];
  if (set.note) made.push(element("p", { class: "note" }, set.note));
  if (other) made.push(element("p", {}, "Beside it: ", link(fullTitle(other), { set: other.id })));
  return made;
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
  if (list.all || list.set.kind === "items") found.push(filter(list));
  if (list.set) found.push(chooser(list));
  return element("div", { class: "tools", role: "search" }, found);
}

function filter(list) {
  const names = { ...FILTERS, ...(list.other ? COMPARED : {}) };
  const options = Object.entries(names).map(([value, text]) => {
    const count = list.rows.filter((row) => passes(row, value, list.other)).length;
    return element("option", { value, selected: value === (list.query.show || "") }, `${text} (${counted(count)})`);
  });
  const chosen = element("select", {}, options);
  chosen.addEventListener("change", () => change(list, { show: chosen.value, page: "" }));
  return element("label", {}, "Show", chosen);
}

function chooser(list) {
  const options = comparable(list.set).map((set) =>
    element("option", { value: set.id, selected: set === list.other }, fullTitle(set)),
  );
  if (!options.length) return null;
  const chosen = element("select", {}, element("option", { value: "" }, "nothing"), options);
  chosen.addEventListener("change", () => {
    location.hash = address({ ...list.query, beside: chosen.value, show: "", page: "" });
  });
  return element("label", {}, "Beside", chosen);
}

/** Change what a list shows, and the page's address with it, without a step back in the history for each letter. */
function change(list, changes) {
  Object.assign(list.query, changes);
  history.replaceState(null, "", address(list.query));
  fillList(list);
}

function passes(row, show, other) {
  if (!show) return true;
  if (!(show in COMPARED)) return row.state === show;
  const match = other && other.byId && other.byId.get(row.id);
  if (!match) return false;
  if (show === "first") return row.state === "right" && match.state !== "right";
  if (show === "second") return row.state !== "right" && match.state === "right";
  return show === "differ" ? row.state !== match.state : row.text !== match.text;
}

function fillList(list) {
  const words = (list.query.find || "").toLowerCase();
  const show = list.query.show || "";
  const found = list.rows.filter((row) => (!words || row.words.includes(words)) && passes(row, show, list.other));
  const pages = Math.max(1, Math.ceil(found.length / ROWS_A_PAGE));
  const page = Math.min(Math.max(1, Number(list.query.page) || 1), pages);
  const some = found.slice((page - 1) * ROWS_A_PAGE, page * ROWS_A_PAGE);
  list.count.textContent = `${counted(found.length)} of ${counted(list.rows.length)} rows`;
  const table = element(
    "table",
    { class: "rows" },
    element("thead", {}, element("tr", {}, headings(list).map((text) => element("th", { scope: "col" }, text)))),
    element("tbody", {}, some.map((row) => listed(row, list))),
  );
  const label = { class: "scroll", tabindex: "0", role: "region", "aria-label": "Rows" };
  list.body.replaceChildren(element("div", label, table), ...(pages > 1 ? [turning(list, page, pages)] : []));
}

function turning(list, page, pages) {
  const button = (text, to) => {
    const made = element("button", { type: "button", disabled: to < 1 || to > pages }, text);
    made.addEventListener("click", () => change(list, { page: String(to) }));
    return made;
  };
  const where = element("span", {}, `page ${page} of ${pages}`);
  return element("div", { class: "tools" }, button("Previous rows", page - 1), where, button("Next rows", page + 1));
}

function headings({ all, set, other }) {
  if (all) return ["item", "outcome", "answer", "set"];
  if (set.kind === "items") return other ? ["item", "first", "second", "answer"] : ["item", "outcome", "read", "answer"];
  if (set.kind === "scores") return ["row", ...(set.metrics || []), "instruction"];
  return ["row", "seed instruction", "response"];
}

function listed(row, list) {
  const view = row.set.kind === "items" ? "item" : "row";
  const query = { [view]: row.id, set: row.set.id, beside: list.other ? list.other.id : "" };
  const cells = [element("th", { scope: "row" }, link(row.id, query))];
  for (const cell of columns(row, list)) cells.push(element("td", {}, cell));
  return element("tr", {}, cells);
}

function columns(row, { all, set, other }) {
  if (all) return [state(row), beginning(row.text), row.set.title];
  if (set.kind === "items") {
    const match = other && other.byId && other.byId.get(row.id);
    return other
      ? [state(row), match ? state(match) : "not there", beginning(row.text)]
      : [state(row), beginning(row.answer), beginning(row.text)];
  }
  const last = row.texts[row.texts.length - 1];
  if (set.kind === "scores") {
    const values = (set.metrics || []).map((name) => numberText(row.values && row.values[name], row.skipped));
    return [...values, beginning(last && last.text)];
  }
  return [beginning(row.texts[0] && row.texts[0].text), beginning(last && last.text)];
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
  const set = setNamed(query.set);
  const row = await find(set, query.item);
  const other = query.beside ? setNamed(query.beside) : null;
  const match = other ? await find(other, query.item) : null;
  const texts = match ? differences(row.text, match.text) : [[{ text: row.text, kind: "same" }]];
  const sides = [row, ...(match ? [match] : [])].map((one, place) => side(one, texts[place]));
  const content = [neighbours(set, row, query), ...question(row)];
  content.push(element("h3", {}, match ? "Answers" : "Answer"));
  if (match && match.text === row.text) content.push(element("p", {}, "The two answers are identical."));
  content.push(element("div", { class: match ? "pair two" : "pair" }, sides));
  return [`${row.id}: ${set.benchmark}`, content];
}

function question(row) {
  const made = [element("h3", {}, "Prompt")];
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
    replies(row),
    element("p", {}, spaced(links)),
  );
}

function replies(row) {
  if (!row.verdicts.length) return null;
  const made = row.verdicts.flatMap((verdict) => [
    element("p", { class: "role" }, `${verdict.id}: ${verdict.label || "no label"} ${verdict.model}`.trim()),
    verdict.text
      ? textBox(verdict.text, `reply: ${verdict.id}`)
      : element("p", { class: "note" }, "No reply: the judge was asked for the likelihood of each label."),
  ]);
  return element("div", {}, element("h5", {}, "What the judge said"), made);
}

function neighbours(set, row, query) {
  const place = set.rows.indexOf(row);
  const view = set.kind === "items" ? "item" : "row";
  const near = [
    ["Previous", set.rows[place - 1]],
    ["Next", set.rows[place + 1]],
  ].filter(([, one]) => one);
  const links = near.map(([text, one]) => link(`${text}: ${one.id}`, { ...query, [view]: one.id }));
  links.unshift(link("back to the list", { set: set.id, beside: query.beside }));
  return element("p", {}, spaced(links));
}

/** Show a row of an instruction set: seed instruction, what each round made of it, response; scores and replies. */
async function showRow(query) {
  const set = setNamed(query.set);
  const row = await find(set, query.row);
  const steps = element("div");
  const marking = element("input", { type: "checkbox", checked: true });
  const draw = () => steps.replaceChildren(...chain(row, marking.checked));
  marking.addEventListener("change", draw);
  draw();
  const content = [neighbours(set, row, query)];
  for (const [name, value] of Object.entries(row.values || {})) content.push(fact(name, numberText(value)));
  if (row.skipped) content.push(element("p", {}, `Without a score: ${row.skipped}`));
  const label = element("label", { class: "check" }, marking, "mark what each step changed");
  content.push(element("div", { class: "tools" }, label), steps, replies(row));
  content.push(element("p", {}, jobLink("the job: commit, image, machine", set.job)));
  return [`${row.id}: ${fullTitle(set)}`, content];
}

function chain(row, marks) {
  if (!row.texts.length) return [element("p", { class: "note" }, "Its texts are not known.")];
  return row.texts.flatMap((step, place) => {
    const before = row.texts[place - 1];
    const changed = marks && before && step.label.startsWith("round");
    const pieces = changed ? differences(before.text, step.text)[1] : [{ text: step.text, kind: "same" }];
    return [element("h3", { dir: "auto" }, step.by ? `${step.label}, by ${step.by}` : step.label), markedBox(pieces, step.label)];
  });
}

/** Show a job: which commit, image and machine made it, from what, and the command that shows it in a terminal. */
async function showJob(query) {
  const { jobs } = await openBlock("jobs");
  const job = jobs[query.job];
  if (!job) throw new Error(`the page has no job ${query.job}`);
  const inputs = Object.entries(job.inputs).map(([role, key]) =>
    fact(role, jobs[key] ? jobLink(jobs[key].id, key) : `${key.slice(0, 12)}, not in the store`),
  );
  const own = head.sets.filter((set) => set.job === query.job);
  const params = textBox(JSON.stringify(job.params, null, 1), "parameters");
  return [
    job.id,
    [
      element("dl", {}, [["key", query.job], ...job.facts].map(([name, text]) => fact(name, text))),
      own.length ? element("p", {}, spaced(own.map((set) => link(`rows: ${fullTitle(set)}`, { set: set.id })))) : null,
      element("h3", {}, "Made from"),
      inputs.length ? element("dl", {}, inputs) : element("p", {}, "nothing: it was fetched"),
      element("details", {}, element("summary", {}, "Parameters"), params),
      element("p", {}, "In a terminal: ", element("code", {}, job.command)),
    ],
  ];
}

// ---------------------------------------------------------------- ways

const VIEWS = { item: showItem, row: showRow, job: showJob, set: showList };

/** Show what the page's address names: a view of the explorer, or the report itself. */
async function go() {
  const query = Object.fromEntries(new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B")));
  const view = Object.keys(VIEWS).find((name) => query[name]);
  const mine = ++shown;
  if (!view) return showReport();
  let [title, content, finish] = ["", [], null];
  try {
    [title, content, finish] = await VIEWS[view](query);
  } catch (error) {
    [title, content] = ["This can't be shown", [element("p", { class: "alert", role: "alert" }, error.message)]];
  }
  if (mine !== shown) return; // something else was asked for meanwhile
  const heading = element("h2", { id: "explorer-title", tabindex: "-1", dir: "auto" }, title);
  const back = element("p", {}, element("a", { href: "#main" }, "Back to the report"));
  explorer.replaceChildren(back, heading, ...content.filter(Boolean));
  if (finish) finish();
  parts.hidden = true;
  explorer.hidden = false;
  document.body.classList.add("exploring");
  heading.focus();
}

function showReport() {
  explorer.hidden = true;
  explorer.replaceChildren();
  parts.hidden = false;
  document.body.classList.remove("exploring");
  const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (place) place.scrollIntoView();
}

for (const hidden of document.querySelectorAll(".needs-script")) hidden.hidden = false;
addEventListener("hashchange", go);
go();
