// The plane: what the network makes of it, the boundary, the points; drawing with pointer and keys.

import { colourOf, find, make, rgb, show } from "./common.js";

const SIZE = 400;
const cross = { x: 0, y: 0, shown: false };

/** How far the plane is shown; the server shows the field as far. */
export function reachOf(X) {
  return Math.max(1.3, 1.1 * Math.max(0, ...X[0].map(Math.abs), ...X[1].map(Math.abs)));
}

const across = (x, reach) => SIZE * (x / reach + 1) / 2;
const down = (y, reach) => SIZE * (1 - y / reach) / 2;

export function drawField(field) {
  const canvas = find("field");
  if (!field) {
    canvas.width = canvas.height = 1;
    return;
  }
  const { side, values } = field;
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  values.forEach((value, k) => image.data.set([...colourOf(0.62 * (2 * value - 1)), 255], 4 * k));
  context.putImageData(image, 0, 0);
}

/** Where the output is 1/2: marching squares, as a path. */
function boundary({ side, values }) {
  const at = (row, column) => values[row * side + column] - 0.5;
  const place = (k) => (k + 0.5) * SIZE / side;
  let path = "";
  for (let row = 0; row < side - 1; row++) {
    for (let column = 0; column < side - 1; column++) {
      const corners = [[row, column], [row, column + 1], [row + 1, column + 1], [row + 1, column]];
      const cuts = [];
      corners.forEach(([r, c], k) => {
        const [r2, c2] = corners[(k + 1) % 4];
        const [a, b] = [at(r, c), at(r2, c2)];
        if ((a < 0) === (b < 0)) return;
        const share = a / (a - b);
        cuts.push([place(c + share * (c2 - c)), place(r + share * (r2 - r))]);
      });
      for (let k = 0; k + 1 < cuts.length; k += 2) {
        path += `M${cuts[k].map((v) => v.toFixed(1))}L${cuts[k + 1].map((v) => v.toFixed(1))}`;
      }
    }
  }
  return path;
}

export function drawPoints(state) {
  const { X, Y, field, selected } = state;
  const reach = reachOf(X);
  const svg = find("points");
  const parts = [];
  const zero = { x: across(0, reach), y: down(0, reach) };
  parts.push(make("svg:path", { class: "axes", d: `M${zero.x},0V${SIZE}M0,${zero.y}H${SIZE}` }));
  if (field) parts.push(make("svg:path", { class: "boundary", d: boundary(field) }));
  X[0].forEach((x, k) => {
    parts.push(make("svg:circle", {
      class: k === selected ? "point selected" : "point", cx: across(x, reach), cy: down(X[1][k], reach), r: k === selected ? 7 : 4.5,
      fill: rgb(colourOf(Y[k] ? 1 : -1)),
    }));
  });
  if (cross.shown) {
    const [x, y] = [across(cross.x, reach), down(cross.y, reach)];
    parts.push(make("svg:path", { class: "cross", d: `M${x - 12},${y}H${x + 12}M${x},${y - 12}V${y + 12}` }));
  }
  for (const [name, x, y, anchor] of [["x", SIZE - 6, zero.y - 6, "end"], ["y", zero.x + 6, 12, "start"]]) {
    parts.push(make("svg:text", { x, y, "text-anchor": anchor, text: name }));
  }
  parts.push(make("svg:text", { x: 6, y: SIZE - 7, text: `from ${show(-reach)} to ${show(reach)}` }));
  svg.replaceChildren(...parts);
}

function nearest(X, x, y) {
  let best = -1;
  let distance = Infinity;
  X[0].forEach((one, k) => {
    const own = Math.hypot(one - x, X[1][k] - y);
    if (own < distance) [best, distance] = [k, own];
  });
  return { best, distance };
}

/** Call `act(tool, x, y, nearest point)` for clicks and keys. */
export function listen(state, act, redraw) {
  const svg = find("points");
  const toolFor = (tool, x, y, close) => {
    const { best, distance } = nearest(state.X, x, y);
    act(tool, x, y, distance <= close ? best : -1);
  };
  svg.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const box = svg.getBoundingClientRect();
    const reach = reachOf(state.X);
    const x = reach * (2 * (event.clientX - box.left) / box.width - 1);
    const y = reach * (1 - 2 * (event.clientY - box.top) / box.height);
    cross.shown = false;
    toolFor(state.tool, x, y, 0.07 * reach);
  });
  svg.addEventListener("focus", () => { if (svg.matches(":focus-visible")) { cross.shown = true; redraw(); } });
  svg.addEventListener("blur", () => { cross.shown = false; redraw(); });
  svg.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const reach = reachOf(state.X);
    const step = (event.shiftKey ? 0.2 : 0.05) * reach;
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const limit = (value) => Math.min(reach, Math.max(-reach, value));
    cross.shown = true;
    if (event.key in moves) {
      cross.x = limit(cross.x + step * moves[event.key][0]);
      cross.y = limit(cross.y + step * moves[event.key][1]);
      act("move", cross.x, cross.y, -1);
    } else if (event.key === "Enter" || event.key === " ") toolFor(state.tool, cross.x, cross.y, 0.1 * reach);
    else if (event.key === "Delete" || event.key === "Backspace") toolFor("erase", cross.x, cross.y, Infinity);
    else if (event.key === "0" || event.key === "1") act(`class ${event.key}`, 0, 0, -1);
    else if (event.key.toLowerCase() === "s") toolFor("select", cross.x, cross.y, Infinity);
    else return;
    event.preventDefault();
  });
}
