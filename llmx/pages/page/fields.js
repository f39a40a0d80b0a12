// What stands in each field: a card for each, those of the model first.

const KINDS = { choice: "choice", number: "number", text: "text", list: "list", object: "object", mixed: "mixed types", empty: "always empty" };

function fieldsSection(summary, columns, filter) {
  const { fields } = summary;
  if (!fields.length) return null;
  const isOurs = (field) => (columns.known ? columns.fields.includes(field.column) : !field.column.startsWith("_") && field.column !== "gold");
  const seen = fields.filter((field) => field.kind !== "object" || field.present === 0);
  const ours = seen.filter(isOurs), others = seen.filter((field) => !isOurs(field));
  const grid = (some) => h("div", { class: "cards" }, some.map((field) => fieldCard(field, summary, filter)));
  const left = summary.fieldsLeftOut > 0 && h("p", { class: "muted", text: plural(summary.fieldsLeftOut, "value") + " in further fields are not counted." });
  return section("fields", columns.known ? "Fields" : "Columns", grid(ours), left, others.length > 0 && fold("f-others", columns.known ? "Input columns" : "Other columns", grid(others)));
}

function fieldCard(field, summary, filter) {
  const missing = field.rows ? (field.rows - field.present) / field.rows : 0;
  const act = (value) => filter(field.path, value);
  const facts = [KINDS[field.kind]];
  if (field.distinct && field.kind !== "number") facts.push(plural(field.distinct, "value") + " in all");
  else if (field.distinct === null && field.present > 1000) facts.push("many values");
  if (field.empty) facts.push(count(field.empty) + " empty");
  if (field.wrong) facts.push(plural(field.wrong, "row") + " unlike gold");
  const nulls = h("div", { class: "nulls" }, h("button", { type: "button", class: "link", disabled: missing === 0, on: { click: () => filter(field.path, null) } }, percent(missing) + " null"), meter(missing, "warn", percent(missing) + " of the rows have no value"));
  return h("article", { class: "card field" },
    h("header", null, h("h3", null, h("bdi", null, shown(field.path))), h("p", { class: "muted", text: facts.join(" · ") })),
    nulls, fieldChart(field, act), evidenceLine(field), confidenceChart(field));
}

function fieldChart(field, act) {
  const charts = [];
  if (field.values && field.values.length) {
    charts.push(choices(field.values, field.present, act));
    if (field.kind === "choice" && field.others) charts.push(h("p", { class: "muted", text: count(field.others) + " have other values" }));
  }
  if (field.numbers) charts.push(...numberChart(field.numbers, "Values of " + plainText(field.path), short, "f-" + field.path, "mean " + short(field.numbers.mean)));
  if (field.lengths) {
    const what = field.kind === "list" ? "elements" : "characters";
    charts.push(...numberChart(field.lengths, "Lengths of " + plainText(field.path), short, "l-" + field.path, what + ", mean " + short(field.lengths.mean)));
  }
  if (field.kind === "mixed") charts.unshift(h("p", { class: "muted", text: Object.entries(field.types).map(([type, number]) => count(number) + " " + type).join(" · ") }));
  return charts;
}

function numberChart(numbers, label, format, id, note) {
  const far = [numbers.below && count(numbers.below) + " below", numbers.above && count(numbers.above) + " above"].filter(Boolean).join(", ");
  const range = format(numbers.min) + (numbers.min === numbers.max ? "" : " to " + format(numbers.max));
  return [
    numbers.bins.length > 1 && histogram(numbers.bins, label + ": " + range + ", " + note, format, { note, whole: numbers.whole }),
    h("p", { class: "muted range", text: range + (numbers.bins.length > 1 ? "" : " · " + note) + (far ? " · " + far + " the chart" : "") }),
    numbers.bins.length > 1 && fold(id, "Table", binTable(label, numbers.bins, format)),
  ];
}

const MATCHES = { exact: ["quoted word for word", "good"], normalized: ["but for case and spaces", "one"], fuzzy: ["nearly so", "two"], none: ["quote not found", "bad"] };

function evidenceLine({ evidence }) {
  if (!evidence) return null;
  const total = Object.values(evidence).reduce((sum, number) => sum + number, 0);
  const known = Object.entries(MATCHES).filter(([match]) => evidence[match]);
  const parts = known.map(([match, [, kind]]) => {
    const part = h("span", { class: "fill " + kind });
    part.style.inlineSize = (evidence[match] / total) * 100 + "%";
    return part;
  });
  const words = known.map(([match, [said]]) => percent(evidence[match] / total) + " " + said).join(", ");
  return h("div", { class: "evidence-line" }, h("p", { class: "muted", text: "Evidence: " + words }), h("span", { class: "track", "aria-hidden": "true" }, parts));
}

function confidenceChart({ confidence, path }) {
  if (!confidence) return null;
  const bins = confidence.bins.map((number, at) => [at / 10, (at + 1) / 10, number]);
  return [
    histogram(bins, "Confidence of " + plainText(path) + ", mean " + percent(confidence.mean), (share) => Math.round(share * 100) + " %", { note: "confidence, mean " + percent(confidence.mean) }),
    fold("c-" + path, "Table", binTable("Confidence of " + plainText(path), bins, percent)),
  ];
}
