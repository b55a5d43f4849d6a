"""What is written in a format and read again is what the format says it keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmner.corpora import CORPUS_FORMATS, Losses, ReadStats, read_corpus, write_corpus
from llmner.corpora._losses import differences
from llmner.errors import CorpusError, InputError
from llmner.spans import Sentence, Span, TextLabel
from tests.conftest import ROOT
from tests.strategies import sentences, texts

# A Parquet file of one sentence takes longer than all others.
FORMATS = [name for name, format in CORPUS_FORMATS.items() if format.writable]
# Plain text has no entities, and the Kaggle CSV none that end inside a word.
EMPTY_HANDED = {"text", "gmb-csv"}

_settings = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


def through(sentence: Sentence, format: str, folder: Path) -> tuple[Sentence | None, bool]:
    """A sentence that was written and read again, ``None`` if it was refused, and whether a loss was told."""
    path = folder / ("one.ann" if format == "brat" else "one")
    path.with_suffix(".txt").unlink(missing_ok=True)
    losses, stats = Losses(), ReadStats()
    try:
        write_corpus([sentence], path, format, losses=losses)
    except CorpusError:
        return None, False
    read = list(read_corpus(path, format, stats=stats))
    assert len(read) == 1
    return read[0], bool(losses.counts or stats.losses.counts or stats.notes)


@pytest.mark.parametrize("format", sorted(set(FORMATS) - {"brat"}))
@_settings
@given(sentence=sentences(texts))
def test_a_format_keeps_what_it_says(format: str, sentence: Sentence, tmp_path: Path) -> None:
    again, told = through(sentence, format, tmp_path)
    if again is None:
        return
    kept = CORPUS_FORMATS[format].kept
    expected = sentence if kept is None else kept(sentence)
    assert (again.text, again.spans, again.id) == (expected.text, expected.spans, expected.id)
    assert again.labels == expected.labels
    # Equal, or told.
    assert told == (expected != sentence)


@_settings
@given(sentence=sentences(texts), first=st.sampled_from(FORMATS), second=st.sampled_from(FORMATS))
def test_every_pair_of_formats_is_equal_or_told(
    first: str, second: str, sentence: Sentence, tmp_path: Path
) -> None:
    middle, told = through(sentence, first, tmp_path)
    if middle is None:
        return
    last, told_later = through(middle, second, tmp_path)
    if last is None:
        return
    lost = {kind for kind, _ in differences(sentence, last)}
    assert not lost or told or told_later


@pytest.mark.parametrize("format", sorted(set(FORMATS) - EMPTY_HANDED))
def test_a_plain_sentence_survives_every_format(format: str, tmp_path: Path) -> None:
    source = list(read_corpus("data/sample.tsv"))[:20]
    path = tmp_path / "corpus.ann" if format == "brat" else tmp_path / "corpus"
    losses = Losses()
    write_corpus(source, path, format, losses=losses)
    again = list(read_corpus(path, format))
    if format == "brat":
        assert [len(again), len(again[0].spans)] == [1, sum(len(s.spans) for s in source)]
        return
    for before, after in zip(source, again, strict=True):
        said = [(span.label, "".join(after.surface(span).split())) for span in after.spans]
        # GLiNER2's entities stand by label, so where a surface occurs twice, another may be meant.
        if format == "gliner2" and losses.counts:
            continue
        assert said == [(s.label, "".join(before.surface(s).split())) for s in before.spans]


def test_an_output_that_is_there_is_no_folder_for_pairs(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").write_text("a")
    with pytest.raises(InputError, match="is there already"):
        write_corpus([Sentence("a")], tmp_path / "out", "brat")
    with pytest.raises(CorpusError, match="two sentences would be written to a_b"):
        write_corpus([Sentence("a", id="a b"), Sentence("b", id="a/b")], tmp_path / "new", "brat")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_guide_says_what_each_format_cannot_hold() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in (ROOT / "docs" / "corpora.md").read_text("utf-8").splitlines()
        if line.startswith("| `") and not line.startswith("| `--")
    ]
    told = {row[0].strip("`"): row[-1].strip(" |") for row in rows}
    assert set(told) == {*CORPUS_FORMATS, "hub", "chat"}
    probe = Sentence(
        "Anna  sings: New York ",
        (Span(0, 4, "PER", 0.9, {"role": "singer"}), Span(12, 21, "LOC")),
        "s1",
        (TextLabel("news"),),
    )
    for name, format in CORPUS_FORMATS.items():
        kept = probe if format.kept is None else format.kept(probe)
        kinds = ", ".join(dict.fromkeys(kind for kind, _ in differences(probe, kept)))
        assert told[name] == (kinds or "nothing" if format.writable else "not written"), name


@pytest.mark.parametrize("format", ["spacy", "spacy-jsonl", "prodigy"])
def test_names_of_labels_of_texts_stay_and_their_attributes_are_told(
    format: str, tmp_path: Path
) -> None:
    if format == "spacy":
        pytest.importorskip("spacy", reason='needs "llmner[spacy]"')
    labels = (TextLabel("news"), TextLabel("스포츠"))
    spans = (Span(0, 4, "PER"),)
    plain = [Sentence("Anna sings", spans, "s1", labels), Sentence("Nothing", (), "s2")]
    path = tmp_path / "file"
    losses = Losses()
    write_corpus(plain, path, format, losses=losses)
    assert not losses.counts
    assert list(read_corpus(path, format)) == plain
    sure = Sentence("Anna sings", (), "s1", (TextLabel("news", {"tone": "dry"}, 0.8),))
    write_corpus([sure], path, format, losses=losses)
    assert losses.counts
    (again,) = read_corpus(path, format)
    assert again.labels == labels[:1]


def test_cats_are_labels_that_are_likelier_than_not(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(
        '["Anna sings", {"entities": [[0, 4, "PER"]], "cats": {"news": 0.2, "music": 1.0}}]\n'
        '["Bob", {"entities": [], "cats": {"news": 0.75, "music": false}}]\n'
        '["Cy", {"entities": [], "cats": [{"label": "music", "value": 1}, {"label": "x"}]}]\n',
        encoding="utf-8",
    )
    found = [[(own.label, own.score) for own in s.labels] for s in read_corpus(path)]
    assert found == [[("music", None)], [("news", 0.75)], [("music", None)]]


def test_spacy_reads_the_labels_that_are_written(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy", reason='needs "llmner[spacy]"')
    from spacy.tokens import DocBin

    path = tmp_path / "a.spacy"
    write_corpus([Sentence("Anna sings", (), "1", (TextLabel("news"),))], path, "spacy")
    (doc,) = DocBin().from_disk(path).get_docs(spacy.blank("xx").vocab)
    assert doc.cats == {"news": 1.0}
