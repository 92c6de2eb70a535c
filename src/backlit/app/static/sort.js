// A folder to sort: a contact sheet, keys that give labels, undo, and learning again.

import { askJson } from "./backend.js";
import { find, make, say } from "./common.js";

const COUNT = 24; // pictures on a sheet
const PAUSE = 400; // ms between two looks at what is going on

let state = null;
let order = "unsure";
let watching = false;

const percent = (share) => `${(100 * share).toFixed(1)} %`;
const tiles = () => [...find("sheet").children];
const current = () => tiles().find((one) => one.tabIndex === 0);

async function attempt(work) {
  find("error").hidden = true;
  try {
    return await work();
  } catch (error) {
    find("error").hidden = false;
    say("error", error.message);
    return null;
  }
}

/** Show how far it is until nothing goes on any more, then the sheet. */
async function watch() {
  if (watching) return;
  watching = true;
  await attempt(async () => {
    for (;;) {
      state = await askJson("api/sort/state");
      drawState();
      if (!state.busy) break;
      const far = state.total ? ` ${state.done} of ${state.total}` : "";
      say("status", `${state.what || "starting"}${far} …`);
      await new Promise((done) => setTimeout(done, PAUSE));
    }
    if (state.failure) throw new Error(state.failure);
    const newest = state.history.at(-1);
    inTurn(async () => {
      await attempt(drawSheet);
      say("status", newest ? `Trained: ${percent(newest.accuracy)} right.` : "");
    });
  });
  watching = false;
}

function drawState() {
  find("folder").textContent = state.folder;
  const last = state.history.at(-1), before = state.history.at(-2);
  if (last) {
    find("accuracy").textContent = percent(last.accuracy);
    find("interval").textContent = `right of ${last.n} (95 %: ${percent(last.low)} to ${percent(last.high)}), by cross-validation`;
  }
  find("moved-by").textContent = before
    ? `${last.accuracy >= before.accuracy ? "+" : "−"}${Math.abs(100 * (last.accuracy - before.accuracy)).toFixed(1)} points since the training before; ${state.history.map((one) => percent(one.accuracy)).join(", ")}`
    : "";
  find("counts").textContent = `${state.pictures} pictures, ${state.reviewed} looked at, ${state.changed} labels changed and not moved, ${state.moved} files moved`;
  enable("undo", state.can_undo);
  enable("move", state.changed > 0);
  enable("back", state.moved > 0);
  enable("train", !state.busy);
  find("keys").replaceChildren(
    ...state.classes.slice(0, 9).flatMap((name, k) => [make("kbd", { text: String(k + 1) }), ` ${name}  `]),
    make("kbd", { text: "Enter" }), " what it looks like  ",
    make("kbd", { text: "Space" }), " as it is  ",
    make("kbd", { text: "← → ↑ ↓" }), " another picture");
}

function enable(id, on) {
  find(id).setAttribute("aria-disabled", String(!on));
}

const enabled = (id) => find(id).getAttribute("aria-disabled") !== "true";

async function drawSheet() {
  const { pictures } = await askJson("api/sort/sheet", { order, count: COUNT });
  find("sheet").replaceChildren(...pictures.map(tile));
  if (!pictures.length) {
    find("sheet").append(make("li", { className: "remark", text: order === "unsure" ? "Every picture has been looked at." : "None looks mislabelled." }));
    return;
  }
  focusOn(tiles()[0]);
}

function tile(one) {
  const element = make("li", {
    class: "tile", tabindex: "-1", data: { id: one.id, label: one.label, likely: one.likely },
    onclick: () => focusOn(element),
  },
    make("img", { src: `api/sort/picture/${one.id}`, alt: one.name, loading: "lazy" }),
    make("p", { class: "own" }, make("b", { text: one.label }), ` ${one.name}`),
    make("p", { class: one.likely === one.label ? "remark" : "remark other", text: `looks like ${one.likely} (${percent(one.probability)})` }));
  return element;
}

function focusOn(element) {
  if (!element) return;
  for (const one of tiles()) one.tabIndex = -1;
  element.tabIndex = 0;
  element.focus();
}

async function give(labelOf) {
  const element = current();
  if (!element) return;
  const label = labelOf(element);
  await attempt(async () => {
    state = await askJson("api/sort/label", { id: Number(element.dataset.id), label });
    drawState();
    say("status", `${element.querySelector("img").alt}: ${label}`);
    const next = element.nextElementSibling || element.previousElementSibling;
    element.remove();
    if (next) focusOn(next);
    else await drawSheet();
  });
}

async function undo() {
  if (!enabled("undo")) return;
  await attempt(async () => {
    state = await askJson("api/sort/undo", {});
    drawState();
    for (const one of state.back) {
      const again = tile(one);
      for (const other of tiles()) if (!other.dataset.id || other.dataset.id === again.dataset.id) other.remove();
      find("sheet").prepend(again);
      focusOn(again);
      say("status", `${one.name}: ${one.label} again`);
    }
  });
}

async function act(path, words) {
  await attempt(async () => {
    state = await askJson(path, {});
    drawState();
    say("status", words(state));
    if (state.failed?.length) throw new Error(state.failed.join("; "));
  });
}

const train = async () => {
  if (!enabled("train")) return;
  await attempt(async () => {
    state = await askJson("api/sort/train", {});
    drawState();
    watch(); // keys go on meanwhile
  });
};
const save = () => act("api/sort/save", (found) => `Written: ${found.file}`);
const move = async () => {
  if (enabled("move")) await act("api/sort/move", (found) => `${found.count} files moved; B moves them back`);
};
const back = async () => {
  if (!enabled("back")) return;
  await act("api/sort/back", (found) => `${found.count} files moved back`);
  await attempt(drawSheet);
};

async function choose(value) {
  order = value;
  document.querySelector(`input[value=${value}]`).checked = true;
  await attempt(drawSheet);
}

/** How many tiles lie side by side. */
function columns() {
  const all = tiles(), top = all[0]?.offsetTop;
  const next = all.findIndex((one) => one.offsetTop !== top);
  return next < 0 ? all.length : next;
}

function step(by) {
  const all = tiles(), place = all.indexOf(current());
  focusOn(all[Math.min(Math.max(place + by, 0), all.length - 1)]);
}

let last = Promise.resolve();

/** One after the other, as they were typed. */
function inTurn(work) {
  last = last.then(work, work);
}

const KEYS = {
  u: undo, s: save, m: move, b: back, t: train,
  q: () => choose("unsure"), w: () => choose("mislabelled"),
  ArrowRight: () => step(1), ArrowLeft: () => step(-1),
  ArrowDown: () => step(columns()), ArrowUp: () => step(-columns()),
};

document.addEventListener("keydown", (event) => {
  const undoing = (event.ctrlKey || event.metaKey) && event.key === "z";
  if (event.altKey || ((event.ctrlKey || event.metaKey) && !undoing)) return;
  if (event.target.closest("button, a, input") && !/^[a-z0-9]$/i.test(event.key)) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const digit = Number(key) - 1;
  let work = null;
  if (undoing) work = undo;
  else if (KEYS[key]) work = KEYS[key];
  else if (state && digit >= 0 && digit < state.classes.length) work = () => give(() => state.classes[digit]);
  else if (key === "Enter") work = () => give((element) => element.dataset.likely);
  else if (key === " ") work = () => give((element) => element.dataset.label);
  if (!work) return;
  event.preventDefault();
  inTurn(work);
});

for (const [id, work] of Object.entries({ undo, save, move, back, train })) find(id).addEventListener("click", () => inTurn(work));
for (const one of document.querySelectorAll("input[name=order]")) one.addEventListener("change", () => inTurn(() => choose(one.value)));
watch();
