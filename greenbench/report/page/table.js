// The table: the visible cells, sorted as asked, fifty at a time.

const ROWS_AT_ONCE = 50;
const order = { column: null, sign: 1 };
let nRows = ROWS_AT_ONCE;

const KEYS = [["variant", "variant"], ["data set", "dataset"], ["device", "device"], ["scenario", "scenario"], ["batch size", "batch_size"], ["run", "run_id"], ["standing", "standing"], ["repeats", "repeats"]];
const ALWAYS = ["variant", "standing"];

// What decides comes first; what is the same in every cell is no column.
function columns() {
  const facts = KEYS.map(([label, name]) => ({ label, name, key: line => line[name] }));
  const figures = data.table.map(metric => ({ label: data.metrics[metric].label, metric, key: line => median(line, metric),
    unit: data.metrics[metric].unit + (data.metrics[metric].whole ? ", whole window" : ""), about: data.metrics[metric].about }));
  const [leading, others] = [true, false].map(first => figures.filter(({ metric }) => data.leading.includes(metric) === first));
  const [variant, ...rest] = facts;
  return [variant, ...leading, ...[...rest, ...others].filter(column => !isSame(column))];
}

function isSame(column) {
  if (lines.length < 2 || ALWAYS.includes(column.name) || data.leading.includes(column.metric)) return false;
  if (new Set(lines.map(column.key)).size > 1) return false;
  return !column.metric || lines.every(line => { const [low, high] = range(line, column.metric); return low === high && !isGuess(line, column.metric); });
}

function shared() {
  const shown = new Set(columns().map(({ label }) => label));
  const facts = KEYS.filter(([label]) => !shown.has(label)).map(([label, name]) => [label, lines[0][name]]);
  const figures = data.table.filter(metric => !shown.has(data.metrics[metric].label))
    .map(metric => [data.metrics[metric].label, `${number(metric, median(lines[0], metric))} ${data.metrics[metric].unit}`.trim()]);
  return [...facts, ...figures].filter(([, value]) => value !== null && value !== "").map(pair => pair.join(" ")).join(" · ");
}

function element(tag, text, attributes = {}) {
  const made = Object.assign(document.createElement(tag), { textContent: text });
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function heading(column, redraw) {
  const cell = element("th", "", { scope: "col" }), button = element("button", column.label, { type: "button" });
  const isNumber = column.metric || column.name === "batch_size";
  if (isNumber) cell.className = "number";
  if (column.about) cell.title = column.about;
  if (order.column === column.label) cell.setAttribute("aria-sort", order.sign === 1 ? "ascending" : "descending");
  button.addEventListener("click", () => {
    order.sign = order.column === column.label ? -order.sign : 1;
    order.column = column.label;
    redraw();
    [...document.querySelectorAll("#table thead button")].find(other => other.textContent === column.label)?.focus();
  });
  cell.append(button);
  if (column.metric) cell.append(element("small", column.unit || "\u00a0"));
  return cell;
}

function entry(column, line) {
  if (column.name === "variant") {
    const name = element("th", "", { scope: "row" });
    name.append(...line.variant.split(/(?<=[/+])/).flatMap(part => [part, document.createElement("wbr")]));  // long names break at their joints
    return name;
  }
  if (column.name) {
    const cell = element("td", line[column.name], { "data-label": column.label });
    if (column.name === "batch_size") cell.className = "number";
    if (column.name === "scenario") cell.className = "whole";
    if (column.name === "standing") cell.replaceChildren(...standing(line));
    return cell;
  }
  const value = median(line, column.metric), [low, high] = range(line, column.metric);
  const cell = element("td", number(column.metric, value), { class: "number", "data-label": column.unit ? `${column.label} (${column.unit})` : column.label });
  if (value === null) return cell;
  const guess = isGuess(line, column.metric), small = [low < high ? `${number(column.metric, low)}–${number(column.metric, high)}` : "", guess ? "estimated" : ""];
  if (guess) cell.classList.add("guess");
  if (small.some(Boolean)) cell.append(element("small", small.filter(Boolean).join("\n")));
  cell.title = [line.label, ...origin(line)].join("\n");
  return cell;
}

function standing(line) {
  const word = element("span", line.standing, { class: line.standing.replaceAll(" ", "-") });
  const more = document.createElement("details");
  more.className = "screen";
  more.append(element("summary", "origin", { "aria-label": `origin of ${line.label}` }), ...origin(line).slice(0, -1).map(text => element("small", text)));
  return [word, element("small", line.note), more];
}

function compare(column) {
  return (a, b) => {
    const [x, y] = [column.key(a), column.key(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    return order.sign * (typeof x === "number" ? x - y : String(x).localeCompare(String(y)));
  };
}

function fill(visible) {
  const table = document.getElementById("table"), redraw = () => fill(visible), shown = columns();
  const column = shown.find(each => each.label === order.column);
  const sorted = column ? [...visible].sort(compare(column)) : visible;
  const head = document.createElement("tr"), more = document.getElementById("more");
  head.append(...shown.map(each => heading(each, redraw)));
  table.tHead.replaceChildren(head);
  const same = document.getElementById("same"), text = shared();
  same.textContent = `The same in all cells: ${text}.`;
  same.hidden = !text;
  table.tBodies[0].replaceChildren(...sorted.slice(0, nRows).map(line => {
    const row = element("tr", "", { class: isRanked(line) ? "" : "flagged" });
    row.append(...shown.map(each => entry(each, line)));
    return row;
  }));
  more.hidden = sorted.length <= nRows;
  more.textContent = `Show ${Math.min(ROWS_AT_ONCE, sorted.length - nRows)} of ${sorted.length - nRows} more`;
  const left = sorted.length - nRows;
  if (left > 0) more.parentNode.dataset.left = `And ${left} more, which the page itself has.`;  // for paper
  else delete more.parentNode.dataset.left;
  more.onclick = () => { nRows += ROWS_AT_ONCE; redraw(); };
}
