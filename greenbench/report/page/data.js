"use strict";
// What the page knows: the lines with their facts and figures, and how numbers and origins are written.

let data = null;   // as report/data.py wrote it
let lines = [];    // one object a cell: its facts by name, and its place in data.values

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text.trim()), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function open_(found) {
  data = found;
  const facts = Object.entries(data.facts);
  lines = facts[0][1].codes.map((_, index) => {
    const line = { index };
    for (const [name, column] of facts) line[name] = column.values[column.codes[index]];
    return line;
  });
}

function repeats(line, metric) {
  const found = data.values[metric]?.[line.index] ?? [];
  return Array.isArray(found) ? found : [found];
}

function median(line, metric) {
  const sorted = [...repeats(line, metric)].sort((a, b) => a - b), middle = sorted.length >> 1;
  if (!sorted.length) return null;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function range(line, metric) {
  const found = repeats(line, metric);
  return data.ranges[metric]?.[line.index] ?? [Math.min(...found), Math.max(...found)];
}

const scaled = (metric, value) => value * data.metrics[metric].factor;

function number(metric, value) {
  if (value === null || value === undefined) return "–";
  const shown = scaled(metric, value);
  if (data.metrics[metric].rate) return shown.toFixed(2);
  return Math.abs(shown) >= 1000 ? Math.round(shown).toLocaleString("en-GB") : shown.toPrecision(3);
}

const quantity = (metric, value) => `${number(metric, value)} ${data.metrics[metric].unit}`.trim();
const capital = text => text[0].toUpperCase() + text.slice(1);
const title = metric => data.metrics[metric].label + (data.metrics[metric].unit && ` (${data.metrics[metric].unit})`);

const isOk = line => line.setting !== null;
const isRanked = line => line.standing.startsWith("ranked");
const isGuess = (line, ...metrics) => line.energy === "estimated" && metrics.some(name => data.metrics[name].energy);

// Whom a line may be ranked against by two metrics, as text; null where it may not be ranked by them at all.
function contest(line, x, y) {
  const metrics = [x, y].map(name => data.metrics[name]);
  const unfit = line.standing !== "ranked" && !metrics.some(metric => metric.accuracy);
  if (!isRanked(line) || unfit) return null;
  return line.setting + (metrics.some(metric => metric.energy) ? line.contest : "");
}

const cost = (line, metric) => median(line, metric) * (data.metrics[metric].better === "higher" ? -1 : 1);

// The lines that no other dominates: as good in both metrics, and better in one.
function front(field, x, y) {
  const points = field.map(line => [cost(line, x), cost(line, y)]);
  return field.filter((_, i) => !points.some(([a, b]) =>
    a <= points[i][0] && b <= points[i][1] && (a < points[i][0] || b < points[i][1])));
}

function grouped(items, key) {
  const groups = new Map();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}

// Where a line's figures come from, one statement an entry: what the table keeps below "origin" and a mark under the pointer.
function origin(line) {
  const energy = line.origin && `energy ${line.energy}: ${line.origin}`;
  const standing = line.standing + (line.note ? `: ${line.note}` : "");
  return [`${line.repeats}, run ${line.run_id}`, line.source, energy, line.parent && `${line.relation}: ${line.parent}`, standing]
    .filter(Boolean);
}

const escaped = text => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function wrapped(text, width = 64) {
  const rows = [""];
  for (const word of String(text).split(" ").flatMap(long => long.match(/.{1,64}/g) ?? [""])) {
    if (rows.at(-1).length + word.length > width) rows.push("");
    rows[rows.length - 1] += (rows.at(-1) && " ") + word;
  }
  return rows.map(escaped).join("<br>");
}

// What a mark says under the pointer, as Plotly's markup: the figures asked for, then where and how they were measured.
function hover(line, metrics) {
  const figures = metrics.map(metric => {
    const [low, high] = range(line, metric), spread = low < high ? ` (${number(metric, low)}–${number(metric, high)})` : "";
    return `${capital(data.metrics[metric].label)}: ${quantity(metric, median(line, metric))}${spread}`;
  });
  return `<b>${escaped(line.label)}</b><br>` + [line.place, ...figures, ...origin(line)].map(text => wrapped(text)).join("<br>");
}
