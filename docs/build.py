"""Build the documentation: ``python docs/build.py`` (needs the extra [docs]).

Warnings are errors, and so are links between the pages that lead nowhere, code that fails in the
notebook, and anything that a page would fetch from another host. The static page, in ``see``, is
made by ``see_page.py``.
"""

import argparse
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

HERE = Path(__file__).parent
sys.path.append(str(HERE))  # where the module that writes the static page is
#: attributes that make a browser fetch something while a page is read
FETCHES = {
    ("img", "src"),
    ("script", "src"),
    ("source", "src"),
    ("iframe", "src"),
    ("video", "src"),
    ("audio", "src"),
    ("embed", "src"),
    ("object", "data"),
}
#: relations of <link> that fetch nothing
NOT_FETCHED = {"next", "prev", "search", "index", "author", "canonical", "license"}


class Page(HTMLParser):
    """The links of a page, the names that it can be linked at, and what it fetches."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take down what a tag says."""
        values = {name: value for name, value in attrs if value is not None}
        self.names.update(values[name] for name in ("id", "name") if name in values)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and not NOT_FETCHED & set(values.get("rel", "").split()):
            self.fetched.append(values.get("href", ""))
        self.fetched += [values[name] for name in values if (tag, name) in FETCHES]


def problems(site: Path) -> list[str]:
    """Return what is wrong with the links of a built site, one sentence each.

    Parameters
    ----------
    site : Path
        A folder of HTML pages.
    """
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    said = []
    for path, page in sorted(pages.items()):
        here = path.relative_to(site)
        for link in {*page.links, *page.fetched}:
            parts = urlsplit(link)
            if parts.scheme == "data":
                continue
            if parts.scheme or parts.netloc:
                if link in page.fetched:
                    said.append(f"{here} fetches {link}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                said.append(f"{here} links to {link}, which is not there")
            elif (
                parts.fragment
                and target in pages
                and unquote(parts.fragment) not in pages[target].names
            ):
                said.append(f"{here} links to {link}, and there is no such place on that page")
    for sheet in site.rglob("*.css"):
        found = re.findall(r"url\(\s*['\"]?((?:https?:)?//[^'\")]+)", sheet.read_text())
        said += [f"{sheet.relative_to(site)} fetches {address}" for address in found]
    return said


def main(arguments: list[str] | None = None) -> int:
    """Build, check, and say where the site lies; return an exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", nargs="?", type=Path, default=HERE / "_build" / "html")
    parser.add_argument("--notebook", type=Path, help="put the notebook, as it ran, here as well")
    parser.add_argument(
        "--pyodide",
        type=Path,
        metavar="DIR",
        help="put the checker into the static page: DIR has the npm package pyodide and NumPy's "
        "wheel for it",
    )
    options = parser.parse_args(arguments)
    from see_page import find_interpreter, write_see

    if options.pyodide is not None:
        try:
            find_interpreter(options.pyodide)
        except (OSError, ValueError) as error:
            parser.error(f"--pyodide: {error}")

    from sphinx.cmd.build import build_main

    shutil.rmtree(options.output, ignore_errors=True)
    doctrees = options.output.parent / "doctrees"
    strict = ["--fail-on-warning", "--keep-going", "--fresh-env", "--quiet", "-j", "auto"]
    code = build_main([*strict, "-b", "html", "-d", str(doctrees), str(HERE), str(options.output)])
    if code:
        return code
    write_see(options.output, options.pyodide)
    said = problems(options.output.resolve())
    print("\n".join(said), file=sys.stderr)
    if said:
        return 1
    notebook = options.output.parent / "jupyter_execute" / "backward_pass.ipynb"
    if options.notebook:
        shutil.copyfile(notebook, options.notebook)
        print(f"the notebook is {options.notebook}")
    print(f"open {options.output / 'index.html'}")
    see = options.output / "see"
    size = sum(path.stat().st_size for path in see.rglob("*") if path.is_file())
    print(f"serve {see}, {size / 1e6:.1f} MB, for the page that computes in the browser")
    return 0


if __name__ == "__main__":
    sys.exit(main())
