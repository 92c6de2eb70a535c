// The cost, by the steps taken.

import { find, make, show } from "./common.js";

const [WIDTH, HEIGHT] = [360, 110];
const [LEFT, RIGHT, TOP, BOTTOM] = [44, 8, 10, 20];

export function drawCurve(history) {
  const svg = find("curve");
  const parts = [];
  const last = history.at(-1);
  const steps = Math.max(last?.step ?? 0, 10);
  const top = Math.max(0.7, ...history.map((one) => one.cost)) * 1.05;
  const x = (step) => LEFT + (WIDTH - LEFT - RIGHT) * step / steps;
  const y = (cost) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - cost / top);
  for (const share of [0, 0.5, 1]) {
    const value = top / 1.05 * share;
    parts.push(make("svg:path", { class: "grid", d: `M${LEFT},${y(value)}H${WIDTH - RIGHT}` }));
    parts.push(make("svg:text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end", text: value.toPrecision(2).replace(/^0\.0$/, "0") }));
  }
  parts.push(make("svg:text", { x: WIDTH - RIGHT, y: HEIGHT - 5, "text-anchor": "end", text: `${steps.toLocaleString("en")} steps` }));
  if (history.length) {
    const every = Math.max(1, Math.floor(history.length / 400));
    const kept = history.filter((_, k) => k % every === 0 || k === history.length - 1);
    parts.push(make("svg:polyline", { class: "curve-line", points: kept.map((one) => `${x(one.step).toFixed(1)},${y(one.cost).toFixed(1)}`).join(" ") }));
    parts.push(make("svg:circle", { class: "curve-end", cx: x(last.step), cy: y(last.cost), r: 4 }));
    svg.setAttribute("aria-label", `Cost by steps: ${show(history[0].cost)} at first, ${show(last.cost)} after ${last.step} steps`);
  }
  svg.replaceChildren(...parts);
}
