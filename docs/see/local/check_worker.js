// Python in a thread of its own: Pyodide, NumPy's wheel and backlit's own, all from beside the page.

const place = new URL("../../pyodide/", import.meta.url);
const tell = (stage) => postMessage({ stage });

async function fetched(name) {
  const response = await fetch(new URL(name, place));
  if (!response.ok) throw new Error(`${name} cannot be fetched (${response.status}).`);
  return response;
}

async function start() {
  tell("Fetching Python …");
  const { loadPyodide } = await import(new URL("pyodide.mjs", place));
  const pyodide = await loadPyodide({ indexURL: place.href });
  for (const wheel of await (await fetched("wheels.json")).json()) {
    tell(`Unpacking ${wheel.split("-")[0]} …`);
    pyodide.unpackArchive(await (await fetched(wheel)).arrayBuffer(), "whl");
  }
  tell("Importing …");
  pyodide.runPython(await (await fetched("check.py")).text());
  return pyodide.globals.get("check");
}

let started = null;

self.addEventListener("message", async ({ data }) => {
  try {
    started ??= start();
    const check = await started;
    tell("Checking …");
    postMessage(JSON.parse(check(data)));
  } catch (error) {
    started = null;
    postMessage({ error: `Python in the browser failed: ${String(error.message ?? error).trim().split("\n").at(-1)}` });
  }
});
