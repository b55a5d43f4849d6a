"""``llmner view`` in a real browser: what is shown, what filters choose, and how soon."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from llmner.cli import app
from llmner.projection import Outcome
from llmner.reports import render_view
from llmner.scoring import Prediction
from llmner.spans import Mention, Span, TextLabel
from tests.reports.test_report import EVIL
from tests.reports.test_report_browser import Open, open_report, shown

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["open_report"]


def rows() -> list[Prediction]:
    lost = Outcome(Mention("LC", "런던"), "not_found", reason="nothing like it")
    return [
        Prediction(
            "😀 손흥민은 춘천에서",
            (Span(2, 5, "PS", 0.99), Span(7, 9, "LC", 0.4, {"kind": "city"})),
            "a",
            (Outcome(Mention("PS", "손흥민"), "exact", Span(2, 5, "PS"), 1.0), lost),
            "ok",
            '{"PS": ["손흥민"]}',
        ),
        Prediction("배송이 늦어요", (), "b", labels=(TextLabel("배송", {"sentiment": -1}, 0.8),)),
        Prediction("아무것도 없다", (), "c", error="the endpoint is away", status="unanswered"),
        Prediction(f"{EVIL} 삼성", (Span(len(EVIL) + 1, len(EVIL) + 3, EVIL),), EVIL),
    ]


def choose(page: Page, field: str, value: str) -> list[str]:
    if field in ("label", "outcome"):
        page.select_option(f"#{field}", value)
    else:
        page.fill(f"#{field}", value)
    return shown(page)


def test_every_text_is_shown_with_what_was_found_and_lost(open_report: Open) -> None:
    page = open_report(render_view(rows(), "out.jsonl"))
    assert shown(page) == ["a", "b", "c", EVIL]
    first = page.locator("#list > li").first
    assert first.locator("mark").all_inner_texts() == ["손흥민PS", "춘천LC · kind=city"]
    assert first.locator("mark").nth(1).get_attribute("title") == "7–9, score 0.400"
    assert "LC “런던”: not found (nothing like it)" in first.locator(".lost").inner_text()
    first.locator("summary").click()
    first.locator("td").first.wait_for()
    assert first.locator("td").all_inner_texts()[5:8] == ["LC", "런던", "not found"]
    assert "배송 (sentiment=-1) 0.80" in page.locator("#list > li").nth(1).inner_text()
    assert "no answer: the endpoint is away" in page.locator("#list > li").nth(2).inner_text()
    assert page.title() == "out.jsonl: 4 texts"


def test_filters_choose_by_label_outcome_score_and_words(open_report: Open) -> None:
    page = open_report(render_view(rows(), "out.jsonl"))
    assert choose(page, "label", "LC") == ["a"]
    assert choose(page, "label", "배송") == ["b"]
    assert choose(page, "label", "") == ["a", "b", "c", EVIL]
    assert choose(page, "outcome", "not_found") == ["a"]
    assert choose(page, "outcome", "no answer") == ["c"]
    assert choose(page, "outcome", "") == ["a", "b", "c", EVIL]
    assert choose(page, "below", "0.5") == ["a"]
    assert choose(page, "below", "0.9") == ["a", "b"]
    assert choose(page, "below", "") == ["a", "b", "c", EVIL]
    assert choose(page, "search", "삼성") == [EVIL]
    assert page.inner_text("#shown") == "1 of 4 texts"


def test_a_corpus_without_scores_and_outcomes_has_no_such_filters(open_report: Open) -> None:
    page = open_report(render_view([Prediction("Anna", (Span(0, 4, "PER"),))], "a corpus"))
    assert page.locator("#score-filter").is_hidden()
    assert page.locator("#outcome-filter").is_hidden()
    assert shown(page) == ["#1"]


@pytest.mark.slow
def test_ten_thousand_texts_are_filtered_at_once(open_report: Open) -> None:
    dice = random.Random(3)
    many = [
        Prediction(
            f"{'글자 ' * 20}{number} 손흥민은",
            (Span(0, 2, dice.choice(["PS", "LC", "OG"]), dice.random()),),
            str(number),
        )
        for number in range(10_000)
    ]
    page = open_report(render_view(many, "many.jsonl"))
    assert len(shown(page)) < 200
    spent = page.evaluate(
        """() => {
            const started = performance.now();
            const select = document.getElementById("label");
            for (const value of ["PS", "LC", ""]) {
                select.value = value;
                select.dispatchEvent(new Event("input", { bubbles: true }));
                document.body.getBoundingClientRect();
            }
            return (performance.now() - started) / 3;
        }"""
    )
    assert spent < 250, f"{spent} ms a filter"


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_stands_over_the_edge(open_report: Open, width: int) -> None:
    page = open_report(render_view(rows(), "out.jsonl"), viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_command_writes_a_page(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    row = {"id": "7", "text": "Anna sings", "spans": [{"start": 0, "end": 4, "label": "PER"}]}
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["view", str(file)])
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out.jsonl.html").read_text(encoding="utf-8")
    assert "out.jsonl: 1 text<" in page
    assert "Anna sings" in page
    given = CliRunner().invoke(app, ["view", str(file), "-o", str(tmp_path / "page.html")])
    assert (tmp_path / "page.html").exists(), given.output
    assert CliRunner().invoke(app, ["view", str(file), "-o", str(file)]).exit_code == 2
    assert CliRunner().invoke(app, ["view", str(tmp_path / "none")]).exit_code == 2
