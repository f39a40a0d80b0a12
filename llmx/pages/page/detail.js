// One row: its text with the quotes marked, its fields beside gold, evidence and another run.

const detail = {
  showing: -1,

  async show(row, at, length) {
    this.showing = row;
    const pane = byId("detail");
    history.replaceState(null, "", "#row-" + (row + 1));
    let data;
    try {
      data = await store.row(row);
    } catch (error) {
      pane.replaceChildren(h("p", { class: "note", text: "The row could not be read: " + error.message }));
      return;
    }
    if (this.showing !== row) return;
    pane.scrollTop = 0;
    pane.replaceChildren(...this.parts(row, at, length, data));
  },

  parts(row, at, length, data) {
    const leaves = leavesOf(data);
    const marks = quotesOf(data, leaves);
    return [
      h("header", null, h("div", { class: "title" }, h("h3", null, "Row " + count(row + 1), data.k !== undefined && h("span", { class: "key" }, " · ", h("bdi", null, shown(data.k)))), h("span", { class: "badges" }, badges(row))),
        h("div", { class: "moves" }, step("Previous row", "‹", at - 1, length), step("Next row", "›", at + 1, length), h("button", { type: "button", class: "quiet close", "aria-label": "Back to the list", on: { click: () => closeDetail() } }, "Back"))),
      data.e && errorBox(data.e),
      data.o === null && h("p", { class: "note", text: "The other run has no row with this key." }),
      data.oe && h("div", { class: "note" }, h("p", null, "In the other run this row failed: ", h("bdi", null, shown(String(data.oe.message || data.oe.type))))),
      ...sourcesOf(data, marks),
      fieldTable(data, leaves, marks),
      metaOf(data),
      fold("raw", "The row as JSON", h("pre", { class: "raw", tabindex: "0" }, shown(JSON.stringify(data.r, null, 2)))),
    ].filter(Boolean);
  },
};

function step(label, sign, to, length) {
  return h("button", { type: "button", class: "quiet", "aria-label": label, disabled: to < 0 || to >= length, on: { click: () => browser.select(to, true) } }, sign);
}

function closeDetail() {
  byId("browser").classList.remove("reading");
  byId("list").focus();
}

function errorBox(error) {
  const about = [error.line !== null && error.line !== undefined && "line " + error.line, error.attempts && plural(error.attempts, "call"), typeof error.cost === "number" && dollars(error.cost)].filter(Boolean);
  return h("div", { class: "error-box" }, h("p", null, h("b", null, shown(String(error.type || "failed"))), about.length > 0 && h("span", { class: "muted", text: " · " + about.join(" · ") })),
    h("p", null, h("bdi", null, shown(asText(error.message || "")))),
    error.raw && fold("last-answer", "The last answer, or the line", h("pre", { class: "raw", tabindex: "0" }, shown(asText(error.raw)))));
}

// The texts that the model has read, the quotes in them marked.
function sourcesOf(data, { byColumn }) {
  const { inputs, subject } = browser.columns;
  const columns = Object.keys(data.r).filter((column) => byColumn.has(column) || column === subject || (inputs.has(column) && typeof data.r[column] === "string" && data.r[column].length > 60));
  return columns.filter((column) => typeof data.r[column] === "string").map((column) => h("div", { class: "source" }, h("h4", null, h("bdi", null, shown(column))), h("div", { class: "source-text", dir: "auto" }, marked(data.r[column], byColumn.get(column) || []))));
}

// Fields, and the columns that were read but shown above.
function fieldTable(data, leaves, marks) {
  const { inputs, known, subject, fields } = browser.columns;
  const texts = new Set([subject, ...marks.byColumn.keys()]);
  const head = (path) => path.split(".")[0];
  const columnOf = (path) => (Object.hasOwn(data.r, path) || Object.hasOwn(data.o || {}, path) ? path : head(path));
  const isField = (path) => (known ? !inputs.has(columnOf(path)) : fields.includes(columnOf(path))) && columnOf(path) !== "gold";
  const isJudged = (path) => Object.hasOwn(data.g || {}, path) || Object.hasOwn(data.o || {}, path);
  const isShownAbove = (path) => !isJudged(path) && (texts.has(path) || (inputs.has(path) && typeof data.r[path] === "string" && data.r[path].length > 60));
  const rows = [...leaves].filter(([path]) => isField(path) && !isShownAbove(path)), others = [...leaves].filter(([path]) => !isField(path) && !isShownAbove(path));
  const block = (title, some) => some.length > 0 && h("div", { class: "block" }, h("h4", { text: title }), fieldRows(data, some, marks, columnOf));
  return h("div", null, block(known ? "Fields" : "Columns", rows), block("Other columns", others));
}

function fieldRows(data, leaves, marks, columnOf) {
  const wide = { other: data.o !== undefined && data.o !== null, confidence: data.c, evidence: data.v };
  const head = ["field", store.summary.compare ? "this run" : "value", wide.other && "other run", wide.confidence && "confidence", wide.evidence && "evidence"].filter(Boolean);
  const body = leaves.map(([path, value]) => {
    const wrong = data.g && Object.hasOwn(data.g, path);
    const cells = [
      cell("field", h("span", { class: "path" }, marks.numbers.has(path) && h("span", { class: "swatch q" + (marks.numbers.get(path) % 6), "aria-hidden": "true" }), h("bdi", null, shown(path)))),
      cell(head[1], valueNode(value), wrong && h("div", { class: "gold" }, h("span", { class: "muted", text: "gold: " }), valueNode(data.g[path]))),
    ];
    if (wide.other) cells.push(otherCell(data, path, value, columnOf(path)));
    if (wide.confidence) cells.push(confidenceCell(data.c, path));
    if (wide.evidence) cells.push(evidenceCell(data.v, path));
    return h("tr", { class: wrong ? "wrong" : null, "data-number": marks.numbers.get(path), on: { mouseenter: () => light(marks.numbers.get(path)), mouseleave: () => light() } }, cells);
  });
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Fields of the row" }, h("table", { class: "stacking" }, h("thead", null, h("tr", null, head.map((name) => h("th", { scope: "col", text: name })))), h("tbody", null, body)));
}

const cell = (label, ...content) => h("td", { "data-label": label, class: label === "field" ? "name" : null }, h("div", { class: "cell" }, content));
const emptyCell = (label) => h("td", { "data-label": label, class: "empty-cell" }, h("span", { class: "muted", text: "–" }));

function otherCell(data, path, value, column) {
  if (!Object.hasOwn(data.o, column)) return cell("other run", h("span", { class: "muted", text: data.oe ? "–" : "same" }));
  const other = valueAt(data.o, path);
  return JSON.stringify(other) === JSON.stringify(value) ? cell("other run", h("span", { class: "muted", text: "same" })) : cell("other run", h("span", { class: "differs" }, valueNode(other)));
}

function confidenceCell(confidence, path) {
  const known = about(confidence, path);
  if (!known.length) return emptyCell("confidence");
  const least = Math.min(...known.map((pair) => pair[1]));
  const kind = least <= Number(byId("threshold").value) ? "warn" : "good";
  return cell("confidence", h("span", { class: "confidence" }, meter(least, kind), h("span", { class: "num", text: Math.round(least * 100) + " %" })));
}

function evidenceCell(evidence, path) {
  const quotes = about(evidence, path);
  if (!quotes.length) return emptyCell("evidence");
  return cell("evidence", h("div", { class: "quotes" }, quotes.map(([name, quote]) => (quote ? h("div", null, h("button", { type: "button", class: "quote", title: "Show it in the text", on: { click: () => pointAt(name) } }, h("q", { dir: "auto" }, shown(String(quote.quote)))), (quote.match === "normalized" || quote.match === "fuzzy") && h("span", { class: "muted", text: " " + quote.match })) : h("span", { class: "badge warn", text: "quote not found" })))));
}

// Bring a quote into view, and light it up.
function pointAt(path) {
  const marks = [...byId("detail").querySelectorAll("mark")];
  const found = marks.filter((mark) => mark.paths.includes(path));
  for (const mark of marks) mark.classList.toggle("lit", found.includes(mark));
  if (found.length) found[0].scrollIntoView({ block: "nearest" });
}

// Light up the quotes of a field.
function light(number) {
  for (const mark of byId("detail").querySelectorAll("mark")) mark.classList.toggle("lit", number !== undefined && mark.dataset.fields.split(" ").includes(String(number)));
}

function metaOf({ m }) {
  if (!m) return null;
  const facts = Object.entries(m).filter((pair) => pair[1] !== null && pair[1] !== undefined).map(([name, value]) => h("div", null, h("dt", null, shown(name)), h("dd", null, name === "cost" ? dollars(Number(value)) : shown(asText(value)))));
  return h("dl", { class: "meta" }, facts);
}
