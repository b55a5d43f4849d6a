"""What a run says that it read, and what not."""

from __future__ import annotations

from llmner.extraction._coverage import Coverage
from llmner.extraction.runs import RunSummary


def test_texts_windows_answers_and_mentions_are_counted() -> None:
    coverage = Coverage()
    coverage.add({"text": "가" * 10, "reply": "{}", "finish_reason": "stop", "outcomes": []})
    coverage.add({"text": "나" * 20, "error": "timed out", "reply": ""})
    windows = [
        {"start": 0, "end": 60, "reply": "{", "finish_reason": "length"},
        {"start": 50, "end": 100, "reply": "", "error": "gone"},
    ]
    outcomes = [{"kind": "exact", "start": 0, "end": 2}, {"kind": "not_found", "start": None}]
    coverage.add({"text": "다" * 100, "windows": windows, "outcomes": outcomes})
    assert (coverage.characters, coverage.unread) == (130, 20 + 40)
    assert (coverage.windows, coverage.windows_failed, coverage.cut) == (2, 1, 1)
    assert (coverage.mentions, coverage.unplaced) == (2, 1)
    assert not coverage.is_whole
    assert coverage.usage() == {}
    assert str(coverage) == "130 characters; 2 mentions, 1 without a place"


def test_no_more_is_unread_than_there_is() -> None:
    gone = [{"start": start, "end": start + 40, "error": "gone"} for start in (0, 20, 40, 60)]
    coverage = Coverage()
    coverage.add({"text": "가" * 100, "windows": [*gone, {"start": 90, "end": 100}]})
    assert coverage.unread == 90
    # A second pass that failed leaves nothing unread, and is told.
    coverage = Coverage()
    coverage.add({"text": "가나", "windows": [{"start": 0, "end": 2}, {**gone[0], "end": 2}]})
    assert (coverage.unread, coverage.windows_failed, coverage.is_whole) == (0, 1, False)


def test_a_run_that_read_everything_is_whole() -> None:
    summary = RunSummary()
    summary.add({"text": "가나", "reply": "{}", "finish_reason": "stop"})
    assert summary.coverage.is_whole
    # A tagger's rows have no replies, and are whole.
    summary.add({"id": None, "text": "가나", "spans": []})
    assert summary.coverage.is_whole
    assert "coverage" not in repr(summary)
