"""A corpus format of another package: read, guessed and written, from Python and the command
line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llmner import Sentence, Span, read_corpus, write_corpus
from llmner.cli import app
from llmner.corpora import corpus_formats, guess_format
from tests.asking.plugins import installed

_FORMAT = '''
"""One sentence a line, its only entity behind a bar: Anna sings|0-4 PER."""

from llmner.corpora import CorpusFormat
from llmner.files import open_lines
from llmner.spans import Span


def read(path, options):
    for number, line in open_lines(path):
        text, _, entity = line.rstrip("\\n").partition("|")
        place, _, label = entity.partition(" ")
        spans = [Span(*map(int, place.split("-")), label)] if entity else []
        yield options.sentence(path, number, None, text, spans)


def write(sentence, stream):
    entity = "".join(f"{span.start}-{span.end} {span.label}" for span in sentence.spans[:1])
    stream.write(f"{sentence.text}|{entity}\\n".encode())


BARS = CorpusFormat("bars", read, write, lambda lines: all("|" in line for line in lines if line.strip()))
'''


@pytest.fixture
def bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    points = {"llmner.corpora": {"bars": "bars_format:BARS"}}
    monkeypatch.syspath_prepend(installed(tmp_path, points, {"bars_format": _FORMAT}))
    path = tmp_path / "a.bars"
    path.write_text("Anna sings|0-4 PER\nNobody hums|\n", "utf-8")
    return path


def test_a_format_of_another_package_is_one_of_ours(bars: Path) -> None:
    assert list(corpus_formats())[-1] == "bars"
    assert guess_format(bars) == "bars"
    sentences = [Sentence("Anna sings", (Span(0, 4, "PER"),)), Sentence("Nobody hums")]
    assert list(read_corpus(bars)) == sentences
    write_corpus(sentences, bars.with_name("b.bars"), "bars")
    assert list(read_corpus(bars.with_name("b.bars"), "bars")) == sentences


def test_a_package_that_is_broken_is_told_where_it_is_wanted_and_nowhere_else(
    bars: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bars.parent / "bars_format.py").write_text("import no_such_library\n", "utf-8")
    monkeypatch.delitem(sys.modules, "bars_format", raising=False)
    ours = bars.with_name("a.jsonl")
    ours.write_text('{"text": "a"}\n', "utf-8")
    assert list(read_corpus(ours)) == [Sentence("a")]
    done = CliRunner().invoke(app, ["convert", str(ours), "-", "--to", "spans"])
    assert done.exit_code == 0, done.stderr
    for arguments in ([str(bars), "-", "--to", "spans"], [str(ours), "-", "--to", "bars"]):
        refused = CliRunner().invoke(app, ["convert", *arguments])
        assert refused.exit_code == 2
        (line,) = refused.stderr.splitlines()
        assert "'bars' of toy (llmner.corpora) cannot be loaded" in line
        assert "no_such_library" in line


def test_the_command_line_takes_it(bars: Path) -> None:
    done = CliRunner().invoke(app, ["convert", str(bars), "-", "--to", "spans"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])["spans"] == [
        {"start": 0, "end": 4, "label": "PER"}
    ]
    back = CliRunner().invoke(app, ["convert", str(bars), "-", "--to", "bars", "--from", "bars"])
    assert back.stdout == "Anna sings|0-4 PER\nNobody hums|\n"
    refused = CliRunner().invoke(app, ["convert", str(bars), "-", "--to", "stars"])
    assert refused.exit_code == 2
    assert "document, bars" in refused.stderr
