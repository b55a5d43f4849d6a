"""Every corpus format: what is written is read back, and the published counts are met."""

from __future__ import annotations

import io
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings

from llmner.corpora import CORPUS_FORMATS, ReadStats, guess_format, read_corpus, write_corpus
from llmner.corpora._format import ReadOptions
from llmner.errors import CorpusError, UnknownNameError
from llmner.spans import Sentence, Span
from tests.conftest import shared
from tests.strategies import sentences, tidy_texts

WRITABLE = [
    format.name for format in CORPUS_FORMATS.values() if format.writable and format.name != "brat"
]
DEV_COUNTS = {"PS": 4418, "QT": 3151, "DT": 2312, "OG": 2182, "LC": 1649, "TI": 545}


def test_klue_dev_has_the_published_counts(klue_dev: Path) -> None:
    stats = ReadStats()
    read = list(read_corpus(klue_dev, stats=stats, strict=True))
    assert guess_format(klue_dev) == "klue-tsv"
    assert len(read) == stats.sentences == 5000
    assert Counter(span.label for sentence in read for span in sentence.spans) == DEV_COUNTS
    assert stats.spans == 14257
    assert stats.repairs == 0
    assert all(sentence.spans for sentence in read)
    assert (
        sum(sentence.text[span.start] == " " for sentence in read for span in sentence.spans) == 2
    )
    lengths = [len(sentence.text) for sentence in read]
    assert (min(lengths), max(lengths)) == (20, 145)


def test_klue_train_part_has_the_published_counts(klue_train: Path) -> None:
    read = list(read_corpus(klue_train, strict=True))
    assert len(read) == 5000
    assert sum(len(sentence.spans) for sentence in read) == 12197
    assert sum("\x7f" in sentence.text for sentence in read) == 1


def rows(path: Path) -> list[str]:
    lines = path.read_bytes().decode("utf-8").split("\n")
    return [line for line in lines if not line.startswith("## ")]


@pytest.mark.parametrize(
    "name", ["klue-ner-v1_dev.tsv", "klue-ner-v1.1_dev.tsv", "klue-ner-v1.1_train_mini.tsv"]
)
def test_klue_tsv_written_again_has_the_same_rows(name: str, tmp_path: Path) -> None:
    source = shared(f"klue-ner/{name}")
    target = tmp_path / "again.tsv"
    write_corpus(read_corpus(source), target, "klue-tsv")
    assert rows(target) == rows(source)
    assert target.read_text("utf-8").split("\n")[:5] == source.read_text("utf-8").split("\n")[:5]


@pytest.mark.parametrize("format", ["klue-tsv", "spans", "markup", "conll"])
def test_klue_survives_every_format(klue_dev: Path, format: str, tmp_path: Path) -> None:
    original = list(read_corpus(klue_dev))
    target = tmp_path / "corpus"
    assert write_corpus(original, target, format) == 5000
    again = list(read_corpus(target))
    assert guess_format(target) == format
    assert [s.text for s in again] == [s.text for s in original]
    # CoNLL's tokens are never spaces, so the two entities that begin with one lose it there.
    differing = sum(a != b for a, b in zip(original, again, strict=True))
    assert differing == (2 if format == "conll" else 0)


def round_trip(sentence: Sentence, format: str, folder: Path) -> Sentence:
    path = folder / "one"
    write_corpus([sentence], path, format)
    return next(iter(read_corpus(path, format)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(sentence=sentences())
@pytest.mark.parametrize("format", ["spans"])
def test_spans_jsonl_keeps_any_text(format: str, sentence: Sentence, tmp_path: Path) -> None:
    assert round_trip(sentence, format, tmp_path) == sentence


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(sentence=sentences(tidy_texts))
@pytest.mark.parametrize("format", ["klue-tsv", "markup"])
def test_klue_tsv_and_markup_keep_any_line(format: str, sentence: Sentence, tmp_path: Path) -> None:
    # A line of nothing but white space is no sentence in markup, unless an id stands before it.
    assume(format == "klue-tsv" or sentence.id is not None or sentence.text.strip())
    assert round_trip(sentence, format, tmp_path) == sentence


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(sentence=sentences(tidy_texts.filter(lambda text: text.strip())))
def test_conll_keeps_text_and_spans_but_for_spaces_at_their_edges(
    sentence: Sentence, tmp_path: Path
) -> None:
    again = round_trip(sentence, "conll", tmp_path)
    assert again.text == sentence.text
    kept = [span for span in sentence.spans if sentence.surface(span).strip()]
    assert [again.surface(s).strip() for s in again.spans] == [
        sentence.surface(s).strip() for s in kept
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["손흥민\tB-PS", "은\tO", "춘천\tB-LC"],
        ["손흥민 B-PS", "은 O", "춘천 B-LC"],
        ["손흥민 NNP _ I-PS", "은 JX _ O", "춘천 NNP _ I-LC"],
        ["손흥민\tS-PS", "은\tO", "춘천\tS-LC"],
        ["손흥민\tU-PS", "은\tO", "춘천\tU-LC"],
        ["-DOCSTART- -X- O O", "", "손흥민 B-PS", "은 O", "춘천 B-LC"],
    ],
)
def test_conll_in_its_dialects(lines: list[str], tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (sentence,) = read_corpus(path, "conll", strict=True)
    assert sentence == Sentence("손흥민 은 춘천", (Span(0, 3, "PS"), Span(6, 8, "LC")))


def test_the_scheme_of_a_conll_file_is_judged_by_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    # Sentence 1 alone could be IOB2 with a fault; sentence 2 shows that the file is IOB1.
    path.write_text("a I-PER\nb I-PER\n\nc I-PER\nd B-PER\n", encoding="utf-8")
    stats = ReadStats()
    first, second = read_corpus(path, stats=stats)
    assert first.spans == (Span(0, 3, "PER"),)
    assert second.spans == (Span(0, 1, "PER"), Span(2, 3, "PER"))
    assert stats.repairs == 0


def test_bytes_of_other_systems(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes("\ufeff".encode() + '{"id": 7, "text": "가\u2028나"}\r\n\r\n'.encode())
    (sentence,) = read_corpus(path)
    assert sentence == Sentence("가\u2028나", (), "7")


def test_plain_text_is_taken_by_its_name_only(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("첫 문장\n\n둘째 문장\n", encoding="utf-8")
    assert [s.text for s in read_corpus(path)] == ["첫 문장", "둘째 문장"]
    other = tmp_path / "x.dat"
    other.write_text("첫 문장\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="is in no known"):
        list(read_corpus(other))


def test_reading_streams(tmp_path: Path) -> None:
    """Memory does not grow with the corpus."""

    def peak(count: int) -> int:
        path = tmp_path / f"{count}.jsonl"
        write_corpus(
            (Sentence("가나다라마바사" * 10, (Span(0, 2, "PS"),)) for _ in range(count)),
            path,
            "spans",
        )
        tracemalloc.start()
        for _ in read_corpus(path):
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(200)
    assert peak(8000) < 2 * peak(400)


@pytest.mark.parametrize("format", sorted(WRITABLE))
def test_every_format_reads_as_it_goes(format: str, tmp_path: Path) -> None:
    path = tmp_path / "corpus"
    write_corpus([Sentence(f"문장 {n}", (), f"{n}") for n in range(50)], path, format)
    reading = CORPUS_FORMATS[format].read(path, ReadOptions())
    first = next(reading).text
    assert first == ("문장0" if format == "bmes" else "문장 0")


def test_writers_write_to_a_stream_only() -> None:
    stream = io.BytesIO()
    CORPUS_FORMATS["markup"].write(Sentence("손흥민", (Span(0, 3, "PS"),)), stream)
    assert stream.getvalue().decode() == "<손흥민:PS>\n"


def test_a_document_is_a_file_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_bytes("\ufeff첫 줄\r\n\r\n둘째 줄\u2028끝\r\n".encode())
    (document,) = read_corpus(path, "document")
    assert document == Sentence("첫 줄\n\n둘째 줄\u2028끝")
    assert guess_format(path) == "text"
    path.write_bytes("첫 줄\n".encode() + b"\xff\n")
    with pytest.raises(CorpusError, match=r"report.txt:2: not UTF-8"):
        list(read_corpus(path, "document"))
    path.write_text(" \n")
    with pytest.raises(CorpusError, match="holds no sentence"):
        list(read_corpus(path, "document"))
    with pytest.raises(UnknownNameError, match="document can only be read, not written"):
        write_corpus([document], tmp_path / "out", "document")
    assert not (tmp_path / "out").exists()
