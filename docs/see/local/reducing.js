// A picture's pixels, reduced to a square by averaging areas: as Pillow does it, in whole numbers,
// so that the same pixels give the same square, bit by bit.

const BITS = 22; // of a weight's fraction

/** For each of `count` results: where its pixels begin, and their weights in units of 2^-BITS. */
function weightsOf(size, count) {
  const scale = size / count;
  const width = Math.max(scale, 1);
  const inverse = 1 / width; // in the order in which Pillow rounds
  return Array.from({ length: count }, (_, k) => {
    const center = (k + 0.5) * scale;
    const begin = Math.max(0, Math.trunc(center - width / 2 + 0.5));
    const end = Math.min(size, Math.trunc(center + width / 2 + 0.5));
    const inside = [];
    for (let x = begin; x < end; x++) {
      const place = (x - center + 0.5) * inverse;
      inside.push(place > -0.5 && place <= 0.5 ? 1 : 0);
    }
    const total = inside.reduce((sum, one) => sum + one, 0);
    return { begin, weights: inside.map((one) => Math.trunc(0.5 + one * (1 / total) * 2 ** BITS)) };
  });
}

const rounded = (sum) => Math.min(255, Math.max(0, Math.floor((sum + 2 ** (BITS - 1)) / 2 ** BITS)));

/** One row of bytes, reduced: pixels of `stride` bytes to `weights.length` pixels of three. */
function reduceRow(pixels, stride, from, across, result, to) {
  across.forEach(({ begin, weights }, k) => {
    for (let colour = 0; colour < 3; colour++) {
      let sum = 0;
      for (let x = 0; x < weights.length; x++) sum += weights[x] * pixels[stride * (from + begin + x) + colour];
      result[to + 3 * k + colour] = rounded(sum);
    }
  });
}

/** A column's worth of rows, reduced to one: pixels of `stride` bytes to pixels of three. */
function reduceRows(pixels, stride, width, from, weights, result, to) {
  for (let x = 0; x < width; x++) {
    for (let colour = 0; colour < 3; colour++) {
      let sum = 0;
      for (let y = 0; y < weights.length; y++) sum += weights[y] * pixels[stride * ((from + y) * width + x) + colour];
      result[to + 3 * x + colour] = rounded(sum);
    }
  }
}

/**
 * Reduce a picture to side x side x 3 bytes.
 *
 * `rowsOf(top, count)` gives so many rows from `top` on, four bytes a pixel. Each of the two passes
 * rounds; which comes first follows Pillow 13 (before, it was always the one along rows).
 */
export function reduce(width, height, rowsOf, side) {
  const [across, down] = [weightsOf(width, side), weightsOf(height, side)];
  const square = new Uint8Array(side * side * 3);
  if (2 * width < height + side) {
    const row = new Uint8Array(3 * width);
    down.forEach(({ begin, weights }, k) => {
      reduceRows(rowsOf(begin, weights.length), 4, width, 0, weights, row, 0);
      reduceRow(row, 3, 0, across, square, 3 * side * k);
    });
    return square;
  }
  const narrow = new Uint8Array(height * side * 3);
  const most = Math.max(1, Math.floor(2 ** 20 / width));
  for (let top = 0; top < height; top += most) {
    const count = Math.min(most, height - top);
    const pixels = rowsOf(top, count);
    for (let row = 0; row < count; row++) reduceRow(pixels, 4, row * width, across, narrow, 3 * side * (top + row));
  }
  down.forEach(({ begin, weights }, k) => reduceRows(narrow, 3, side, begin, weights, square, 3 * side * k));
  return square;
}
