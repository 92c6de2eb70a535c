// NumPy's default generator of random numbers, so that a seed draws the weights that it draws there.
// M. E. O'Neill, "PCG: a family of simple fast space-efficient statistically good algorithms for
// random number generation", 2014; G. Marsaglia, W. W. Tsang, "The ziggurat method for generating
// random variables", 2000; seeds are spread as in NumPy's SeedSequence.

const U64 = (1n << 64n) - 1n;
const U128 = (1n << 128n) - 1n;
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;

/** Spread a seed of 32 bits over `count` words of 64 bits. */
function spread(seed, count) {
  let factor = 0x43b0d7e5;
  const hashed = (value) => {
    let found = value ^ factor;
    factor = Math.imul(factor, 0x931e8875);
    found = Math.imul(found, factor);
    return found ^ (found >>> 16);
  };
  const pool = [hashed(seed), hashed(0), hashed(0), hashed(0)];
  for (let source = 0; source < 4; source++) {
    for (let target = 0; target < 4; target++) {
      if (source === target) continue;
      const mixed = Math.imul(pool[target], 0xca01f9dd) - Math.imul(hashed(pool[source]), 0x4973f715);
      pool[target] = mixed ^ (mixed >>> 16);
    }
  }
  factor = 0x8b51f9dd;
  const words = Array.from({ length: 2 * count }, (_, k) => {
    let found = pool[k % 4] ^ factor;
    factor = Math.imul(factor, 0x58f38ded);
    found = Math.imul(found, factor);
    return BigInt((found ^ (found >>> 16)) >>> 0);
  });
  return Array.from({ length: count }, (_, k) => words[2 * k] | (words[2 * k + 1] << 32n));
}

/** The layers of the ziggurat: 256 of one area under exp(-x^2 / 2), the last one with the tail. */
function layers() {
  const last = 3.6541528853610088;
  const area = 0.00492867323397465524494;
  const height = (x) => Math.exp(-0.5 * x * x);
  const [inside, width, heights] = [new Float64Array(256), new Float64Array(256), new Float64Array(256)];
  const unit = 2 ** 52;
  const base = area / height(last);
  inside[0] = last / base * unit;
  width[0] = base / unit;
  width[255] = last / unit;
  [heights[0], heights[255]] = [1, height(last)];
  let x = last;
  for (let k = 254; k >= 1; k--) {
    const next = Math.sqrt(-2 * Math.log(area / x + height(x)));
    inside[k + 1] = next / x * unit;
    [width[k], heights[k]] = [next / unit, height(next)];
    x = next;
  }
  return { last, inside, width, heights };
}

const ZIGGURAT = layers();

/** Make a generator of a seed: `uniform()` in [0, 1) and `normal()`. */
export function generatorOf(seed) {
  const [high, low, sequenceHigh, sequenceLow] = spread(seed, 4);
  const increment = ((((sequenceHigh << 64n) | sequenceLow) << 1n) | 1n) & U128;
  let state = 0n;
  const step = () => { state = (state * MULTIPLIER + increment) & U128; };
  step();
  state = (state + ((high << 64n) | low)) & U128;
  step();

  const word = () => {
    step();
    const folded = (state >> 64n) ^ (state & U64);
    const turn = state >> 122n;
    return ((folded >> turn) | (folded << (64n - turn))) & U64;
  };
  const uniform = () => Number(word() >> 11n) * 2 ** -53;

  const tail = (negative) => {
    for (;;) {
      const x = -Math.log1p(-uniform()) / ZIGGURAT.last;
      const y = -Math.log1p(-uniform());
      if (2 * y > x * x) return negative ? -(ZIGGURAT.last + x) : ZIGGURAT.last + x;
    }
  };
  const normal = () => {
    for (;;) {
      const bits = word();
      const layer = Number(bits & 0xffn);
      const size = (bits >> 9n) & 0xfffffffffffffn;
      const x = Number(size) * ZIGGURAT.width[layer] * ((bits >> 8n) & 1n ? -1 : 1);
      if (Number(size) < ZIGGURAT.inside[layer]) return x;
      if (layer === 0) return tail(((size >> 8n) & 1n) === 1n);
      const { heights } = ZIGGURAT;
      if ((heights[layer - 1] - heights[layer]) * uniform() + heights[layer] < Math.exp(-0.5 * x * x)) return x;
    }
  };
  return { uniform, normal };
}

/** First weights, as initialize_parameters draws them: normal, of variance gain / fan; biases 0. */
export function drawParameters({ hidden, activation, seed }, schemes) {
  const { normal } = generatorOf(seed);
  const units = [2, ...hidden, 1];
  const parameters = {};
  for (let l = 1; l < units.length; l++) {
    const [inputs, outputs] = [units[l - 1], units[l]];
    const { gain, fan } = schemes[l < units.length - 1 ? activation : "sigmoid"];
    const scale = Math.sqrt(gain / (fan === "in" ? inputs : (inputs + outputs) / 2));
    parameters[`W${l}`] = Array.from({ length: outputs }, () => Array.from({ length: inputs }, () => normal() * scale));
    parameters[`b${l}`] = Array.from({ length: outputs }, () => [0]);
  }
  return parameters;
}
