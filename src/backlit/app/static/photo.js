// A photograph: its label, the map over it, and every layer's numbers.

import { backend } from "./backend.js";
import { equation, find, make, onColours, paint, remarksList, say, show, traceTable } from "./common.js";

let file = null; // what is looked at
let found = null; // what the backend said
let asking = 0; // a later picture wins over an earlier one

const percent = (share) => share > 0.9995 && share < 1 ? "over 99.9 %"
  : share > 0 && share < 0.0005 ? "under 0.1 %" : `${(100 * share).toFixed(1)} %`;

async function look(chosen, label = null) {
  const own = ++asking;
  file = chosen;
  find("error").hidden = true;
  find("drop").classList.add("busy");
  say("status", label === null ? "Looking …" : `Looking for ${label} …`);
  try {
    const answer = await backend.photo(new Blob([chosen]), label);
    if (own !== asking) return;
    found = answer;
    draw();
    say("status", `${chosen.name || "The picture"}: ${found.predicted}, ${percent(found.probabilities[found.classes.indexOf(found.predicted)])}.`);
  } catch (error) {
    if (own !== asking) return;
    find("result").hidden = true;
    find("error").hidden = false;
    say("error", `${chosen.name ? `${chosen.name}: ` : ""}${error.message}`);
    say("status", "");
  } finally {
    if (own === asking) find("drop").classList.remove("busy");
  }
}

function draw() {
  find("result").hidden = false;
  find("drop").classList.add("small");
  const own = found.probabilities[found.classes.indexOf(found.predicted)];
  for (const one of document.querySelectorAll("[data-label]")) one.textContent = found.label;
  find("label").textContent = found.predicted;
  find("sure").textContent = `${percent(own)} sure`;
  const [width, height] = found.size;
  find("stack").style.aspectRatio = `${width} / ${height}`;
  find("picture").src = found.picture;
  find("picture").alt = "The photograph";
  for (const part of document.querySelectorAll(".slider, #overlay")) part.hidden = !found.overlay;
  if (found.overlay) find("overlay").src = found.overlay;
  find("overlay").alt = `What speaks for ${found.label} in orange, against it in blue`;
  fade();
  find("probabilities").replaceChildren(...found.classes.map((name, k) => make("li", {},
    make("span", { text: name }),
    make("span", { class: "track", "aria-hidden": "true" }, make("span", { class: name === found.predicted ? "fill best" : "fill", style: { width: `${100 * found.probabilities[k]}%` } })),
    make("span", { class: "number", text: percent(found.probabilities[k]), data: { value: found.probabilities[k] } }))));
  drawReasons();
  drawChoice();
  drawLayers();
  drawFeatures();
}

function drawReasons() {
  const shown = found.reasons.filter((one) => Math.abs(one.push) >= 0.005).slice(0, 6);
  const most = Math.max(...shown.map((one) => Math.abs(one.push)), 1e-9);
  const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
  find("reasons").replaceChildren(...shown.map((one) => make("li", {},
    make("span", { class: "push", text: signed(one.push), data: { value: one.push } }),
    make("span", { class: "length", "aria-hidden": "true" }, make("span", { class: one.push > 0 ? "meter for" : "meter against", style: { width: `${100 * Math.abs(one.push) / most}%` } })),
    make("span", {}, one.words, make("small", { text: one.group })))));
  const all = shown.reduce((sum, one) => sum + one.push, 0);
  find("sum").textContent = `Log-odds of ${found.label}: an average picture has ${signed(found.start)}, `
    + `these ${shown.length} add ${signed(all)}, the others ${signed(found.log_odds - found.start - all)}: ${signed(found.log_odds)}.`;
}

function drawChoice() {
  find("label-choice").replaceChildren(...found.classes.map((name, k) => make("label", {},
    make("input", { type: "radio", name: "label", value: name, id: `as-${k}`, checked: name === found.label, onchange: () => choose(name, k) }),
    make("span", { text: name }))));
  find("meaning").textContent = found.label === found.predicted
    ? `The network is right if it is ${found.label}: the loss is ${show(found.cost)}, and so small is the gradient. Choose another label to see how it would be pulled there.`
    : `If it were ${found.label}, the loss would be ${show(found.cost)}, and this is the gradient that would pull the network there.`;
}

async function choose(name, k) {
  await look(file, name);
  find(`as-${k}`)?.focus();
}

function drawLayers() {
  find("table").replaceChildren(traceTable(found.table, "The layers: shapes, norms, silent units, gradients"));
  find("remarks").replaceChildren(remarksList(found.table.remarks));
  find("layers").replaceChildren(...found.layers.map((layer) => {
    const count = layer.A.length;
    return make("article", { class: "card" },
      make("h3", {}, `Layer ${layer.number} `, make("small", { text: `${layer.activation}, ${count} unit${count > 1 ? "s" : ""}` })),
      make("div", { class: "pair" }, strip(layer, "A", "activations"), strip(layer, "dZ", "gradients")),
      units(layer));
  }));
}

/** All units of a layer as coloured squares. */
function strip(layer, name, words) {
  const values = layer[name].map(Number);
  const top = Math.max(...values.map(Math.abs), 0);
  const live = values.filter((value) => value !== 0).length;
  const columns = values.length === 1 ? 1 : 25;
  const canvas = make("canvas", { class: "cells", role: "img", "aria-label": `${words} of layer ${layer.number}: ${live} of ${values.length} are not 0, the largest is ${show(top)}` });
  canvas.style.setProperty("--columns", columns);
  canvas.style.setProperty("--rows", Math.ceil(values.length / columns));
  paint(canvas, values.map((value) => top ? value / top : 0), columns);
  return make("figure", {}, canvas,
    make("figcaption", {}, equation(`${name}_${layer.number}`), ` ${words}, up to `, make("span", { class: "number", text: show(top) })));
}

function units(layer) {
  const details = make("details", {}, make("summary", { text: "Every number" }));
  details.addEventListener("toggle", () => {
    if (!details.open || details.children.length > 1) return;
    const names = ["Z", "A", "dA", "dZ"];
    details.append(make("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": `Units of layer ${layer.number}` },
      make("table", { class: "figures" },
        make("thead", {}, make("tr", {}, make("th", { scope: "col", text: "unit" }), names.map((name) => make("th", { scope: "col" }, equation(`${name}_${layer.number}`))))),
        make("tbody", {}, layer.A.map((_, k) => make("tr", {}, make("th", { scope: "row", text: k + 1 }),
          names.map((name) => make("td", { class: "number", text: show(layer[name][k]), title: layer[name][k], data: { name: `${name}${layer.number}`, value: layer[name][k] } }))))))));
  });
  return details;
}

function drawFeatures() {
  find("features").replaceChildren(
    make("thead", {}, make("tr", {}, make("th", { scope: "col", class: "words", text: "feature" }),
      ["A_0", "dA_0"].map((name) => make("th", { scope: "col" }, equation(name))))),
    make("tbody", {}, found.features.map((one) => make("tr", {},
      make("th", { scope: "row", class: "words" }, one.words, make("small", { text: one.name })),
      make("td", { class: "number", text: show(one.A0), title: one.A0, data: { value: one.A0 } }),
      make("td", { class: "number", text: show(one.dA0), title: one.dA0, data: { value: one.dA0 } })))));
}

function fade() {
  find("overlay").style.opacity = find("opacity").value / 100;
}

function take(files) {
  const chosen = [...(files ?? [])][0];
  if (chosen) look(chosen);
}

find("file").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = ""; // so that the same file can be chosen again
});
let scenes = Math.floor(Math.random() * 5000);
find("scene").addEventListener("click", async () => {
  const number = scenes++;
  try {
    say("status", "Rendering a scene …");
    const picture = await backend.scene(number);
    await look(new File([picture], `scene ${number}`));
  } catch (error) {
    find("error").hidden = false;
    say("error", error.message);
  }
});
find("opacity").addEventListener("input", fade);
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    find("drop").classList.add("over-it");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) find("drop").classList.remove("over-it");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  find("drop").classList.remove("over-it");
  take(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => take(event.clipboardData.files));
onColours(() => found && drawLayers());

try {
  const model = await backend.model();
  if (model.sorting) find("sorting").hidden = false;
  const names = model.classes.length > 2
    ? `${model.classes.slice(0, -1).join(", ")} or ${model.classes.at(-1)}` : model.classes.join(" or ");
  find("question").textContent = `${names[0].toUpperCase()}${names.slice(1)}?`;
} catch (error) {
  find("error").hidden = false;
  say("error", error.message);
}
