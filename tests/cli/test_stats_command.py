"""``llmner stats`` as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from llmner.cli import app
from llmner.corpora import read_corpus, write_corpus
from tests.cli.test_cli import failed

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    def invoke(*args: object, input: str | None = None) -> Result:
        return CliRunner().invoke(app, ["stats", *(str(arg) for arg in args)], input=input)

    return invoke


@pytest.fixture
def split(tmp_path: Path, sample: Path) -> tuple[Path, Path]:
    """The sample in two files, ten sentences of it in both."""
    sentences = list(read_corpus(sample))
    train, dev = tmp_path / "train.jsonl", tmp_path / "dev.jsonl"
    write_corpus(sentences[:60], train, "spans")
    write_corpus(sentences[50:], dev, "spans")
    return train, dev


def test_one_file(run: Run, sample: Path) -> None:
    done = run(sample, "--json")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["pairs"] == []
    (figures,) = report["files"]
    assert figures["file"] == str(sample)
    assert (figures["sentences"], figures["entities"], figures["without_entity"]) == (100, 314, 15)
    assert figures["per_label"]["QT"]["entities"] == 98
    shown = run(sample)
    assert shown.exit_code == 0, shown.stderr
    assert "sample.tsv    entities    share" in shown.stdout
    assert "against" not in shown.stdout


def test_two_files(run: Run, split: tuple[Path, Path]) -> None:
    train, dev = split
    report = json.loads(run(train, dev, "--json", "--seed", 7).stdout)
    assert set(report) == {"files", "pairs"}
    assert [figures["file"] for figures in report["files"]] == [str(train), str(dev)]
    assert set(report["files"][0]) == {
        "file", "sentences", "without_entity", "duplicates", "lengths", "entities", "entities_per_sentence",
        "per_label", "repeats", "misplaced", "adjacent", "edge_spaces", "leading_spaces", "nfkc", "not_nfkc",
    }  # fmt: skip
    (pair,) = report["pairs"]
    assert (pair["earlier"], pair["later"]) == (str(train), str(dev))
    assert set(pair) == {"earlier", "later", "overlap", "unseen", "per_label", "test"}
    assert (pair["overlap"]["exact"], pair["overlap"]["folded"]) == (10, 10)
    assert pair["overlap"]["examples"][0] == {
        "exact": True,
        "earlier": {"number": 51, "id": "sample_00050-news", "text": pair["overlap"]["examples"][0]["later"]["text"]},
        "later": {"number": 1, "id": "sample_00050-news", "text": pair["overlap"]["examples"][0]["earlier"]["text"]},
    }  # fmt: skip
    assert len(pair["overlap"]["examples"]) == 5
    assert set(pair["per_label"]["PS"]) == {
        "earlier", "later", "earlier_share", "later_share", "points", "unseen",
    }  # fmt: skip
    assert set(pair["test"]) == {"statistic", "cramers_v", "p", "permutations", "seed"}
    assert (pair["test"]["seed"], pair["test"]["permutations"]) == (7, 2000)
    shown = run(train, dev)
    assert shown.exit_code == 0, shown.stderr
    assert "dev.jsonl against train.jsonl" in shown.stdout
    assert "sentences in both: 10; after NFKC and without white space: 10" in shown.stdout
    assert "equal  sample_00050-news  sample_00050-news" in shown.stdout
    assert "2,000 permutations of whole sentences, seed 42" in shown.stdout


def test_every_pair_in_the_order_given(run: Run, split: tuple[Path, Path], sample: Path) -> None:
    train, dev = split
    pairs = json.loads(run(dev, sample, train, "--json").stdout)["pairs"]
    assert [(pair["earlier"], pair["later"]) for pair in pairs] == [
        (str(dev), str(sample)),
        (str(dev), str(train)),
        (str(sample), str(train)),
    ]


def test_files_of_one_name_are_told_apart(
    run: Run, tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b"):
        Path(folder).mkdir()
        write_corpus(read_corpus(sample), Path(folder, "x.jsonl"), "spans")
    shown = run("a/x.jsonl", "b/x.jsonl", sample).stdout
    assert "b/x.jsonl against a/x.jsonl" in shown
    assert "sample.tsv against a/x.jsonl" in shown


def test_files_without_labels(run: Run, tmp_path: Path, sample: Path) -> None:
    plain = tmp_path / "plain.txt"
    write_corpus(read_corpus(sample), plain, "text")
    report = json.loads(run(plain, sample, plain, "--json").stdout)
    assert report["files"][0]["entities"] == 0
    assert report["files"][0]["per_label"] == {}
    first, second, third = report["pairs"]
    assert first["test"] is second["test"] is third["test"] is None
    assert first["overlap"]["exact"] == 100
    assert first["overlap"]["examples"][0]["earlier"]["id"] is None
    assert first["unseen"] == {"entities": 314, "share": 1.0}
    assert first["per_label"]["PS"]["earlier_share"] is None
    assert second["unseen"] == {"entities": 0, "share": None}
    assert second["per_label"] == {}
    shown = run(plain, sample)
    assert shown.exit_code == 0, shown.stderr
    assert "equal  sentence 1  sample_00000-news" in shown.stdout
    assert "chi-squared" not in shown.stdout


def test_a_corpus_from_standard_input(run: Run) -> None:
    done = run("-", "--format", "markup", "--json", input="<손흥민:PS>은 <춘천:LC>에서 태어났다.\n")
    assert json.loads(done.stdout)["files"][0]["entities"] == 2


def test_repairs_are_told_and_strict_refuses_them(run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "b.conll"
    broken.write_text("가 B-PS\n나 O\n다 I-LC\n", encoding="utf-8")
    done = run(broken, "--json")
    assert "warning: 1 broken tags were repaired (first: " in done.stderr
    assert json.loads(done.stdout)["files"][0]["entities"] == 2
    failed(run(broken, "--strict"), 2, "b.conll:3: I-LC without B-LC")


def test_every_mistake_is_one_line_and_exit_code_2(run: Run, tmp_path: Path, sample: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    failed(run(sample, tmp_path / "none.tsv"), 2, "none.tsv: no such file")
    failed(run(sample, tmp_path), 2, "is a directory")
    failed(run(empty), 2, "empty.jsonl: holds no sentence")
    failed(run(sample, "--format", "xml"), 2, "unknown corpus format 'xml'")
    failed(run("-", "-", "--format", "text", input="가\n"), 2, "-: holds no sentence")
    assert run().exit_code == 2
    assert run(sample, "--seed", -1).exit_code == 2


def test_text_of_a_corpus_stays_text(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "[red]x.jsonl"
    row = {
        "id": "[/nonsense]",
        "text": "[bold]가[/bold]\n\x1b[31m\ud800",
        "spans": [{"start": 0, "end": 6, "label": "[b]"}],
    }
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    shown = run(path, path)
    assert shown.exit_code == 0, shown.output
    assert "[red]x.jsonl" in shown.stdout
    assert "  [b]  " in shown.stdout
    assert "equal  [/nonsense]  [/nonsense]" in shown.stdout
    assert r"[bold]가[/bold] \x1b[31m\ud800" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert run(path, path, "--json").exit_code == 0


def test_help(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "FILE..." in result.stdout
