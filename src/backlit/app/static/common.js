// What all pages use: writing numbers, making elements.

let waiting = 0;

/** Do something that takes a while; the page is marked as busy in between. */
export async function busily(work) {
  const main = document.querySelector("main");
  main.ariaBusy = String(++waiting > 0);
  try {
    return await work();
  } finally {
    main.ariaBusy = String(--waiting > 0);
  }
}

/** A number of four digits, as people read it; what is not finite comes as words. */
export function show(value) {
  const number = Number(value === "inf" ? Infinity : value === "-inf" ? -Infinity : value);
  if (Number.isNaN(number)) return "nan";
  if (!Number.isFinite(number)) return number < 0 ? "−∞" : "∞";
  if (number === 0) return "0";
  const size = Math.abs(number);
  const text = size >= 1e-3 && size < 1e5 ? number.toPrecision(4) : number.toExponential(3);
  return text.replace("-", "−").replace("e+", "e").replace("e-", "e−");
}

/** An element with attributes, properties ("onclick", "className", ...) and children. */
export function make(tag, given = {}, ...children) {
  const [name, space] = tag.split(":").reverse();
  const element = space === "svg"
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined || value === null) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") Object.entries(value).forEach(([k, v]) => element.style.setProperty(k, v));
    else if (key === "text") element.textContent = value;
    else if (key === "data") Object.assign(element.dataset, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const find = (id) => document.getElementById(id);

/** Set text such as "dW_2 = 1/m dZ_2 A_1^T" with indices, transposes and fractions. */
export function equation(text) {
  const parts = text.split(/(_[A-Za-z0-9]+|\^T|1\/m)/).map((part) => {
    if (part.startsWith("_")) return make("sub", { text: part.slice(1) });
    if (part === "^T") return make("sup", { text: "T" });
    if (part === "1/m") return make("span", { class: "fraction" },
      make("span", { text: "1" }), make("span", { class: "unseen", text: "/" }), make("span", { text: "m" }));
    return part;
  });
  return make("span", { class: "equation" }, parts);
}

/** "dW2" or "new b1" with its index lowered. */
export function symbol(name) {
  return equation(name.replace(/(\d+)$/, "_$1"));
}

/** A trace's table and its sentences. */
export function traceTable(table, caption) {
  const minor = (name) => ["‖W‖", "A", "dW/W"].includes(name) ? "minor" : "";
  const head = make("tr", {}, table.columns.map((one) =>
    make("th", { scope: "col", title: one.meaning, class: minor(one.name) }, one.name)));
  const rows = table.rows.map((row) => make("tr", {}, row.cells.map((cell, place) => {
    const name = table.columns[place].name;
    const alarm = row.alarms.includes(name);
    const inside = name === "‖dZ‖"
      ? [make("span", { class: "meter-track", "aria-hidden": "true" },
        make("span", { class: "meter-fill", style: { width: `${row.bar}%` } })), cell]
      : [cell];
    return make(place ? "td" : "th", { scope: place ? null : "row", class: alarm ? "alarm" : minor(name) }, inside);
  })));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    make("table", { class: "figures" }, make("caption", { class: "unseen", text: caption }),
      make("thead", {}, head), make("tbody", {}, rows)));
}

export function remarksList(remarks) {
  const items = remarks.map((one) =>
    make("li", { class: one.alarm ? "alarm" : null }, (one.alarm ? "⚠ " : "") + one.text));
  if (!remarks.some((one) => one.alarm)) items.push(make("li", { text: "No alarm." }));
  return make("ul", { class: "remarks" }, items);
}

const dark = window.matchMedia("(prefers-color-scheme: dark)");

/** Colours of a number between -1 and 1: blue, paper, orange; as [red, green, blue]. */
export function colourOf(share) {
  const paper = dark.matches ? [34, 39, 48] : [250, 249, 246];
  const end = share > 0 ? (dark.matches ? [245, 158, 46] : [229, 131, 18])
    : (dark.matches ? [109, 155, 255] : [46, 109, 246]);
  const weight = Math.min(1, Math.abs(share));
  return paper.map((from, k) => Math.round(from + (end[k] - from) * weight));
}

export const rgb = (colour) => `rgb(${colour.join(" ")})`;

/** Numbers, row by row, as pixels of a canvas. */
export function paint(canvas, values, width, strength = 1) {
  const height = Math.ceil(values.length / width);
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  values.forEach((value, place) => {
    image.data.set([...colourOf(value * strength), 255], 4 * place);
  });
  context.putImageData(image, 0, 0);
}

/** Tell screen readers, and whoever looks. */
export function say(id, text) {
  find(id).textContent = text;
}

/** When the colours of the system change. */
export function onColours(again) {
  dark.addEventListener("change", again);
}
