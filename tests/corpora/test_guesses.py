"""What is a corpus and what is not, and values that no format has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmner.corpora import BadRow, ReadStats, guess_format, read_corpus, write_corpus
from llmner.errors import CorpusError, InputError, LlmnerError
from llmner.scoring import read_predictions
from llmner.spans import Sentence, Span


@pytest.mark.parametrize(
    "text",
    [
        "Send e-mail", "0.5 m/s\n1.2 m/s", "fast I/O", "Yes w/o", "a b-tree", "Shirt L/XL", "mount E:/x",
        "Kaffee mit O-Saft E-Bike", "HLA typing HLA-B", "시험 O\n과제 X\n출석 O", "X O X\nO X O\nX X O",
        "Anna O\nBob A\nEva AB\nTom O", "나는 밥을 먹었다 O\n너는 학교에 갔다 X\n그는 집에 왔다 O", "bomber B-52\nvitamin B-12",
        "std::vector<std::pair:MT> x;", "Dict<str:DATE> y", "see <note:TODO> here", "x|t|y", "; cd x\n$ ls",
        "text,label\nI love it,pos\nI hate it,neg", "| token | tag |\n| --- | --- |\n| a | b |", "label,text\nspam,buy\nO,hi",
    ],
)  # fmt: skip
def test_a_text_of_any_day_is_a_text(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text + "\n", "utf-8")
    assert guess_format(path) == "text"
    assert [s.text for s in read_corpus(path)] == text.split("\n")


ODD: list[Any] = [
    {"text": "a", "entities": [None]}, {"text": "a", "entities": [1]}, {"text": "a", "label": {"x": {"abc": [[0, 1], 5]}}},
    {"text": "a", "entities": [{"span": [[0, 1], 5], "label": "X"}]}, {"data": {"text": "a"}, "annotations": 5},
    {"data": {"text": "a"}, "predictions": True}, {"data": {"text": "a"}, "annotations": [{"result": 5}]},
    {"data": {"text": "a"}, "annotations": [{"result": [{"value": {"start": 0, "end": 1, "labels": 5}}]}]},
    {"tokenized_text": ["a"], "ner": 5}, {"text": "a", "extractions": 5}, {"text": "a", "spans": 5},
    {"tokens": ["a"], "ner_tags": [{}]}, {"content": "a", "annotation": [{"label": 5, "points": [5]}]}, 5, "a", None, [[]], [],
]  # fmt: skip


@pytest.mark.parametrize("format", [None, "doccano", "label-studio", "gliner", "langextract", "tokens", "records", "gliner2", "prodigy"])  # fmt: skip
@pytest.mark.parametrize("row", ODD, ids=lambda row: json.dumps(row)[:40])
def test_values_of_odd_types_are_refused_in_a_line(
    row: Any, format: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n", "utf-8")
    read: list[Sentence] = []
    refusal = ""
    try:
        read = list(read_corpus(path, format))
    except LlmnerError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert all(not sentence.spans for sentence in read)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.conll", "Anna B-PER|B-LOC|B-ORG\nx O\n", {"nested or overlapping entities": 2}),
        ("a.conllu", "1-2\tzum\t" + "_\t" * 7 + "_\n1\tzu\t" + "_\t" * 7 + "NER=B-X\n2\tdem\t" + "_\t" * 7 + "NER=B-LOC\n", {"entities": 1}),
        ("a.json", '{"input": "Anna", "output": {"entities": {"PER": ["Anna", "Anna"]}}}', {"entities without a place": 1}),
        ("a.jsonl", '{"text": "ab", "entities": [{"start": 0, "end": 1, "label": "X"}], "annotations": [{"start": 1, "end": 2, '
         '"label": "Y"}]}', {"annotations that are no entities": 1}),
        ("a.json", '{"tokenized_text": ["a"], "ner": [[0, 0, "X"]], "relations": [[0, 0]]}', {"relations": 1}),
    ],
)  # fmt: skip
def test_what_is_left_out_is_counted(
    name: str, content: str, told: dict[str, int], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(content, "utf-8")
    stats = ReadStats()
    list(read_corpus(path, stats=stats))
    assert stats.losses.counts == told
    # Under strict the row is bad, and bad rows can be passed over.
    bad: list[BadRow] = []
    assert list(read_corpus(path, strict=True, on_bad=bad.append)) == []
    assert len(bad) == 1


def test_all_parts_of_a_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    row = {"text": "Anna", "entities": [[0, 4, "PER"]]}
    for rest in ({"test": [{"text": "Bob"}]}, {"dev": {"data": [row]}}, {"eval": [row]}):
        path.write_text(json.dumps({"train": [row], **rest}), "utf-8")
        assert len(list(read_corpus(path))) == 2
    path.write_text("; Anna\n$<Anna:PS>\n; Bern\n$<Bern:LC>\n", "utf-8")
    assert [s.text for s in read_corpus(path, "klp")] == ["Anna", "Bern"]
    path.write_text("; Anna\n$<Anna:PS>\n$<Bern:LC>\n", "utf-8")
    with pytest.raises(CorpusError, match="not one text and one markup"):
        list(read_corpus(path, "klp"))


def test_classes_of_a_text_are_its_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"text": "Anna sings", "label": "music"}\n{"text": "b", "label": 1}\n', "utf-8"
    )
    first, second = read_corpus(path)
    assert [label.label for label in first.labels] == ["music"]
    assert second.labels == ()


def test_one_white_token_does_not_glue_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"tokens": ["Anna", "sings"], "ner_tags": ["B-PER", "O"]}] * 5
    rows.append({"tokens": ["Hi", "\n", "Bob"], "ner_tags": ["O", "O", "B-PER"]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert [s.text for s in read_corpus(path)] == ["Anna sings"] * 5 + ["Hi \n Bob"]


def test_a_strange_tag_is_told_and_no_label(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"tokens": ["a", "b", "c"], "ner_tags": ["B-PER", "O", "XX"]}\n', "utf-8")
    with pytest.raises(CorpusError, match="'XX' is not a tag"):
        list(read_corpus(path, "tokens"))


def test_tags_give_the_spans_of_predictions(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("Anna B-PER\nBerg M-PER\n\nx M-LOC\ny O\n", "utf-8")
    first, second = read_predictions(path)
    assert first.spans == (Span(0, 9, "PER"),)
    assert second.tags is not None
    rows = '{"tokens": ["北", "", "京"], "ner_tags": ["B-LOC", "B-LOC", "I-LOC"]}\n{"tokens": ["x"], "ner_tags": ["I-LOC"]}\n'
    (tmp_path / "b.jsonl").write_text(rows, "utf-8")
    assert len(read_predictions(tmp_path / "b.jsonl")) == 2


def test_a_text_beside_annotations_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("another text", "utf-8")
    with pytest.raises(InputError, match="with another text"):
        write_corpus([Sentence("Anna")], tmp_path / "a.ann", "brat")
    assert (tmp_path / "a.txt").read_text("utf-8") == "another text"
    assert not (tmp_path / "a.ann").exists()


def test_a_broken_first_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "Anna", "entit\n{"text": "Bob", "spans": []}\n', "utf-8")
    bad: list[BadRow] = []
    assert [s.text for s in read_corpus(path, "spans", on_bad=bad.append)] == ["Bob"]
    assert len(bad) == 1


def test_many_copies_and_nested_spans_take_no_quadratic_time(tmp_path: Path) -> None:
    """Counts nothing, but would run for minutes."""
    path = tmp_path / "a.jsonl"
    size = 20_000
    row = {"input": "a " * size, "output": {"entities": {"X": ["a"] * size}}}
    path.write_text(json.dumps(row) + "\n", "utf-8")
    (sentence,) = read_corpus(path)
    assert len(sentence.spans) == size
    nested = {
        "text": "ab" * size,
        "label": [[2 * n, 2 * n + e, "X"] for n in range(size) for e in (1, 2)],
    }
    path.write_text(json.dumps(nested) + "\n", "utf-8")
    (sentence,) = read_corpus(path)
    assert len(sentence.spans) == size
    path.write_text("; text\n" * size + "$<a:PS>\n", "utf-8")
    list(read_corpus(path, "klp", on_bad=lambda bad: None))
