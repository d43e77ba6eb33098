// The charts: pure functions from lines of one setting, all with the figures in question, to a Plotly figure; and their drawing.

const FAINT = 0.55, MAX_PANELS = 6, MAX_BARS = 40;
const GREY = "#8C8C8C";

function translucent(colour) {
  const [red, green, blue] = [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16));
  return `rgba(${red},${green},${blue},0.3)`;
}

function layout(height, rest) {
  const axis = { automargin: true, zeroline: false, gridcolor: "rgba(128,128,128,0.25)", nticks: 6 };
  const { xaxis, yaxis, ...others } = rest;
  return {
    height, font: { family: "system-ui, sans-serif", size: 13 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { t: 12, l: 12, r: 12, b: 12 }, dragmode: false, hovermode: "closest",
    hoverlabel: { align: "left", namelength: -1, font: { size: 12 } },
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, maxheight: 1, font: { size: 12 } },
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...others,
  };
}

const longest = names => Math.max(0, ...names.map(name => name.length));

// The height of a legend of these names below a figure of this width, so that none of them is cut off.
function legendHeight(names, width) {
  const column = 60 + 6.5 * longest(names);
  return 20 * Math.ceil(names.length / Math.max(1, Math.floor((width - 80) / column)));
}

function axis(metric, values) {
  const better = { lower: "less is better", higher: "more is better" }[data.metrics[metric].better];
  const name = { title: { text: escaped(title(metric)) + (better ? `<br><i>${better}</i>` : ""), font: { size: 13 } } };
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (data.metrics[metric].rate || !(most >= 10 * least && least > 0)) return { ...name, rangemode: "tozero" };
  const steps = [];
  for (let power = Math.floor(Math.log10(least)) - 1; power <= Math.log10(most) + 1; power++)
    steps.push(...(most > 1000 * least ? [1] : [1, 2, 5]).map(step => step * 10 ** power));
  return { ...name, type: "log", tickvals: steps, ticktext: steps.map(step => Number(step.toPrecision(1)).toLocaleString("en-GB", { maximumFractionDigits: 9 })) };
}

function errors(group, metric, colour) {
  const ends = group.map(line => { const [low, high] = range(line, metric), value = median(line, metric);
    return [Math.max(0, high - value), Math.max(0, value - low)].map(step => scaled(metric, step)); });
  return { type: "data", symmetric: false, array: ends.map(end => end[0]), arrayminus: ends.map(end => end[1]), color: colour, thickness: 1.2, width: 3 };
}

function frontLine(field, x, y) {
  const points = front(field, x, y).map(line => [x, y].map(metric => scaled(metric, median(line, metric)))).sort((a, b) => a[0] - b[0]);
  return {
    type: "scatter", mode: "lines", name: "Pareto front", showlegend: false, hoverinfo: "skip",
    x: points.map(point => point[0]), y: points.map(point => point[1]),
    // steps, since nothing is known between two points: the line never promises one that was not measured
    line: { shape: data.metrics[x].better === "higher" ? "vh" : "hv", dash: "dot", width: 1.5, color: GREY },
  };
}

function arrows(known, x, y, isLog) {
  const at = line => [x, y].map((metric, i) => isLog[i] ? Math.log10(scaled(metric, median(line, metric))) : scaled(metric, median(line, metric)));
  const couples = known.flatMap(line => {
    const parents = known.filter(other => line.parent !== null && other.variant === line.parent && other !== line);
    const parent = parents.find(other => other.run_id === line.run_id) ?? parents[0];
    return parent && String(at(parent)) !== String(at(line)) ? [[at(parent), at(line)]] : [];
  });
  return couples.slice(0, 60).map(([[ax, ay], [x_, y_]]) => ({
    x: x_, y: y_, ax, ay, xref: "x", yref: "y", axref: "x", ayref: "y", text: "", showarrow: true, arrowhead: 2, arrowsize: 1.2,
    arrowwidth: 1, arrowcolor: GREY, opacity: 0.8, standoff: 8, startstandoff: 8,
  }));
}

function tradeoff(known, { x, y }, width) {
  const fields = [...grouped(known.filter(line => contest(line, x, y) !== null), line => contest(line, x, y)).values()];
  const leading = new Set(fields.flatMap(field => front(field, x, y)));
  const points = [...grouped(known, line => line.label)].map(([label, group]) => {
    const { colour, symbol } = data.looks[group[0].variant];
    const hollow = line => !isRanked(line) ? "-open-dot" : isGuess(line, x, y) ? "-open" : "";
    return {
      type: "scatter", mode: "markers", name: escaped(label), meta: group.map(line => line.index),
      x: group.map(line => scaled(x, median(line, x))), y: group.map(line => scaled(y, median(line, y))),
      error_x: errors(group, x, colour), error_y: errors(group, y, colour),
      opacity: leading.has(group[0]) ? 1 : FAINT,
      marker: { color: colour, symbol: group.map(line => symbol + hollow(line)), size: 12, line: { color: colour, width: group.map(line => hollow(line) ? 2 : 0) } },
      hoverinfo: "text", hovertext: group.map(line => hover(line, [...new Set([x, y, data.primary, "rtfx"])].filter(metric => median(line, metric) !== null))),
    };
  });
  const axes = [x, y].map(metric => axis(metric, known.map(line => scaled(metric, median(line, metric)))));
  const hasLegend = points.length <= 24;
  return {
    data: [...fields.map(field => frontLine(field, x, y)), ...points],
    layout: layout(340 + (hasLegend ? legendHeight(points.map(trace => trace.name), width) : 0), {
      xaxis: axes[0], yaxis: axes[1], showlegend: hasLegend, annotations: arrows(known, x, y, axes.map(a => a.type === "log")),
    }),
    says: `${capital(data.metrics[y].label)} against ${data.metrics[x].label} of ${known.length} cells; on the Pareto front: ${[...leading].map(line => line.label).join(", ") || "none"}`,
  };
}

const shortened = (text, length) => text.length > length ? text.slice(0, length - 1) + "…" : text;

function bars(known, { metric }, width) {
  const figure = { data: [], layout: layout(64 + 42 * Math.min(known.length, MAX_BARS), {
    xaxis: { title: { text: escaped(title(metric)) }, rangemode: "tozero", nticks: 5 },
    yaxis: { visible: false, range: [Math.min(known.length, MAX_BARS) - 0.5, -0.75] },
    showlegend: false, margin: { t: 8, l: 6, r: 6, b: 46 }, bargap: 0, annotations: [],
  }) };
  known.slice(0, MAX_BARS).forEach((line, at) => {
    const { colour, symbol } = data.looks[line.variant], guess = isGuess(line, metric), flagged = !isRanked(line);
    const place = { xref: "paper", y: at - 0.2, yanchor: "bottom", showarrow: false, borderpad: 0 };
    const value = number(metric, median(line, metric)) + (guess ? " est." : "") + (flagged ? " flagged" : "");
    figure.data.push({
      type: "bar", orientation: "h", x: [scaled(metric, median(line, metric))], y: [at], width: 0.34, meta: [line.index],
      marker: { color: translucent(colour), line: { color: colour, width: 1 }, pattern: { shape: flagged ? "x" : guess ? "/" : "", fgcolor: colour, size: 6 } },
      hovertext: hover(line, [metric]), hoverinfo: "text",
    }, {
      type: "scatter", mode: "markers", x: repeats(line, metric).map(found => scaled(metric, found)), y: repeats(line, metric).map(() => at),
      marker: { color: colour, symbol, size: 6 }, cliponaxis: false,
      hovertext: repeats(line, metric).map(found => escaped(`one repeat: ${quantity(metric, found)}`)), hoverinfo: "text",
    });
    figure.layout.annotations.push({ ...place, text: escaped(shortened(line.label, Math.floor((width - 110) / 7.5))), x: 0, xanchor: "left" }, { ...place, text: `<b>${value}</b>`, x: 1, xanchor: "right" });
  });
  figure.says = `${capital(data.metrics[metric].label)}: ` + known.slice(0, MAX_BARS).map(line => `${line.label} ${quantity(metric, median(line, metric))}`).join(", ");
  figure.more = known.length - MAX_BARS;
  return figure;
}

function latency(all, _, width) {
  const known = all.slice(0, MAX_BARS);
  const seconds = known.flatMap(line => data.latencies[line.index]);
  return {
    data: known.map(line => {
      const { colour, symbol } = data.looks[line.variant];
      return {
        type: "scatter", mode: "lines+markers", name: escaped(line.label), x: data.latencies[line.index], y: data.shares,
        line: { color: colour, width: 1.5, dash: isRanked(line) ? "solid" : "dash" }, marker: { color: colour, symbol: symbol + (isRanked(line) ? "" : "-open-dot"), size: 6 },
        hovertext: data.shares.map((share, i) => `${share} % within ${data.latencies[line.index][i]} s<br>` + hover(line, [])), hoverinfo: "text",
      };
    }),
    layout: layout(330 + (known.length <= 24 ? legendHeight(known.map(line => line.label), width) : 0), {
      xaxis: { title: { text: "seconds for an utterance" }, ...(Math.max(...seconds) > 20 * Math.min(...seconds) && Math.min(...seconds) > 0 ? { type: "log" } : { rangemode: "tozero" }) },
      yaxis: { title: { text: "utterances (%)" }, range: [-2, 102] }, showlegend: known.length <= 24,
    }),
    says: `Latencies of ${known.length} cells: half the utterances within ` + known.map(line => `${data.latencies[line.index][data.shares.indexOf(50)]} s (${line.label})`).join(", "),
  };
}

function groups(all, { by }, width) {
  const found = data.groups[by], known = all.slice(0, MAX_BARS);
  const rate = { wer: "WER", cer: "CER" }[known[0].primary], units = { wer: "words", cer: "characters" }[known[0].primary];
  const sums = new Map();
  for (const line of known) for (const [name, edits, words] of found[line.index]) {
    const sum = sums.get(name) ?? [0, 0];
    sums.set(name, [sum[0] + edits, sum[1] + words]);
  }
  const names = [...sums.keys()].sort((a, b) => sums.get(a)[0] / sums.get(a)[1] - sums.get(b)[0] / sums.get(b)[1]);
  return {
    data: known.map(line => {
      const { colour, symbol } = data.looks[line.variant], own = found[line.index].filter(group => group[2] > 0);
      return {
        type: "scatter", mode: "markers", name: escaped(line.label), x: own.map(([, edits, words]) => 100 * edits / words), y: own.map(group => names.indexOf(group[0])),
        marker: { color: colour, symbol: symbol + (isRanked(line) ? "" : "-open-dot"), size: 9 }, hoverinfo: "text",
        hovertext: own.map(([name, edits, words, n]) => `${escaped(name)}: ${edits} errors in ${words} ${units} of ${n} utterances<br>` + hover(line, [])),
      };
    }),
    layout: layout(90 + 26 * names.length + (known.length <= 24 ? legendHeight(known.map(line => line.label), width - 7 * Math.min(28, longest(names))) : 0), {
      xaxis: { title: { text: `${rate} (%)` }, rangemode: "tozero" },
      yaxis: { tickvals: names.map((_, i) => i), ticktext: names.map(name => escaped(shortened(name, 28))), range: [-0.6, names.length - 0.4] }, showlegend: known.length <= 24,
    }),
    says: `${rate} by ${by}, hardest: ${names.at(-1)}`,
  };
}

// The limits in use, the highest first; those that are hardly apart share a line of text.
function ceilings(roof, known) {
  const used = new Set(known.flatMap(line => data.under[line.index][3].split("+")));
  const flat = Object.entries(roof.flop_per_s).filter(([name]) => used.has(name)).sort((a, b) => b[1] - a[1]);
  const labels = [];
  for (const [name, rate] of flat) {
    if (labels.length && labels.at(-1).rate < 1.3 * rate) labels.at(-1).names.push([name, rate]);
    else labels.push({ rate, names: [[name, rate]] });
  }
  return { flat, labels: labels.map(({ rate, names }) => [rate, names.map(([name, of]) => `${name} ${si(of)}`).join(", ") + "FLOP/s"]) };
}

const si = value => {
  const step = Math.min(5, Math.max(0, Math.floor(Math.log10(value) / 3)));
  return `${(value / 1000 ** step).toPrecision(3)} ${["", "k", "M", "G", "T", "P"][step]}`;
};

function roofline(known, _, width) {
  const roof = data.roofs[data.under[known[0].index][0]], { flat, labels } = ceilings(roof, known);
  const [xs, ys] = [1, 2].map(part => known.map(line => data.under[line.index][part]));
  const ridges = flat.map(([, rate]) => rate / roof.bytes_per_s);
  const left = Math.min(...xs, ...ridges) / 3, right = Math.max(...xs, ...ridges) * 3, top = Math.max(...ys, flat[0][1]);
  const bottom = Math.min(...ys, flat.at(-1)[1]) / 3, start = Math.max(left, bottom / roof.bytes_per_s);
  const limit = { type: "scatter", mode: "lines", showlegend: false, hoverinfo: "skip", line: { color: GREY, width: 1.5 } };
  const points = [...grouped(known, line => line.label)].map(([label, group]) => {
    const { colour, symbol } = data.looks[group[0].variant];
    return {
      type: "scatter", mode: "markers", name: escaped(label), meta: group.map(line => line.index),
      x: group.map(line => data.under[line.index][1]), y: group.map(line => data.under[line.index][2]),
      marker: { color: colour, symbol: group.map(line => symbol + (isRanked(line) ? "" : "-open-dot")), size: 11 }, hoverinfo: "text",
      hovertext: group.map(line => hover(line, ["mfu_pct", "rtfx"]) + `<br>${si(data.under[line.index][2])}FLOP/s in ${escaped(data.under[line.index][3])}`),
    };
  });
  const hasLegend = points.length <= 24;
  const note = { xref: "x", yref: "y", showarrow: false, font: { size: 11 }, borderpad: 2 };
  const ticks = { type: "log", exponentformat: "SI", dtick: 1 };
  return {
    data: [
      { ...limit, x: [start, ridges[0]], y: [start * roof.bytes_per_s, flat[0][1]] },
      ...flat.map(([, rate], i) => ({ ...limit, x: [ridges[i], right], y: [rate, rate] })),
      ...points,
    ],
    layout: layout(360 + (hasLegend ? legendHeight(points.map(trace => trace.name), width) : 0), {
      xaxis: { ...ticks, title: { text: "FLOP per byte of weights (estimate)", font: { size: 13 } }, range: [left, right].map(Math.log10) },
      yaxis: { ...ticks, title: { text: "FLOP a second", font: { size: 13 } }, range: [bottom, top * 2].map(Math.log10) },
      showlegend: hasLegend,
      annotations: [
        ...labels.map(([rate, text]) => ({ ...note, text, x: Math.log10(rate / roof.bytes_per_s), y: Math.log10(rate), xanchor: "left", yanchor: "bottom", xshift: 12 })),
        { ...note, text: `memory ${si(roof.bytes_per_s)}B/s`, x: Math.log10(start), y: Math.log10(start * roof.bytes_per_s), xanchor: "left", yanchor: "top", xshift: 14 },
      ],
    }),
    says: `Share of the peak of ${roof.name}: ` + known.map(line => `${line.label} ${quantity("mfu_pct", median(line, "mfu_pct"))}`).join(", "),
  };
}

const CHARTS = {
  tradeoff: { make: tradeoff, has: (line, { x, y }) => median(line, x) !== null && median(line, y) !== null },
  bars: { make: bars, has: (line, { metric }) => median(line, metric) !== null },
  latency: { make: latency, has: line => line.index in data.latencies },
  groups: { make: groups, has: (line, { by }) => line.index in (data.groups[by] ?? {}) },
  roofline: { make: roofline, has: line => line.index in data.under, by: line => data.under[line.index][0], named: line => data.roofs[data.under[line.index][0]].name },
};

// The lines that a chart can show, by setting; below a roof stand those of all settings on its machine.
const bySetting = line => line.setting;
const charted = (kind, some, choice) => [...grouped(some.filter(line => isOk(line) && CHARTS[kind].has(line, choice)), CHARTS[kind].by ?? bySetting).values()];

function theme() {
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return { "font.color": colour("--ink"), "hoverlabel.bgcolor": colour("--tint"), "hoverlabel.font.color": colour("--ink"),
    "hoverlabel.bordercolor": colour("--line"), "xaxis.gridcolor": colour("--line"), "yaxis.gridcolor": colour("--line") };
}

function themed(layout) {
  const made = structuredClone(layout);
  for (const [path, colour] of Object.entries(theme())) {
    const names = path.split("."), last = names.pop();
    names.reduce((inner, name) => inner[name] ??= {}, made)[last] = colour;
  }
  return made;
}

// A chart is drawn when it is about to be seen: a page of many opens at once.
const undrawn = new Map();
const seen = new IntersectionObserver(entries => {
  for (const entry of entries) if (entry.isIntersecting) plot(entry.target);
}, { rootMargin: "200px" });

function plot(box) {
  const figure = undrawn.get(box);
  undrawn.delete(box);
  seen.unobserve(box);
  if (!figure) return null;
  const layout = themed(figure.layout);
  return Plotly.newPlot(box, figure.data, isPaper() ? onPaper(box, layout) : layout, { responsive: true, displayModeBar: false });
}

const PAPER = { width: 680, height: 800 };  // what A4 and Letter have between their margins, in px, less a heading
const isPaper = () => document.documentElement.classList.contains("paper");

// Paper cannot scroll, and a chart in two pieces is none: it takes the sheet's width, and is made smaller where it is too tall.
function onPaper(box, layout) {
  box.style.zoom = Math.min(1, PAPER.height / layout.height);
  return { ...layout, width: PAPER.width / box.style.zoom };
}

// Draw what was not seen yet, for paper and for whoever wants all of it.
const plotAll = () => Promise.all([...undrawn.keys()].map(plot));

function panel(caption, figure) {
  const made = document.createElement("figure"), box = document.createElement("div");
  if (caption) made.append(Object.assign(document.createElement("figcaption"), { textContent: caption }));
  box.className = "chart";
  box.style.height = `${figure.layout.height}px`;  // the page keeps its place while charts come and go
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", figure.says);
  made.append(box);
  undrawn.set(box, figure);
  return made;
}

function note(text) {
  return Object.assign(document.createElement("p"), { className: "soft", textContent: text });
}

// Put the charts of a section in their places, one for each setting of the visible lines.
function draw(section, visible, choice) {
  const place = section.querySelector(".charts"), kind = section.dataset.chart, width = isPaper() ? PAPER.width : place.clientWidth;
  for (const box of place.querySelectorAll(".chart")) { undrawn.delete(box); seen.unobserve(box); }
  place.replaceChildren(...kind === "timeline" ? timelines(visible, width) : settings(kind, visible, choice, width));
  for (const box of place.querySelectorAll(".chart")) seen.observe(box);
}

function settings(kind, visible, choice, room) {
  const all = charted(kind, visible, choice);
  const width = isPaper() ? room : Math.min(room, all.length > 1 ? 560 : 832);  // as the style has it: panels side by side, or one across
  if (!all.length) return [note("Nothing here was measured for what the filters leave.")];
  const panels = all.slice(0, MAX_PANELS).map(of => {
    const figure = CHARTS[kind].make(of, choice, width), made = panel((CHARTS[kind].named ?? (line => line.place))(of[0]), figure);
    if (figure.more > 0) made.append(note(`And ${figure.more} more; the filters and the table have them.`));
    return made;
  });
  return all.length > MAX_PANELS ? [...panels, note(`The first ${MAX_PANELS} of ${all.length}; the filters show the others.`)] : panels;
}

// A run's timeline as Python drew it, with room for its legend at this width.
function timeline({ figure: { data, layout } }, width) {
  const names = [...data, ...layout.shapes ?? []].filter(one => one.showlegend !== false).map(one => one.name);
  return { data, layout: { ...layout, height: layout.height + legendHeight(names, width), legend: { ...layout.legend, maxheight: 1, font: { size: 12 } } } };
}

function timelines(visible, width) {
  const runs = new Set(visible.map(line => line.run_id));
  return data.timelines.filter(line => runs.has(line.run)).slice(0, MAX_PANELS).map(line => {
    const made = panel(data.timelines.length > 1 ? line.run : "", { ...timeline(line, width), says: `What was sampled during run ${line.run}` });
    made.append(note(line.note));
    return made;
  });
}
