// The run in figures: rows, money, tokens, time, what failed and why.

function summarySection(summary) {
  const { rows, run, timeline } = summary;
  const settled = rows.ok + rows.failed;
  const tiles = [
    tile("Rows", count(settled), [settled ? percent(rows.ok / settled) + " ok" : summary.state === "running" ? "none yet" : "none", summary.total ? percent(Math.min(1, settled / summary.total)) + " of " + count(summary.total) : ""]),
    tile("Failed", count(rows.failed), [settled ? percent(rows.failed / settled) + " of all" : ""], rows.failed ? "bad" : ""),
  ];
  if (run) tiles.push(...runTiles(run, timeline));
  return section("summary", "Summary", notesOf(summary), h("div", { class: "tiles" }, tiles), run && factsOf(summary));
}

const tile = (title, figure, notes, kind) => h("div", { class: "tile " + (kind || "") }, h("div", { class: "title", text: title }), h("div", { class: "figure", text: figure }), notes.filter(Boolean).map((note) => h("div", { class: "muted", text: note })));

function runTiles(run, timeline) {
  const { usage, answers } = run;
  const each = answers && run.cost !== null ? dollars((run.cost / answers) * 1000) + " per 1,000 answers" : "";
  const done = run.ended !== null || answers;
  const tokens = timeline ? timeline.endpoints.reduce((sum, one) => [sum[0] + one.input, sum[1] + one.output], [0, 0]) : [usage.input || 0, usage.output || 0];
  const cost = done ? run.cost : timeline && timeline.endpoints.every((one) => one.cost !== null) ? timeline.endpoints.reduce((sum, one) => sum + one.cost, 0) : null;
  const risk = run.atRisk.cost ? "perhaps " + dollars(run.atRisk.cost) + " more" : "";
  const tiles = [
    tile("Cost", dollars(cost), [each, risk]),
    tile("Tokens", short(tokens[0] + tokens[1]), [short(tokens[0]) + " in, " + short(tokens[1]) + " out"]),
  ];
  if (timeline && timeline.seconds) {
    const settled = Object.values(timeline.buckets).reduce((sum, bucket) => sum + bucket[0] + bucket[1] + bucket[2], 0);
    tiles.push(tile("Time", duration(timeline.seconds), [short(settled / timeline.seconds) + " rows/s", timeline.sessions.length > 1 ? timeline.sessions.length + " sessions" : ""]));
  }
  return tiles;
}

const notesOf = (summary) => summary.notes.length > 0 && h("ul", { class: "note" }, summary.notes.map((note) => h("li", null, shown(note))));

function factsOf({ run, name, llmx, made, timeline }) {
  const answers = Math.max(run.answers, timeline ? timeline.endpoints.reduce((sum, one) => sum + one.answers, 0) : 0);
  const facts = [
    ["Model", run.model],
    ["Schema", run.schema],
    ["Input", run.inputs.map(([path, size]) => path + (size === null ? "" : ` (${bytes(size)})`)).join(", ")],
    ["Output", name],
    ["Started", run.started && moment(run.started)],
    ["Ended", run.ended && moment(run.ended)],
    ["Ended with", run.exitCode === null ? "" : "exit code " + run.exitCode + (run.reason ? ", " + run.reason : "")],
    ["Answers paid for", count(answers)],
    ["Perhaps billed", run.maybeBilled ? plural(run.maybeBilled, "call") + " without an answer" : ""],
    ["Report", moment(made) + ", llmx " + llmx],
  ];
  return h("div", { class: "card facts" },
    h("dl", null, facts.filter((fact) => fact[1]).map(([title, text]) => h("div", { class: String(text).length > 60 ? "wide" : null }, h("dt", { text: title }), h("dd", { dir: "auto" }, shown(String(text)))))),
    fold("command", "The command", h("pre", { class: "command", tabindex: "0" }, shown(run.command))));
}

function bytes(size) {
  for (const [unit, least] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) if (size >= least) return trimmed(size / least) + " " + unit;
  return plural(size, "byte");
}

// Rows, seconds, tokens and money over time, out of the journal.
function trafficSection({ timeline }) {
  if (!timeline) return null;
  const { width, sessions } = timeline;
  const numbers = Object.keys(timeline.buckets).map(Number);
  const size = Math.max(1, Math.max(...numbers, 0) + 1);
  const all = Array.from({ length: size }, (_, at) => timeline.buckets[at] || null);
  const shape = { buckets: size, seconds: size * width, sessions };
  const column = (at, by) => all.map((bucket) => (bucket ? bucket[at] / (by || 1) : 0));
  const rate = (name, kind, at) => ({ name, kind, values: column(at, width) });
  const rows = [rate("answered", "one", 0), rate("stored before", "two", 2), rate("failed", "bad", 1)].filter((one) => one.values.some(Boolean));
  const latency = [["median", "one", 7], ["95 %", "two", 8]].map(([name, kind, at]) => ({ name, kind, values: all.map((bucket) => (bucket ? bucket[at] : null)) }));
  const tokens = [{ name: "input", kind: "one", values: column(4, width / 60) }, { name: "output", kind: "two", values: column(5, width / 60) }];
  const cards = [];
  if (rows.length) cards.push(card(overTime("Rows a second", rows, { ...shape, stacked: true, format: short }), fold("t-rows", "Table", timeTable(all, width))));
  if (timeline.latencies.length) cards.push(card(overTime("Seconds a row, waits and re-asks included", latency, { ...shape, format: duration }), quantiles(timeline)));
  if (tokens.some((one) => one.values.some(Boolean))) cards.push(card(overTime("Tokens a minute", tokens, { ...shape, stacked: true, format: short })));
  const paid = all.map((bucket) => (bucket ? bucket[6] : 0));
  if (paid.some(Boolean)) cards.push(card(overTime("US dollars so far", [{ name: "cost", kind: "one", values: summed(paid) }], { ...shape, format: dollars })));
  return section("traffic", "Throughput and latency", h("div", { class: "cards two" }, cards), h("div", { class: "card" }, endpointTable(timeline), sourcesLine(timeline)));
}

const card = (...content) => h("div", { class: "card" }, content);

function summed(values) {
  let sum = 0;
  return values.map((value) => (sum += value));
}

function timeTable(all, width) {
  const rows = all.map((bucket, at) => bucket && [duration(at * width), count(bucket[0]), count(bucket[2]), count(bucket[1]), count(bucket[3]), count(bucket[4]), count(bucket[5]), dollars(bucket[6]), duration(bucket[7]), duration(bucket[8])]);
  return table("Rows over time", ["from", "answered", "stored before", "failed", "answers", "tokens in", "tokens out", "cost", "median", "95 %"], rows.filter(Boolean), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

function quantiles({ latency, latencies }) {
  const named = Object.entries(latency).filter((pair) => pair[1] !== null);
  const line = h("p", { class: "quantiles" }, named.map(([name, seconds]) => h("span", null, h("span", { class: "muted", text: name.replace("p50", "median").replace(/^p(\d+)$/, "$1 %") }), " ", h("b", { text: duration(seconds) }))));
  return [line, fold("t-latency", "Table", binTable("Seconds a row", latencies, duration))];
}

function endpointTable({ endpoints }) {
  if (!endpoints.length) return null;
  const head = ["model", "answers", "re-asks", "cut", "refused", "tokens in", "of them cached", "tokens out", "cost"];
  const rows = endpoints.map((one) => [h("span", { class: "text" }, shown(one.endpoint && one.endpoint !== one.model ? one.endpoint + " · " + one.model : one.model)), count(one.answers), count(one.reasks), count(one.cut), count(one.refused), count(one.input), count(one.cached), count(one.output), dollars(one.cost)]);
  return table("Answers by model", head, rows, [1, 2, 3, 4, 5, 6, 7, 8]);
}

const SOURCES = { model: "asked the model", cache: "out of the cache", journal: "out of the run's journal", coalesced: "shared with a row that is alike" };

function sourcesLine({ sources, attempts }) {
  const parts = Object.entries(sources).map(([name, number]) => plural(number, "row") + " " + (Object.hasOwn(SOURCES, name) ? SOURCES[name] : plainText(name)));
  const again = Object.entries(attempts).reduce((sum, [number, rows]) => sum + (Number(number) > 1 ? rows : 0), 0);
  if (again) parts.push(plural(again, "row") + " took more than one call");
  return parts.length > 0 && h("p", { class: "muted", text: parts.join(" · ") });
}

// What failed, by kind, the commonest first.
function errorsSection({ errors, rows }, open) {
  if (!errors.length) return null;
  const groups = errors.map((group) => h("li", { class: "card error-group" },
    h("div", { class: "head" }, h("h3", null, h("code", null, shown(group.type))), h("span", { class: "num", text: count(group.count) }), meter(group.count / rows.failed, "bad", percent(group.count / rows.failed) + " of all failed rows")),
    fold("e-" + group.type, plural(group.examples.length, "example"), h("ol", { class: "examples" }, group.examples.map((example) => errorExample(example, open))))));
  return section("errors", "Errors", h("ul", { class: "plain" }, groups));
}

function errorExample(example, open) {
  const where = [example.key && "key " + example.key, example.line !== null && example.line !== undefined && "line " + example.line, example.attempts && plural(example.attempts, "call")].filter(Boolean).join(" · ");
  return h("li", null,
    h("p", { class: "message" }, h("bdi", null, shown(asText(example.message || "no message")))),
    h("p", { class: "muted" }, shown(where), " ", example.row !== null && h("button", { type: "button", class: "link", on: { click: () => open(example.row) } }, "Show the row")),
    example.raw && h("pre", { class: "raw", tabindex: "0" }, shown(asText(example.raw))));
}
