"""The static page: the pages of ``backlit app``, with a browser in place of the server.

The front end is the package's own (``backlit/app/static``); ``docs/see`` has what computes the
answers in JavaScript, and here its data are written: from the package, so that no text and no
number stands twice.
"""

import hashlib
import json
import re
import shutil
import zipfile
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DATA_SEED = 0
NOISES = ("0", "0.05", "0.15")
COUNTS = ("20", "100", "300")
SCENES = 8
#: what a page may do: read and show what lies beside it
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)
FOOTER = (
    "<footer><p>Your browser computes all of this: nothing is sent anywhere. "
    '<a href="../see.html">What is the same as in backlit, and what may differ</a></p></footer>'
)
#: and besides, on the page that runs Python: WebAssembly, in a thread of its own
CHECKER_POLICY = POLICY.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")
CHECK_LINK = '  <a href="check.html">Check</a>\n  '
MANUAL_LINK = '<a href="../index.html">Manual</a>'
#: the interpreter, in the npm package pyodide
INTERPRETER = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip",
               "pyodide-lock.json")  # fmt: skip
PAGES = {"photo.html": "index.html", "steps.html": "steps.html"}


def write_see(site: Path, pyodide: Path | None = None) -> Path:
    """Write the static page into a built site.

    Parameters
    ----------
    site : Path
        The site's folder.
    pyodide : Path, optional
        Where the interpreter and NumPy's wheel are, see `write_checker`; without, there is no page
        for the checker.

    Returns
    -------
    Path
        The folder ``see`` with ``index.html``.
    """
    from backlit.app.photo import rendered_scene
    from backlit.formats.export.javascript_form import functions_module

    target = site / "see"
    shutil.copytree(HERE / "see", target)
    static = files("backlit") / "app" / "static"
    (target / "static").mkdir()
    shutil.move(target / "backend.js", target / "static" / "backend.js")
    shutil.move(target / "local", target / "static" / "local")
    check_page, check_code = (target / "check.html").read_text("utf-8"), target / "check.py"
    (target / "check.html").unlink()
    for source in static.iterdir():
        name = source.name
        if name in PAGES:
            page = static_page(source.read_text(encoding="utf-8"), name, pyodide is not None)
            (target / PAGES[name]).write_text(page, encoding="utf-8")
        elif name.rpartition(".")[2] in ("js", "css", "svg") and name not in (
            "backend.js", "sort.js",
        ):  # fmt: skip
            (target / "static" / name).write_bytes(source.read_bytes())
    (target / "static" / "local" / "functions.js").write_text(functions_module(), encoding="utf-8")
    data = target / "static" / "data"
    data.mkdir()
    write_json(data / "choices.json", choices())
    write_json(data / "points.json", points())
    write_json(data / "photo.json", photo_texts())
    for name in ("day_night.safetensors", "patches.safetensors"):
        (data / name).write_bytes((files("backlit") / "photos" / name).read_bytes())
    for number in range(SCENES):
        (data / f"scene-{number}.webp").write_bytes(rendered_scene(number))
    if pyodide is None:
        for path in [check_code, *(target / "static" / "local").glob("check*")]:
            path.unlink()
        return target
    write_checker(target / "pyodide", pyodide)
    shutil.move(check_code, target / "pyodide" / "check.py")
    shutil.copyfile(HERE.parent / "examples" / "dense.py", data / "example.py")
    page = static_page(check_page, "check.html", False).replace(POLICY, CHECKER_POLICY)
    (target / "check.html").write_text(page, encoding="utf-8")
    return target


def write_checker(target: Path, source: Path) -> None:
    """Write the interpreter with its wheels: NumPy's, and backlit's own.

    Parameters
    ----------
    target : Path
        The new folder.
    source : Path
        As for `find_interpreter`.
    """
    place, wheel = find_interpreter(source)
    target.mkdir()
    for name in INTERPRETER:
        shutil.copyfile(place / name, target / name)
    shutil.copyfile(wheel, target / wheel.name)
    write_json(target / "wheels.json", [wheel.name, write_wheel(target)])


def find_interpreter(source: Path) -> tuple[Path, Path]:
    """Find the interpreter's folder, and NumPy's wheel.

    Parameters
    ----------
    source : Path
        Has NumPy's wheel for Pyodide, and the npm package pyodide in ``node_modules``, as ``npm
        install --prefix`` puts it there, or unpacked.

    Raises
    ------
    FileNotFoundError, ValueError
        Where one is missing, or the wheel is not the one that the interpreter names.
    """
    place = source / "node_modules" / "pyodide"
    place = place if place.is_dir() else source
    missing = [name for name in INTERPRETER if not (place / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{source} lacks {', '.join(missing)}: npm install --prefix {source} pyodide"
        )
    lock = json.loads((place / "pyodide-lock.json").read_text(encoding="utf-8"))
    numpy = lock["packages"]["numpy"]
    wheel = source / numpy["file_name"]
    if not wheel.is_file():
        raise FileNotFoundError(f"{source} lacks {wheel.name}, the NumPy that this Pyodide takes.")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != numpy["sha256"]:
        raise ValueError(f"{wheel} has the SHA-256 {found}, expected {numpy['sha256']}.")
    return place, wheel


def write_wheel(folder: Path) -> str:
    """Pack the package's Python into a wheel; returns its name."""
    from backlit import __version__

    package = Path(str(files("backlit")))
    name = f"backlit-{__version__}-py3-none-any.whl"
    about = f"Metadata-Version: 2.1\nName: backlit\nVersion: {__version__}\n"
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(package.rglob("*.py")):
            archive.write(path, Path("backlit") / path.relative_to(package))
        archive.writestr(f"backlit-{__version__}.dist-info/METADATA", about)
    return name


def write_json(path: Path, content: Any) -> None:
    """Write JSON without blanks."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    path.write_text(text, encoding="utf-8")


def static_page(html: str, name: str, checker: bool) -> str:
    """Change what a page of the server says of a server.

    Parameters
    ----------
    html : str
        A page of ``backlit/app/static``.
    name : str
        Its file name.
    checker : bool
        Whether it links to the checker.

    Raises
    ------
    ValueError
        Where the page has not what is to be changed.
    """
    changes = [
        ('<meta name="color-scheme"',
         f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
         '<meta name="color-scheme"'),
        ('href="./"', 'href="index.html"'),
        ('href="steps"', 'href="steps.html"'),
        ("</nav>", f'{CHECK_LINK if checker else "  "}{MANUAL_LINK}\n  </nav>'),
    ]  # fmt: skip
    if name == "photo.html":
        changes += [
            ('    <a href="sort" id="sorting" hidden>Sort</a>\n', ""),
            ("AVIF, TIFF, GIF, BMP, JPEG 2000 and more, up to 100 MB", "AVIF, GIF, BMP"),
            (
                ", down to\n      the pixels and through every layer.",
                ",\n      through every layer.",
            ),
            ('<p id="status"', f'<p class="remark">{differences()}</p>\n  <p id="status"'),
            (",.heic,.heif,.avif,.tif,.tiff,.jp2,.ppm,.pgm,.psd,.tga", ""),
        ]
    for old, new in changes:
        if html.count(old) != 1:
            raise ValueError(f"{name} has {html.count(old)} times {old!r}, expected it once.")
        html = html.replace(old, new)
    html, count = re.subn(r"<footer>.*</footer>", FOOTER, html, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{name} has {count} footers, expected one.")
    return html


def differences() -> str:
    """Say in HTML where a label may differ from the package's, and how often it was seen to."""
    found = json.loads((HERE / "data" / "static_page.json").read_text(encoding="utf-8"))
    photographs = [row for row in found["rows"] if not row[0].startswith("rendered")]
    number = sum(int(row[1].replace(",", "")) for row in photographs)
    other = sum(int(row[2]) for row in photographs)
    largest = max(float(row[-1]) for row in photographs)
    return (
        "The label is that of <code>backlit predict</code>, but that the browser decodes a JPEG "
        f"differently: of {number:,} photographs, {other} got the other label, and no probability "
        f"moved by more than {largest:.2f}."
    )


def points() -> dict[str, Any]:
    """Draw all ready-made points: name, noise, count -> what the server answers."""
    from backlit.app.plane.datasets import DATASETS, dataset

    return {
        name: {
            noise: {
                count: dataset(name, int(count), float(noise), DATA_SEED) for count in COUNTS
            }
            for noise in NOISES
        }
        for name in DATASETS
    }  # fmt: skip


def choices() -> dict[str, Any]:
    """Gather what the step-by-step network shows and is chosen from."""
    from backlit.app.plane.datasets import DATASETS
    from backlit.app.plane.formulas import FORMULAS
    from backlit.app.plane.network import HIDDEN, MOST_LAYERS
    from backlit.app.plane.steps import step_templates
    from backlit.names import ACTIVATIONS, INITIALIZATIONS
    from backlit.tracing.tables import COLUMNS

    schemes = {}
    for name in (*HIDDEN, "sigmoid"):
        gain, fan = INITIALIZATIONS[ACTIVATIONS[name].initialization]
        schemes[name] = {"gain": gain, "fan": fan}
    return {
        "datasets": DATASETS,
        "activations": list(HIDDEN),
        "schemes": schemes,
        "formulas": {name: [one.value, one.slope] for name, one in FORMULAS.items()},
        "steps": {L: step_templates(L) for L in range(1, MOST_LAYERS + 2)},
        "measures": COLUMNS,
        "scripts": {"": script_template("tanh", 0), **{h: script_template(h, 1) for h in HIDDEN}},
        "model_file": model_file_fields(),
    }


def photo_texts() -> dict[str, Any]:
    """Gather the constants of the features, and what they are called in words."""
    from backlit.app.photo import SILENT, PhotoDesk
    from backlit.photos import features, hues, patches, rank_statistics, soft_histograms
    from backlit.photos.classifier import PhotoClassifier
    from backlit.photos.saliency.words import describe, group_of
    from backlit.tracing.tables import COLUMNS

    return {
        "constants": {
            "side": features.SIDE,
            "ranges": rank_statistics.RANGES,
            "deviations": rank_statistics.DEVIATIONS,
            "references": [[share, low, high] for _, share, low, high in features.REFERENCES],
            "bins": features.BINS,
            "levels": soft_histograms.LEVELS,
            "hues": len(hues.HUES),
            "patch": patches.SIDE,
            "step": patches.STEP,
        },
        "features": [
            [name, group_of(name), describe(name, -1.0), describe(name, 1.0)]
            for name in features.feature_names()
        ],
        "measures": COLUMNS,
        "silent": SILENT,
        "scenes": SCENES,
        "model": PhotoDesk(PhotoClassifier.load()).description(),
    }


def sample_network(activation: str, hidden: int) -> Any:
    """Make a network whose numbers can be found again in what is written of it."""
    import numpy as np

    from backlit.app.plane.network import PlaneNetwork

    sizes = [2, *[1] * hidden, 1]
    parameters = {}
    for l, (before, units) in enumerate(pairwise(sizes), start=1):
        parameters[f"W{l}"] = np.full((units, before), 11.0625)
        parameters[f"b{l}"] = np.full((units, 1), 11.0625)
    return PlaneNetwork(
        parameters, activation, np.array([[1.0], [1.0]]), np.array([[1.0]]), 1.0,
        np.array([12.0625, 12.125]), np.array([13.0625, 13.125]), ("@no@", "@yes@"),
    )  # fmt: skip


def script_template(activation: str, hidden: int) -> str:
    """Return the app's Python script, with ``@name@`` where a network's own numbers stand.

    Raises
    ------
    ValueError
        Where the script has not what is expected.
    """
    from backlit.app.plane.exporting import as_code

    network = sample_network(activation, hidden)
    text = as_code(network)
    for pattern, new in (
        (r"(?<=A network of layers )[\d-]+", "@dims@"),
        (r"(?<=CLASSES = )\['@no@', '@yes@'\]", "@classes@"),
        (r"(?<=PARAMETERS = \{\n).*?(?=\n\}\n)", "@parameters@"),
        (r"(?<=ACTIVATIONS = )\(.*?\)", "@activations@"),
        (r"\[12\.0625, 12\.125\]", "@mean@"),
        (r"\[13\.0625, 13\.125\]", "@scale@"),
        (r"(?<=POINTS = )\[\[.*?\]\]", "@points@"),
        (r"(?<=LABELS = )\[1\]", "@labels@"),
    ):
        text, count = re.subn(pattern, new, text, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"the script has {count} times {pattern}, expected it once.")
    return text


def model_file_fields() -> dict[str, Any]:
    """Return the fields of a model file's description that all networks of the app share."""
    from backlit.app.plane.exporting import as_safetensors

    data = as_safetensors(sample_network("tanh", 1))
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    description: dict[str, Any] = json.loads(header["__metadata__"]["backlit"])
    own = ("classes", "layers", "activations")
    return {name: value for name, value in description.items() if name not in own}
