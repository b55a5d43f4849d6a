"""The Kaggle CSV of the Groningen Meaning Bank, in a small file of that layout written for this
test.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmner.corpora import (
    BadRow,
    ReadStats,
    from_words,
    guess_format,
    read_corpus,
    word_tags,
    write_corpus,
)
from llmner.corpora._held_out import split_sentences
from llmner.errors import CorpusError, InputError, MismatchError
from llmner.recipes import Recipe
from llmner.recipes.chat import build_prompt
from llmner.spans import Sentence, Span

ROWS = [
    ("Sentence: 1", "Officials", "NNS", "O"),
    ("", "in", "IN", "O"),
    ("", "São", "NNP", "B-geo"),
    ("", "Paulo", "NNP", "I-geo"),
    ("", "met", "VBD", "O"),
    ("", '"""Dr."', "NNP", "B-per"),
    ("", "Ana", "NNP", "I-per"),
    ("", "Prado\x94", "NNP", "I-per"),
    ("", '","', '","', "O"),
    ("Sentence: 2", "Kenyan", "JJ", "B-gpe"),
    ("", "troops", "NNS", "O"),
    ("", "left", "VBD", "O"),
    ("", "Monday", "NNP", "B-tim"),
    ("Sentence: 3", "Nothing", "NN", "O"),
    ("", ".", ".", "O"),
]


def written(path: Path, rows: list[tuple[str, ...]] = ROWS, encoding: str = "latin-1") -> Path:
    lines = ["Sentence #,Word,POS,Tag", *(",".join(row) for row in rows)]
    path.write_bytes("\r\n".join(lines).encode(encoding) + b"\r\n")
    return path


def test_words_become_sentences_and_tags_become_spans(tmp_path: Path) -> None:
    path = written(tmp_path / "ner_dataset.csv")
    assert guess_format(path) == "gmb-csv"
    one, two, three = read_corpus(path)
    assert one.id == "1"
    assert one.text == 'Officials in São Paulo met "Dr. Ana Prado” ,'
    assert [(one.surface(span), span.label) for span in one.spans] == [
        ("São Paulo", "geo"),
        ('"Dr. Ana Prado”', "per"),
    ]
    assert [(two.surface(span), span.label) for span in two.spans] == [
        ("Kenyan", "gpe"),
        ("Monday", "tim"),
    ]
    assert three == Sentence("Nothing .", (), "3")


def test_utf8_is_read_too(tmp_path: Path) -> None:
    rows = [("Sentence: 1", "Łódź", "NNP", "B-geo")]
    assert next(read_corpus(written(tmp_path / "a.csv", rows, "utf-8-sig"))).text == "Łódź"


def test_it_is_written_as_it_was_read(tmp_path: Path) -> None:
    sentences = list(read_corpus(written(tmp_path / "a.csv")))
    assert write_corpus(sentences, tmp_path / "b.csv", "gmb-csv") == 3
    assert list(read_corpus(tmp_path / "b.csv")) == sentences
    assert (tmp_path / "b.csv").read_text("utf-8").splitlines()[0] == "Sentence #,Word,POS,Tag"


def test_a_copy_that_names_the_sentence_in_each_row(tmp_path: Path) -> None:
    filled, name = [], ""
    for row in ROWS:
        name = row[0] or name
        filled.append((name, *row[1:]))
    assert list(read_corpus(written(tmp_path / "a.csv", filled))) == list(
        read_corpus(written(tmp_path / "b.csv"))
    )


def test_sentences_without_ids_stay_without(tmp_path: Path) -> None:
    sentences = [Sentence("Ana left .", (Span(0, 3, "per"),)), Sentence("No .")]
    write_corpus(sentences, tmp_path / "a.csv", "gmb-csv")
    assert list(read_corpus(tmp_path / "a.csv")) == sentences


@pytest.mark.parametrize("spans", [(Span(0, 3, "PS"),), (Span(0, 3, "PS"), Span(4, 8, "PS"))])
def test_entities_inside_words_cannot_be_written(tmp_path: Path, spans: tuple[Span, ...]) -> None:
    with pytest.raises(CorpusError, match="inside a word cannot be written as gmb-csv"):
        write_corpus([Sentence("김철수·이영희가 만났다", spans)], tmp_path / "a.csv", "gmb-csv")


def test_text_with_a_carriage_return_is_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"first\rsecond\n")
    assert guess_format(path) == "text"


def test_splits_are_apart_and_drawn_by_a_seed(tmp_path: Path) -> None:
    rows = [(f"Sentence: {number}", f"w{number}", "NN", "O") for number in range(1, 51)]
    path = written(tmp_path / "a.csv", rows)
    train, test = (list(read_corpus(path, split=split)) for split in ("train", "test"))
    assert (len(train), len(test)) == (40, 10)
    assert {s.id for s in train} | {s.id for s in test} == {str(number) for number in range(1, 51)}
    assert list(read_corpus(path, split="test")) == test
    assert list(read_corpus(path, split="test:7")) != test
    assert [int(s.id or 0) for s in train] == sorted(int(s.id or 0) for s in train)
    with pytest.raises(InputError, match="expected train or test"):
        list(read_corpus(path, split="dev"))
    with pytest.raises(InputError, match="expected train or test"):
        split_sentences(train, "test:x")


@pytest.mark.parametrize(("name", "format"), [("a.txt", "markup"), ("a.jsonl", "spans")])
def test_any_file_can_be_split(tmp_path: Path, name: str, format: str) -> None:
    # Every sentence twice: equal texts are in one part.
    sentences = [Sentence(f"문장 {number}", (Span(0, 2, "LC"),)) for number in range(50)] * 2
    path = tmp_path / name
    write_corpus(sentences, path, format)
    parts = {
        split: [sentence.text for sentence in read_corpus(path, split=split)]
        for split in ("train", "test", "train:0.9", "test:0.9", "test:0.9:7", "test:7")
    }
    assert {split: len(texts) for split, texts in parts.items()} == {
        "train": 80,
        "test": 20,
        "train:0.9": 90,
        "test:0.9": 10,
        "test:0.9:7": 10,
        "test:7": 20,
    }
    assert not set(parts["train"]) & set(parts["test"])
    assert set(parts["train:0.9"]) | set(parts["test:0.9"]) == {s.text for s in sentences}
    assert parts["test"] != parts["test:7"]
    for wrong in ("dev", "train:2.5", "train:80%", "train:", "test:x"):
        with pytest.raises(InputError, match="expected train or test"):
            list(read_corpus(path, split=wrong))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (("", "word", "NN"), "a.csv:3 .*a row lacks its word or its tag"),
        (("", "", "NN", "O"), "a.csv:3 .*a row lacks its word or its tag"),
        (("", "word", "NN", ""), "a.csv:3 .*a row lacks its word or its tag"),
        (("", "word", "NN", "geo"), "a.csv:3 .*'geo' is not a tag"),
    ],
)
def test_bad_rows_are_told_or_passed_over(tmp_path: Path, row: tuple[str, ...], told: str) -> None:
    rows = [("Sentence: 1", "A", "DT", "O"), row, ("Sentence: 2", "B", "DT", "O")]
    path = written(tmp_path / "a.csv", rows)
    with pytest.raises(CorpusError, match=told):
        list(read_corpus(path))
    bad: list[BadRow] = []
    assert [s.id for s in read_corpus(path, on_bad=bad.append)] == ["2"]
    assert len(bad) == 1


def test_another_header_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Word,Tag\nA,O\n")
    with pytest.raises(CorpusError, match=r"a\.csv:1: does not begin with the names"):
        list(read_corpus(path, "gmb-csv"))
    path.write_text("Sentence #,Word,POS,Tag\n")
    with pytest.raises(CorpusError, match="holds no sentence"):
        list(read_corpus(path))


def test_broken_tags_are_repaired_and_counted(tmp_path: Path) -> None:
    rows = [("Sentence: 1", "Ana", "NNP", "I-per"), ("", "Prado", "NNP", "I-per")]
    path = written(tmp_path / "a.csv", rows)
    stats = ReadStats()
    (sentence,) = read_corpus(path, stats=stats)
    assert sentence.spans == (Span(0, 9, "per"),)
    assert stats.repairs == 1
    with pytest.raises(CorpusError, match="without B-per"):
        list(read_corpus(path, strict=True))


@given(
    st.lists(
        st.tuples(
            st.text("ab,.é한\"'", min_size=1, max_size=4),
            st.sampled_from(["O", "B-x", "I-x", "B-y", "I-y"]),
        ),
        max_size=8,
    )
)
def test_words_and_tags_come_back_from_characters(rows: list[tuple[str, str]]) -> None:
    words, tags = [word for word, _ in rows], [tag for _, tag in rows]
    sentence, _ = from_words(words, tags)
    back = word_tags(sentence)
    assert [word for word, _ in back] == words
    again, repairs = from_words(words, [tag for _, tag in back])
    assert again == sentence
    assert repairs == []


def test_parts_of_words_are_words() -> None:
    sentence = Sentence("anti-Roman riots in Rome", (Span(5, 10, "gpe"), Span(20, 24, "geo")))
    assert word_tags(sentence) == [
        ("anti-Roman", "B-gpe"),
        ("riots", "O"),
        ("in", "O"),
        ("Rome", "B-geo"),
    ]
    two = Sentence("a-b c", (Span(0, 1, "x"), Span(2, 5, "y")))
    assert word_tags(two) == [("a-b", "B-x"), ("c", "B-y")]
    with pytest.raises(MismatchError, match="1 tags for 2 words"):
        from_words(["a", "b"], ["O"])


def test_the_recipe_asks_for_the_eight_labels_with_examples() -> None:
    recipe = Recipe.load("gmb")
    assert recipe.schema_.codes == ("geo", "gpe", "org", "per", "tim", "art", "eve", "nat")
    prompt = build_prompt(recipe, Sentence("Ana left ."))
    answers = [m["content"] for m in prompt.messages if m["role"] == "assistant"]
    assert len(answers) == 5
    assert {label for label in recipe.schema_.codes if any(f'"{label}"' in a for a in answers)} == {
        *recipe.schema_.codes
    }
