// The page: what is chosen, kept in the address so that it can be shared, and everything drawn by it.

const root = document.documentElement;
const choice = {};  // filters by fact, and x, y, metric, by

const form = () => document.getElementById("filters");
const fields = () => document.querySelectorAll("#filters select, [data-axis]");

// Fill in the choices that depend on the data, then choose what was chosen before, or what the address says.
function offer() {
  const known = Object.keys(data.metrics).filter(metric => data.metrics[metric].better !== "neither");
  const options = { x: known, y: known, metric: data.bars };
  for (const [name, metrics] of Object.entries(options))
    for (const field of document.querySelectorAll(`[data-axis][name=${name}]`))
      field.replaceChildren(...metrics.map(metric => new Option(capital(title(metric)), metric)));
  const has = metric => known.includes(metric);
  const preferred = { y: [data.primary], x: ["energy_j_per_audio_s", "rtfx", "model_bytes"], metric: ["rtfx"] };
  for (const field of fields()) {
    const values = [...field.options].map(option => option.value);
    const wanted = [choice[field.name], ...(preferred[field.name] ?? []).filter(has), values[0]];
    field.value = wanted.find(value => value !== undefined && values.includes(value)) ?? "";
    choice[field.name] = field.value;
    field.onchange = () => { choice[field.name] = field.value; changed(); };
  }
  form().onreset = () => { for (const name of Object.keys(data.filters)) delete choice[name]; setTimeout(() => { offer(); changed(); }); };
}

// Only what can be chosen here hides anything: an address may come from another page.
const isVisible = line => [...form().querySelectorAll("select")].every(({ name, value }) => !value || String(line[name]) === value);

function changed() {
  const chosen = Object.entries(choice).filter(([, value]) => value);
  if (location.protocol !== "about:") history.replaceState(null, "", "#" + new URLSearchParams(chosen));
  render();
}

function render() {
  const visible = lines.filter(isVisible), shown = new Set(visible.map(line => line.index));
  document.getElementById("shown").textContent = `${visible.length} of ${lines.length} cells`;
  const chosen = [...form().querySelectorAll("select")].filter(field => field.value).map(field => `${field.labels[0].firstChild.data.trim()} ${field.value}`);
  if (chosen.length) form().dataset.chosen = chosen.join(", ");  // for paper, which has no filters
  else delete form().dataset.chosen;
  fill(visible);
  for (const reading of document.querySelectorAll("[data-lines]"))
    reading.hidden = !reading.dataset.lines.split(" ").some(index => shown.has(Number(index)));
  for (const article of document.querySelectorAll("[data-lines-of] article"))
    article.hidden = ![...article.querySelectorAll("[data-lines]")].some(reading => !reading.hidden);
  fitAll();
  drawAll(visible);
  root.dataset.drawn = Number(root.dataset.drawn ?? 0) + 1;
}

async function start() {
  open_(await unpack(document.getElementById("data").textContent));
  if (choice.export) return exportFigures();
  offer();
  render();
}

// Leave every chart of the first settings in the page as SVG and PNG, on white, for who wants files.
async function exportFigures() {
  const numbers = [...new Set(lines.filter(isOk).map(line => line.setting))], drawn = [];
  const add = (name, kind, choice) => {
    const by = CHARTS[kind].by ?? bySetting, all = CHARTS[kind].by ? data.roofs.map((_, at) => at) : numbers;
    for (const of of charted(kind, lines, choice).slice(0, MAX_PANELS))
      drawn.push([all.length > 1 ? `${name}-${all.indexOf(by(of[0])) + 1}` : name, CHARTS[kind].make(of, choice, 560)]);
  };
  for (const x of ["energy_j_per_audio_s", "rtfx", "model_bytes"]) add(`tradeoff-${data.primary}-${x}`, "tradeoff", { x, y: data.primary });
  for (const metric of data.bars) add(`bars-${metric}`, "bars", { metric });
  add("roofline", "roofline", {});
  add("latency", "latency", {});
  for (const by of Object.keys(data.groups)) add(`${data.primary}-by-${by}`, "groups", { by });
  data.timelines.slice(0, MAX_PANELS).forEach((line, i, all) => drawn.push([all.length > 1 ? `timeline-${i + 1}` : "timeline", timeline(line, 900)]));
  for (const [name, figure] of drawn) for (const format of ["svg", "png"]) {
    const layout = { ...figure.layout, paper_bgcolor: "#fff", font: { ...figure.layout.font, color: "#1c2024" } };
    const width = name.startsWith("timeline") ? 900 : 560, size = { width, height: layout.height, scale: format === "png" ? 3 : 1 };
    const url = await Plotly.toImage({ data: figure.data, layout }, { format, ...size });
    const holder = Object.assign(document.createElement("script"), { type: "text/plain", textContent: url });
    holder.dataset.figure = `${name}.${format}`;
    document.body.append(holder);
  }
}

const drawAll = visible => { for (const section of document.querySelectorAll("[data-chart]")) draw(section, visible, choice); };
const repaint = () => { for (const chart of document.querySelectorAll(".js-plotly-plot")) Plotly.relayout(chart, theme()); };
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
addEventListener("beforeprint", () => { root.classList.add("paper"); if (data) { drawAll(lines.filter(isVisible)); plotAll(); } });
addEventListener("afterprint", () => { root.classList.remove("paper"); if (data) drawAll(lines.filter(isVisible)); });

// A live page asks its server twice a second whether there is something new, and takes that in where it stands.
let known = null;
async function watch() {
  const status = document.getElementById("live");
  try {
    const answer = await fetch(location.pathname, { cache: "no-store", headers: known ? { "If-None-Match": known } : {} });
    const isFirst = known === null;
    if (answer.status === 200) {
      known = answer.headers.get("ETag");
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!isFirst || fresh.getElementById("data")?.textContent !== document.getElementById("data")?.textContent) take(fresh);
    }
    if (status) document.getElementById("live").textContent = "live: fills in while a suite runs";
  } catch {
    if (status) document.getElementById("live").textContent = "the dashboard does not answer any more; this is its last answer";
  }
  setTimeout(watch, 500);
}

function take(fresh) {
  if (!fresh.getElementById("data") || !document.getElementById("data")) return location.reload();
  const open = new Set([...document.querySelectorAll("details[open] > summary")].map(summary => summary.textContent));
  for (const id of ["top", "main", "data"]) document.getElementById(id).replaceWith(fresh.getElementById(id));
  for (const summary of document.querySelectorAll("details > summary")) if (open.has(summary.textContent)) summary.parentNode.open = true;
  start();
}

for (const [name, value] of new URLSearchParams(location.hash.slice(1))) choice[name] = value;
if (document.getElementById("data")) start();
if (document.body.dataset.live !== undefined) watch();
