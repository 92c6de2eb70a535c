// Paste functions, see what is wrong with them: the package's checker, in a Python of the browser.

import { busily, find, make, say } from "../common.js";

const SECONDS = 120; // after which code that does not end is ended
let worker = null;
let pending = null;

function begin() {
  worker = new Worker(new URL("check_worker.js", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }) => {
    if (data.stage) say("status", data.stage);
    else pending?.resolve(data);
  });
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    end(event.message || "Python could not be started.");
  });
}

/** End Python with what it does; the next check starts it again. */
function end(reason) {
  worker?.terminate();
  worker = null;
  pending?.reject(new Error(reason));
}

async function ask(source) {
  if (!worker) begin();
  const timer = setTimeout(() => end(`It was still running after ${SECONDS} seconds and was ended.`), 1000 * SECONDS);
  try {
    return await new Promise((resolve, reject) => {
      pending = { resolve, reject };
      worker.postMessage(source);
    });
  } finally {
    clearTimeout(timer);
    pending = null;
  }
}

function complain(text) {
  find("error").hidden = !text;
  say("error", text);
}

const isOff = (id) => find(id).getAttribute("aria-disabled") === "true";

function running(on) {
  find("run").setAttribute("aria-disabled", String(on));
  find("stop").setAttribute("aria-disabled", String(!on));
}

async function check() {
  if (isOff("run")) return;
  complain("");
  running(true);
  find("result").hidden = true;
  try {
    const found = await busily(() => ask(find("code").value));
    if (found.error) throw new Error(found.error);
    show(found);
    say("status", "");
    find("verdict").focus();
  } catch (error) {
    complain(error.message);
    say("status", "");
  } finally {
    running(false);
  }
}

function show(report) {
  find("result").hidden = false;
  say("verdict", report.verdict);
  const several = new Set(report.findings.map((one) => one.function)).size > 1;
  find("findings").replaceChildren(...report.findings.map((one) => {
    const isRight = one.level === "right";
    const place = [several ? one.function : null, one.gradient ? `d${one.gradient}` : null].filter(Boolean).join(", ");
    return make("tr", {},
      make("th", { scope: "row" }, `${isRight ? "✓" : one.level === "wrong" ? "✗" : "!"} ${place || "–"}`),
      make("td", { class: isRight ? "words fine" : one.level === "wrong" ? "words wrong" : "words", text: one.relation }),
      make("td", { class: "words" }, one.message));
  }));
  find("repairs").replaceChildren(...report.repairs.map((one) => make("div", {},
    make("p", { text: `Repair, tried: with it all ${one.gradients} gradients are right.` }), make("pre", { text: one.diff, tabindex: "0" }))));
  const left = report.unchecked.map((one) => `${one.function}: not checked, ${one.reason}`);
  find("notes").replaceChildren(...[...report.notes, ...left].map((text) => make("li", { text })));
  find("printed").hidden = !report.printed;
  find("printed").querySelector("pre").textContent = report.printed;
}

find("run").addEventListener("click", check);
find("stop").addEventListener("click", () => { if (!isOff("stop")) end("Stopped."); });
find("code").value = await (await fetch(new URL("../data/example.py", import.meta.url))).text();
document.querySelector("main").ariaBusy = "false";
