// What the page asks for, checked as the server checks it.

const [MOST_RATE, MOST_STEPS] = [1000, 1000];

const refuse = (name, value, expected) => {
  throw new Error(`${name} is ${value === undefined || value === null ? "missing" : value}, expected ${expected}.`);
};

/** A network with its points; rows of X and Y as typed arrays. */
export function checkedNetwork(given) {
  const { parameters, activation, X, Y, learning_rate: rate, scaling, classes } = given;
  if (!X[0].length) throw new Error("There are no points yet: draw some, or take ready-made ones.");
  if (rate === null || !(rate >= 0 && rate <= MOST_RATE)) refuse("learning_rate", rate, `a number from 0 to ${MOST_RATE}`);
  return {
    parameters, activation, rate, classes, layers: Object.keys(parameters).length / 2,
    X: X.map((row) => Float64Array.from(row)), Y: Float64Array.from(Y),
    mean: scaling.mean, scale: scaling.scale,
  };
}

export function checkedSteps(steps) {
  if (!(Number.isInteger(steps) && steps >= 1 && steps <= MOST_STEPS)) refuse("steps", steps, `a whole number from 1 to ${MOST_STEPS}`);
  return steps;
}

/** What weights are drawn for. */
export function checkedUnits(wanted) {
  const most = 2 ** 32 - 1;
  if (!(Number.isInteger(wanted.seed) && wanted.seed >= 0 && wanted.seed <= most)) {
    refuse("seed", Number.isNaN(wanted.seed) ? null : wanted.seed, `a whole number from 0 to ${most}`);
  }
  return wanted;
}
