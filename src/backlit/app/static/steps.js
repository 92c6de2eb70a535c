// Step by step: holds the network and the points, asks the backend, and shows.

import { backend } from "./backend.js";
import { equation, find, make, onColours, remarksList, say, show, traceTable } from "./common.js";
import { drawCurve } from "./curve.js";
import { drawDiagram } from "./diagram.js";
import { drawMatrices, pointWindow } from "./matrices.js";
import { drawField, drawPoints, listen } from "./plane.js";

const NO_SCALING = { mean: [0, 0], scale: [1, 1] };
const state = {
  X: [[], []], Y: [], scaling: NO_SCALING, classes: ["0", "1"],
  parameters: null, activation: "tanh", hidden: [4, 3],
  result: null, field: null, history: [], taken: 0,
  size: "linear", at: 0, start: 0, selected: 0, tool: "1", lines: "W",
  undo: [], running: false, change: changeWeight,
};
let asked = 0; // only the latest answer counts

const document_ = () => ({
  X: state.X, Y: state.Y, scaling: state.scaling, classes: state.classes,
  parameters: state.parameters, activation: state.activation, learning_rate: rate(),
});

function rate() {
  const value = find("rate").valueAsNumber;
  return Number.isFinite(value) ? value : null;
}

// ------------------------------------------------------------------------------------------ errors

function complain(text) {
  find("error").hidden = !text;
  say("error", text);
}

/** Run what may fail, and show why it did. */
async function trying(work) {
  try {
    complain("");
    return await work();
  } catch (error) {
    complain(error.message);
    state.running = false;
    buttons();
    return undefined;
  }
}

// ----------------------------------------------------------------------------------------- the pass

/** Ask for a whole pass, and show everything. */
async function pass(record = true) {
  if (!state.parameters) return undefined;
  if (!state.X[0].length) {
    asked++;
    state.result = state.field = null;
    state.history = [];
    state.taken = 0;
    return drawAll();
  }
  const own = ++asked;
  return trying(async () => {
    const result = await backend.pass({ ...document_(), field: true });
    if (own !== asked) return;
    state.result = result;
    state.field = result.field;
    if (record) state.history = state.history.filter((one) => one.step < state.taken).concat({ step: state.taken, cost: result.cost });
    drawAll();
  });
}

async function drawWeights() {
  state.running = false;
  await trying(async () => {
    const { parameters } = await backend.network({
      hidden: state.hidden, activation: state.activation, seed: find("seed").valueAsNumber,
    });
    state.parameters = parameters;
    state.history = [];
    state.taken = 0;
    await pass();
  });
}

async function changeWeight(name, row, column, input) {
  const value = input.value === "" ? NaN : Number(input.value);
  if (!Number.isFinite(value)) {
    complain(`${name} needs a number.`);
    return;
  }
  state.parameters = { ...state.parameters, [name]: state.parameters[name].map((one, k) => k === row ? one.map((old, j) => j === column ? value : old) : one) };
  await pass();
  say("status", `${name} changed: the cost is ${show(state.result.cost)}.`);
}

// ------------------------------------------------------------------------------------------ training

async function train(steps) {
  const own = ++asked;
  return trying(async () => {
    const found = await backend.train({ ...document_(), steps });
    if (own !== asked) return false;
    state.parameters = found.parameters;
    state.field = found.field;
    found.costs.slice(1).forEach((cost, k) => state.history.push({ step: state.taken + k + 1, cost }));
    if (state.history.length > 4000) state.history = state.history.filter((_, k) => k % 2 === 0 || k === state.history.length - 1);
    state.taken += steps;
    drawFigures(found.costs.at(-1), found.right);
    drawField(state.field);
    drawPoints(state);
    drawNetwork(null);
    return true;
  });
}

async function run() {
  if (state.running) {
    state.running = false;
    return;
  }
  if (!state.X[0].length) return complain("There are no points yet: draw some, or take ready-made ones.");
  state.running = true;
  buttons();
  while (state.running && await train(5)) await new Promise(requestAnimationFrame);
  state.running = false;
  buttons();
  if (find("error").hidden) await pass();
}

async function trainMany() {
  if (!state.X[0].length) return complain("There are no points yet: draw some, or take ready-made ones.");
  state.running = false;
  const steps = Number(find("many").value);
  if (await train(steps)) {
    await pass();
    say("status", `${state.taken} steps taken: the cost is ${show(state.result.cost)}.`);
  }
}

async function takeStep() {
  await train(1);
  state.at = 0;
  await pass();
  find("next").focus();
}

// ------------------------------------------------------------------------------------------- drawing

const steps = () => state.result?.steps[state.size] ?? [];

function drawAll() {
  state.selected = Math.min(state.selected, Math.max(0, state.X[0].length - 1));
  state.at = Math.max(0, Math.min(state.at, steps().length - 1));
  drawField(state.field);
  drawPoints(state);
  drawFigures(state.result?.cost, state.result?.right);
  drawStep();
  if (state.result) {
    find("heading").textContent = state.result.table.heading;
    find("table").replaceChildren(traceTable(state.result.table, "The layers: shapes, norms, dead units, gradients"));
    find("remarks").replaceChildren(remarksList(state.result.table.remarks));
  } else {
    find("heading").textContent = "";
    find("table").replaceChildren();
    find("remarks").replaceChildren();
  }
  buttons();
}

function drawNetwork(arrays) {
  const step = steps()[state.at];
  const reached = new Set(steps().slice(0, state.at + 1).flatMap((one) => one.shows));
  drawDiagram({ ...state, arrays, step: arrays ? step : null, reached: arrays ? reached : new Set() }, pickWeight);
}

function drawFigures(cost, right) {
  find("cost").textContent = cost === undefined ? "–" : show(cost);
  find("cost").dataset.value = cost ?? "";
  find("right").textContent = right === undefined ? "–" : `${(100 * right).toFixed(1)} %`;
  find("taken").textContent = state.taken.toLocaleString("en");
  drawCurve(state.history);
}

function drawStep() {
  const list = steps();
  find("steps").replaceChildren(...list.map((one, k) => make("li", {}, make("button", {
    type: "button", class: one.phase, "aria-current": k === state.at ? "step" : null, title: one.title, "aria-label": one.title,
    text: shortName(one), onclick: () => go(k),
  }))));
  const step = list[state.at];
  if (!step) {
    find("step").replaceChildren(make("p", { class: "remark", text: "Draw points, or take ready-made ones, to begin." }));
    find("matrices").replaceChildren();
    find("window").textContent = "";
    if (state.parameters) drawNetwork(null);
    return;
  }
  find("step").replaceChildren(
    make("p", { class: "over", text: `${step.phase === "cost" ? "forward" : step.phase} · step ${state.at + 1} of ${list.length} · ${step.function}` }),
    make("h3", { class: step.phase, text: step.title }),
    make("div", { class: "formulas" },
      make("div", {}, step.equations.map((one) => make("p", {}, equation(one)))),
      make("code", { text: step.code })),
    make("p", { class: "words" }, inWords(step.words)));
  if (step.shows.some((name) => /^dA/.test(name)) && Object.entries(state.result.arrays).some(([name, rows]) => step.shows.includes(name) && rows.flat().some((v) => typeof v === "string"))) {
    find("step").append(make("p", { class: "remark", text: "Infinite, where the output has rounded to 0 or 1 and the label is the other: the reason why the library goes from the logits straight to dZ = A − Y." }));
  }
  drawNumbers(step);
}

/** A sentence, its dA_1 and such as symbols. */
function inWords(text) {
  return text.split(/(d?[A-Z]_\d+)/).map((part, k) => k % 2 ? equation(part) : part);
}

function drawNumbers(step) {
  const { start, end, m } = pointWindow(state);
  state.start = start;
  find("window").textContent = m === 1 ? "the only point" : `points ${start + 1}–${end} of ${m}`;
  disable("earlier", start === 0);
  disable("later", end === m);
  drawMatrices(find("matrices"), step, state);
  drawNetwork(state.result.arrays);
}

function shortName(step) {
  const l = step.layer ?? "";
  if (step.phase === "cost") return "cost";
  if (step.phase === "update") return "update";
  if (state.size === "linear") return step.phase === "forward" ? step.shows[0] : step.shows.length > 1 ? `dW${l}` : step.shows[0];
  if (state.size === "model") return step.phase;
  return step.phase === "forward" ? `layer ${l}` : step.shows.length > 1 ? `back ${l}` : step.shows[0];
}

/** Switch a button off or on; one that is off keeps the keyboard's focus, which `disabled` would drop. */
function disable(id, off) {
  find(id).setAttribute("aria-disabled", String(off));
}

function buttons() {
  const list = steps();
  disable("back", state.at === 0 || !list.length);
  disable("next", state.at >= list.length - 1);
  find("take").hidden = list[state.at]?.phase !== "update";
  find("run").textContent = state.running ? "Pause" : "Run";
  find("run").setAttribute("aria-pressed", String(state.running));
  disable("undo", !state.undo.length);
  disable("clear", !state.X[0].length);
}

function go(k) {
  state.at = k;
  drawStep();
  buttons();
  find("steps").children[k]?.firstChild.focus({ preventScroll: true });
}

/** A line of the drawing leads to its weight. */
function pickWeight(l, row, column) {
  const k = steps().findIndex((one) => one.uses.includes(`W${l}`));
  if (k < 0) return;
  go(k);
  find("matrices").querySelector(`input[data-name="W${l}"][data-row="${row}"][data-column="${column}"]`)?.focus();
}

// ---------------------------------------------------------------------------------------- the points

function remember() {
  state.undo.push({ X: state.X, Y: state.Y, scaling: state.scaling, classes: state.classes });
  if (state.undo.length > 50) state.undo.shift();
}

function setPoints({ X, Y, scaling, classes }) {
  Object.assign(state, { X, Y, scaling, classes });
  drawTools();
  return pass();
}

async function act(tool, x, y, point) {
  if (tool === "move") {
    say("status", `x ${show(x)}, y ${show(y)}`);
    return drawPoints(state);
  }
  if (tool.startsWith("class ")) {
    state.tool = tool.slice(6);
    drawTools();
    return say("status", `Drawing class ${state.classes[state.tool]}.`);
  }
  if (tool === "select" || tool === "erase") {
    if (point < 0) return say("status", "There is no point.");
    if (tool === "select") {
      state.selected = point;
      state.start = Math.max(0, point - 3);
      drawPoints(state);
      if (state.result) drawStep();
      return say("status", `Point ${point + 1}: class ${state.classes[state.Y[point]]}, x ${show(state.X[0][point])}, y ${show(state.X[1][point])}.`);
    }
    remember();
    const without = (row) => row.filter((_, k) => k !== point);
    say("status", `Point ${point + 1} removed.`);
    return setPoints({ ...state, X: state.X.map(without), Y: without(state.Y) });
  }
  if (state.X[0].length >= 1000) return complain("There are 1,000 points: no more are taken.");
  remember();
  const label = Number(tool);
  state.selected = state.X[0].length;
  state.start = state.selected;
  say("status", `A point of class ${state.classes[label]} at x ${show(x)}, y ${show(y)}.`);
  const rounded = [x, y].map((value) => Math.round(1000 * value) / 1000);
  return setPoints({ ...state, X: [[...state.X[0], rounded[0]], [...state.X[1], rounded[1]]], Y: [...state.Y, label] });
}

function drawTools() {
  const tools = [["1", state.classes[1]], ["0", state.classes[0]], ["select", "look"], ["erase", "erase"]];
  find("tools").replaceChildren(...tools.map(([value, words]) => make("label", {},
    make("input", { type: "radio", name: "tool", value, checked: state.tool === value, onchange: () => { state.tool = value; } }),
    make("span", { class: value === "1" ? "dot for" : value === "0" ? "dot against" : null, text: value.length > 1 ? words : `class ${words}` }))));
}

async function takeDataset() {
  if (find("dataset").value === "own") return undefined;
  state.running = false;
  return trying(async () => {
    const points = await backend.dataset({
      name: find("dataset").value, noise: Number(find("noise").value), count: Number(find("count").value), seed: 0,
    });
    if (state.X[0].length) remember();
    state.history = [];
    state.taken = 0;
    state.selected = state.start = 0;
    await setPoints(points);
    say("status", `${state.Y.length} points.`);
  });
}

async function takeTable(file) {
  if (!file) return;
  state.running = false;
  await trying(async () => {
    if (file.size > 4e6) throw new Error(`${file.name} is larger than 4 MB.`);
    let points;
    try {
      points = await backend.table(file);
    } catch (error) {
      throw new Error(`${file.name}: ${error.message}`);
    }
    remember();
    state.history = [];
    state.taken = 0;
    state.selected = state.start = 0;
    find("dataset").value = "own";
    await setPoints(points);
    const { mean, scale } = points.scaling;
    say("status", `${file.name}: ${points.Y.length} points of ${points.classes.join(" and ")}. Scaled: x to (x − ${show(mean[0])}) / ${show(scale[0])}, y to (y − ${show(mean[1])}) / ${show(scale[1])}.`);
  });
}

// ----------------------------------------------------------------------------------------- take away

function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const download = (form, name) => trying(async () => save(await backend[form](document_()), name));

function saveCsv() {
  const quoted = (text) => /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const { mean, scale } = state.scaling;
  const rows = state.Y.map((label, k) => [0, 1].map((d) => state.X[d][k] * scale[d] + mean[d]).concat(quoted(state.classes[label])).join(","));
  save(new Blob([["x,y,label", ...rows, ""].join("\n")], { type: "text/csv" }), "points.csv");
}

// -------------------------------------------------------------------------------------------- set up

function drawWidths() {
  find("widths").replaceChildren(...state.hidden.map((units, k) => make("label", {}, k ? "" : "Units ",
    make("select", {
      "aria-label": `Units of layer ${k + 1}`,
      onchange: (event) => { state.hidden[k] = Number(event.target.value); drawWeights(); },
    }, Array.from({ length: 8 }, (_, n) => make("option", { text: n + 1, selected: n + 1 === units }))))));
}

const on = (id, event, work) => find(id).addEventListener(event, (given) => {
  if (find(id).getAttribute("aria-disabled") !== "true") work(given);
});
on("depth", "change", (event) => {
  const depth = Number(event.target.value);
  state.hidden = Array.from({ length: depth }, (_, k) => state.hidden[k] ?? 4);
  drawWidths();
  drawWeights();
});
on("activation", "change", (event) => { state.activation = event.target.value; drawWeights(); });
on("seed", "change", drawWeights);
on("rate", "change", () => pass());
on("redraw", "click", () => {
  find("seed").value = (find("seed").valueAsNumber + 1) || 1;
  drawWeights();
});
for (const id of ["dataset", "noise", "count"]) on(id, "change", takeDataset);
on("csv", "change", (event) => { takeTable(event.target.files[0]); event.target.value = ""; });
on("undo", "click", () => { const before = state.undo.pop(); if (before) setPoints(before); });
on("clear", "click", () => { remember(); find("dataset").value = "own"; setPoints({ X: [[], []], Y: [], scaling: NO_SCALING, classes: ["0", "1"] }); });
on("run", "click", run);
on("train-many", "click", trainMany);
on("take", "click", takeStep);
on("back", "click", () => { state.at--; drawStep(); buttons(); });
on("next", "click", () => { state.at++; drawStep(); buttons(); });
on("earlier", "click", () => { state.start -= pointWindow(state).count; drawNumbers(steps()[state.at]); });
on("later", "click", () => { state.start += pointWindow(state).count; drawNumbers(steps()[state.at]); });
on("code", "click", () => download("code", "network.py"));
on("safetensors", "click", () => download("safetensors", "network.safetensors"));
on("points-csv", "click", saveCsv);
for (const input of document.querySelectorAll("[name=size]")) {
  input.addEventListener("change", () => { state.size = input.value; state.at = 0; drawStep(); buttons(); });
}
for (const input of document.querySelectorAll("[name=lines]")) {
  input.addEventListener("change", () => { state.lines = input.value; drawNetwork(state.result?.arrays ?? null); });
}
for (const name of ["dragover", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    if (name === "drop") takeTable(event.dataTransfer.files[0]);
  });
}
window.addEventListener("resize", () => state.result && drawNumbers(steps()[state.at]));
onColours(drawAll);
listen(state, act, () => drawPoints(state));

await trying(async () => {
  const { datasets, activations } = await backend.choices();
  find("dataset").replaceChildren(...Object.entries(datasets).map(([value, text]) => make("option", { value, text })), make("option", { value: "own", text: "Points of your own" }));
  find("dataset").value = "moons";
  find("activation").replaceChildren(...activations.map((name) => make("option", { value: name, text: name.replace("_", " ") })));
  find("activation").value = state.activation;
  drawWidths();
  drawTools();
  await takeDataset();
  await drawWeights();
});
