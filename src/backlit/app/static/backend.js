// What answers the pages' questions: here the server of `backlit app`. The static page of the
// documentation has a file of the same name in its place, which computes the answers itself.

import { busily } from "./common.js";

/** Ask the server; throws an Error with the server's words. */
async function ask(path, body) {
  const binary = body instanceof Blob;
  let response;
  try {
    response = await fetch(path, body === undefined ? {} : {
      method: "POST",
      headers: { "Content-Type": binary ? "application/octet-stream" : "application/json" },
      body: binary ? body : JSON.stringify(body),
    });
  } catch {
    throw new Error("The server does not answer: has backlit app been ended?");
  }
  if (response.status === 413) throw new Error("The file is too large: at most "
    + (path.startsWith("api/photo") ? "100 MB are taken for a picture." : "4 MB are taken."));
  if (!response.ok) {
    const found = await response.json().catch(() => ({}));
    throw new Error(found.error || `The server failed (${response.status}).`);
  }
  return response;
}

/** The same for JSON. */
export const askJson = (path, body) => busily(async () => (await ask(path, body)).json());
const askBlob = async (path, body) => (await ask(path, body)).blob();

export const backend = {
  // a photograph
  model: () => askJson("api/model"),
  photo: (blob, label) => askJson(`api/photo${label === null ? "" : `?label=${encodeURIComponent(label)}`}`, blob),
  scene: (number) => askBlob(`api/scene/${number}`),
  // a network step by step
  choices: () => askJson("api/choices"),
  dataset: (wanted) => askJson("api/dataset", wanted),
  table: (file) => askJson("api/table", file),
  network: (wanted) => askJson("api/network", wanted),
  pass: (network) => askJson("api/pass", network),
  train: (network) => askJson("api/train", network),
  code: (network) => askBlob("api/code", network),
  safetensors: (network) => askBlob("api/safetensors", network),
};
