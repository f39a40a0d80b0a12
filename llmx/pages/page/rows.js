// The rows: a list of which only what can be seen is on the page, and the filters. Flags are looked at in an instant; text and
// values by unpacking chunk after chunk, with room for the page in between.

const ROW = 64; // pixels
const TALLEST = 12e6; // pixels that every browser lays out: a longer list is scrolled in larger steps

const SHOW = [
  ["all", "All rows", () => true],
  ["failed", "Failed", (flags) => flags & FAILED],
  ["ok", "Not failed", (flags) => !(flags & FAILED)],
  ["gold", "Differ from gold", (flags) => flags & DISAGREES],
  ["changed", "Differ from the other run", (flags) => flags & CHANGED],
  ["low", "Low confidence", (flags, confidence, most) => confidence !== NO_CONFIDENCE && confidence <= most * 200 + 1e-9],
  ["uncited", "A quote not found", (flags) => flags & UNCITED],
];

const OPS = [["is", "is"], ["not", "is not"], ["has", "contains"], ["null", "is null"], ["some", "is not null"], ["least", "at least"], ["most", "at most"]];

const browser = {
  found: null, // numbers of the rows that are shown, in order; null for all there are
  selected: -1,
  search: 0, // which search is going on: an earlier one stops
  seen: 0, // rows that the last search has looked at
  columns: null,

  start() {
    this.columns = columnsOf(store.summary);
    this.offer();
    const later = delayed(() => this.filter(), 150);
    for (const id of ["search", "value"]) byId(id).addEventListener("input", later);
    byId("threshold").addEventListener("input", later);
    for (const id of ["show", "op"]) byId(id).addEventListener("change", () => this.filter());
    byId("field").addEventListener("change", () => this.filter(this.suggest()));
    byId("clear").addEventListener("click", () => this.clear());
    byId("fresh").addEventListener("click", () => this.filter());
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    const list = byId("list");
    list.addEventListener("scroll", () => this.draw(), { passive: true });
    list.addEventListener("click", (event) => {
      const row = event.target.closest("[data-at]");
      if (row) this.select(Number(row.dataset.at), true);
    });
    new ResizeObserver(() => this.draw()).observe(list);
    this.filter();
  },

  // The filters that make sense for these rows.
  offer() {
    const has = (flag) => store.flags.some((flags) => flags & flag);
    const there = { failed: has(FAILED), ok: has(FAILED), gold: has(DISAGREES), changed: store.summary.compare !== null, low: store.confidence.some((share) => share !== NO_CONFIDENCE), uncited: has(UNCITED) };
    const options = SHOW.filter(([name]) => name === "all" || there[name] || byId("show").value === name);
    keeping(byId("show"), () => byId("show").replaceChildren(...options.map(([name, title]) => h("option", { value: name, text: title }))));
    const fields = store.summary.fields.filter((field) => field.kind !== "object");
    keeping(byId("field"), () => byId("field").replaceChildren(h("option", { value: "", text: "Any field" }), ...fields.map((field) => h("option", { value: field.path, text: plainText(field.path) }))));
    if (!byId("op").options.length) byId("op").append(...OPS.map(([name, title]) => h("option", { value: name, text: title })));
  },

  // Values to choose from, once a field is chosen.
  suggest() {
    const field = store.summary.fields.find((one) => one.path === byId("field").value);
    const values = (field && field.values) || [];
    byId("values").replaceChildren(...values.map(([value]) => h("option", { value: asText(value) })));
  },

  wanted() {
    const path = byId("field").value;
    const field = store.summary.fields.find((one) => one.path === path);
    const value = byId("value").value, op = byId("op").value;
    const needless = op === "null" || op === "some";
    return { text: byId("search").value, show: byId("show").value, most: Number(byId("threshold").value), field: field && (needless || value !== "") ? field : null, op, value };
  },

  set(path, op, value) {
    this.reset();
    byId("field").value = path;
    byId("op").value = op;
    byId("value").value = value;
    this.suggest();
    this.filter();
  },

  only(show) {
    this.reset();
    byId("show").value = show;
    this.filter();
  },

  reset() {
    for (const id of ["search", "value", "field"]) byId(id).value = "";
    byId("show").value = "all";
    byId("op").value = "is";
  },

  clear() {
    this.reset();
    this.filter();
    byId("search").focus();
  },

  // Look for the rows that are wanted, and show them as they are found.
  async filter() {
    const wanted = this.wanted(), mine = ++this.search;
    const chosen = byId("field").value !== "";
    byId("limit").hidden = wanted.show !== "low";
    byId("op").hidden = !chosen;
    byId("value").hidden = !chosen || wanted.op === "null" || wanted.op === "some";
    byId("clear").hidden = !(wanted.text || chosen || wanted.show !== "all");
    byId("fresh").hidden = true;
    const before = this.selected >= 0 ? this.rowAt(this.selected) : null;
    const flagged = this.flagged(wanted);
    this.seen = store.rows;
    if (!wanted.text && !wanted.field) {
      this.put(flagged, before);
      this.tell(false);
      return;
    }
    this.put([], null);
    await this.scan(wanted, flagged, mine);
  },

  flagged({ show, most }) {
    const passes = SHOW.find(([name]) => name === show)[2];
    if (show === "all") return null;
    const found = [];
    for (let row = 0; row < store.rows; row++) if (passes(store.flags[row], store.confidence[row], most)) found.push(row);
    return found;
  },

  async scan(wanted, flagged, mine) {
    const progress = byId("progress");
    const allowed = flagged && new Set(flagged);
    const matches = matcher(wanted);
    let breath = performance.now();
    for (let number = 0; number < store.summary.chunks.length; number++) {
      const lines = await store.lines(number);
      if (mine !== this.search) return;
      const first = store.summary.chunks[number][0];
      lines.forEach((line, at) => {
        if ((!allowed || allowed.has(first + at)) && matches(line)) this.found.push(first + at);
      });
      progress.value = (number + 1) / store.summary.chunks.length;
      if (performance.now() - breath > 40) {
        this.tell(true);
        this.size();
        await new Promise((resume) => setTimeout(resume));
        if (mine !== this.search) return;
        breath = performance.now();
      }
    }
    this.size();
    this.tell(false);
  },

  put(found, before) {
    this.found = found;
    const at = before === null ? -1 : found ? found.indexOf(before) : before;
    this.selected = at;
    byId("list").scrollTop = 0;
    this.size();
    if (at >= 0) this.reveal(at);
  },

  tell(searching) {
    const found = this.length, all = store.rows;
    byId("progress").hidden = !searching;
    byId("count").textContent = (found === all ? plural(all, "row") : count(found) + " of " + plural(all, "row")) + (searching ? " so far" : "");
  },

  get length() {
    return this.found ? this.found.length : store.rows;
  },

  rowAt(at) {
    return this.found ? this.found[at] : at;
  },

  size() {
    byId("spacer").style.blockSize = Math.min(TALLEST, this.length * ROW) + "px";
    this.draw();
  },

  // The place in the list at the top of what can be seen, and how tall the whole list would be.
  top() {
    const list = byId("list"), whole = this.length * ROW;
    const room = Math.min(TALLEST, whole) - list.clientHeight;
    return room <= 0 ? 0 : (list.scrollTop / room) * (whole - list.clientHeight);
  },

  draw() {
    const list = byId("list"), spacer = byId("spacer");
    if (!list.clientHeight) return;
    const top = this.top();
    const from = Math.max(0, Math.floor(top / ROW) - 4), to = Math.min(this.length, Math.ceil((top + list.clientHeight) / ROW) + 4);
    const drawn = [];
    for (let at = from; at < to; at++) {
      const element = rowElement(this.rowAt(at), at, this.length, at === this.selected);
      element.style.transform = `translateY(${list.scrollTop + at * ROW - top}px)`;
      drawn.push(element);
    }
    if (!this.length) drawn.push(h("p", { class: "nothing", text: store.rows ? "No row is like this." : live ? "There are no rows yet." : "There are no rows here." }));
    spacer.replaceChildren(...drawn);
    if (this.selected >= from && this.selected < to) list.setAttribute("aria-activedescendant", "row-" + this.selected);
    else list.removeAttribute("aria-activedescendant");
  },

  reveal(at) {
    const list = byId("list"), whole = this.length * ROW, top = this.top();
    const above = at * ROW, below = above + ROW - list.clientHeight;
    const wanted = above < top ? above : below > top ? below : top;
    const room = Math.min(TALLEST, whole) - list.clientHeight;
    if (room > 0) list.scrollTop = (wanted / (whole - list.clientHeight)) * room;
    this.draw();
  },

  select(at, open) {
    if (!this.length) return;
    this.selected = Math.max(0, Math.min(this.length - 1, at));
    this.reveal(this.selected);
    detail.show(this.rowAt(this.selected), this.selected, this.length);
    if (open) byId("browser").classList.add("reading");
  },

  // Show one row, whatever the filters.
  async go(row) {
    if (this.found && !this.found.includes(row)) {
      this.reset();
      await this.filter();
    }
    const at = this.found ? this.found.indexOf(row) : row;
    if (row < store.rows) this.select(at, true);
  },

  // More rows have come while the run goes on.
  grow() {
    this.columns = columnsOf(store.summary);
    this.offer();
    const wanted = this.wanted();
    if (!wanted.text && !wanted.field) {
      this.found = this.flagged(wanted);
      this.size();
      this.tell(false);
    } else if (store.rows > this.seen) {
      byId("fresh").hidden = false;
      byId("fresh").textContent = plural(store.rows - this.seen, "new row") + ": search again";
    }
  },
};

function delayed(act, wait) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(act, wait);
  };
}

function keeping(select, change) {
  const value = select.value;
  change();
  if (value) select.value = value;
}

// Whether a line is wanted: a look at the line as it is rules most out without reading its JSON.
function matcher({ text, field, op, value }) {
  const needle = text.toLowerCase();
  const written = JSON.stringify(needle).slice(1, -1);
  const holds = field ? comparison(op, value) : null;
  return (line) => {
    if (needle && !line.toLowerCase().includes(written)) return false;
    const row = rowOf(line);
    return (!needle || holdsText([row.r, row.e, row.g, row.o], needle)) && (!field || holds(valuesAt(row.r, field)));
  };
}

function holdsText(value, needle) {
  if (value === null || value === undefined) return false;
  if (typeof value === "object") return Object.values(value).some((inner) => holdsText(inner, needle));
  return String(value).toLowerCase().includes(needle);
}

function comparison(op, value) {
  const low = value.toLowerCase(), number = Number(value);
  const isNull = (found) => found === null || found === undefined;
  const equal = (found) => !isNull(found) && asText(found).toLowerCase() === low;
  switch (op) {
    case "is": return (all) => all.some(equal);
    case "not": return (all) => !all.some(equal);
    case "has": return (all) => all.some((found) => !isNull(found) && asText(found).toLowerCase().includes(low));
    case "null": return (all) => all.some(isNull);
    case "some": return (all) => all.some((found) => !isNull(found));
    default: return (all) => all.some((found) => !isNull(found) && found !== "" && typeof found !== "boolean" && (op === "least" ? Number(found) >= number : Number(found) <= number));
  }
}

function rowElement(row, at, length, selected) {
  const element = h("div", { class: "row" + (selected ? " selected" : ""), id: "row-" + at, "data-at": at, role: "option", "aria-selected": String(selected), "aria-posinset": at + 1, "aria-setsize": length });
  const held = store.texts.get(store.chunkOf(row));
  if (held && held.ready) fillRow(element, row, rowOf(held.ready[row - store.summary.chunks[store.chunkOf(row)][0]]));
  else {
    element.append(h("span", { class: "index", text: count(row + 1) }));
    store.row(row).then((data) => element.isConnected && fillRow(element, row, data), () => {});
  }
  return element;
}

function fillRow(element, row, data) {
  const { subject, fields } = browser.columns;
  const text = subject === null ? "" : data.r[subject];
  const said = data.e ? [data.e.type, data.e.message].filter(Boolean).join(": ") : fields.filter((column) => data.r[column] !== undefined).slice(0, 8).map((column) => column + ": " + brief(data.r[column])).join("  ·  ");
  element.replaceChildren(
    h("span", { class: "index", text: count(row + 1) }),
    h("span", { class: "said" }, h("bdi", { class: "first" }, shown(oneLine(data.e || said ? said : "no fields"))), h("bdi", { class: "second" }, shown(oneLine(text === undefined || text === null ? data.k || "" : asText(text))))),
    h("span", { class: "badges" }, badges(row)));
}

const brief = (value) => (value === null ? "null" : asText(value).slice(0, 120));
const oneLine = (text) => text.slice(0, 300).replace(/\s+/g, " ");

function badges(row) {
  const flags = store.flags[row], confidence = store.confidence[row];
  const all = [];
  if (flags & FAILED) all.push(["failed", "bad"]);
  if (flags & DISAGREES) all.push(["≠ gold", "warn"]);
  if (flags & CHANGED) all.push(["≠ other", "one"]);
  if (flags & UNCITED) all.push(["no quote", "warn"]);
  if (confidence !== NO_CONFIDENCE) all.push([(confidence < 200 ? Math.min(99, Math.round(confidence / 2)) : 100) + " %", confidence / 200 <= Number(byId("threshold").value) ? "warn" : "plain"]);
  return all.map(([text, kind]) => h("span", { class: "badge " + kind, text, title: text.endsWith("%") ? "the least confidence of its fields" : null }));
}
