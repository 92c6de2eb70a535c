// Arrays as tables: every number, some points at a time; weights can be typed over.

import { colourOf, make, rgb, show, symbol } from "./common.js";

/** Which points' columns are shown: `count` from `start` on. */
export function pointWindow(state) {
  const m = state.X[0].length;
  const count = window.innerWidth < 560 ? 4 : 7;
  const start = Math.max(0, Math.min(state.start, m - count));
  return { start, end: Math.min(m, start + count), count, m };
}

/** A step's name -> the array and what its columns are. */
function lookUp(state, name) {
  const { result, parameters, Y } = state;
  if (name === "Y") return { rows: [Y], perPoint: true, name };
  if (name === "losses") return { rows: [result.losses], perPoint: true, name };
  if (name === "cost") return { rows: [[result.cost]], perPoint: false, name };
  if (name.startsWith("new ")) return { rows: result.updated[name.slice(4)], perPoint: false, name };
  const editable = /^[Wb]\d+$/.test(name);
  const rows = editable ? parameters[name] : result.arrays[name];
  return { rows, perPoint: !/^d?[Wb]\d+$/.test(name), name, editable };
}

function headOf(found, state) {
  if (found.perPoint) {
    const { start, end } = pointWindow(state);
    return Array.from({ length: end - start }, (_, k) => start + k);
  }
  return found.rows[0].map((_, j) => j);
}

function cell(found, state, k, j, top) {
  const value = found.rows[k][j];
  const data = { name: found.name, row: k, column: j, value };
  const tint = top ? 0.4 * Number(value) / top : 0;
  const style = Number.isFinite(tint) ? { background: rgb(colourOf(tint)) } : {};
  if (!found.editable) {
    const selected = found.perPoint && j === state.selected ? "number selected" : "number";
    return make("td", { class: selected, text: show(value), title: value, data, style });
  }
  const from = found.name[0] === "W" ? `, from ${inputName(found.name, j)}` : "";
  const input = make("input", {
    type: "number", step: "any", value: shorter(value), title: value, "aria-label": `${found.name}, unit ${k + 1}${from}`, data,
    onchange: (event) => state.change(found.name, k, j, event.target),
  });
  return make("td", { style, class: "editable" }, input);
}

/** What fits into a field, rounded; the whole number is its title. */
function shorter(value) {
  return String(Number(Number(value).toPrecision(4)));
}

function inputName(name, j) {
  return name.slice(1) === "1" ? "xy"[j] : `unit ${j + 1}`;
}

/** One array with its name, shape and numbers. */
function matrix(name, state) {
  const found = lookUp(state, name);
  const columns = headOf(found, state);
  const top = Math.max(...found.rows.flat().map((v) => Math.abs(Number(v))).filter(Number.isFinite), 0);
  const shape = `${found.rows.length} × ${found.rows[0].length}`;
  const isWeight = /^(new |d)?W/.test(name);
  const head = found.perPoint || isWeight
    ? make("thead", {}, make("tr", {}, make("td"), columns.map((j) => make("th", {
      scope: "col", class: found.perPoint && j === state.selected ? "selected" : null,
      text: found.perPoint ? j + 1 : inputName(name.replace(/^(new |d)/, ""), j).replace("unit ", ""),
    }))))
    : null;
  const single = name === "cost";
  return make("div", { class: "matrix" },
    make("p", { class: "matrix-name" }, name === "losses" ? "losses" : symbol(name.replace("new ", "")),
      name.startsWith("new ") ? " after the step" : "", single ? "" : make("small", { text: shape })),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${name}, ${shape}` },
      make("table", { class: "numbers" }, make("caption", { class: "unseen", text: `${name}, ${shape}${found.perPoint ? ", columns are points" : ""}` }), head,
        make("tbody", {}, found.rows.map((_, k) => make("tr", {},
          single ? null : make("th", { scope: "row", text: found.rows.length > 1 || found.editable ? k + 1 : "" }),
          columns.map((j) => cell(found, state, k, j, top))))))));
}

export function drawMatrices(place, step, state) {
  const inputs = step.uses.map((name) => matrix(name, state));
  const outputs = step.shows.map((name) => matrix(name, state));
  const focused = document.activeElement?.dataset;
  const was = focused?.name && [focused.name, focused.row, focused.column];
  place.replaceChildren(
    make("div", { class: "matrices out" }, make("h3", { text: "comes out" }), outputs),
    make("div", { class: "matrices" }, make("h3", { text: "goes in" }), inputs));
  if (was) place.querySelector(`input[data-name="${was[0]}"][data-row="${was[1]}"][data-column="${was[2]}"]`)?.focus();
}
