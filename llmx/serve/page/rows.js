// The rows of a job, or those that failed: a table of any length, a search in what is loaded, and one row beside it.

import { askJson, jobPath } from "./api.js";
import { errorColumns, fieldsOf, resultColumns } from "./columns.js";
import { asText, count, h, plainText, plural, shown } from "./dom.js";
import { CHUNK, Lines } from "./lines.js";
import { badRows, badge, button, hasEnded, nameOf, problemBox, put, say } from "./parts.js";
import { rowParts } from "./row.js";
import { Scroller } from "./scroller.js";
import { followJob } from "./streams.js";

const ROW = 38, HEAD = 36; // pixels
const SETTLED = 60; // milliseconds after which a place that was scrolled to is asked for
const FRESH = 1_500; // milliseconds between two looks for new rows
const WORK = 25; // milliseconds of a search after which the page has room for what else there is
const CELL = 160; // characters of a cell: all of them are beside the table

export async function rowsView(main, { id, kind, asked }, signal) {
  document.title = (kind === "errors" ? "Errors" : "Results") + " · llmx";
  document.body.className = "rows-open";
  const view = new Rows(id, kind, signal);
  main.append(view.element);
  await view.begin(asked.get("q") || "", Number(asked.get("row")) || 0);
}

class Rows {
  constructor(id, kind, signal) {
    Object.assign(this, { id, kind, signal, columns: null, found: null, selected: -1, searching: 0 });
    const at = "#/job/" + encodeURIComponent(id);
    const other = kind === "errors" ? "results" : "errors";
    this.title = h("h2", { class: "view-title", tabindex: "-1", text: kind === "errors" ? "Errors" : "Results" });
    this.job = h("bdi", null, shown(id));
    this.state = h("span", { role: "status" });
    this.search = h("input", { type: "search", id: "search", placeholder: "Search what is loaded  ( / )", "aria-label": "Search the text of the loaded rows", autocomplete: "off", spellcheck: "false", enterkeyhint: "search" });
    this.count = h("span", { role: "status", class: "number-text" });
    this.all = button("Load all", () => this.loadAll(), "quiet", { hidden: true });
    this.told = h("div");
    this.head = h("div", { class: "grid-row grid-head", role: "row" });
    this.spacer = h("div", { class: "grid-body", role: "rowgroup" });
    this.list = h("div", { class: "list grid", role: "grid", tabindex: "0", "aria-label": "Rows: up and down to move, Enter to open" }, h("div", { role: "rowgroup", class: "grid-top" }, this.head), this.spacer);
    this.detail = h("article", { id: "detail", class: "detail", "aria-label": "The selected row", tabindex: "-1", hidden: true });
    this.panes = h("div", { class: "panes one" }, this.list, this.detail);
    this.element = h("section", { id: "browser", "aria-label": "Rows" },
      h("div", { class: "view-head" }, h("nav", { class: "crumbs", "aria-label": "Where this is" }, h("a", { href: "#/jobs", text: "Jobs" }), h("span", { "aria-hidden": "true", text: "›" }), h("a", { href: at, class: "crumb" }, this.job)), this.title, this.state, h("a", { class: "quiet side", href: at + "/" + other, text: other === "errors" ? "Errors" : "Results" })),
      h("div", { class: "filters", role: "search", "aria-label": "Rows" }, this.search, h("div", { class: "count" }, this.count, this.all)), this.told, this.panes,
      h("p", { class: "keys" }, h("kbd", { text: "/" }), " search ", h("kbd", { text: "j" }), " ", h("kbd", { text: "k" }), " or arrows to move ", h("kbd", { text: "Enter" }), " open ", h("kbd", { text: "Esc" }), " back"));
    this.scroller = new Scroller(this.list, this.spacer, ROW, HEAD, () => this.draw());
  }

  async begin(text, row) {
    const job = await askJson(jobPath(this.id), { signal: this.signal });
    this.know(job);
    const isExploded = Boolean(job.options && job.options.explode);
    const expected = !hasEnded(job) || (isExploded && this.kind === "results") ? 0 : this.kind === "errors" ? badRows(job) : job.rows.ok;
    this.lines = new Lines(jobPath(this.id) + "/" + this.kind, expected, this.signal, () => this.grown());
    this.fields = this.kind === "errors" ? null : await fieldsOf(job, this.signal);
    this.listen();
    this.scroller.watch(this.signal);
    await this.lines.want(0);
    if (row > 0) await this.open(row - 1);
    if (text) {
      this.search.value = text;
      await this.filter();
    }
    await this.follow(job);
  }

  know(job) {
    put(this.job, shown(nameOf(job).slice(0, 120)));
    document.title = `${this.kind === "errors" ? "Errors" : "Results"} of ${nameOf(job).slice(0, 80)} · llmx`;
    put(this.state, !hasEnded(job) && badge(job.state));
  }

  // New rows are looked for while the job goes on.
  async follow(job) {
    if (hasEnded(job)) return;
    let looking = Promise.resolve(), last = 0, later = 0;
    const look = () => {
      last = performance.now();
      looking = looking.then(() => this.lines.more()).catch((error) => this.fail(error));
    };
    await followJob(this.id, (news) => {
      this.know(news);
      clearTimeout(later);
      later = setTimeout(look, hasEnded(news) ? 0 : Math.max(0, FRESH - (performance.now() - last)));
    }, this.signal);
  }

  fail(error) {
    if (this.signal.aborted) return;
    put(this.told, problemBox(error, () => {
      put(this.told);
      this.draw();
    }));
    if (!error.title) reportError(error);
  }

  listen() {
    let timer = 0;
    this.search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.filter(), 150);
    });
    this.list.addEventListener("click", (event) => {
      const row = event.target.closest("[data-at]");
      if (row) this.select(Number(row.dataset.at), true);
    });
    addEventListener("keydown", (event) => this.pressed(event), { signal: this.signal });
  }

  get length() {
    return this.found ? this.found.length : this.lines.length;
  }

  rowAt(at) {
    return this.found ? this.found[at] : at;
  }

  // More rows are known, or loaded.
  grown() {
    if (this.signal.aborted) return;
    if (!this.columns && this.lines.has(0)) this.drawHead();
    this.scroller.resize(this.length);
    this.draw();
    this.tell();
  }

  drawHead() {
    const rows = Array.from({ length: CHUNK }, (_, at) => this.lines.row(at)).filter(Boolean);
    this.columns = this.kind === "errors" ? errorColumns(rows) : resultColumns(rows, this.fields);
    const last = this.columns.length - 1;
    const widths = ["4.6rem", ...this.columns.map(({ width }, at) => (at === last ? `minmax(${width}rem, 1fr)` : width + "rem"))];
    this.list.style.setProperty("--columns", widths.join(" "));
    this.list.setAttribute("aria-colcount", String(this.columns.length + 1));
    put(this.head, h("span", { role: "columnheader", class: "index", text: "#" }), this.columns.map(({ name, isField }) => h("span", { role: "columnheader", class: isField ? "is-field" : null, title: plainText(name.slice(0, 200)) }, shown(name.slice(0, 60)))));
  }

  draw() {
    if (!this.list.clientHeight || !this.lines) return;
    this.list.setAttribute("aria-rowcount", String(this.length + 1));
    const [from, to] = this.scroller.seen;
    const drawn = [];
    for (let at = from; at < to; at++) drawn.push(this.rowElement(at));
    if (!this.length && (this.found || this.lines.end !== null)) drawn.push(h("p", { class: "nothing", text: this.nothing() }));
    this.spacer.replaceChildren(...drawn);
    if (this.selected >= from && this.selected < to) this.list.setAttribute("aria-activedescendant", "row-" + this.selected);
    else this.list.removeAttribute("aria-activedescendant");
    this.wantSoon(from, to);
  }

  nothing() {
    if (this.found) return "No loaded row has this text.";
    return this.kind === "errors" ? "No row has failed." : "There are no rows yet.";
  }

  rowElement(at) {
    const number = this.rowAt(at), row = this.lines.row(number), isSelected = at === this.selected;
    const cells = row && this.columns ? this.columns.map((column) => h("span", { role: "gridcell", class: typeof column.value(row) === "number" ? "number" : null }, cellText(column.value(row)))) : [h("span", { role: "gridcell", class: "muted", text: "…" })];
    const element = h("div", { class: "grid-row" + (isSelected ? " selected" : ""), id: "row-" + at, "data-at": at, role: "row", "aria-selected": String(isSelected), "aria-rowindex": at + 2 }, h("span", { role: "rowheader", class: "index", text: count(number + 1) }), cells);
    element.style.transform = `translateY(${this.scroller.place(at)}px)`;
    return element;
  }

  // Ask for the rows that are looked at, once the list stands still.
  wantSoon(from, to) {
    clearTimeout(this.wanting);
    if (this.found) return;
    const missing = [];
    for (let at = from; at < to; at++) if (!this.lines.has(at) && at < this.length) missing.push(Math.floor(at / CHUNK));
    if (!missing.length || this.told.childElementCount) return;
    this.wanting = setTimeout(() => [...new Set(missing)].forEach((number) => this.lines.want(number * CHUNK).catch((error) => this.fail(error))), SETTLED);
  }

  tell() {
    const { lines } = this, isAll = lines.end !== null && lines.loaded >= lines.end;
    const of = lines.end === null && !lines.expected ? "more than " + count(lines.known) : count(lines.length);
    if (this.found) this.count.textContent = `${count(this.found.length)} of ${plural(lines.loaded, "loaded row")}`;
    else this.count.textContent = isAll ? plural(lines.end, "row") : `${of} rows, ${count(lines.loaded)} loaded`;
    if (!this.isLoading) this.all.textContent = lines.isFull ? "No more can be held" : "Load all";
    this.all.disabled = lines.isFull && !this.isLoading;
    this.all.hidden = isAll && !this.isLoading;
  }

  // Read everything, so that all of it can be searched; the button stops it.
  async loadAll() {
    if (this.isLoading) {
      this.isLoading = false;
      return;
    }
    this.isLoading = true;
    this.all.textContent = "Stop";
    let last = 0;
    const tell = () => {
      if (performance.now() - last > 200) {
        last = performance.now();
        this.tell();
      }
      return this.isLoading && !this.lines.isFull;
    };
    try {
      for (let gap = this.lines.gap; gap !== null && tell(); gap = this.lines.gap) {
        await this.lines.read(gap, Infinity, tell);
        if (this.lines.end !== null && this.lines.gap === gap) break;
      }
    } catch (error) {
      this.fail(error);
    }
    this.isLoading = false;
    this.grown();
    if (this.search.value) await this.filter();
  }

  async filter() {
    const search = ++this.searching, text = this.search.value;
    const found = text ? [] : null;
    if (text) {
      let rested = performance.now();
      for (const some of this.lines.search(text)) {
        found.push(...some);
        if (performance.now() - rested < WORK) continue;
        await new Promise((resume) => setTimeout(resume));
        rested = performance.now();
        if (search !== this.searching || this.signal.aborted) return;
      }
    }
    this.found = found;
    this.selected = -1;
    this.list.scrollTop = 0;
    this.grown();
    say(this.count.textContent);
  }

  async open(row) {
    await this.lines.want(row);
    if (this.lines.has(row)) this.select(row, true);
  }

  async select(at, isOpen) {
    if (!this.length) return;
    this.selected = Math.max(0, Math.min(this.length - 1, at));
    this.scroller.reveal(this.selected);
    const number = this.rowAt(this.selected), wanted = this.selected;
    if (isOpen) this.show();
    this.draw();
    if (!this.lines.has(number)) await this.lines.want(number).catch((error) => this.fail(error));
    if (this.selected === wanted && this.lines.has(number) && !this.detail.hidden) this.drawDetail(number);
  }

  show() {
    this.detail.hidden = false;
    this.panes.classList.remove("one");
    this.element.classList.add("reading");
    this.scroller.reveal(this.selected);
  }

  hide() {
    this.detail.hidden = true;
    this.panes.classList.add("one");
    this.element.classList.remove("reading");
    history.replaceState(null, "", location.hash.split("?")[0]);
    this.draw();
    this.list.focus();
  }

  drawDetail(number) {
    history.replaceState(null, "", location.hash.split("?")[0] + "?row=" + (number + 1));
    this.detail.scrollTop = 0;
    const step = (label, sign, to) => button(sign, () => this.select(to, true), "quiet", { "aria-label": label, disabled: to < 0 || to >= this.length });
    const moves = h("div", { class: "moves" }, step("Previous row", "‹", this.selected - 1), step("Next row", "›", this.selected + 1), button("Close", () => this.hide(), "quiet", { "aria-label": "Close the row" }));
    put(this.detail, h("header", null, h("div", { class: "title" }, h("h3", { text: "Row " + count(number + 1) })), moves), rowParts(this.lines.row(number), this.fields, this.detail));
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || document.querySelector("dialog")) return;
    const isTyping = event.target.matches("input, select, textarea");
    if (event.key === "Escape") return this.back(event);
    if (isTyping) {
      if (event.target === this.search && (event.key === "Enter" || event.key === "ArrowDown")) {
        event.preventDefault();
        this.list.focus();
        this.select(Math.max(0, this.selected));
      }
    } else if (event.key === "/") {
      event.preventDefault();
      this.search.focus();
    } else this.move(event);
  }

  back(event) {
    event.preventDefault();
    if (!this.detail.hidden) this.hide();
    else if (this.search.value) {
      this.search.value = "";
      this.filter();
    } else this.list.focus();
  }

  move(event) {
    const page = Math.max(1, Math.floor(this.scroller.height / ROW) - 1);
    const steps = { j: 1, k: -1, ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const isLetter = event.key === "j" || event.key === "k", isInList = event.target === this.list || event.target === document.body;
    if (Object.hasOwn(steps, event.key) && (isLetter || isInList)) {
      event.preventDefault();
      this.select(this.selected < 0 ? (event.key === "End" ? Infinity : 0) : this.selected + steps[event.key]);
    } else if (event.key === "Enter" && isInList && this.length) {
      event.preventDefault();
      this.select(Math.max(0, this.selected), true).then(() => this.detail.focus());
    }
  }
}

function cellText(value) {
  if (value === null || value === undefined) return h("span", { class: "null", text: value === null ? "null" : "" });
  if (value === "") return h("span", { class: "null", text: "empty" });
  return h("bdi", null, shown(asText(value).slice(0, CELL).replace(/\s+/g, " ")));
}
