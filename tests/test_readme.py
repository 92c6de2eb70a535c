"""The README's examples print what they say, and its commands are there to be pasted."""

import doctest
import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_tour_prints_what_it_says():
    blocks = re.findall(r"^```pycon\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    tour = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "README.md", "README.md", 0)
    assert len(tour.examples) > 15
    report = []
    result = doctest.DocTestRunner(verbose=False).run(tour, out=report.append)
    assert result.failed == 0, "".join(report)
    assert result.attempted == len(tour.examples)


def test_both_commands_are_one_line_and_make_their_own_environment():
    for heading, ending in (
        ("## Run it", "backlit train"),
        ("## Run the tests", "python -m pytest"),
    ):
        section = README.split(f"\n{heading}\n")[1].split("\n## ")[0]
        command = re.search(r"^```sh\n(.*?)\n```", section, re.DOTALL | re.MULTILINE).group(1)
        assert "\n" not in command
        environment = re.match(r"python3 -m venv (\S+) && ", command).group(1)
        assert f"{environment}/bin/pip install" in command
        assert command.endswith(ending)
