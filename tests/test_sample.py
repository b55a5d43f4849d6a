"""The sample corpus is what data/README.md says it is."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from pathlib import Path

from llmner.corpora import read_corpus


def test_counts_are_those_of_the_readme(sample: Path) -> None:
    corpus = list(read_corpus(sample, strict=True))
    counts = Counter(span.label for sentence in corpus for span in sentence.spans)
    row = re.search(
        r"^\| `sample\.tsv` \|(.*)\|$",
        (sample.parent / "README.md").read_text("utf-8"),
        re.MULTILINE,
    )
    assert row is not None
    assert [int(cell) for cell in row[1].split("|")] == [
        len(corpus), sum(counts.values()), *(counts[label] for label in ("PS", "LC", "OG", "DT", "TI", "QT"))
    ]  # fmt: skip
    assert len(corpus) >= 80


def test_it_covers_what_is_hard(sample: Path) -> None:
    corpus = list(read_corpus(sample))
    surfaces = [[s.surface(span) for span in s.spans] for s in corpus]
    assert sum(not s.spans for s in corpus) >= 12
    assert sum(len(set(found)) < len(found) for found in surfaces) >= 10
    assert (
        sum(bool(re.search(r"[㎞㎝㎏㎡℃％Ａ-Ｚ０-９㈜]", "".join(found))) for found in surfaces)
        >= 8
    )
    assert {(s.id or "").rpartition("-")[2] for s in corpus} == {
        "news",
        "review",
        "call",
        "sport",
        "finance",
    }
    assert all(span.start == 0 or s.text[span.start] != " " for s in corpus for span in s.spans)


def test_the_other_samples_are_what_the_readme_says(sample: Path) -> None:
    page = (sample.parent / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `(sample-\w+\.txt)` \| (\d+) \| (\d+) \| ([A-Z ]+)", page, re.MULTILINE)
    assert {row[0] for row in rows} == {path.name for path in sample.parent.glob("sample-*.txt")}
    for name, sentences, entities, labels in rows:
        corpus = list(read_corpus(sample.parent / name, "markup"))
        spans = [span for sentence in corpus for span in sentence.spans]
        assert (len(corpus), len(spans)) == (int(sentences), int(entities))
        assert {span.label for span in spans} == set(labels.split())
        assert len({sentence.text for sentence in corpus}) == len(corpus)


def test_the_mixed_sample_keeps_what_an_editor_would_normalise(sample: Path) -> None:
    text = (sample.parent / "sample-mixed.txt").read_text("utf-8")
    assert unicodedata.normalize("NFC", text) != text
    assert "\u200b" in text
    assert any(char in text for char in "㎞㎡℃㈜½①")
