"""The guide's corpus format, as a new module and as another package: read, guessed and written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import llmner
from llmner import Sentence, Span, read_corpus, write_corpus
from llmner.cli import app
from llmner.corpora import CORPUS_FORMATS, corpus_formats, guess_format
from tests.asking.plugins import installed
from tests.conftest import ROOT
from tests.test_docs import blocks

# The module as the guide has it.
_FORMAT = next(
    text
    for language, text in blocks(ROOT / "docs" / "contributing.md")
    if language == "python" and "FORMATS = " in text
)


@pytest.fixture
def bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    points = {"llmner.corpora": {"bars": "bars_format:BARS"}}
    monkeypatch.syspath_prepend(installed(tmp_path, points, {"bars_format": _FORMAT}))
    path = tmp_path / "a.bars"
    path.write_text("Anna sings|0 4 PER\nNobody hums|\n", "utf-8")
    return path


def test_a_new_format_is_one_new_module(tmp_path: Path) -> None:
    shutil.copytree(
        Path(llmner.__file__).parent,
        tmp_path / "llmner",
        ignore=shutil.ignore_patterns("models", "__pycache__"),
    )
    (tmp_path / "llmner" / "corpora" / "bars.py").write_text(_FORMAT, "utf-8")
    (tmp_path / "songs.bars").write_text("Anna met Bob|0 4 PER;9 12 PER\nNobody hums|\n", "utf-8")

    def converted(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "llmner", "convert", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    marked = converted("songs.bars", "-", "--to", "markup")
    assert marked == "<Anna:PER> met <Bob:PER>\nNobody hums\n"
    (tmp_path / "songs.txt").write_text(marked, "utf-8")
    assert converted("songs.txt", "-", "--to", "bars") == (tmp_path / "songs.bars").read_text()
    # Ours are tried first, and in their order.
    names = "import llmner.corpora as c; print(*c.CORPUS_FORMATS, *c.format_names())"
    done = subprocess.run(
        [sys.executable, "-c", names], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == 2 * [*CORPUS_FORMATS, "bars"]


def test_the_formats_there_are_in_the_order_in_which_they_are_tried() -> None:
    names = list(CORPUS_FORMATS)
    # Those whose marks are surest come first, and those that would fit too much come last.
    assert names[:2] == ["klue-tsv", "spans"]
    assert names.index("records") > max(map(names.index, ("doccano", "gliner", "cluener")))
    assert names.index("conll") > max(map(names.index, ("klp", "naver", "hipe", "conllu")))
    assert names[-2:] == ["text", "document"]


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
    assert back.stdout == "Anna sings|0 4 PER\nNobody hums|\n"
    refused = CliRunner().invoke(app, ["convert", str(bars), "-", "--to", "stars"])
    assert refused.exit_code == 2
    assert "document, bars" in refused.stderr
