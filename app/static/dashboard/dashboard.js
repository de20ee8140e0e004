// The operators' dashboard: asks for the figures of the panels on the page, and draws them with uPlot.
"use strict";

const settings = document.body.dataset;
const REFRESH = 30; // seconds, without an end
const ALARM_BAND = 4; // pixels at the foot of each chart, while an alert fired
const groups = [...document.querySelectorAll(".group")].map((group) => [...group.querySelectorAll(".panel")]);
const charts = new Map(); // panel → uPlot
const answers = new Map(); // panel → { times, series }
let summary = { evaluated: false, alerts: [], periods: [], marks: [] };

// ------------------------------------------------------------ figures as text

const BYTES = ["B", "kB", "MB", "GB", "TB"];

function scaled(value, units, base) {
  let power = 0;
  while (Math.abs(value) >= base && power < units.length - 1) {
    value /= base;
    power += 1;
  }
  return [value, units[power]];
}

function rounded(value) {
  const size = Math.abs(value);
  const digits = size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 3;
  return value.toFixed(digits);
}

function text(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit.startsWith("bytes")) {
    const [number, name] = scaled(value, BYTES, 1000);
    return `${rounded(number)} ${name}${unit.slice(5)}`;
  }
  if (unit === "s" && value !== 0 && Math.abs(value) < 1) return `${rounded(value * 1000)} ms`;
  if (unit === "") {
    const [number, name] = scaled(value, ["", " k", " M", " G"], 1000);
    return rounded(number) + name;
  }
  return `${rounded(value)} ${unit}`;
}

const clock = (at) => new Date(at * 1000).toISOString().slice(11, 16);
const dayAndClock = (at) => new Date(at * 1000).toISOString().slice(0, 16).replace("T", " ");

function ago(at) {
  const seconds = Date.now() / 1000 - at;
  if (seconds < 120) return `${Math.max(0, Math.round(seconds))} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 2 * 86400) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// ------------------------------------------------------------ charts

const colour = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
const lineColour = (index) => colour(`--line-${(index % 8) + 1}`);

// Deploys and restarts as lines, alerts as a band: in every chart, at the same place.
function drawMarks(chart) {
  const { ctx, bbox } = chart;
  const x = (at) => Math.min(Math.max(chart.valToPos(at, "x", true), bbox.left), bbox.left + bbox.width);
  ctx.save();
  ctx.strokeStyle = colour("--muted");
  ctx.setLineDash([2, 3]);
  for (const mark of summary.marks) {
    ctx.beginPath();
    ctx.moveTo(x(mark.at), bbox.top);
    ctx.lineTo(x(mark.at), bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.fillStyle = colour("--wrong");
  const height = ALARM_BAND * devicePixelRatio;
  for (const period of summary.periods) {
    const from = x(period.from);
    ctx.fillRect(from, bbox.top + bbox.height - height, Math.max(x(period.to) - from, 2), height);
  }
  ctx.restore();
}

function draw(panel) {
  const { times, series } = answers.get(panel);
  const place = panel.querySelector(".chart");
  const unit = panel.dataset.unit;
  charts.get(panel)?.destroy();
  charts.delete(panel);
  place.replaceChildren();
  place.classList.toggle("empty", series.length === 0);
  showFigures(panel, null);
  if (series.length === 0) {
    place.textContent = panel.dataset.empty;
    return;
  }
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  const options = {
    width: place.clientWidth,
    height: place.clientHeight,
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "UTC"),
    legend: { show: false },
    cursor: { sync: { key: "time" }, points: { size: 6 }, y: false, drag: { x: false, y: false } },
    scales: { y: { range: (_, low, high) => [Math.min(low, 0), high > 0 ? high * 1.05 : 1] } },
    axes: [
      { ...axis, values: [
        [86400, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
        [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
      ] },
      { ...axis, size: 62, values: (_, ticks) => ticks.map((tick) => text(tick, unit)) },
    ],
    series: [{}, ...series.map((one, index) => ({
      label: one.label,
      stroke: lineColour(index),
      width: 1.5,
      dash: one.dashed ? [5, 4] : undefined,
      points: { show: false },
    }))],
    hooks: { draw: [drawMarks], setCursor: [(chart) => showFigures(panel, chart.cursor.idx ?? null)] },
  };
  const chart = new uPlot(options, [times, ...series.map((one) => one.values)], place);
  charts.set(panel, chart);
}

// The table below a chart: what it shows, for people who can't see it, and the values at the cursor.
function showFigures(panel, index) {
  const { times, series } = answers.get(panel);
  const unit = panel.dataset.unit;
  const table = panel.querySelector("table");
  table.hidden = series.length === 0;
  table.querySelector(".time").textContent = index === null ? "last" : clock(times[index]);
  if (index !== null && table.tBodies[0].rows.length === series.length) {
    series.forEach((one, row) => { table.tBodies[0].rows[row].cells[3].textContent = text(one.values[index], unit); });
    return;
  }
  table.tBodies[0].replaceChildren(...series.map((one, row) => {
    const known = one.values.filter((value) => value !== null);
    const swatch = element("span", { className: one.dashed ? "swatch dashed" : "swatch" });
    swatch.style.borderColor = lineColour(row);
    const name = element("th", { scope: "row" }, swatch, one.label || "all");
    if (one.text) name.append(element("span", { className: "text", textContent: one.text }));
    const cells = [Math.min(...known), Math.max(...known), known.at(-1)].map((value) =>
      element("td", { className: "number", textContent: text(known.length ? value : null, unit) }));
    return element("tr", {}, name, ...cells);
  }));
}

// ------------------------------------------------------------ is it well, since when, what changed

function showSummary() {
  const state = document.getElementById("state");
  const title = document.getElementById("state-title");
  const detail = document.getElementById("state-text");
  const { alerts, periods } = summary;
  const well = summary.evaluated && alerts.length === 0;
  state.classList.toggle("well", well);
  state.classList.toggle("unwell", !well);
  const last = periods.reduce((found, one) => (found && found.to >= one.to ? found : one), null);
  if (!summary.evaluated) {
    title.textContent = "No alert is evaluated";
    detail.textContent = "Prometheus answers, but its alert Watchdog does not fire: docker compose logs prometheus";
  } else if (alerts.length) {
    title.textContent = alerts.length === 1 ? "1 alert fires" : `${alerts.length} alerts fire`;
    detail.textContent = "";
  } else {
    title.textContent = "No alert fires";
    detail.textContent = last
      ? `Since ${dayAndClock(last.to)} (${ago(last.to)}): then ${last.alert} ended.`
      : `And none did in the last ${settings.range}.`;
  }
  document.title = well ? "Monitoring: no alert" : `Monitoring: ${title.textContent}`;
  document.getElementById("alerts").replaceChildren(...alerts.map((one) => element("li", {},
    element("strong", { textContent: one.alert }), ` (${one.severity}) since ${dayAndClock(Date.parse(one.since) / 1000)}, `,
    `${ago(Date.parse(one.since) / 1000)}: ${one.summary} `, element("code", { textContent: one.action }))));
  for (const panel of groups.flat()) {
    const own = alerts.filter((one) => panel.dataset.alerts.split(" ").includes(one.alert));
    const alarm = panel.querySelector(".alarm");
    alarm.hidden = own.length === 0;
    alarm.textContent = own.map((one) => one.alert).join(", ");
  }
  const changes = [
    ...summary.marks.map((one) => [one.at, one.label]),
    ...periods.map((one) => [one.from, `${one.alert} fired until ${dayAndClock(one.to)}`]),
  ].sort((one, other) => other[0] - one[0]).slice(0, 12);
  document.getElementById("changes").replaceChildren(...(changes.length
    ? changes.map(([at, what]) => element("li", { textContent: `${dayAndClock(at)} (${ago(at)}): ${what}` }))
    : [element("li", { className: "muted", textContent: `Nothing was deployed or restarted, and no alert fired, in the last ${settings.range}.` })]));
}

function showTrouble(message) {
  const state = document.getElementById("state");
  state.classList.remove("well");
  state.classList.add("unwell");
  document.getElementById("state-title").textContent = "No figures";
  document.getElementById("state-text").textContent = message;
}

// ------------------------------------------------------------ asking

async function ask(url, parameters) {
  const query = new URLSearchParams([["range", settings.range], ...(settings.end ? [["end", settings.end]] : []), ...parameters]);
  const response = await fetch(`${url}?${query}`, { headers: { Accept: "application/json" } });
  if (response.redirected) throw new Error("Your session has ended: log in again.");
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error.message);
  return answer;
}

// One request at a time: each takes one of the application's few workers.
async function load() {
  try {
    summary = await ask(settings.summary, []);
    showSummary();
    for (const group of groups) {
      const answer = await ask(settings.data, group.map((panel) => ["panel", panel.id]));
      for (const panel of group) {
        answers.set(panel, { times: answer.times, series: answer.panels[panel.id] });
        draw(panel);
      }
    }
    document.body.dataset.loaded = String(Date.now());
  } catch (error) {
    showTrouble(error.message);
  }
}

function redraw() {
  for (const panel of answers.keys()) draw(panel);
}

// ------------------------------------------------------------ keys, sizes, colours

document.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const panel = document.activeElement?.classList.contains("chart") && document.activeElement.closest(".panel");
  const chart = step && panel && charts.get(panel);
  if (!chart) return;
  event.preventDefault();
  const last = chart.data[0].length - 1;
  const index = Math.min(Math.max((chart.cursor.idx ?? last + (step < 0 ? 1 : 0)) + step, 0), last);
  for (const one of charts.values()) one.setCursor({ left: one.valToPos(chart.data[0][index], "x"), top: 10 });
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

let resizing;
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(redraw, 150);
});

load();
if (!settings.end) setInterval(() => document.visibilityState === "visible" && load(), REFRESH * 1000);
