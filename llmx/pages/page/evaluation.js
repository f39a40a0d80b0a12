// Beside gold, and beside another run.

const MEASURES = [["n", "rows", count], ["accuracy", "accuracy", percent], ["ci95", "95 % interval", interval], ["f1_macro", "F1 macro", percent], ["f1_micro", "F1 micro", percent], ["precision_macro", "precision", percent], ["recall_macro", "recall", percent]];

function interval(ends) {
  return Array.isArray(ends) && ends.length === 2 && ends.every(Number.isFinite) ? percent(ends[0]) + " to " + percent(ends[1]) : "–";
}

const measured = (value, format) => (value === null || value === undefined ? "–" : format(value));

function evaluationSection(summary, open) {
  const evaluation = summary.eval;
  if (!evaluation) return null;
  const { rows, fields } = evaluation;
  const tiles = [
    tile("Rows with gold", count(rows.matched), ["out of " + plainText(evaluation.gold)]),
    tile("Gold without a row", count(rows.missing), [rows.missing ? "failed, or not asked" : ""], rows.missing ? "bad" : ""),
    tile("Differences", count(evaluation.disagreements), [rows.extra ? plural(rows.extra, "row") + " without gold" : ""]),
  ];
  const used = MEASURES.filter(([name]) => Object.values(fields).some((field) => field[name] !== undefined && field[name] !== null));
  const body = Object.entries(fields).map(([path, field]) => [h("bdi", { class: "text" }, shown(path)), ...used.map(([name, , format]) => measured(field[name], format)), accuracyBar(field)]);
  const show = evaluation.disagreements > 0 && h("p", null, h("button", { type: "button", class: "link", on: { click: open } }, "Show the rows that differ from gold"));
  return section("evaluation", "Evaluation", h("div", { class: "tiles" }, tiles),
    h("div", { class: "card" }, table("Figures of each field", ["field", ...used.map((measure) => measure[1]), ""], body, used.map((_, at) => at + 1)), show),
    confusions(evaluation.confused));
}

// The accuracy as a bar, with its interval as a line across the end.
function accuracyBar(field) {
  const { accuracy, ci95 } = field;
  if (!Number.isFinite(accuracy)) return "";
  const shapes = [svg("rect", { x: 0, y: 3, width: 100, height: 6, class: "track-shape" }), svg("rect", { x: 0, y: 3, width: accuracy * 100, height: 6, class: "bar-shape" })];
  if (interval(ci95) !== "–") shapes.push(svg("line", { x1: ci95[0] * 100, x2: ci95[1] * 100, y1: 6, y2: 6, class: "whisker" }));
  return svg("svg", { viewBox: "0 0 100 12", class: "accuracy", role: "img", "aria-label": "accuracy " + percent(accuracy) }, shapes);
}

function confusions(confused) {
  const paths = Object.entries(confused).filter(([, pairs]) => pairs.length);
  if (!paths.length) return null;
  const pair = ([expected, predicted, number]) => [h("bdi", { class: "text" }, shown(expected)), h("bdi", { class: "text" }, shown(predicted)), count(number)];
  return h("div", { class: "cards" }, paths.map(([path, pairs]) => h("div", { class: "card" }, h("h3", null, h("bdi", null, shown(path))), table("Commonest differences of " + plainText(path), ["gold", "this run", "rows"], pairs.map(pair), [2]))));
}

function compareSection(summary, open) {
  const compare = summary.compare;
  if (!compare) return null;
  const both = compare.same + compare.changed;
  const tiles = [
    tile("Compared with", plainText(compare.name), [compare.model ? plainText(compare.model) : ""], "words"),
    tile("Same", count(compare.same), [both ? percent(compare.same / both) : ""]),
    tile("Different", count(compare.changed), [both ? percent(compare.changed / both) : ""], compare.changed ? "warn" : ""),
    tile("Only in one", count(compare.alone + compare.onlyThere), [count(compare.alone) + " here, " + count(compare.onlyThere) + " there"]),
  ];
  const changed = Object.entries(compare.changedFields).sort((one, other) => other[1] - one[1]);
  return section("compare", "Two runs", h("div", { class: "tiles" }, tiles),
    compare.doubles > 0 && h("p", { class: "note", text: plural(compare.doubles, "row") + " of the other run have a key that an earlier one has, too; the first is compared." }),
    changed.length > 0 && h("div", { class: "card" }, h("h3", { text: "Rows that differ, by field" }), choices(changed, both), h("p", null, h("button", { type: "button", class: "link", on: { click: open } }, "Show the rows that differ"))));
}
