// What answers the pages' questions: here the browser itself. The server of `backlit app` has a
// file of the same name, which asks it over HTTP; the pages are the same.

import { busily } from "./common.js";
import { codeOf, safetensorsOf } from "./local/exporting.js";
import { drawParameters } from "./local/generator.js";
import { readData } from "./local/files.js";
import { descend, runPass } from "./local/network.js";
import { readTable } from "./local/table.js";
import { checkedNetwork, checkedSteps, checkedUnits } from "./local/values.js";

const answer = (work) => busily(async () => {
  await new Promise(requestAnimationFrame); // so that the page shows what was asked before
  return work();
});

const photograph = () => import("./local/photograph.js");

export const backend = {
  // a photograph
  model: () => answer(async () => (await photograph()).description()),
  photo: (blob, label) => answer(async () => (await photograph()).lookAt(blob, label)),
  scene: (number) => answer(async () => (await photograph()).scene(number)),
  // a network step by step
  choices: () => answer(async () => {
    const { datasets, activations } = await readData("choices.json");
    return { datasets, activations };
  }),
  dataset: ({ name, noise, count }) => answer(async () => (await readData("points.json"))[name][noise][count]),
  table: (file) => answer(async () => readTable(await file.arrayBuffer())),
  network: (wanted) => answer(async () => {
    const { schemes } = await readData("choices.json");
    return { parameters: drawParameters(checkedUnits(wanted), schemes) };
  }),
  pass: (given) => answer(async () => runPass(checkedNetwork(given), await readData("choices.json"))),
  train: (given) => answer(() => descend(checkedNetwork(given), checkedSteps(given.steps))),
  code: (given) => answer(async () => codeOf(checkedNetwork(given), await readData("choices.json"))),
  safetensors: (given) => answer(async () => safetensorsOf(checkedNetwork(given), await readData("choices.json"))),
};
