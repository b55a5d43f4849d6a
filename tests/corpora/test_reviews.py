"""MAMS, SemEval's ABSA and KOTE: read from files of our own, and from the real ones where they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmner.corpora import (
    CORPUS_FORMATS,
    Losses,
    ReadStats,
    guess_format,
    read_corpus,
    write_corpus,
)
from llmner.corpora.kote import EMOTIONS
from llmner.errors import CorpusError
from llmner.recipes import Recipe
from llmner.spans import Sentence, Span, TextLabel
from tests.conftest import ROOT

SHARED = ROOT.parent / "shared" / "data"

TERMS = """<?xml version="1.0" encoding="utf-8"?>
<sentences>
  <sentence id="7"><text>Nice soup &amp; bread.</text>
    <aspectTerms>
      <aspectTerm from="5" to="9" term="soup" polarity="positive"/>
      <aspectTerm from="12" to="17" term="bread" polarity="neutral"/>
    </aspectTerms>
    <aspectCategories><aspectCategory category="food" polarity="positive"/></aspectCategories>
  </sentence>
  <sentence><text>Never again.</text></sentence>
</sentences>
"""
OPINIONS = """<Reviews><Review rid="1"><sentences><sentence id="1:0">
<text>The bar was dark, and we loved it.</text>
<Opinions>
<Opinion target="bar" category="AMBIENCE#GENERAL" polarity="negative" from="4" to="7"/>
<Opinion target="NULL" category="RESTAURANT#GENERAL" polarity="positive" from="0" to="0"/>
</Opinions></sentence></sentences></Review></Reviews>
"""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_terms_are_spans_and_categories_are_labels_of_the_text(tmp_path: Path) -> None:
    path = written(tmp_path, "mams.xml", TERMS)
    assert guess_format(path) == "mams"
    first, second = read_corpus(path)
    assert (first.id, first.text) == ("7", "Nice soup & bread.")
    assert [(first.surface(s), s.label, s.attributes) for s in first.spans] == [
        ("soup", "TERM", {"polarity": "positive"}),
        ("bread", "TERM", {"polarity": "neutral"}),
    ]
    assert first.labels == (TextLabel("food", {"polarity": "positive"}),)
    assert (second.text, second.spans, second.labels) == ("Never again.", (), ())


def test_opinions_of_semeval_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "absa.xml", OPINIONS)
    assert guess_format(path) == "mams"
    (sentence,) = read_corpus(path)
    (span,) = sentence.spans
    assert span == Span(4, 7, "TERM")
    assert span.attributes == {"category": "AMBIENCE#GENERAL", "polarity": "negative"}
    assert sentence.labels == (TextLabel("RESTAURANT#GENERAL", {"polarity": "positive"}),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('to="9"', 'to="8"'), r"the term 'soup' is not at \[5, 8\)"),
        (('from="5"', 'from="x"'), "is from 'x' to '9'"),
        (('from="5"', 'from="9"'), "is from '9' to '9'"),
        (("</text>", ""), "not XML"),
        (("<sentences>", "<!DOCTYPE s [<!ENTITY a 'aaaa'>]><sentences>"), "a document type"),
        (('category="food" ', ""), "without a category"),
    ],
)
def test_broken_files_say_where(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = written(tmp_path, "mams.xml", TERMS.replace(*change, 1))
    with pytest.raises(CorpusError, match=message) as raised:
        list(read_corpus(path, "mams"))
    assert raised.value.path == str(path)
    assert raised.value.line is not None


def test_comments_have_their_emotions(tmp_path: Path) -> None:
    rows = '1\t좋네요 ㅎㅎ\t28,42\n2\t"그가 ""가자"" 했다"\t24\n'
    path = written(tmp_path, "kote.tsv", rows)
    assert guess_format(path) == "kote"
    first, second = read_corpus(path)
    assert [label.label for label in first.labels] == ["즐거움/신남", "기쁨"]
    assert (second.id, second.text, second.labels[0].label) == ("2", '그가 "가자" 했다', "없음")
    assert len(EMOTIONS) == len(set(EMOTIONS)) == 44
    assert Recipe.load("kote").schema_.text_labels[24].code == "없음"
    with pytest.raises(CorpusError, match="emotion 44 is unknown"):
        list(read_corpus(written(tmp_path, "a.tsv", "1\t글\t44\n"), "kote"))


def test_the_real_files_are_read_whole() -> None:
    if not (SHARED / "mams").is_dir():
        pytest.skip("the MAMS and KOTE files are not here; see data/README.md")
    stats = ReadStats()
    terms = list(read_corpus(SHARED / "mams" / "atsa-train.xml", stats=stats))
    # Eight of its terms lie inside others.
    assert (len(terms), stats.spans, sum(stats.losses.counts.values())) == (4297, 11178, 8)
    aspects = list(read_corpus(SHARED / "mams" / "acsa-train.xml"))
    assert len(aspects) == 3149
    schema = Recipe.load("mams-aspects").schema_
    assert {label.label for s in aspects for label in s.labels} == {
        label.code for label in schema.text_labels
    }
    comments = list(read_corpus(SHARED / "kote" / "val.tsv"))
    assert len(comments) == 5000
    assert {label.label for s in comments for label in s.labels} == set(EMOTIONS)


RICH = Sentence(
    "😀 Nice soup, slow waiter",
    (
        Span(7, 11, "TERM", attributes={"polarity": "positive", "stars": 5, "kinds": ["a", "b"]}),
        Span(18, 24, "TERM", attributes={"polarity": "negative", "sure": True, "note": "so so"}),
    ),
    "s1",
    (TextLabel("food"), TextLabel("staff")),
)


@pytest.mark.parametrize("name", ["spans", "label-studio", "label-studio-predictions", "brat"])
def test_attributes_and_labels_come_back_as_far_as_a_format_holds_them(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / ("s1.ann" if name == "brat" else "corpus.json")
    losses = Losses()
    write_corpus([RICH], path, name, losses=losses)
    read = name.removesuffix("-predictions")
    (sentence,) = read_corpus(path, read)
    format = CORPUS_FORMATS[name]
    kept = RICH if format.kept is None else format.kept(RICH)
    assert sentence.spans == kept.spans
    assert [span.attributes for span in sentence.spans] == [span.attributes for span in kept.spans]
    assert sentence.labels == kept.labels
    assert sentence.spans[0].attributes["polarity"] == "positive"
    # What is lost is told.
    assert bool(losses.counts) == (name != "spans")


def test_attributes_that_label_studio_exports_are_read(tmp_path: Path) -> None:
    place = {"start": 5, "end": 9, "text": "soup"}
    results = [
        {"id": "a", "from_name": "polarity", "type": "choices",
         "value": {**place, "choices": ["positive"]}},
        {"id": "a", "from_name": "label", "type": "labels",
         "value": {**place, "labels": ["TERM"]}},
        {"id": "a", "from_name": "stars", "type": "rating", "value": {**place, "rating": 4}},
        {"id": "a", "from_name": "why", "type": "textarea", "value": {**place, "text": ["hot"]}},
        {"id": "b", "from_name": "about", "type": "choices", "value": {"choices": ["food"]}},
    ]  # fmt: skip
    task = {"data": {"text": "Nice soup."}, "annotations": [{"result": results}]}
    path = written(tmp_path, "tasks.json", json.dumps([task]))
    stats = ReadStats()
    (sentence,) = read_corpus(path, stats=stats)
    (span,) = sentence.spans
    assert span.attributes == {"polarity": "positive", "stars": 4, "why": "hot"}
    assert [label.label for label in sentence.labels] == ["food"]
    assert not stats.losses.counts


def test_attributes_of_brat_may_stand_before_their_spans(tmp_path: Path) -> None:
    written(tmp_path, "a.txt", "Nice soup.")
    lines = "A1\tNegation T1\nT1\tTERM 5 9\tsoup\nA2\tpolarity T1 positive\nA3\tx E1 y\n"
    path = written(tmp_path, "a.ann", lines)
    stats = ReadStats()
    (sentence,) = read_corpus(path, stats=stats)
    assert sentence.spans[0].attributes == {"Negation": True, "polarity": "positive"}
    assert sum(stats.losses.counts.values()) == 1
