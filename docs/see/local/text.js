// Numbers written as Python writes them.

/** As Python's repr: "0.3", "1.0", "1e-07". */
export function repr(x) {
  if (Number.isNaN(x)) return "nan";
  if (!Number.isFinite(x)) return x < 0 ? "-inf" : "inf";
  if (Object.is(x, -0)) return "-0.0";
  // the shortest digits that lead back to the number, which both languages take
  const [mantissa, power] = x.toExponential().split("e");
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) return `${mantissa}e${twoDigits(exponent)}`;
  const text = placed(mantissa, exponent);
  return text.includes(".") ? text : `${text}.0`;
}

/** Digits and power of ten, an exact tie to the even digit, where toExponential takes it up. */
function rounded(x, digits) {
  const nearest = x.toExponential(digits - 1).split("e");
  const exact = x.toExponential(60).split("e")[0].replace(/[-.]/g, ""); // all digits that can end in a tie
  if (!/^50*$/.test(exact.slice(digits)) || Number(exact[digits - 1]) % 2) return nearest;
  const below = exact.slice(0, digits);
  return [`${x < 0 ? "-" : ""}${below[0]}${digits > 1 ? "." : ""}${below.slice(1)}`, x.toExponential(60).split("e")[1]];
}

/** As Python's format "g" with so many significant digits. */
export function general(x, digits = 6) {
  if (Number.isNaN(x)) return "nan";
  if (!Number.isFinite(x)) return x < 0 ? "-inf" : "inf";
  if (x === 0) return Object.is(x, -0) ? "-0" : "0";
  const [mantissa, power] = rounded(x, digits);
  const exponent = Number(power);
  const short = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  if (exponent < -4 || exponent >= digits) return `${short(mantissa)}e${twoDigits(exponent)}`;
  return short(placed(mantissa, exponent));
}

/** Digits with their point moved by a small power of ten. */
function placed(mantissa, exponent) {
  const sign = mantissa.startsWith("-") ? "-" : "";
  const digits = mantissa.replace(/[-.]/g, "");
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  const rest = digits.slice(exponent + 1);
  return `${sign}${whole}${rest ? `.${rest}` : ""}`;
}

/** A whole number of percent, an exact half to the even one. */
export function percent(share) {
  const value = 100 * share;
  const below = Math.floor(value);
  return String(value - below === 0.5 ? below + (below % 2) : Math.round(value));
}

const twoDigits = (exponent) => `${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;

/** With commas between thousands, without decimals. */
export const thousands = (x) => x.toLocaleString("en", { maximumFractionDigits: 0 });
