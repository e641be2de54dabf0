"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const COLORS = ["#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#B5A400", "#7F7F7F"];
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [220, 210, 40]];
const MAX_ROWS = 100;
const byId = (id) => document.getElementById(id);
const short = (value) => typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value);

function element(name, attributes = {}, text = "") {
  const isSvg = ["svg", "g", "line", "path", "polyline", "text"].includes(name);
  const node = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
}

function viridis(fraction) {
  const place = Math.min(Math.max(fraction, 0), 1) * (VIRIDIS.length - 1);
  const index = Math.min(Math.floor(place), VIRIDIS.length - 2);
  const mixed = VIRIDIS[index].map((c, i) => Math.round(c + (place - index) * (VIRIDIS[index + 1][i] - c)));
  return `rgb(${mixed})`;
}

// A scale maps values to [0, 1]: names and booleans evenly, wide positive numbers in log.
function scaleOf(values) {
  const distinct = [...new Set(values)];
  if (distinct.some((v) => typeof v !== "number")) {
    distinct.sort();
    return { ticks: distinct, at: (v) => distinct.length > 1 ? distinct.indexOf(v) / (distinct.length - 1) : 0.5 };
  }
  distinct.sort((a, b) => a - b);
  const low = distinct[0], high = distinct[distinct.length - 1];
  const isLog = low > 0 && high / low >= 20;
  const f = isLog ? Math.log : (v) => v;
  const at = (v) => high > low ? (f(v) - f(low)) / (f(high) - f(low)) : 0.5;
  const even = [0, 0.25, 0.5, 0.75, 1].map((t) => isLog ? low * (high / low) ** t : low + (high - low) * t);
  const ticks = distinct.length <= 6 ? distinct : even;
  return { ticks, at, low, high };
}

function choose(index) {
  document.querySelectorAll("[data-setting]").forEach((node) =>
    node.classList.toggle("chosen", node.dataset.setting === String(index)));
}

function follow(node, index) {
  node.dataset.setting = index;
  node.addEventListener("mouseenter", () => choose(index));
  node.addEventListener("mouseleave", () => choose(-1));
}

function drawTable(metric, order) {
  const fields = Object.keys(metric.settings[0]?.fields ?? {});
  const table = byId("best");
  const head = element("tr");
  const columns = [...fields, "mean", "95 % interval"];
  columns.forEach((name) => {
    const cell = element("th", { tabindex: 0, scope: "col" }, name.replaceAll("_", " "));
    const sort = () => drawTable(metric, sorted(metric, order, name));
    cell.addEventListener("click", sort);
    cell.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
    head.append(cell);
  });
  table.replaceChildren(head);
  order.slice(0, MAX_ROWS).forEach((index) => {
    const setting = metric.settings[index];
    const row = element("tr");
    fields.forEach((field) => row.append(element("td", {}, short(setting.fields[field]))));
    row.append(element("td", {}, short(setting.mean)));
    const interval = setting.low === null ? "one seed" : `${short(setting.low)} to ${short(setting.high)}`;
    row.append(element("td", {}, interval));
    follow(row, index);
    table.append(row);
  });
}

function sorted(metric, order, name) {
  const value = (index) => metric.settings[index].fields[name] ?? metric.settings[index][name === "mean" ? "mean" : "low"];
  const up = [...order].sort((a, b) => value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : a - b);
  return up.every((index, place) => index === order[place]) ? up.reverse() : up;
}

function drawParallel(metric) {
  const width = 960, height = 340, top = 40, bottom = 20, side = 70;
  const columns = [...Object.keys(metric.settings[0]?.fields ?? {}).map((name) => [name, (s) => s.fields[name]]),
    [byId("metric").value, (s) => s.mean]];
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Parallel coordinates" });
  const x = (i) => columns.length > 1 ? side + i * (width - 2 * side) / (columns.length - 1) : width / 2;
  const y = (fraction) => height - bottom - fraction * (height - top - bottom);
  const scales = columns.map(([, get]) => scaleOf(metric.settings.map(get)));
  const last = scales[scales.length - 1];
  [...metric.settings.keys()].reverse().forEach((index) => {
    const setting = metric.settings[index];
    const points = columns.map(([, get], i) => `${x(i).toFixed(1)},${y(scales[i].at(get(setting))).toFixed(1)}`);
    const fraction = last.at(setting.mean);
    const line = element("polyline", { class: "run", points: points.join(" "),
      stroke: viridis(metric.larger_is_better ? fraction : 1 - fraction) });
    follow(line, index);
    svg.append(line);
  });
  columns.forEach(([name], i) => {
    svg.append(element("line", { class: "axis", x1: x(i), x2: x(i), y1: y(0), y2: y(1) }));
    svg.append(element("text", { x: x(i), y: 18, "text-anchor": "middle", "font-weight": "bold" }, name.replaceAll("_", " ")));
    scales[i].ticks.forEach((tick) => svg.append(element("text", { x: x(i) + 6, y: y(scales[i].at(tick)) + 4 }, short(tick))));
  });
  byId("parallel").replaceChildren(svg);
}

// Round numbers between two others, about five of them.
function roundTicks(low, high) {
  const rough = (high - low) / 5 || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((m) => m * power >= rough) ?? 10);
  const first = Math.ceil(low / step), count = Math.floor(high / step) - first + 1;
  return Array.from({ length: count }, (_, i) => (first + i) * step);
}

function drawCurves(metric) {
  byId("curves-section").hidden = metric.curves.length === 0;
  const width = 960, height = 380, left = 60, right = 15, top = 10, bottom = 45;
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Learning curves" });
  const numbers = (names) => metric.curves.flatMap((c) => names.flatMap((n) => c[n])).filter((v) => v !== null);
  const xs = numbers(["x"]), ys = numbers(["mean", "low", "high"]);
  const xLow = Math.min(...xs), xHigh = Math.max(...xs), yLow = Math.min(...ys), yHigh = Math.max(...ys);
  const x = (v) => left + (v - xLow) / (xHigh - xLow || 1) * (width - left - right);
  const y = (v) => height - bottom - (v - yLow) / (yHigh - yLow || 1) * (height - top - bottom);
  const path = (c, name, order) => order.filter((i) => c[name][i] !== null)
    .map((i) => `${x(c.x[i]).toFixed(1)},${y(c[name][i]).toFixed(1)}`);
  roundTicks(yLow, yHigh).forEach((v) => {
    svg.append(element("line", { class: "axis", x1: left, x2: width - right, y1: y(v), y2: y(v) }));
    svg.append(element("text", { x: left - 8, y: y(v) + 4, "text-anchor": "end" }, short(v)));
  });
  roundTicks(xLow, xHigh).forEach((v) =>
    svg.append(element("text", { x: x(v), y: height - bottom + 18, "text-anchor": "middle" }, short(v))));
  svg.append(element("text", { x: width / 2, y: height - 6, "text-anchor": "middle" }, metric.step_name.replaceAll("_", " ")));
  const legend = byId("legend");
  legend.replaceChildren();
  metric.curves.forEach((curve, index) => {
    const color = COLORS[index], forth = [...curve.x.keys()], back = [...forth].reverse();
    const band = [...path(curve, "high", forth), ...path(curve, "low", back)];
    if (band.length) svg.prepend(element("path", { d: `M${band.join("L")}Z`, fill: color, opacity: 0.12 }));
    const line = element("path", { class: "run curve", d: `M${path(curve, "mean", forth).join("L")}`, stroke: color });
    follow(line, index);
    svg.append(line);
    const item = element("li");
    const fields = Object.entries(metric.settings[index].fields).map(([n, v]) => `${n.replaceAll("_", " ")} = ${short(v)}`);
    item.append(element("span", { class: "swatch", style: `background:${color}` }), fields.join(", "));
    follow(item, index);
    legend.append(item);
  });
  byId("curves").replaceChildren(svg);
}

function show(name) {
  const metric = data.metrics[name];
  const unit = metric.units === "1" ? "" : ` (${metric.units})`;
  const shown = Math.min(metric.settings.length, MAX_ROWS);
  byId("best-note").textContent = `${metric.long_name}${unit}, mean over ${metric.num_seeds} seed(s); ` +
    `${metric.larger_is_better ? "larger" : "smaller"} is better; ${shown} of ${metric.num_settings} settings. Click a heading to sort.`;
  drawTable(metric, [...metric.settings.keys()]);
  drawParallel(metric);
  drawCurves(metric);
}

function start() {
  const { manifest } = data, { runs } = manifest;
  byId("summary").textContent = `${runs.finished} of ${runs.total} runs finished` +
    (runs.failed ? `, ${runs.failed} failed` : "") + (runs.remaining ? `, ${runs.remaining} remain` : "") + ".";
  const select = byId("metric");
  Object.keys(data.metrics).forEach((name) => select.append(element("option", { value: name }, name.replaceAll("_", " "))));
  select.value = data.metric;
  select.addEventListener("change", () => show(select.value));
  byId("failures-section").hidden = manifest.failures.length === 0;
  manifest.failures.forEach(({ setting, error }) => byId("failures").append(
    element("li", {}, `${Object.entries(setting).map(([n, v]) => `${n}=${v}`).join(" ")}: ${error}`)));
  byId("provenance").textContent = JSON.stringify({ command: manifest.command, git: manifest.git,
    code_hash: manifest.code_hash, versions: manifest.versions }, null, 2);
  show(data.metric);
}

start();
