// What is measured of each layer, and what the numbers mean, as backlit.trace says it of a network
// of two classes.

import { SLOPES } from "./network.js";
import { general, percent, thousands } from "./text.js";

const FEW_EXAMPLES = 16;
const FLAT = 0.01;
const SATURATED = { sigmoid: Math.log(99), tanh: Math.atanh(0.99) };
const ONE_SIDED = new Set(["elu", "selu", "gelu", "silu", "softplus"]);
const DIE = new Set([...ONE_SIDED, "relu"]);

/** Frobenius norm, without overflow. */
export function norm(rows) {
  const top = rows.reduce((most, row) => row.reduce((one, value) => Math.max(one, Math.abs(value)), most), 0);
  if (top === 0 || !Number.isFinite(top)) return top;
  let square = 0;
  for (const row of rows) for (const value of row) square += (value / top) ** 2;
  return top * Math.sqrt(square);
}

function deadUnits(activation, Z) {
  const largest = (row, of) => row.reduce((top, z) => Math.max(top, of(z)), -Infinity);
  if (activation === "relu") return Z.filter((row) => largest(row, (z) => z) <= 0).length;
  if (!ONE_SIDED.has(activation)) return 0;
  return Z.filter((row) => largest(row, (z) => Math.abs(SLOPES[activation](z))) < FLAT).length;
}

function saturatedShare(activation, Z) {
  const bound = SATURATED[activation];
  if (bound === undefined) return null;
  const count = Z.reduce((total, row) => total + row.filter((z) => Math.abs(z) > bound).length, 0);
  return count / (Z.length * Z[0].length);
}

function measure(l, activation, arrays, above, rate) {
  const [W, Z, dZ] = [arrays[`W${l}`], arrays[`Z${l}`], arrays[`dZ${l}`]];
  const [weightNorm, dWNorm] = [norm(W), norm(arrays[`dW${l}`])];
  const gradient = norm(dZ) / Math.sqrt(dZ[0].length);
  const atOutput = above === null;
  return {
    layer: l, activation, units: W.length, inputs: W[0].length, weightNorm, dWNorm, gradient,
    rms: norm(arrays[`A${l}`]) / Math.sqrt(Z.length * Z[0].length),
    flow: above ? gradient / above : null,
    dead: atOutput ? null : deadUnits(activation, Z),
    saturated: atOutput ? null : saturatedShare(activation, Z),
    update: rate !== null && weightNorm > 0 ? rate * dWNorm / weightNorm : null,
  };
}

const CELLS = {
  layer: (one) => `${one.layer} ${one.activation}`,
  W: (one) => `${one.units} × ${one.inputs}`,
  "‖W‖": (one) => general(one.weightNorm, 3),
  A: (one) => general(one.rms, 3),
  dead: (one) => (one.dead === null ? "–" : `${one.dead} of ${one.units}`),
  saturated: (one) => (one.saturated === null ? "–" : `${percent(one.saturated)} %`),
  "‖dZ‖": (one) => general(one.gradient, 3),
  flow: (one) => (one.flow === null ? "–" : `${general(one.flow, 2)}×`),
  "‖dW‖": (one) => general(one.dWNorm, 3),
  "dW/W": (one) => (one.weightNorm ? general(one.dWNorm / one.weightNorm, 2) : "–"),
  update: (one) => (one.update === null ? "–" : general(one.update, 2)),
};

/** The table of the layers and the remarks; `meanings` has the columns' in their order. */
export function tableOf({ arrays, network, cost }, meanings, others = {}) {
  const { rate, layers, activation } = network;
  const measures = [];
  let above = null;
  for (let l = layers; l >= 1; l--) {
    measures.unshift(measure(l, l < layers ? activation : "sigmoid", arrays, above, rate));
    above = measures[0].gradient;
  }
  const left = new Set([rate === null ? "update" : "dW/W"]);
  if (measures.every((one) => one.saturated === null)) left.add("saturated");
  if (!measures.slice(0, -1).some((one) => DIE.has(one.activation))) left.add("dead");
  const columns = Object.entries(meanings).filter(([name]) => !left.has(name));
  const remarks = allRemarks(arrays, measures, cost);
  const alarmed = (layer, name) => remarks.some((one) => one.alarm && one.layer === layer && one.topic === name);
  const shownName = (name) => others[name]?.[0] ?? name;
  const top = Math.max(...measures.map((one) => one.gradient));
  return {
    heading: `${thousands(arrays.A0[0].length)} examples, binary cross entropy ${general(cost, 4)}`
      + (rate === null ? "" : `, learning rate ${general(rate)}`),
    columns: columns.map(([name, meaning]) => ({ name: shownName(name), meaning: others[name]?.[1] ?? meaning })),
    rows: measures.map((one) => ({
      cells: columns.map(([name]) => CELLS[name](one)),
      alarms: columns.filter(([name]) => alarmed(one.layer, name)).map(([name]) => shownName(name)),
      bar: one.gradient ? Math.round(10 * Math.max(4, 100 + 25 * Math.log10(one.gradient / top))) / 10 : 0,
    })),
    remarks: remarks.map(({ layer, alarm, text }) => ({ layer, alarm, text })),
  };
}

// ---------------------------------------------------------------------------------------- remarks

const remark = (topic, layer, alarm, text) => ({ topic, layer, alarm, text });

/** A large number with two digits that mean something. */
const times = (ratio) => (ratio < 1e9 ? thousands(Number(ratio.toPrecision(2)))
  : ratio.toExponential(1).replace(/e([+-])(\d)$/, (_, sign, digit) => `e${sign}0${digit}`));

function allRemarks(arrays, measures, cost) {
  const m = arrays.A0[0].length;
  const same = symmetryRemarks(arrays, measures.length);
  const alike = new Set(same.map((one) => one.layer));
  const found = [...inputRemarks(arrays.A0), ...same];
  for (const one of measures.slice(0, -1)) {
    if (!alike.has(null) && !alike.has(one.layer) && m >= FEW_EXAMPLES) found.push(...deadRemarks(one));
    found.push(...saturatedRemarks(one));
  }
  if (!same.length) found.push(...flowRemarks(measures, arrays));
  found.push(...updateRemarks(measures), ...costRemarks(cost));
  return [...found.filter((one) => one.alarm), ...found.filter((one) => !one.alarm)];
}

function inputRemarks(X) {
  const sizes = X.map((row, place) => {
    const values = row.filter((value) => value !== 0);
    return { place, size: values.length ? norm([values]) / Math.sqrt(values.length) : null };
  }).filter((one) => one.size !== null);
  if (X[0].length < FEW_EXAMPLES || !sizes.length) return [];
  const largest = sizes.reduce((one, other) => (other.size > one.size ? other : one));
  const smallest = sizes.reduce((one, other) => (other.size < one.size ? other : one));
  const [top, low] = [largest.size, smallest.size];
  const advice = "scale each input to mean 0 and variance 1.";
  if (top > 25) return [remark("inputs", 0, true, `the inputs are large (input ${largest.place} is about ${general(top, 3)} in size): ${advice}`)];
  if (top < 1e-3) return [remark("inputs", 0, true, `the inputs are tiny (the largest, input ${largest.place}, is about ${general(top, 1)}): ${advice}`)];
  if (top / low > 1e3) {
    return [remark("inputs", 0, true, `input ${largest.place} is ${times(top / low)} times as large as input ${smallest.place}, which the network will hardly see: ${advice}`)];
  }
  return [];
}

function symmetryRemarks(arrays, layers) {
  const advice = "start from random weights (initialize_parameters).";
  const isZero = (l) => arrays[`W${l}`].every((row) => row.every((value) => value === 0));
  if (layers > 1 && Array.from({ length: layers }, (_, k) => isZero(k + 1)).every(Boolean)) {
    return [remark("symmetry", null, true, "all weights are zero, so that all units of a layer are one and the same, get the same "
      + `gradient and stay the same: ${advice}`)];
  }
  const found = [];
  for (let l = 1; l < layers; l++) {
    const [W, b, following] = [arrays[`W${l}`], arrays[`b${l}`], arrays[`W${l + 1}`]];
    const alike = W.every((row, k) => row.every((value, j) => value === W[0][j]) && b[k][0] === b[0][0])
      && following.every((row) => row.every((value) => value === row[0]));
    if (W.length > 1 && alike) {
      found.push(remark("symmetry", l, true, `layer ${l}: its ${W.length} units have the same weights, get the same gradient and stay the same: ${advice}`));
    }
  }
  return found;
}

function deadRemarks(one) {
  const dead = one.dead ?? 0;
  if (!dead) return [];
  const few = dead < one.units && (dead < 4 || dead < 2 / 3 * one.units);
  const text = `layer ${one.layer}: ${dead} of ${one.units} units ${dead === 1 ? "is" : "are"} dead for every example`;
  if (few) return [remark("dead", one.layer, false, `${text}; the others learn.`)];
  const others = one.activation === "relu" ? "leaky relu" : "smaller first weights";
  const end = dead === one.units ? ", so that no gradient passes to the layers before it" : "";
  return [remark("dead", one.layer, true, `${text}${end}: lower the learning rate or use ${others}.`)];
}

function saturatedRemarks(one) {
  const share = one.saturated ?? 0;
  if (share < 0.1) return [];
  const text = `layer ${one.layer}: ${percent(share)} % of the activations lie within 1 % of ${one.activation}'s bounds, where hardly any gradient passes`;
  if (share < 0.6) return [remark("saturated", one.layer, false, `${text}.`)];
  return [remark("saturated", one.layer, true, `${text}: scale the inputs, or use smaller weights.`)];
}

function flowRemarks(measures, arrays) {
  const [first, last] = [measures[0], measures.at(-1)];
  if (last.layer === 1 || !last.gradient) return [];
  if (!first.gradient) return blockedRemarks(measures, arrays);
  const ratio = first.gradient / last.gradient;
  const each = ratio ** (1 / (last.layer - 1));
  const way = `from layer ${last.layer} back to layer 1`;
  if (ratio < 1e-3) {
    return [remark("vanishing", 1, true, `the gradient vanishes: it shrinks ${times(1 / ratio)} times ${way} (to ${general(each, 2)} of its size a layer), so that the first layers hardly learn: use relu or selu with their own initialisation, or fewer layers.`)];
  }
  if (ratio > 1e3) {
    return [remark("exploding", 1, true, `the gradient explodes: it grows ${times(ratio)} times ${way} (${general(each, 2)} times a layer): start from smaller weights (initialize_parameters), or clip the gradient.`)];
  }
  const what = ratio >= 0.5 && ratio <= 2 ? "keeps its size" : ratio > 1 ? "grows" : "shrinks";
  return [remark("flow", null, false, `the gradient ${what} ${way}: it is ${general(ratio, 2)} times as large there.`)];
}

function blockedRemarks(measures, arrays) {
  const place = Math.max(...measures.filter((one) => !one.gradient).map((one) => one.layer));
  if (arrays[`W${place + 1}`].every((row) => row.every((value) => value === 0))) {
    const learns = measures[place].dWNorm > 0;
    return [remark("blocked", place, !learns, `no gradient reaches layer ${place}, for all weights of layer ${place + 1} are zero${learns ? "; it will once they have learnt." : ", and stay zero."}`)];
  }
  if (measures[place - 1].dead === measures[place - 1].units) return [];
  return [remark("blocked", place, true, `no gradient reaches layer ${place}: it has become zero by rounding, or by the masks.`)];
}

function updateRemarks(measures) {
  const rated = measures.filter((one) => one.update !== null);
  if (!rated.length) return [];
  const worst = rated.reduce((one, other) => (other.update > one.update ? other : one));
  if (worst.update <= 0.5) return [];
  return [remark("update", worst.layer, true, `layer ${worst.layer}: one step changes the weights by ${general(worst.update, 2)} of their size (about 0.001 is usual): lower the learning rate.`)];
}

function costRemarks(cost) {
  const guess = Math.log(2);
  if (cost <= 5 * guess) return [];
  return [remark("cost", null, true, `the cost is ${general(cost, 3)}, where guessing costs ${general(guess, 2)}: the network is sure of wrong answers; scale the inputs, start from smaller weights or lower the learning rate.`)];
}
