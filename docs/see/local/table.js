// Points from a CSV file: x, y and a label in each row, as the server reads them.

import { general } from "./text.js";

const MOST_ROWS = 1000;

/** { X, Y, scaling, classes } of a file's bytes; throws an Error that names the row. */
export function readTable(bytes) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error("The file is no UTF-8 text.");
  }
  if (text.includes("\0")) throw new Error("The file is no text: it holds zero bytes.");
  const all = rowsOf(text);
  if (!all.length) throw new Error("The file is empty; expected rows of x, y, label.");
  const { columns, rows } = headerOf(all);
  if (!rows.length) throw new Error("The file has names of columns, but no rows.");
  if (rows.length > MOST_ROWS) {
    throw new Error(`The file has ${rows.length.toLocaleString("en")} rows, at most ${MOST_ROWS.toLocaleString("en")} are taken.`);
  }
  const [points, complaints] = [[], []];
  for (const { line, cells } of rows) {
    try {
      points.push(pointOf(cells, columns));
    } catch (error) {
      complaints.push(`row ${line}: ${error.message}`);
    }
  }
  if (complaints.length) {
    const more = complaints.length - 3;
    throw new Error(`${complaints.slice(0, 3).join("; ")}${more > 0 ? `; and ${more} more` : ""}.`);
  }
  return pointsOf(points);
}

function pointsOf(points) {
  const labels = [...new Set(points.map((one) => one.label))];
  const classes = labels.every(isNumber) ? labels.sort((a, b) => a - b) : labels.sort();
  if (classes.length !== 2) {
    const shown = classes.slice(0, 5).map(quoted).join(", ") + (classes.length > 5 ? ", ..." : "");
    throw new Error(`The labels are ${shown}: ${classes.length} kind${classes.length === 1 ? "" : "s"}, expected two.`);
  }
  const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const columns = [0, 1].map((place) => points.map((one) => one.numbers[place]));
  const mean = columns.map(average);
  const scale = columns.map((values, k) => Math.sqrt(average(values.map((value) => (value - mean[k]) ** 2))));
  if (![...mean, ...scale].every(Number.isFinite)) throw new Error("The coordinates are too large to compute with.");
  const divisors = scale.map((one) => one || 1);
  return {
    X: columns.map((values, k) => values.map((value) => (value - mean[k]) / divisors[k])),
    Y: points.map((one) => classes.indexOf(one.label)),
    scaling: { mean, scale: divisors },
    classes,
  };
}

/** The rows that are not empty, with the line that each ends at. */
function rowsOf(text) {
  const first = text.split(/\r\n|\r|\n/).find((line) => line.trim()) ?? "";
  const count = (mark) => first.split(mark).length - 1;
  const delimiter = ["\t", ";", ","].reduce((best, mark) => (count(mark) > count(best) ? mark : best));
  const rows = [];
  let [cells, cell, quote, begun, line] = [[], "", false, false, 1];
  const endRow = (number) => {
    cells.push(cell.trim());
    if (delimiter === ";") cells = cells.map(withPoint);
    if (cells.some(Boolean)) rows.push({ line: number, cells });
    [cells, cell, begun] = [[], "", false];
  };
  const marks = text.replace(/\r\n|\r/g, "\n");
  for (let k = 0; k < marks.length; k++) {
    const mark = marks[k];
    if (mark === "\n") line++;
    if (quote) {
      if (mark !== '"') cell += mark;
      else if (marks[k + 1] === '"') cell += marks[++k];
      else quote = false;
    } else if (mark === '"' && !begun) [quote, begun] = [true, true];
    else if (mark === delimiter) {
      cells.push(cell.trim());
      [cell, begun] = ["", false];
    } else if (mark === "\n") endRow(line - 1);
    else if (begun || mark !== " ") [cell, begun] = [cell + mark, true];
  }
  if (cell || cells.length) endRow(line);
  return rows;
}

function headerOf(all) {
  const names = all[0].cells.map((cell) => cell.toLowerCase());
  const inOrder = [0, 1, 2];
  if (names.length < 3 || isNumber(names[0]) || isNumber(names[1])) return { columns: inOrder, rows: all };
  const places = ["x", "y", "label"].map((name) => names.indexOf(name));
  return { columns: places.includes(-1) ? inOrder : places, rows: all.slice(1) };
}

function pointOf(row, columns) {
  const inOrder = columns.every((place, k) => place === k);
  if (row.length !== 3 && row.length <= Math.max(...columns)) {
    throw new Error(`${row.length} column${row.length === 1 ? "" : "s"}, expected x, y and label`);
  }
  if (row.length > 3 && inOrder) throw new Error(`${row.length} columns, expected x, y and label`);
  const numbers = [..."xy"].map((name, k) => {
    const cell = row[columns[k]];
    const shown = quoted(cell.length <= 24 ? cell : `${cell.slice(0, 21)}...`);
    if (!isNumber(cell)) throw new Error(`${name} is ${shown}, expected a number`);
    if (!Number.isFinite(Number(cell))) throw new Error(`${name} is ${shown}, expected a finite number`);
    return Number(cell);
  });
  let label = row[columns[2]];
  if (!label) throw new Error("the label is missing");
  if (label.length > 60) throw new Error("the label is longer than 60 letters");
  if (isNumber(label) && Number.isFinite(Number(label))) label = general(Number(label), 15); // 1 and 1.0 are the same
  return { numbers, label };
}

const isNumber = (text) => /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(text) || /^[+-]?(inf|infinity|nan)$/i.test(text);

function withPoint(cell) {
  const decimal = cell.replace(",", ".");
  return isNumber(decimal) ? decimal : cell;
}

const quoted = (text) => (text.includes("'") && !text.includes('"') ? `"${text}"` : `'${text.replace(/[\\']/g, "\\$&")}'`);
