// The data beside the pages, each file read once.

const found = new Map();
const place = new URL("../data/", import.meta.url);

async function fetched(name) {
  let response;
  try {
    response = await fetch(new URL(name, place));
  } catch {
    throw new Error(`${name} cannot be fetched: is the server that this page came from still there?`);
  }
  if (!response.ok) throw new Error(`${name} cannot be fetched (${response.status}).`);
  return response;
}

function once(name, read) {
  if (!found.has(name)) {
    found.set(name, fetched(name).then(read).catch((error) => {
      found.delete(name); // so that it is tried again
      throw error;
    }));
  }
  return found.get(name);
}

/** A JSON file of the folder data. */
export const readData = (name) => once(name, (response) => response.json());

/** A file of the folder data, as it is. */
export const readBlob = (name) => once(name, (response) => response.blob());

/** A safetensors file: { name: { shape, values } } of float32, and its description. */
export const readTensors = (name) => once(name, async (response) => {
  const bytes = await response.arrayBuffer();
  const length = Number(new DataView(bytes).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, length)));
  const { __metadata__: metadata, ...places } = header;
  const tensors = {};
  for (const [key, { dtype, shape, data_offsets: [begin, end] }] of Object.entries(places)) {
    if (dtype !== "F32") throw new Error(`${name}: ${key} is ${dtype}, expected F32.`);
    const values = new Float32Array(bytes.slice(8 + length + begin, 8 + length + end)); // little-endian
    tensors[key] = { shape, values: Float64Array.from(values) };
  }
  return { tensors, description: JSON.parse(metadata.backlit) };
});
