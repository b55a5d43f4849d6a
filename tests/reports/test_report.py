from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from html.parser import HTMLParser

import pytest

from llmner.projection import Outcome
from llmner.scoring import (
    CAUSES,
    Evaluation,
    Prediction,
    compare,
    evaluate,
    evaluate_all,
    headline,
    quotes,
    render_report,
)
from llmner.spans import Mention, Sentence, Span
from tests.scoring.runs import random_run

EVIL = '<img src=x onerror="alert(1)">'
END = "</script><script>alert(2)</script>"


def hostile() -> Evaluation:
    """A corpus and a model that put markup wherever they can."""
    text = f"{EVIL} 손흥민 {END} \u2028 &amp; 😀 \ud800 `|"
    at = text.index("손흥민")
    label = "<b>PS</b>|"
    gold = [
        Sentence(text, (Span(at, at + 3, label), Span(0, 3, END)), EVIL),
        Sentence("가나", (), "b"),
    ]
    outcomes = (Outcome(Mention(label, EVIL), "not_found", reason=END),)
    predictions = [
        Prediction(
            text, (Span(at, at + 2, label, 0.5),), EVIL, outcomes, "ok", f"{END} reply {EVIL}"
        ),
        Prediction("가나", (), "b"),
    ]
    signature = {"corpus": {"name": EVIL}, "model": END}
    return evaluate(gold, predictions, signature=signature, resamples=20)


class Page(HTMLParser):
    """Elements of a page, the text of its scripts, and every address it mentions."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.scripts: list[tuple[str, str]] = []
        self._script: str | None = None
        self.policy = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.elements.append(tag)
        self.handlers += [name for name in given if name.startswith("on")]
        self.addresses += [
            str(given[name]) for name in ("src", "href", "action", "data") if name in given
        ]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        if tag == "script":
            self._script = given.get("type") or "javascript"
            self.scripts.append((self._script, ""))

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.scripts[-1] = (self._script, self.scripts[-1][1] + data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = None


def test_nothing_from_a_corpus_or_a_model_becomes_markup() -> None:
    page = Page(render_report({END: hostile(), EVIL: hostile()}))
    assert "img" not in page.elements
    assert "b" not in [e for e in page.elements if e == "img"]
    assert page.handlers == []
    assert [kind for kind, _ in page.scripts] == ["application/json", "javascript"]
    data = json.loads(page.scripts[0][1])
    assert data["sentences"][0]["id"] == EVIL
    assert data["sentences"][0]["runs"][0]["reply"] == f"{END} reply {EVIL}"
    assert data["runs"] == [END, EVIL]


def test_a_page_is_one_file_that_asks_for_nothing() -> None:
    html = render_report({"run": hostile()})
    page = Page(html)
    assert {address[0] for address in page.addresses} == {"#", "d"}
    assert [address for address in page.addresses if not address.startswith("#")] == ["data:,"]
    assert not re.search(r"https?://|@import|url\(", html)
    script = page.scripts[1][1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert page.policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in page.policy


def test_only_wrong_sentences_are_listed() -> None:
    gold, found = random_run(50, seed=3)
    result = evaluate(gold, [Prediction(s.text, s.spans, s.id) for s in found], resamples=0)
    data = json.loads(Page(render_report({"run": result})).scripts[0][1])
    wrong = [s.id for s, p in zip(gold, found, strict=True) if s.spans != p.spans]
    assert [sentence["id"] for sentence in data["sentences"]] == wrong


@pytest.mark.parametrize("format", ["html", "md"])
def test_a_report_of_two_runs_shows_both_and_their_difference(format: str) -> None:
    gold, found = random_run(80, seed=3)
    runs = [[Prediction(s.text, s.spans, s.id) for s in side] for side in (found, gold)]
    a, b = evaluate_all(gold, runs, resamples=50)
    comparison = compare(a, b, resamples=50, shuffles=50)
    report = render_report({"base": a, "gold": b}, {"gold": comparison}, format)  # type: ignore[arg-type]
    assert f"{100 * a.scores.micro.f1:.2f}" in report
    assert f"{100 * comparison.differences['micro.f1'].difference:+.2f}" in report
    assert "100.00" in report
    for loss in a.breakdown.losses:
        assert f"{100 * loss.f1_lost:.2f}" in report


def test_markdown_is_tables_and_holds_no_markup_of_others() -> None:
    report = render_report({END: hostile()}, format="md")
    assert "\\<img src=x" in report
    assert re.search(r"^\| \\<b\\>PS\\</b\\>\\\| \|", report, re.MULTILINE)
    tables = re.findall(r"(?:^\|.*\n)+", report, re.MULTILINE)
    assert len(tables) == 5
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1, table


def test_every_cause_has_a_colour_in_the_light_and_in_the_dark() -> None:
    page = render_report({"run": hostile()})
    for number in range(len(CAUSES)):
        assert page.count(f"--c{number}: #") == 2
        assert f".c{number} {{ fill: var(--c{number});" in page


def test_every_figure_can_be_quoted_with_its_signature() -> None:
    gold, found = random_run(30, seed=3)
    result = evaluate(
        gold,
        [Prediction(s.text, s.spans, s.id) for s in found],
        signature={"corpus": {"name": "dev", "sentences": 30}},
        resamples=20,
    )
    lines = quotes(result)
    assert len(lines) == len(headline(result))
    micro = result.scores.micro.f1
    low, high = result.intervals["micro.f1"]
    assert lines[0].startswith(
        f"micro F1 {100 * micro:.2f} [{100 * low:.2f}, {100 * high:.2f}] metric:micro.f1|"
    )
    assert all("corpus:name=dev,sentences=30" in line and "llmner:" in line for line in lines)


def test_calibration_is_shown_where_there_are_confidences() -> None:
    assert "Calibration" in render_report({"run": hostile()})
    gold, found = random_run(10, seed=3)
    plain = evaluate(gold, [Prediction(s.text, s.spans, s.id) for s in found], resamples=0)
    assert "Calibration" not in render_report({"run": plain})


@pytest.mark.slow
def test_5000_sentences_are_scored_resampled_and_reported_in_under_ten_seconds() -> None:
    gold, found = random_run(5000, seed=6)
    predictions = [Prediction(s.text, s.spans, s.id) for s in found]
    started = time.perf_counter()
    result = evaluate(gold, predictions)
    report = render_report({"run": result})
    assert time.perf_counter() - started < 10
    assert len(result.intervals) > 30
    assert len(report) > 500_000


def test_a_run_without_anything_to_say_still_has_a_report() -> None:
    empty = evaluate([Sentence("가")], [Prediction("가", ())], resamples=5)
    for format in ("html", "md"):
        assert "0.00" in render_report({"run": empty}, format=format)  # type: ignore[arg-type]
