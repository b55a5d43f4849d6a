"""``extract`` and ``evaluate`` against an endpoint: answers, failures, kills, interrupts, going
on.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from llmner.cli import app
from llmner.corpora import read_corpus, write_corpus
from llmner.extraction.runs import run_record
from llmner.spans import Sentence
from tests.conftest import ROOT
from tests.engines.endpoint import Endpoint, serving

pytest.importorskip("openai", reason='needs pip install "llmner[openai]"')
from llmner.engines import _sending, openai_engine

Run = Callable[..., Result]
REPLIES = ROOT / "data" / "sample-replies.jsonl"
COUNT = 16


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Short waits, a cache of one's own, no key."""
    monkeypatch.setattr(_sending, "_LONGEST_WAIT", 0.02)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "LLMNER_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def sentences(sample: Path) -> list[Sentence]:
    return list(read_corpus(sample))[:COUNT]


@pytest.fixture
def corpus(tmp_path: Path, sentences: list[Sentence]) -> Path:
    path = tmp_path / "corpus.jsonl"
    write_corpus(sentences, path, "spans")
    return path


@pytest.fixture
def there(sentences: list[Sentence]) -> Iterator[Endpoint]:
    """An endpoint that gives the damaged replies of ``data/``."""
    rows = [json.loads(line) for line in REPLIES.read_text("utf-8").splitlines()]
    replies = {row["text"]: row["reply"] for row in rows}

    def answer(question: str) -> str:
        return replies.get(question, "")

    with serving(Endpoint(answer)) as endpoint:
        yield endpoint


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def asking(there: Endpoint) -> list[str]:
    return [
        "--engine", "openai", "--base-url", there.url, "--model", "model", "--recipe", "klue",
        "--batch-size", "1", "--concurrency", "4",
    ]  # fmt: skip


def extracting(there: Endpoint, corpus: Path, output: Path) -> list[str]:
    return ["extract", "--input", str(corpus), "--output", str(output), *asking(there)]


def evaluating(there: Endpoint, corpus: Path, *more: object) -> list[str]:
    return ["evaluate", "--gold", str(corpus), *asking(there), "--resamples", "0", *map(str, more)]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def fails_at(*texts: str) -> Callable[[str, int], dict[str, Any] | None]:
    return lambda question, _: {"status": 500} if question in texts else None


def test_extract_and_evaluate_by_an_endpoint(there: Endpoint, corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    done = run(*extracting(there, corpus, output))
    assert done.exit_code == 0, done.stderr
    said, read = done.stderr.splitlines()
    assert said == f"{COUNT} sentences are in {output}"
    assert read.startswith("read: ")
    assert [row["id"] for row in rows(output)] == [sentence.id for sentence in read_corpus(corpus)]
    kept = run(*evaluating(there, corpus, "--output", tmp_path / "run.json", "--json"))
    assert kept.exit_code == 0, kept.stderr
    assert kept.stderr == ""
    again = run("evaluate", "--gold", corpus, "--predicted", output, "--resamples", 0, "--json")
    ours, theirs = json.loads(kept.stdout), json.loads(again.stdout)
    assert ours.pop("signature")["model"] == theirs.pop("signature")["model"] == "model"
    assert ours == theirs
    # Read back from rows or never written: the same to the last figure.
    recorded = tmp_path / "recorded.jsonl"
    recorded.write_text("".join(REPLIES.read_text("utf-8").splitlines(True)[:COUNT]), "utf-8")
    held = tmp_path / "recorded.json"
    args = ("--replies", recorded, "--reply-format", "json-by-type", "--output", held)
    assert run("evaluate", "--gold", corpus, *args, "--resamples", 0).exit_code == 0
    one, other = (
        json.loads((tmp_path / name).read_text("utf-8")) for name in ("run.json", "recorded.json")
    )
    assert len({outcome["kind"] for row in one["rows"] for outcome in row["outcomes"]}) > 3
    assert {key: value for key, value in one.items() if key != "signature"} == {
        key: value for key, value in other.items() if key != "signature"
    }
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {
        "corpus.jsonl", "out.jsonl", "out.jsonl.run.json", "recorded.json", "recorded.jsonl", "run.json",
    }  # fmt: skip


@pytest.mark.parametrize("command", ["extract", "evaluate"])
def test_an_endpoint_that_is_down_or_wants_another_key(
    command: str, there: Endpoint, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_engine.OpenAIGenerator.__init__, "__kwdefaults__", {
        **openai_engine.OpenAIGenerator.__init__.__kwdefaults__, "attempts": 2,
    })  # fmt: skip
    args = (
        extracting(there, corpus, tmp_path / "o.jsonl")
        if command == "extract"
        else evaluating(there, corpus)
    )
    there.key = "k"
    refused = run(*args)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == f"error: {there.url} refuses the key (wrong key); set OPENAI_API_KEY\n"
    down = run(*[arg.replace(there.url, "http://127.0.0.1:9/v1") for arg in args])
    assert (down.exit_code, down.stdout) == (1, "")
    assert down.stderr.startswith(
        "error: http://127.0.0.1:9/v1: no answer after 2 attempts (Connect"
    )
    assert down.stderr.count("\n") == 1
    # What did nothing leaves nothing.
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"corpus.jsonl"}


def test_a_failure_is_a_row_that_is_told_counted_and_mended(
    there: Endpoint, corpus: Path, sentences: list[Sentence], tmp_path: Path
) -> None:
    output, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    assert run(*extracting(there, corpus, whole)).exit_code == 0
    bad = next(sentence for sentence in sentences if sentence.spans)
    there.faults = fails_at(bad.text)
    done = run(*extracting(there, corpus, output))
    assert done.exit_code == 1
    told = f"warning: 1 of 16 sentences have no answer (first: {there.url}: 500 after 6 attempts (injected)); "
    warned, read, unread = done.stderr.splitlines()[-3:]
    assert warned == f"{told}--retry-failed asks them again"
    assert " tokens asked and " in read
    assert unread == f"not everything was read: {len(bad.text)} characters have no answer"
    assert [row["id"] for row in rows(output) if "error" in row] == [bad.id]

    report, page, held = (tmp_path / name for name in ("r.html", "r.md", "run.json"))
    shown = run(*evaluating(there, corpus, "--report", report, "--output", held))
    assert "no answer" in shown.stdout
    assert "unanswered 1" in shown.stdout
    assert shown.stderr == f"{told}all its entities count as missed (openai)\n"
    found = json.loads(held.read_text("utf-8"))
    assert found["replies"]["unanswered"] == 1
    assert {"cause": "unanswered", "missed": len(bad.spans), "wrong": 0}.items() <= found["losses"][
        0
    ].items()
    (row,) = [row for row in found["rows"] if row["status"] == "unanswered"]
    assert row["error"] == f"{there.url}: 500 after 6 attempts (injected)"
    assert "unanswered 1" in report.read_text("utf-8")
    run("evaluate", "--gold", corpus, "--predicted", output, "--report", page)
    assert "1 of 16 sentences have no answer." in page.read_text("utf-8")
    assert "| no answer |" in page.read_text("utf-8")

    other = run(*extracting(there, corpus, output), "--retry-failed", "--max-new-tokens", "9")
    assert other.exit_code == 2
    assert "was made with another max_new_tokens" in other.stderr
    there.faults = lambda *_: None
    there.asked.clear()
    mended = run(*extracting(there, corpus, output), "--retry-failed")
    assert mended.exit_code == 0, mended.stderr
    assert "1 of 1 failed sentences now have an answer" in mended.stderr
    assert set(there.asked) == {bad.text}
    assert output.read_bytes() == whole.read_bytes()
    nothing = run(*extracting(there, corpus, output), "--retry-failed")
    assert nothing.stderr == f"every sentence in {output} has an answer; there was nothing to ask\n"
    assert run("extract", "가", "--retry-failed").exit_code == 2


def test_where_the_endpoint_dies_midway_the_line_says_how_to_go_on(
    there: Endpoint, corpus: Path, sentences: list[Sentence], tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    there.faults = lambda *_: {"status": 500} if len(there.answered) >= 8 else None
    died = run(*extracting(there, corpus, output))
    assert died.exit_code == 1
    assert died.stderr.count("\n") == 1
    assert "sentences are kept, the same command continues from there" in died.stderr
    there.faults = lambda *_: None
    refused = run(*extracting(there, corpus, output), "--max-new-tokens", "9")
    assert refused.exit_code == 2
    assert "lies there with another max_new_tokens; finish it as it was begun" in refused.stderr
    assert run(*extracting(there, corpus, output)).exit_code == 0
    held = tmp_path / "run.json"
    there.answered.clear()
    there.faults = lambda *_: {"status": 500} if len(there.answered) >= 8 else None
    assert run(*evaluating(there, corpus, "--output", held)).exit_code == 1
    there.faults = lambda *_: None
    for change in (
        ["--recipe", "klue-strict"],
        ["--limit", "9"],
        ["--model", "other"],
        ["--fuzzy", "0.9"],
    ):
        other = run(*evaluating(there, corpus, "--output", held, *change))
        assert other.exit_code == 2
        assert "an interrupted run lies there with another" in other.stderr
    over = run(*evaluating(there, corpus, "--output", held, "--max-new-tokens", "9", "--restart"))
    assert over.exit_code == 0, over.stderr
    assert "done already" not in over.stderr


def interrupted(
    args: list[str],
    there: Endpoint,
    disk: Callable[[], set[str]],
    sign: signal.Signals,
    dice: random.Random,
) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run the command until it ends by itself, interrupted again and again; its last run, and
    how often.
    """
    for times in range(60):
        done, before = disk(), dict(there.asked)
        process = subprocess.Popen(
            [sys.executable, "-m", "llmner", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            # Shells start what runs in the background deaf to Ctrl-C, and so are its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        asked = sum(before.values()) + dice.randint(2, 9)
        while process.poll() is None and sum(there.asked.values()) < asked:
            time.sleep(0.005)
        time.sleep(dice.random() * 0.05)
        process.send_signal(sign)
        out, err = process.communicate(timeout=60)
        # No sentence was asked about whose row was on disk.
        assert not {text for text in done if there.asked[text] > before.get(text, 0)}
        if process.returncode == 0:
            assert done <= disk() or not disk()
            return subprocess.CompletedProcess(args, 0, out, err), times
        assert out == ""
        if sign == signal.SIGINT:
            assert process.returncode == 130, err
            assert err.splitlines()[-1].startswith("interrupted")
            if kept := len(disk()):
                assert err.splitlines()[-1].endswith(
                    "sentences are kept, the same command continues from there"
                )
                assert abs(int(err.splitlines()[-1].split()[1]) - kept) <= 1
        else:
            assert process.returncode == -signal.SIGKILL
    raise AssertionError("60 runs, and none of them came to its end")


def texts_in(*paths: Path) -> set[str]:
    found = set()
    for path in paths:
        if path.exists():
            whole, _, _ = path.read_bytes().rpartition(b"\n")
            found |= {json.loads(line)["text"] for line in whole.split(b"\n") if line}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT], ids=lambda sign: sign.name)
def test_extract_killed_again_and_again(
    sign: signal.Signals, there: Endpoint, corpus: Path, tmp_path: Path
) -> None:
    whole, output = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    assert run(*extracting(there, corpus, whole)).exit_code == 0
    there.asked.clear()
    there.faults = lambda *_: {"delay": 0.05}
    partial = tmp_path / "out.jsonl.partial"
    _, times = interrupted(
        extracting(there, corpus, output),
        there,
        lambda: texts_in(partial),
        sign,
        random.Random(sign.value),
    )
    assert times > 1
    assert output.read_bytes() == whole.read_bytes()
    # What was paid for is counted by each process for itself.
    assert run_record(output) == run_record(whole)
    usage = json.loads(output.with_name("out.jsonl.run.json").read_text("utf-8"))["usage"]
    assert 0 < usage["sentences"] <= COUNT
    assert {path.name for path in tmp_path.glob("out*")} == {"out.jsonl", "out.jsonl.run.json"}


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT], ids=lambda sign: sign.name)
@pytest.mark.parametrize("kept", [True, False], ids=["output", "cache"])
def test_evaluate_killed_again_and_again(
    kept: bool, sign: signal.Signals, there: Endpoint, corpus: Path, tmp_path: Path
) -> None:
    whole, output = tmp_path / "whole.json", tmp_path / "out.json"
    first = run(*evaluating(there, corpus, "--json", "--output", whole))
    there.asked.clear()
    there.faults = lambda *_: {"delay": 0.05}
    more = ("--output", output) if kept else ()
    last, times = interrupted(
        evaluating(there, corpus, "--json", *more),
        there,
        lambda: texts_in(
            tmp_path / "out.json.partial", *(tmp_path / "cache" / "llmner" / "runs").glob("*.jsonl")
        ),
        sign,
        random.Random(sign.value + kept),
    )
    assert times > 1
    assert "sentences were done already; going on" in last.stderr
    assert last.stdout == first.stdout
    if kept:
        assert output.read_bytes() == whole.read_bytes()
    assert not [
        path for path in tmp_path.rglob("*") if "partial" in path.name or path.parent.name == "runs"
    ]
