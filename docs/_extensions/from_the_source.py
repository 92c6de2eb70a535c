"""Directives whose content comes from running the package while the pages are built."""

import sys
from pathlib import Path
from typing import Any, ClassVar

from catalogue_table import faults_table
from command_lines import command_sections
from curves import activation_svg, loss_svg
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from holding import held_against_numbers, values_table
from results import bad_data_legend, bad_data_table, recorded_table
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

ROOT = Path(__file__).parents[2]


class _Markdown(Directive):
    """A directive that writes Markdown, and has it read like the rest of the page."""

    has_content = False
    required_arguments = 0
    optional_arguments = 2

    def markdown(self) -> str:
        """Return what stands in the directive's place."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Read the Markdown."""
        container = nodes.Element()
        lines = StringList(self.markdown().splitlines(), source=self.state.document["source"])
        self.state.nested_parse(lines, self.content_offset, container, match_titles=True)
        return list(container.children)


class Curves(Directive):
    """``{curves} activation relu``: the function and its derivative, drawn."""

    required_arguments = 2
    drawn: ClassVar = {"activation": activation_svg, "loss": loss_svg}

    def run(self) -> list[nodes.Node]:
        """Return the drawing."""
        kind, name = self.arguments
        svg, caption = self.drawn[kind](name)
        text = f'<figure class="curves">{svg}<figcaption>{caption}</figcaption></figure>'
        return [nodes.raw("", text, format="html")]


class Checked(Directive):
    """``{checked} activation relu``: what the checker says of the library's own function."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """Run it; a function that is found wrong ends the build."""
        ok, sentence = held_against_numbers(*self.arguments)
        if not ok:
            raise ExtensionError(f"{' '.join(self.arguments)}: {sentence}")
        box = nodes.container(classes=["verdict"])
        box += nodes.paragraph("", sentence)
        return [box]


class Values(_Markdown):
    """``{values} activation relu``: the function and its derivative at telling places."""

    def markdown(self) -> str:
        """Return the table."""
        return values_table(*self.arguments)


class Faults(_Markdown):
    """``{faults}``: wrong functions, and what the checker says of each."""

    def markdown(self) -> str:
        """Return a section a relation."""
        sys.path.insert(0, str(ROOT / "tests"))
        return faults_table()


class CommandLine(_Markdown):
    """``{command-line}``: every command with its arguments and options."""

    def markdown(self) -> str:
        """Return a section a command."""
        return command_sections()


class Recorded(_Markdown):
    """``{recorded} forks``: the table that a command has written to ``docs/data``."""

    required_arguments = 1
    optional_arguments = 0
    has_content = True  # for those who read the page's source: where the figures are

    def markdown(self) -> str:
        """Return the table, and under it command, machine and date."""
        return recorded_table(*self.arguments)

    def run(self) -> list[nodes.Node]:
        """Mark the table: its last column may be as narrow as a number."""
        return [nodes.container("", *super().run(), classes=["recorded"])]


class BadData(_Markdown):
    """``{bad-data} X``: entry points against kinds of bad data; without a name, the signs."""

    optional_arguments = 1

    def markdown(self) -> str:
        """Return the table."""
        return bad_data_table(*self.arguments) if self.arguments else bad_data_legend()

    def run(self) -> list[nodes.Node]:
        """Mark the tables: their first column stays in sight while the others scroll."""
        if not self.arguments:
            return super().run()
        return [nodes.container("", *super().run(), classes=["outcomes"])]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    for name, directive in (
        ("curves", Curves),
        ("checked", Checked),
        ("values", Values),
        ("faults", Faults),
        ("command-line", CommandLine),
        ("recorded", Recorded),
        ("bad-data", BadData),
    ):
        app.add_directive(name, directive)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
