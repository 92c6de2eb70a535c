// The steps' titles, equations and lines of code: the package's templates, filled in.

import { general, repr } from "./text.js";

/** The steps of a network, in each of the three sizes. */
export function stepsOf(network, { steps, formulas }) {
  const [value, slope] = formulas[network.activation];
  const own = {
    "{activation}": network.activation, "{value}": value, "{slope}": slope, "{positive}": network.classes[1],
    "{rate}": general(network.rate), "{rate_code}": repr(network.rate),
  };
  const filled = (text) => text.replace(/\{\w+\}/g, (mark) => own[mark] ?? mark);
  return Object.fromEntries(Object.entries(steps[network.layers]).map(([size, list]) => [
    size, list.map((step) => ({
      ...step, title: filled(step.title), words: filled(step.words), code: filled(step.code), equations: step.equations.map(filled),
    })),
  ]));
}
