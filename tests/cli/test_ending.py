"""How commands end: closed pipes, closed outputs, faults of our own, options that are no
numbers.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from llmner.cli import app
from llmner.cli._ending import CLOSED_PIPE, DEBUG, Root, guarded, note
from llmner.errors import InputError

LLMNER = [sys.executable, "-m", "llmner"]


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def shell(line: str, **more: str) -> tuple[list[int], str]:
    """Exit codes of a pipeline, and what it said on standard error."""
    done = subprocess.run(
        ["bash", "-c", f'{line}; echo "${{PIPESTATUS[@]}}" >&2'],
        capture_output=True, text=True, check=False, env=os.environ | more,
    )  # fmt: skip
    *told, codes = done.stderr.splitlines()
    return [int(code) for code in codes.split()], "\n".join(told)


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More than a pipe holds."""
    path = tmp_path_factory.mktemp("big") / "big.txt"
    path.write_text("".join(f"문장 {number}\n" for number in range(60_000)), encoding="utf-8")
    return path


# Unbuffered, one write to a pipe may take less than it is given, and end well.
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "command",
    [
        "convert BIG - --to spans --from text",
        "project -i REPLIES -o -",
        "stats BIG --format text",
        "stats BIG --format text --json",
        "evaluate --gold GOLD --predicted GOLD --resamples 0",
        "extract -i REPLIES --engine recorded --replies REPLIES --recipe klue --json",
        "extract -i REPLIES --engine recorded --replies REPLIES --recipe klue",
        "--help",
        "--version",
        "extract --help",
    ],
)
def test_whoever_reads_no_more_ends_it_quietly(
    big: Path, sample: Path, tmp_path: Path, command: str, unbuffered: str
) -> None:
    replies = tmp_path / "replies"
    replies.write_text(
        "".join(json.dumps({"text": f"가 {n}", "reply": ""}) + "\n" for n in range(300))
    )
    for name, path in (("BIG", big), ("REPLIES", replies), ("GOLD", sample)):
        command = command.replace(name, str(path))
    line = f"{' '.join(LLMNER)} {command} | true"
    assert shell(line, PYTHONUNBUFFERED=unbuffered) == ([CLOSED_PIPE, 0], "")


def test_all_of_a_large_output_arrives_unbuffered(big: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    codes, _ = shell(
        f"{' '.join(LLMNER)} convert {big} - --to text --from text | (sleep 0.5; cat) > {out}",
        PYTHONUNBUFFERED="1",
    )
    assert codes == [0, 0]
    assert out.read_bytes() == big.read_bytes()


def test_with_an_output_file_a_closed_pipe_is_nothing_to_it(big: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    codes, told = shell(f"{' '.join(LLMNER)} convert {big} {out} --to text --from text | true")
    assert codes == [0, 0]
    assert told == f"60000 sentences, 0 entities are in {out}"
    # Notes that nobody reads: what was written is whole.
    out.unlink()
    codes, _ = shell(
        f"{' '.join(LLMNER)} convert {big} {out} --to text --from text 2>&1 >/dev/null | true"
    )
    assert codes[0] in (0, CLOSED_PIPE)
    assert out.read_bytes() == big.read_bytes()


def test_closed_standard_files(sample: Path, tmp_path: Path) -> None:
    words = " ".join(LLMNER)
    for command in (f"stats {sample}", f"stats {sample} --json", f"convert {sample} - --to spans"):
        codes, told = shell(f"{words} {command} >&-")
        assert codes == [2]
        assert told.startswith("error: standard output is closed; ")
        assert "\n" not in told
    codes, told = shell(f"{words} stats - <&-")
    assert codes == [2]
    # Opened anew as nothing, so that no file becomes standard input.
    assert "-: " in told
    out = tmp_path / "out"
    codes, _ = shell(f"{words} convert {sample} {out} --to spans >&- 2>&- <&-")
    assert codes == [0]
    assert out.read_text("utf-8").count("\n") == 100
    assert stat.S_ISREG(out.stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_a_full_disk_is_a_line(sample: Path) -> None:
    for command in (
        f"stats {sample}",
        f"stats {sample} --json",
        f"convert {sample} - --to spans",
        "--version",
    ):
        codes, told = shell(f"{' '.join(LLMNER)} {command} > /dev/full")
        assert codes == [1]
        assert told == "error: [Errno 28] No space left on device"


def fails_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> Result:
    def broken(*args: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr("llmner.corpora.read_corpus", broken)
    return run("stats", "x")


def test_a_fault_of_ours_is_told_in_a_line_and_shown_where_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = fails_with(monkeypatch, KeyError("\x1b[31m" + "x" * 10_000))
    assert isinstance(shown.exception, KeyError)
    monkeypatch.delenv(DEBUG)
    told = fails_with(monkeypatch, KeyError("\x1b[31m" + "x" * 10_000))
    assert told.exit_code == 1
    assert told.stderr.startswith("error: unexpected KeyError: '\\x1b[31mxxx")
    assert told.stderr.endswith(
        "; this is a bug in llmner, set LLMNER_DEBUG=1 to see the traceback\n"
    )
    assert len(told.stderr) < 800
    empty = fails_with(monkeypatch, AssertionError())
    assert (
        empty.stderr == "error: unexpected AssertionError; this is a bug in llmner, "
        "set LLMNER_DEBUG=1 to see the traceback\n"
    )
    for error in (RecursionError("maximum recursion depth exceeded"), RuntimeError("x")):
        assert fails_with(monkeypatch, error).exit_code == 1


def test_memory_that_runs_out_is_no_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    told = fails_with(monkeypatch, MemoryError("Unable to allocate 1 GiB"))
    assert (told.exit_code, told.stderr) == (
        1,
        "error: there is not enough memory. Unable to allocate 1 GiB\n",
    )
    told = fails_with(monkeypatch, MemoryError())
    assert (told.exit_code, told.stderr) == (1, "error: there is not enough memory\n")


def test_a_pipe_of_somebody_elses_that_breaks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    told = fails_with(monkeypatch, BrokenPipeError(32, "Broken pipe"))
    assert (told.exit_code, told.stderr) == (1, "error: [Errno 32] Broken pipe\n")


def test_faults_while_options_are_read_are_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    tool = typer.Typer(cls=Root)

    def parsed(value: str) -> str:
        raise ZeroDivisionError(value)

    @tool.command()
    def one(value: str = typer.Option("", callback=parsed)) -> None:
        pass

    @tool.command()
    def two() -> None:
        raise InputError("this goes unguarded")

    monkeypatch.delenv(DEBUG)
    told = CliRunner().invoke(tool, ["one", "--value", "x"])
    assert told.exit_code == 1
    assert told.stderr.startswith("error: unexpected ZeroDivisionError: x; ")
    assert CliRunner().invoke(tool, ["two"]).exit_code == 1


def test_wrong_usage_is_plain_and_short() -> None:
    for args in (
        ["\x1b[31mx"],
        ["extract", "--\x1b[31mx"],
        ["stats", "x", "--seed", "\x9b" + "9" * 10_000],
    ):
        told = run(*args)
        assert told.exit_code == 2
        assert "\x1b" not in told.stderr
        assert "\x9b" not in told.stderr
        assert max(map(len, told.stderr.splitlines())) < 2000
        assert told.stderr.startswith("Usage: ")
    assert run().exit_code == 2
    assert "Find entities:" in run().output


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "NaN", "Infinity"])
def test_no_option_is_nan_or_endless(sample: Path, value: str) -> None:
    for args in (
        ["extract", "가", "--fuzzy", value],
        ["extract", "가", "--temperature", value],
        ["extract", "가", "--min-score", value],
        ["doctor", "--memory", value],
        ["train-baseline", "crf", "--train", sample, "-o", "x", "--c1", value],
        ["train-baseline", "crf", "--train", sample, "-o", "x", "--held-out", value],
    ):
        told = run(*args)
        assert told.exit_code == 2, told.output
        assert "--" in told.stderr


def test_draws_have_an_end(sample: Path) -> None:
    told = run("evaluate", "--gold", sample, "--predicted", sample, "--resamples", 10**400)
    assert told.exit_code == 2
    assert run("compare", sample, sample, "--shuffles", 10**9).exit_code == 2


def test_notes_and_interrupts() -> None:
    @guarded
    def stopped() -> None:
        note("a\x1b[2Jb\nc")
        raise KeyboardInterrupt("interrupted; \x1b")

    tool = typer.Typer()
    tool.command()(stopped)
    told = CliRunner().invoke(tool)
    assert (told.exit_code, told.stderr) == (130, "a\\x1b[2Jb\\nc\ninterrupted; \\x1b\n")
