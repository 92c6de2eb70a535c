// What a reduced picture looks like, in the numbers of backlit.photos.features: the same definitions,
// computed in double precision. `constants` are the package's, `dictionary` its typical patches.

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const DARK = 0.02;

/** Quantities of each pixel; planes, rows and columns flattened. */
function describePixels(square) {
  const count = square.length / 3;
  const plane = (colour) => Float64Array.from({ length: count }, (_, i) => square[3 * i + colour] / 255);
  const [red, green, blue] = [plane(0), plane(1), plane(2)];
  const of = (work) => Float64Array.from({ length: count }, (_, i) => work(red[i], green[i], blue[i], i));
  const luminance = of((r, g, b) => 0.299 * r + 0.587 * g + 0.114 * b);
  const brightest = of((r, g, b) => Math.max(r, g, b));
  const range = of((r, g, b, i) => brightest[i] - Math.min(r, g, b));
  return {
    side: Math.sqrt(count), red, green, blue, luminance, range,
    logLuminance: luminance.map((y) => Math.log(y + DARK)),
    saturation: range.map((value, i) => value / (brightest[i] + 0.05)),
    codes: Array.from({ length: count }, (_, i) => Math.max(square[3 * i], square[3 * i + 1], square[3 * i + 2])),
  };
}

/** The mean of each block of so many pixels a side, at each pixel. */
function blockMeans(values, side, block) {
  const blocks = side / block;
  const sums = new Float64Array(blocks * blocks);
  const own = (i) => Math.floor(Math.floor(i / side) / block) * blocks + Math.floor((i % side) / block);
  values.forEach((value, i) => { sums[own(i)] += value; });
  return values.map((_, i) => sums[own(i)] / (block * block));
}

/** The quantities that ranks have means of; the first eight have deviations, too. */
function quantitiesOf(pixels) {
  const { side, red, green, blue, luminance: y, logLuminance, saturation } = pixels;
  const at = (row, column) => y[Math.min(Math.max(row, 0), side - 1) * side + Math.min(Math.max(column, 0), side - 1)];
  const place = (i) => [Math.floor(i / side), i % side];
  const ratio = (one, other) => one.map((value, i) => Math.log(value + DARK) - Math.log(other[i] + DARK));
  const contrast = y.map((value, i) => {
    const [row, column] = place(i);
    const around = (at(row - 1, column) + at(row + 1, column) + at(row, column - 1) + at(row, column + 1)) / 4;
    return Math.abs(value - around) / (value + 0.05);
  });
  const gradient = y.map((value, i) => {
    const [row, column] = place(i);
    return (Math.abs(value - at(row - 1, column)) + Math.abs(value - at(row, column - 1))) / (value + 0.05);
  });
  const against = (block) => {
    const means = blockMeans(y, side, block);
    return logLuminance.map((value, i) => value - Math.log(means[i] + DARK));
  };
  const height = y.map((_, i) => place(i)[0] / (side - 1));
  return [
    logLuminance, saturation, ratio(red, green), ratio(blue, green), contrast, gradient, against(8), against(4),
    height, y.map((_, i) => Math.abs(2 * place(i)[1] / (side - 1) - 1)), height.map((value) => value * value),
  ];
}

function rankStatistics(pixels, { ranges, deviations }) {
  const quantities = quantitiesOf(pixels);
  const count = pixels.codes.length;
  // the sort is stable: ties stay in the order of the pixels
  const order = Array.from({ length: count }, (_, i) => i).sort((i, j) => pixels.codes[i] - pixels.codes[j]);
  const features = [];
  for (let k = 0; k + 1 < ranges.length; k++) {
    const mine = order.slice(Math.round(ranges[k] * count), Math.round(ranges[k + 1] * count));
    const means = quantities.map((values) => mean(mine.map((i) => values[i])));
    features.push(...means);
    for (let q = 0; q < deviations; q++) {
      const square = mean(mine.map((i) => quantities[q][i] ** 2));
      features.push(Math.sqrt(Math.max(square - means[q] ** 2, 0) + 1e-6));
    }
  }
  return features;
}

const thirdOf = (i, side) => Math.floor(Math.floor(i / side) * 3 / side);
const BANDS = [() => true, (third) => third === 0, (third) => third === 2];

/** Roots of the shares that bins have of the whole, the top and the bottom third. */
function bandedHistograms(values, side, bins, levels) {
  return BANDS.flatMap((isIn) => {
    const counts = new Float64Array(bins);
    let total = 0;
    values.forEach((value, i) => {
      if (!isIn(thirdOf(i, side))) return;
      // stepped first, then shared by the two nearest bins
      const step = Math.floor(Math.min(Math.max(value * (levels - 1) + 0.5, 0.5), levels - 0.5));
      const position = step * (bins - 1) / (levels - 1);
      const low = Math.min(Math.floor(position), bins - 2);
      counts[low] += 1 - (position - low);
      counts[low + 1] += position - low;
      total++;
    });
    return Array.from(counts, (count) => Math.sqrt(Math.max(count, 0) / total));
  });
}

function relativeLuminance({ logLuminance, side }, { references, bins, levels }) {
  const ordered = Float64Array.from(logLuminance).sort();
  return references.flatMap(([share, low, high]) => {
    const reference = ordered[Math.trunc(share * (ordered.length - 1))];
    return bandedHistograms(logLuminance.map((value) => (value - reference - low) / (high - low)), side, bins, levels);
  });
}

/** Of each hue the root of its amount, and the mean luminance and saturation of what has it. */
function huesOf({ red, green, blue, range, luminance, saturation, side }, { hues }) {
  const turns = red.map((r, i) => Math.atan2(Math.sqrt(3) * (green[i] - blue[i]), 2 * r - green[i] - blue[i]) * hues / (2 * Math.PI));
  return BANDS.flatMap((isIn) => {
    const sums = Array.from({ length: hues }, () => [0, 0, 0]);
    let total = 0;
    turns.forEach((turn, i) => {
      if (!isIn(thirdOf(i, side))) return;
      total++;
      const low = Math.floor(turn);
      for (const [hue, share] of [[low, 1 - (turn - low)], [low + 1, turn - low]]) {
        const own = sums[(hue + 2 * hues) % hues];
        const weight = share * range[i];
        own[0] += weight;
        own[1] += weight * luminance[i];
        own[2] += weight * saturation[i];
      }
    });
    return sums.flatMap(([amount, light, strength]) => [
      Math.sqrt(amount / total + 1e-4), light / total / (amount / total + 0.01), strength / total / (amount / total + 0.01),
    ]);
  });
}

/** The patches that give the coefficients: products of cosines down and across, in three colours. */
function directionsOf(orders, scale, patch) {
  const wave = (order, place) => (order ? Math.sqrt(2 / patch) : Math.sqrt(1 / patch)) * Math.cos(Math.PI / patch * (place + 0.5) * order);
  const colours = [[1, 1, 1], [1, 0, -1], [-0.5, 1, -0.5]].map((row) => row.map((value) => value / Math.hypot(...row)));
  return orders.map(([colour, down, across], k) => {
    const direction = new Float64Array(3 * patch * patch);
    for (let c = 0; c < 3; c++) for (let i = 0; i < patch; i++) for (let j = 0; j < patch; j++) {
      direction[(c * patch + i) * patch + j] = scale[k] * colours[colour][c] * wave(down, i) * wave(across, j);
    }
    return direction;
  });
}

const dot = (one, other) => {
  let sum = 0;
  for (let k = 0; k < one.length; k++) sum += one[k] * other[k];
  return sum;
};

function patchActivations({ red, green, blue, side }, { patch, step }, { tensors, description }) {
  const directions = directionsOf(description.orders, tensors.scale.values, patch);
  const [count, length] = tensors.entries.shape;
  const entries = Array.from({ length: count }, (_, k) => tensors.entries.values.subarray(k * length, (k + 1) * length));
  const offsets = directions.map((direction) => dot(direction, tensors.mean.values));
  const planes = [red, green, blue].map((plane) => plane.map(Math.sqrt));
  const rows = Math.floor((side - patch) / step) + 1;
  const halves = [new Float64Array(count), new Float64Array(count)];
  const numbers = [0, 0];
  const own = new Float64Array(3 * patch * patch);
  for (let row = 0; row < rows; row++) for (let column = 0; column < rows; column++) {
    planes.forEach((plane, c) => {
      for (let i = 0; i < patch; i++) for (let j = 0; j < patch; j++) {
        own[(c * patch + i) * patch + j] = plane[(row * step + i) * side + column * step + j];
      }
    });
    const point = directions.map((direction, k) => dot(direction, own) - offsets[k]);
    const distances = entries.map((entry) => {
      let square = 0;
      for (let k = 0; k < length; k++) square += (entry[k] - point[k]) ** 2;
      return Math.sqrt(Math.max(square, 1e-6));
    });
    const middle = mean(distances);
    const half = row < Math.floor(rows / 2) ? 0 : 1;
    numbers[half]++;
    distances.forEach((distance, k) => { halves[half][k] += Math.max(middle - distance, 0); });
  }
  return halves.flatMap((sums, half) => Array.from(sums, (sum) => sum / numbers[half]));
}

/** The features of a square of bytes, in the package's order. */
export function extractFeatures(square, constants, dictionary) {
  const pixels = describePixels(square);
  return [
    ...rankStatistics(pixels, constants), ...relativeLuminance(pixels, constants),
    ...huesOf(pixels, constants), ...patchActivations(pixels, constants, dictionary),
  ];
}
