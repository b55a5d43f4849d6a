"""The hub's klue/ner, on a Dataset built from the TSV as the hub builds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmner.corpora import read_corpus, read_dataset
from llmner.errors import CorpusError
from llmner.spans import Sentence, Span

datasets = pytest.importorskip("datasets")

NAMES = [
    "B-DT",
    "I-DT",
    "B-LC",
    "I-LC",
    "B-OG",
    "I-OG",
    "B-PS",
    "I-PS",
    "B-QT",
    "I-QT",
    "B-TI",
    "I-TI",
    "O",
]


def hub_like(sentences: list[Sentence]) -> object:
    features = datasets.Features(
        {
            "sentence": datasets.Value("string"),
            "tokens": datasets.Sequence(datasets.Value("string")),
            "ner_tags": datasets.Sequence(datasets.ClassLabel(names=NAMES)),
        }
    )
    rows = {
        "sentence": ["annotated, never parsed" for _ in sentences],
        "tokens": [list(sentence.text) for sentence in sentences],
        "ner_tags": [[NAMES.index(tag) for tag in sentence.tags()] for sentence in sentences],
    }
    return datasets.Dataset.from_dict(rows, features=features)


def test_klue_ner_reads_as_the_tsv_does(klue_dev_v1: Path) -> None:
    original = list(read_corpus(klue_dev_v1))[:600]
    read = list(read_dataset(hub_like(original), split="validation"))
    assert [(s.text, s.spans) for s in read] == [(s.text, s.spans) for s in original]
    assert read[7].id == "validation-00007"


def test_a_saved_data_set_is_read_by_its_folder(tmp_path: Path) -> None:
    sentences = [Sentence("손흥민은 춘천", (Span(0, 3, "PS"), Span(5, 7, "LC")))]
    folder = tmp_path / "saved"
    datasets.DatasetDict(
        {"train": hub_like(sentences), "validation": hub_like(sentences)}
    ).save_to_disk(folder)
    (read,) = read_corpus(folder, split="validation")
    assert read.spans == sentences[0].spans
    with pytest.raises(CorpusError, match="no split was named; expected one of train, validation"):
        list(read_corpus(folder))
    with pytest.raises(CorpusError, match="no split is called 'test'"):
        list(read_corpus(folder, split="test"))


def test_words_are_joined_by_spaces() -> None:
    dataset = datasets.Dataset.from_dict(
        {
            "tokens": [["Son", "scored", "in", "London", "."]],
            "ner_tags": [["B-PER", "O", "O", "B-LOC", "O"]],
        }
    )
    (read,) = read_dataset(dataset)
    assert read.text == "Son scored in London ."
    assert [read.surface(span) for span in read.spans] == ["Son", "London"]


def test_other_columns_are_named() -> None:
    dataset = datasets.Dataset.from_dict({"text": ["가"]})
    with pytest.raises(CorpusError, match=r"no column 'tokens' \(it has text\)"):
        list(read_dataset(dataset))
