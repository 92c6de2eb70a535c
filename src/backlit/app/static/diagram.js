// The network drawn: units with what they see of the plane, lines weighted by W or dW.

import { colourOf, find, make, onColours, paint, rgb, show } from "./common.js";

const BOX = 38;
const CLASSES = { W: "weights", dW: "gradients" };
const pictures = new Map(); // a unit's picture, by its numbers

onColours(() => pictures.clear());

function picture(values, side) {
  const key = values.join();
  if (!pictures.has(key)) {
    if (pictures.size > 400) pictures.clear();
    const canvas = document.createElement("canvas");
    paint(canvas, values, side, 0.85);
    pictures.set(key, canvas.toDataURL());
  }
  return pictures.get(key);
}

/** Which array the number below each unit is from, in the step that is shown. */
function shownArrays(step, layers, reached) {
  const names = {};
  for (let l = 0; l <= layers; l++) {
    names[l] = [`dZ${l}`, `dA${l}`, `A${l}`, `Z${l}`].find((name) => reached.has(name) || name === "A0") ?? null;
  }
  for (const name of step?.shows ?? []) {
    const match = /^(Z|A|dA|dZ)(\d+)$/.exec(name);
    if (match) names[match[2]] = name;
  }
  return names;
}

export function drawDiagram(state, pick) {
  const { parameters, arrays, field, step, reached, selected, lines } = state;
  const layers = Object.keys(parameters).length / 2;
  const counts = [2, ...Array.from({ length: layers }, (_, k) => parameters[`b${k + 1}`].length)];
  const most = Math.max(...counts);
  const gap = 62;
  const room = find("diagram").parentElement.clientWidth;
  const width = Math.max(80 * layers + 78, Math.min(room, 150 * layers + 130));
  const height = most * gap + 52;
  const x = (l) => 39 + l * (width - 78) / layers;
  const y = (l, k) => 42 + (most - counts[l]) * gap / 2 + k * gap + BOX / 2;
  const names = shownArrays(step, layers, reached);
  const parts = [];
  for (let l = 1; l <= layers; l++) {
    const shown = lines === "dW" && arrays ? arrays[`dW${l}`] : parameters[`W${l}`];
    const top = Math.max(...shown.flat().map((v) => Math.abs(Number(v))), 1e-12);
    shown.forEach((row, k) => row.forEach((value, j) => {
      const share = Number(value) / top;
      const [x1, y1, x2, y2] = [x(l - 1) + BOX / 2, y(l - 1, j), x(l) - BOX / 2, y(l, k)];
      const bend = (x2 - x1) * 0.45;
      const line = make("svg:path", {
        class: step?.layer === l ? "edge lit" : "edge",
        d: `M${x1},${y1}C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`,
        stroke: rgb(colourOf(share > 0 ? Math.max(share, 0.35) : Math.min(share, -0.35))),
        "stroke-width": (0.6 + 5.4 * Math.abs(share)).toFixed(2),
        onclick: () => pick(l, k, j),
      });
      line.append(make("svg:title", { text: `${lines}${l}, unit ${k + 1} from ${j + 1}: ${show(value)}` }));
      parts.push(line);
    }));
  }
  for (let l = 0; l <= layers; l++) {
    const lit = step?.layer === l;
    const title = l === 0 ? "input" : l === layers ? "output" : `layer ${l}`;
    parts.push(make("svg:text", { class: lit ? "layer-name lit" : "layer-name", x: x(l), y: 12, "text-anchor": "middle", text: title }));
    if (names[l]) parts.push(make("svg:text", { class: lit ? "layer-array lit" : "layer-array", x: x(l), y: 29, "text-anchor": "middle", text: names[l] }));
    for (let k = 0; k < counts[l]; k++) {
      const [left, top] = [x(l) - BOX / 2, y(l, k) - BOX / 2];
      const seen = field?.units[l]?.[k];
      if (seen) {
        parts.push(make("svg:image", { href: picture(seen, field.unit_side), x: left, y: top, width: BOX, height: BOX, preserveAspectRatio: "none", "clip-path": "inset(0 round 8px)" }));
      }
      parts.push(make("svg:rect", { class: lit ? "unit lit" : "unit", x: left, y: top, width: BOX, height: BOX, rx: 8 }));
      const value = names[l] && arrays?.[names[l]]?.[k]?.[selected];
      const own = l === 0 && names[0] === "A0" ? `${"xy"[k]} ` : "";
      parts.push(make("svg:text", { class: "value", x: x(l), y: top + BOX + 14, "text-anchor": "middle", text: value === undefined || value === null ? "·" : `${own}${show(value)}` }));
    }
  }
  const svg = find("diagram");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.style.width = `${width}px`;
  svg.setAttribute("aria-label", `A network of ${counts.join(", ")} units; lines by their ${CLASSES[lines]}`);
  svg.replaceChildren(...parts);
  find("diagram-note").textContent = arrays
    ? `Squares: what each unit sees of the plane. Numbers: point ${selected + 1}.`
    : "Squares: what each unit sees of the plane.";
}
