"""The page of an audit in a real browser: filters, decisions that stay, a file of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llmner.labelling import Suspicion, suspicion_of_row
from llmner.reports import render_audit
from llmner.spans import Span
from tests.reports.test_report import EVIL

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

TEXT = "😀 손흥민은 춘천에서"
FOUND = [
    Suspicion(0, "a", TEXT, "boundary", 2, 6, "PS", Span(2, 5, "PS"), 0.9, "the model is sure"),
    Suspicion(1, None, TEXT, "missing", 7, 9, "LC", Span(7, 9, "LC"), 0.8, "nothing is there"),
    Suspicion(2, "c", EVIL, "spurious", 0, 4, EVIL, None, 0.7, EVIL),
    Suspicion(3, "d", "좋아요", "missing", None, None, "맛", None, 0.6, "of the text"),
    Suspicion(4, "e", "춘천", "leak", None, None, None, None, 0.5, "in both"),
]


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    complaints: list[str] = []
    path = tmp_path / "audit.html"
    html = render_audit([own.row() for own in FOUND], "corpus.tsv")
    path.write_bytes(html.encode("utf-8", "replace"))
    context = browser.new_context(offline=True, viewport={"width": 390, "height": 844})
    made = context.new_page()
    made.on("console", lambda message: complaints.append(message.text))
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.on("dialog", lambda dialog: (complaints.append("a dialog"), dialog.dismiss())[1])
    made.goto(path.as_uri())
    yield made
    context.close()
    assert complaints == []


def test_labels_and_suggestions_are_shown(page: Page) -> None:
    items = page.locator("#list li").all()
    assert len(items) == 5
    assert items[0].locator("mark").all_text_contents() == ["손흥민은PS", "손흥민PS"]
    # Nothing is labelled where a label is missing.
    assert items[1].locator("mark").all_text_contents() == ["춘천LC"]
    assert EVIL in (items[2].text_content() or "")
    assert page.locator("#list img, #list script").count() == 0
    assert "맛: missing" in (items[3].text_content() or "")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.select_option("#kind", "missing")
    assert page.locator("#list li").count() == 2
    page.select_option("#label", "LC")
    assert page.locator("#list li").count() == 1
    page.fill("#search", "nowhere")
    assert page.text_content("#shown") == "0 of 5 rows, 0 decided"


def test_decisions_stay_and_are_saved_as_rows(page: Page, tmp_path: Path) -> None:
    page.locator("#list li").nth(0).locator("button[value=accept]").click()
    page.locator("#list li").nth(1).focus()
    page.keyboard.press("k")
    # The next row is in focus, so that one key a row is enough.
    page.keyboard.press("a")
    assert page.text_content("#shown") == "5 of 5 rows, 3 decided"
    # The same button takes it back.
    page.locator("#list li").nth(2).locator("button[value=accept]").click()
    page.reload()
    assert page.text_content("#shown") == "5 of 5 rows, 2 decided"
    page.select_option("#decision", "open")
    assert page.locator("#list li").count() == 3
    with page.expect_download() as saved:
        page.click("#save")
    path = tmp_path / "saved.jsonl"
    saved.value.save_as(path)
    assert saved.value.suggested_filename == "corpus.tsv.decided.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = [suspicion_of_row(row) for row in rows]
    assert [own for own, _ in found] == FOUND
    assert [decision for _, decision in found] == ["accept", "keep", None, None, None]
