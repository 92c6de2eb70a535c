import re

import numpy as np
import pytest

from backlit.errors import PhotoError
from backlit.photos.calibration import expected_calibration_error
from backlit.report import page as module
from backlit.report.findings import findings_of_training
from backlit.report.page import render_report, write_report
from backlit.report.pictures import PhotoFiles
from report import odd_names
from report.browser import CONTRASTS, opened


@pytest.mark.parametrize(("width", "height"), [(390, 844), (768, 1024), (1280, 900)])
def test_nothing_is_wider_than_the_screen(browser, page, width, height):
    with opened(browser, page, width, height) as (shown, _):
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        # nor does anything stick out that a sideways scroll of its own does not hold
        out = shown.evaluate(
            """(width) => [...document.body.querySelectorAll("*")]
            .filter((one) => !one.closest(".scroll") && one.getBoundingClientRect().right > width)
            .map((one) => one.outerHTML.slice(0, 80))""",
            width,
        )
        assert out == []


def test_no_short_word_of_a_table_is_broken(browser, page):
    """A row's name of one word stays on one line, on a telephone too."""
    with opened(browser, page, 390, 844) as (shown, _):
        broken = shown.evaluate(
            """[...document.querySelectorAll('.figures tbody th')]
               .filter(th => /^\\S{1,12}$/.test(th.textContent.trim()))
               .filter(th => {
                 const range = document.createRange();
                 range.selectNodeContents(th);
                 return new Set([...range.getClientRects()].map(r => Math.round(r.top))).size > 1;
               })
               .map(th => th.textContent)"""
        )
    assert broken == []


def test_the_page_asks_for_nothing_and_runs_nothing(browser, page):
    with opened(browser, page) as (shown, asked):
        assert asked == []
        assert shown.evaluate("document.scripts.length") == 0
        assert shown.locator('img:not([src^="data:image/webp"])').count() == 0
        assert shown.locator("[onerror]").count() == 0
        broken = "[...document.images].filter((one) => !one.naturalWidth).length"
        shown.evaluate("() => Promise.all([...document.images].map((one) => one.decode()))")
        assert shown.evaluate(broken) == 0
        text = shown.text_content("body")
    assert odd_names.CLASS in text
    assert odd_names.FILE in text
    assert r"b\xff\nrk.jpg" in text
    raw = page.read_text()
    assert "<script" not in raw
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", raw)


def test_pictures_and_charts_have_words(browser, page):
    with opened(browser, page) as (shown, _):
        alts = shown.evaluate("[...document.images].map((one) => one.alt)")
        assert len(alts) > 20
        assert all(alts)
        charts = shown.evaluate(
            """[...document.querySelectorAll("svg:not([aria-hidden])")]
            .map((one) => [one.getAttribute("role"), one.getAttribute("aria-label")])"""
        )
        assert len(charts) == 3
        assert all(role == "img" and words for role, words in charts)
        assert shown.evaluate("document.documentElement.lang") == "en"
        assert shown.title()
        levels = shown.evaluate(
            "[...document.querySelectorAll('h1,h2,h3')].map((one) => Number(one.tagName[1]))"
        )
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert max(np.diff(levels)) == 1  # no level is skipped
        assert shown.locator("section:not([aria-labelledby])").count() == 0


def test_the_numbers_are_the_library_s(browser, page, trained):
    own = trained.judgements["test"]
    evaluation = trained.evaluations["test"]
    error = expected_calibration_error(own.labels, own.probabilities)
    with opened(browser, page) as (shown, _):
        for name, value in (
            ("accuracy", evaluation.accuracy),
            ("low", evaluation.interval[0]),
            ("high", evaluation.interval[1]),
            ("n", evaluation.n),
            ("wrong", evaluation.n - evaluation.n_right),
            ("ece", error),
        ):
            assert float(shown.get_attribute(f"#{name}", "value")) == pytest.approx(
                value, rel=1e-12
            )
        assert shown.inner_text("#accuracy") == f"{100 * evaluation.accuracy:.1f} %"
        cells = shown.locator(".confusion tbody td").all_inner_texts()
        np.testing.assert_array_equal(
            np.array(cells, dtype=int).reshape(3, 3), evaluation.confusion
        )
        rows = shown.locator("section[aria-labelledby=splits] tbody tr").all_inner_texts()
        assert [row.split()[0] for row in rows] == list(trained.evaluations)
        for row, one in zip(rows, trained.evaluations.values(), strict=True):
            assert row.split()[1:5] == [
                str(one.n),
                str(one.n_right),
                f"{100 * one.accuracy:.1f}",
                "%",
            ]
        mistakes = shown.locator("section[aria-labelledby=mistakes]")
        assert mistakes.locator("img").count() == 12
        assert mistakes.locator(".names li").count() == evaluation.n - evaluation.n_right - 12


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(browser, page, scheme):
    with opened(browser, page, color_scheme=scheme) as (shown, _):
        paper = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", paper))) < 200) == (scheme == "dark")
        shown.evaluate(
            "document.querySelectorAll('details').forEach((one) => { one.open = true; })"
        )
        contrasts = shown.evaluate(CONTRASTS)
    assert len(contrasts) > 150
    assert {tag for _, tag, _ in contrasts} >= {"P", "TD", "text", "DD", "STRONG", "LI"}
    poor = [one for one in contrasts if one[2] < 4.5]
    assert poor == []


def test_it_prints_on_white(browser, page):
    with opened(browser, page, color_scheme="dark") as (shown, _):
        shown.emulate_media(media="print", color_scheme="dark")
        assert (
            shown.evaluate("getComputedStyle(document.body).backgroundColor")
            == "rgb(255, 255, 255)"
        )
        assert min(one[2] for one in shown.evaluate(CONTRASTS)) >= 4.5
        assert shown.pdf()[:5] == b"%PDF-"


def test_same_page_each_time(page, folder, trained):
    again = render_report(findings_of_training(trained), PhotoFiles(str(folder)))
    assert again == page.read_text()


def test_pictures_that_have_vanished(folder, trained, page, tmp_path, monkeypatch):
    def gone(path, at_least=None):
        raise PhotoError("no such file", path)

    monkeypatch.setattr("backlit.report.pictures.read_photo", gone)
    monkeypatch.setattr("backlit.photos.saliency.explaining.read_photo", gone)
    text = render_report(findings_of_training(trained), PhotoFiles(str(folder)))
    assert "can no longer be read" in text
    assert "<img" not in text
    with pytest.raises(PhotoError, match="no such file"):
        render_report(findings_of_training(trained), PhotoFiles(str(folder)), explain=["x.jpg"])


def test_errors(folder, trained, tmp_path, monkeypatch):
    findings = findings_of_training(trained)
    monkeypatch.setattr(module, "render_report", lambda *args, **settings: "")
    with pytest.raises(PhotoError, match="cannot be written"):
        write_report(tmp_path / "gone" / "x.html", findings, PhotoFiles(str(folder)))
