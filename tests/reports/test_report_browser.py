"""The report in a real browser: no error, filters that work, nothing of a corpus or a model that
runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llmner.scoring import Evaluation, Prediction, compare, evaluate, evaluate_all, render_report
from llmner.spans import Sentence, Span
from tests.reports.test_report import EVIL, hostile
from tests.scoring.runs import random_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Open = Callable[..., "Page"]


@pytest.fixture
def open_report(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a report and fails the test for anything its page complains of or tries to fetch."""
    complaints: list[str] = []
    contexts = []

    def opened(html: str, **options: object) -> Page:
        path = tmp_path / "report.html"
        path.write_bytes(html.encode("utf-8", "replace"))
        context = browser.new_context(offline=True, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "dialog", lambda dialog: (complaints.append("a dialog opened"), dialog.dismiss())[1]
        )
        page.on(
            "request",
            lambda asked: (
                None
                if asked.url == path.as_uri() or asked.url.startswith("data:")
                else complaints.append(asked.url)
            ),
        )
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


GOLD = [
    Sentence("😀 손흥민은 춘천에서 태어났다", (Span(2, 5, "PS"), Span(7, 9, "LC")), "a"),
    Sentence("서울에서 3일", (Span(0, 2, "LC"), Span(5, 7, "DT")), "b"),
    Sentence("삼성은", (Span(0, 2, "OG"),), "c"),
]


def small(*spans: tuple[Span, ...]) -> list[Prediction]:
    return [
        Prediction(s.text, found, s.id, (), "ok", f"reply to {s.id}")
        for s, found in zip(GOLD, spans, strict=True)
    ]


RUN = small((Span(2, 6, "PS"), Span(7, 9, "LC")), (Span(5, 7, "QT"),), (Span(0, 2, "OG"),))


def shown(page: Page) -> list[str]:
    return page.locator("#list > li .id").all_text_contents()


def test_filters_choose_by_cause_label_and_text(open_report: Open) -> None:
    page = open_report(render_report({"run": evaluate(GOLD, RUN, resamples=20)}))
    assert shown(page) == ["a", "b"]
    assert page.text_content("#shown") == "2 of 2 wrong sentences"
    options = page.locator("#cause option").all_text_contents()
    assert options == ["any", "wrong label (1)", "boundary: particle (1)", "missed (1)"]
    page.select_option("#cause", "boundary-particle")
    assert shown(page) == ["a"]
    page.select_option("#label", "DT")
    assert shown(page) == []
    page.select_option("#cause", "")
    assert shown(page) == ["b"]
    page.select_option("#label", "")
    page.fill("#search", "손흥")
    assert shown(page) == ["a"]
    page.fill("#search", "B")
    assert shown(page) == ["b"]


def test_gold_stands_above_predicted_on_the_source_text(open_report: Open) -> None:
    page = open_report(render_report({"run": evaluate(GOLD, RUN, resamples=0)}))
    first = page.locator("#list > li").first
    assert first.locator(".side").all_text_contents() == ["gold", "predicted"]
    gold, found = first.locator(".text").all()
    # Offsets are code points; the smiley is two UTF-16 units.
    assert gold.locator("mark").all_text_contents() == ["손흥민PS (boundary: particle)", "춘천LC"]
    assert found.locator("mark").all_text_contents() == [
        "손흥민은PS (boundary: particle)",
        "춘천LC",
    ]
    assert gold.locator("mark.wrong").count() == 1
    top = gold.bounding_box(), found.bounding_box()
    assert top[0] is not None
    assert top[1] is not None
    assert top[0]["y"] < top[1]["y"]
    assert first.locator("pre.reply").count() == 0
    first.locator("summary").click()
    assert first.locator("pre.reply").text_content() == "reply to a"


def test_runs_stand_side_by_side(open_report: Open) -> None:
    other = small((Span(2, 5, "PS"), Span(7, 9, "LC")), (Span(5, 7, "QT"),), ())
    a, b = evaluate_all(GOLD, [RUN, other], resamples=20)
    page = open_report(
        render_report({"one": a, "two": b}, {"two": compare(a, b, resamples=20, shuffles=20)})
    )
    assert shown(page) == ["a", "b", "c"]
    assert page.locator("#list > li").first.locator(".side").all_text_contents() == [
        "gold",
        "one",
        "two",
    ]
    # 손흥민 was found by one of the two, the gold 서울 by neither.
    assert (
        page.locator("#list > li").nth(0).locator(".text").first.locator("mark.some").count() == 1
    )
    assert (
        page.locator("#list > li").nth(1).locator(".text").first.locator("mark.wrong").count() == 2
    )
    page.select_option("#run", label="where they differ")
    assert shown(page) == ["a", "c"]
    page.select_option("#run", label="one")
    assert shown(page) == ["a", "b"]
    assert page.locator("figure.stack").count() == 2


def test_markup_in_texts_labels_and_replies_stays_text(open_report: Open) -> None:
    page = open_report(render_report({EVIL: hostile()}))
    assert shown(page) == [EVIL]
    page.locator("#list summary").first.click()
    page.locator("pre.reply").wait_for()
    assert EVIL in (page.locator("pre.reply").text_content() or "")
    assert page.locator("img").count() == 0
    assert page.locator("#list script").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits_a_phone_and_a_desk_in_light_and_dark(
    open_report: Open, scheme: str, width: int
) -> None:
    gold, found = random_run(60, seed=4)
    result = evaluate(gold, [Prediction(s.text, s.spans, s.id) for s in found], resamples=20)
    page = open_report(
        render_report({"run" * 100: result}),
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
    )
    # Wide tables scroll inside their own box, the page itself never does.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, ground.removeprefix("rgb(").rstrip(")").split(","))) > 3 * 128
    assert light == (scheme == "light")


def thousands() -> Evaluation:
    gold, found = random_run(5000, seed=5)
    dropped = [Sentence(s.text, s.spans[1:], s.id) for s in found]
    predictions = [Prediction(s.text, s.spans, s.id, (), "ok", "{...}" * 20) for s in dropped]
    return evaluate(gold, predictions, resamples=0)


@pytest.mark.slow
def test_thousands_of_wrong_sentences_stay_fluid(open_report: Open) -> None:
    page = open_report(render_report({"run": thousands()}))
    total = page.evaluate(
        "JSON.parse(document.getElementById('data').textContent).sentences.length"
    )
    assert total > 3000
    assert len(shown(page)) < 200
    # From the input to the list drawn anew.
    spent = page.evaluate(
        """() => {
            const started = performance.now();
            const select = document.getElementById("label");
            for (const value of ["PS", "QT", ""]) {
                select.value = value;
                select.dispatchEvent(new Event("input", { bubbles: true }));
                document.body.getBoundingClientRect();
            }
            return (performance.now() - started) / 3;
        }"""
    )
    assert spent < 250, f"{spent} ms a filter"
    # Scrolling to the end draws more, a page at a time.
    before = len(shown(page))
    for _ in range(5):
        page.keyboard.press("End")
        page.wait_for_timeout(250)
    assert len(shown(page)) >= before + 2 * 40
    # The button says how many are left, and does the same for those who do not scroll.
    held = len(shown(page))
    more = page.locator("#more")
    assert more.text_content() == f"Show more ({total - held} left)"
    more.evaluate("button => button.click()")
    assert len(shown(page)) > held
