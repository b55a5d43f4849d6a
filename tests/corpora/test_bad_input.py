"""What is wrong is named with file and line; nothing is written half."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from llmner.corpora import BadRow, ReadStats, read_corpus, write_corpus
from llmner.errors import CorpusError, InputError, UnknownNameError
from llmner.spans import Sentence

HEADER = "## 컬럼명 : CHAR\tNE_TAG\n"


def write(tmp_path: Path, name: str, text: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "format", "text", "message"),
    [
        ("a.tsv", "klue-tsv", HEADER + "## s1\tx\n가\tO\n나다\n\n", r"a.tsv:4 \(id 's1'\): '나다' is not a row"),
        ("a.tsv", "klue-tsv", HEADER + "## s1\tx\n가나\tO\n\n", r"a.tsv:3 \(id 's1'\): '가나' is "
        r"not one character"),
        ("a.tsv", "klue-tsv", HEADER + "## s1\tx\n가\tX-PS\n\n", r"a.tsv:3 \(id 's1'\): 'X-PS' is "
        r"not a tag"),
        ("a.conll", "conll", "가 O\n나\n", r"a.conll:2: '나' has no tag column"),
        ("a.conll", "conll", "# text = 가 나\n가 O\n다 O\n", r"a.conll:3: token '다' is not the next "
        r"one"),
        ("a.jsonl", "spans", '{"text": "가"}\n{"text":\n', r"a.jsonl:2: not JSON"),
        ("a.jsonl", "spans", "[1]\n", r"a.jsonl:1: expected an object, got a list"),
        ("a.jsonl", "spans", '{"id": "a"}\n', r"a.jsonl:1 \(id 'a'\): no 'text'"),
        ("a.jsonl", "spans", '{"text": 3}\n', r"a.jsonl:1: 'text' is not a string"),
        ("a.jsonl", "spans", '{"text": "가나", "spans": 1}\n', r"a.jsonl:1: 'spans' is not a list"),
        (
            "a.jsonl", "spans", '{"text": "가나", "spans": [{"start": 0, "end": 5, "label": '
            '"PS"}]}\n',
            r"a.jsonl:1: span \[0, 5\) PS ends after the text \(2 characters\)",
        ),
        (
            "a.jsonl", "spans", '{"text": "가나", "spans": [{"start": 1, "end": 1, "label": '
            '"PS"}]}\n',
            r"a.jsonl:1: span \[1, 1\) is not a valid range",
        ),
        (
            "a.jsonl", "spans",
            '{"text": "가나다", "spans": [{"start": 0, "end": 2, "label": "PS"}, {"start": 1, '
            '"end": 3, "label": "LC"}]}\n',
            r"a.jsonl:1: spans \[0, 2\) PS and \[1, 3\) LC overlap",
        ),
        ("a.jsonl", "spans", '{"text": "가", "spans": [{"start": "0", "end": 1, "label": '
        '"PS"}]}\n', r"a span's 'start' is '0'"),
        ("a.jsonl", "spans", '{"text": "가", "spans": [{"start": 0, "end": '
        '1}]}\n', r"a span's 'label' is None"),
        ("a.jsonl", "spans", "{}".replace("{}", "[" * 100_000), r"a.jsonl:1: (JSON nested too "
        r"deeply|not JSON)"),
        ("a.txt", "markup", "x\n<가나\n", r"a.txt:2: '<' at character 0"),
        ("a.tsv", None, b"", r"a.tsv: holds no sentence"),
        ("a.tsv", None, b"\n\n", r"a.tsv: holds no sentence"),
        ("a.tsv", "spans", b"\n\n", r"a.tsv: holds no sentence"),
        ("a.tsv", None, "## 가\n".encode("cp949"), r"a.tsv:1: not UTF-8"),
        ("a.tsv", "klue-tsv", HEADER.encode() + b"## s\tx\n" + "가\tO\n".encode("cp949"), r"a.tsv:3: not UTF-8"),
    ],
)  # fmt: skip
def test_the_message_names_file_and_line(
    tmp_path: Path, name: str, format: str | None, text: str | bytes, message: str
) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(CorpusError, match=message) as caught:
        list(read_corpus(path, format))
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"none.tsv: no such file"):
        list(read_corpus(tmp_path / "none.tsv"))
    with pytest.raises(CorpusError, match="is a directory"):
        list(read_corpus(tmp_path))
    with pytest.raises(
        UnknownNameError, match="unknown corpus format 'xml'; expected one of klue-tsv"
    ):
        list(read_corpus(write(tmp_path, "a", "x"), "xml"))


BROKEN = HEADER + "## s1\tx\n가\tI-PS\n나\tI-PS\n\n## s2\tx\n다\tB-LC\n\n"


def test_broken_tags_are_repaired_and_counted(tmp_path: Path) -> None:
    stats = ReadStats()
    first, second = read_corpus(write(tmp_path, "a.tsv", BROKEN), stats=stats)
    assert [(s.start, s.end, s.label) for s in first.spans] == [(0, 2, "PS")]
    assert second.id == "s2"
    assert stats.repairs == 1
    assert stats.first_repair is not None
    assert stats.first_repair.endswith("(id 's1'): position 0: I-PS without B-PS")


def test_broken_tags_are_errors_under_strict(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"a.tsv:3 \(id 's1'\): I-PS without B-PS"):
        list(read_corpus(write(tmp_path, "a.tsv", BROKEN), strict=True))


def test_bad_rows_can_be_passed_over(tmp_path: Path) -> None:
    bad: list[BadRow] = []
    stats = ReadStats()
    path = write(tmp_path, "a.jsonl", '{"text": "가"}\nnonsense\n{"text": "나"}\n')
    read = list(read_corpus(path, "spans", on_bad=bad.append, stats=stats))
    assert [s.text for s in read] == ["가", "나"]
    assert [row.raw for row in bad] == ["nonsense"]
    assert (stats.sentences, stats.skipped) == (2, 1)

    bad.clear()
    tsv = HEADER + "## s1\tx\n가\tO\n나\n\n## s2\tx\n다\tB-LC\n"
    (only,) = read_corpus(write(tmp_path, "b.tsv", tsv), on_bad=bad.append, format="klue-tsv")
    assert only.id == "s2"
    assert bad[0].raw == "## s1\tx\n가\tO\n나"


def test_labels_outside_the_allowed_set(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "<손흥민:PER>은\n")
    with pytest.raises(CorpusError, match=r"a.txt:1: unknown label 'PER'; expected one of PS, LC"):
        list(read_corpus(path, labels=("PS", "LC")))


def test_nothing_is_written_half(tmp_path: Path) -> None:
    target = tmp_path / "out.tsv"
    target.write_text("what was there before")
    sentences = [Sentence("가"), Sentence("두\n줄", id="bad")]
    with pytest.raises(CorpusError, match=r"id 'bad': a text with a line break"):
        write_corpus(sentences, target, "klue-tsv")
    assert target.read_text() == "what was there before"
    assert [path.name for path in tmp_path.iterdir()] == ["out.tsv"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its folder does not exist"):
        write_corpus([Sentence("가")], tmp_path / "none" / "out.tsv", "spans")
    with pytest.raises(InputError, match="is a directory"):
        write_corpus([Sentence("가")], tmp_path, "spans")


@pytest.mark.parametrize("format", ["klue-tsv", "conll", "markup", "text"])
@pytest.mark.parametrize(
    ("sentence", "problem"),
    [
        (Sentence("가", (), "a\nb"), "an id with a line break"),
        (Sentence("가\ud800"), "an unpaired surrogate"),
        (Sentence(""), "an empty text"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(
    tmp_path: Path, format: str, sentence: Sentence, problem: str
) -> None:
    with pytest.raises(CorpusError, match=f"{problem}.*use the spans format"):
        write_corpus([sentence], tmp_path / "out", format)
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_written_through_and_a_pipe_into(tmp_path: Path) -> None:
    target, link, fifo = tmp_path / "target", tmp_path / "link", tmp_path / "fifo"
    target.write_text("")
    link.symlink_to(target)
    write_corpus([Sentence("가")], link, "text")
    assert link.is_symlink()
    assert target.read_text("utf-8") == "가\n"
    os.mkfifo(fifo)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_text("utf-8")))
    reader.start()
    write_corpus([Sentence("나")], fifo, "text")
    reader.join(10)
    assert got == ["나\n"]
    assert fifo.is_fifo()


def test_a_pipe_is_read_whole(tmp_path: Path, sample: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(sample.read_bytes()))
    writer.start()
    read = list(read_corpus(fifo))
    writer.join(10)
    assert [s.id for s in read] == [s.id for s in read_corpus(sample)]


def test_errors_in_a_pipe_name_the_pipe(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_text('{"text": 1}\n'))
    writer.start()
    with pytest.raises(CorpusError, match=r"fifo:1: 'text' is not a string"):
        list(read_corpus(fifo))
    writer.join(10)


def test_a_text_with_an_address_is_no_markup(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "글 <https://example.org> 참고\n")
    (sentence,) = read_corpus(path)
    assert sentence.text == "글 <https://example.org> 참고"


def test_a_sentence_given_for_a_file() -> None:
    with pytest.raises(CorpusError, match="cannot be read"):
        list(read_corpus("가" * 300))
