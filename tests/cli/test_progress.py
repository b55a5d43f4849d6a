"""The progress bar in a real terminal: what is on which row; and the pace by a clock of its own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llmner.cli._progress import Pace, Steps, progress

pytest.importorskip("pty", reason="terminals are of POSIX systems")
from tests.cli.terminal import Terminal, run_in_terminal, toy_engine

PACE = r"(?:\d+\.\d|\d+) s a sentence|[\d,]+\.\d sentences/s"
BAR = re.compile(
    rf"(?:extracting|evaluating) [━╸╺ ]{{20}} \d+/\d+ (?:\d:\d\d:\d\d so far|(?:{PACE}), \d:\d\d:\d\d left)"
    r"(?:, \d+ more answered)?"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    toy_engine(tmp_path)
    (tmp_path / "in.txt").write_text("".join(f"Anna met {n}.\n" for n in range(4)), "utf-8")
    return tmp_path


ASKING = ("--engine", "toy", "--model", "pipe", "--recipe", "klue")


def extracting(*more: object) -> list[object]:
    return ["-m", "llmner", "extract", "--input", "in.txt", *ASKING, *more]


def bars(terminal: Terminal) -> list[str]:
    """The bars that were on a row; no other row has part of one."""
    found = [row for row in terminal.seen if "━" in row or "extracting" in row]
    assert [row for row in found if not BAR.fullmatch(row)] == []
    assert not [row for row in found if re.search(r"\b0\.0 ", row)]
    return found


def test_rows_count_answers_show_and_messages_have_rows_of_their_own(folder: Path) -> None:
    partial = folder / "out.jsonl.partial"
    with run_in_terminal(folder, *extracting("--output", "out.jsonl")) as terminal:
        terminal.shows("Loading toy")
        assert bars(terminal) == []
        terminal.tell("load")
        terminal.shows(r"extracting .* 0/4 0:00:\d\d so far")
        # The second is answered, and its row waits for the first one's.
        terminal.tell("1")
        terminal.shows(r"extracting .* 0/4 .*, 1 more answered")
        assert partial.read_bytes() == b""
        terminal.tell("say warning: careful")
        terminal.shows("warning: careful")
        terminal.tell("0")
        terminal.shows(r"extracting .* 2/4 .* left")
        assert partial.read_bytes().count(b"\n") == 2
        terminal.tell("3", "say " + "a long message " * 20, "2")
        assert terminal.end() == 0
    bars(terminal)
    *rows, read = [row.rstrip() for row in terminal.rows if row.strip()]
    assert rows == [
        "Loading toy",
        "warning: careful",
        ("a long message " * 20).rstrip(),
        "4 sentences are in out.jsonl",
    ]
    assert read.startswith("read: ")


@pytest.mark.parametrize("json", [True, False])
def test_rows_on_the_same_terminal_stand_above_the_bar(folder: Path, json: bool) -> None:
    with run_in_terminal(folder, *extracting(*["--json"] * json)) as terminal:
        terminal.tell("load")
        terminal.shows(r"extracting .* 0/4 0:00:\d\d so far")
        terminal.tell("0", "2")
        terminal.shows(r"extracting .* 1/4 .* left, 1 more answered")
        terminal.tell("1", "3")
        assert terminal.end() == 0
    bars(terminal)
    assert not [row for row in terminal.rows if "extracting" in row]
    texts = [row for row in terminal.rows if " met " in row]
    assert len(texts) == 4
    assert all(row.startswith('{"id":' if json else "Anna[PS] met") for row in texts)


def test_data_in_a_pipe_has_no_bar_in_it(folder: Path) -> None:
    with run_in_terminal(folder, *extracting("--json"), stdout=subprocess.PIPE) as terminal:
        terminal.tell("load")
        terminal.shows(r"extracting .* 0/4 0:00:\d\d so far")
        terminal.tell("0", "1", "2", "3")
        assert terminal.end() == 0
        assert terminal.process.stdout is not None
        lines = terminal.process.stdout.read().splitlines()
    assert [json.loads(line)["text"] for line in lines] == [f"Anna met {n}." for n in range(4)]
    assert bars(terminal)


def test_without_a_terminal_there_are_the_same_messages_and_no_bar(folder: Path) -> None:
    with run_in_terminal(folder, "-c", "") as terminal:
        terminal.tell("load", "say warning: careful", "0", "1", "2", "3")
        done = subprocess.run(
            [sys.executable, *map(str, extracting("--output", "out.jsonl"))],
            capture_output=True,
            cwd=folder,
            env={"PYTHONPATH": f"{folder}:{Path(__file__).parents[2]}", "PATH": ""},
            timeout=60,
        )
    assert done.stderr.startswith(
        b"Loading toy\nwarning: careful\n4 sentences are in out.jsonl\nread: "
    )
    assert (done.returncode, done.stdout) == (0, b"")


def test_an_interrupt_leaves_no_bar_behind_and_going_on_counts_what_was_done(
    folder: Path,
) -> None:
    with run_in_terminal(folder, *extracting("--output", "out.jsonl")) as terminal:
        terminal.tell("load", "0", "1")
        terminal.shows(r"extracting .* 2/4 .* left")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130
    bars(terminal)
    kept = "interrupted; 2 sentences are kept, the same command continues from there"
    assert [row for row in terminal.rows if row.strip()] == ["Loading toy", kept]
    with run_in_terminal(folder, *extracting("--output", "out.jsonl")) as terminal:
        terminal.tell("load", "1")
        terminal.shows(r"extracting .* 2/4 .* left, 1 more answered")
        terminal.tell("0")
        assert terminal.end() == 0
    *told, read = [row for row in terminal.rows if row.strip()]
    assert told == [
        "2 sentences were done already; going on",
        "Loading toy",
        "4 sentences are in out.jsonl",
    ]
    assert read.startswith("read: ")


def test_an_evaluation_shows_the_same_bar(folder: Path) -> None:
    (folder / "gold.txt").write_text("<Anna:PS> met 0.\n<Anna:PS> met 1.\n", "utf-8")
    arguments = ["-m", "llmner", "evaluate", "--gold", "gold.txt", *ASKING, "--resamples", "0"]
    with run_in_terminal(folder, *arguments) as terminal:
        terminal.shows("Loading toy")
        terminal.tell("load", "1")
        terminal.shows(r"evaluating .* 0/2 .* left, 1 more answered")
        terminal.tell("say warning: careful")
        terminal.shows("warning: careful")
        terminal.tell("0")
        assert terminal.end() == 0
    assert bars(terminal)
    assert not [row for row in terminal.rows if "evaluating" in row]


def test_what_is_converted_onto_the_terminal_has_no_bar_in_its_way(folder: Path) -> None:
    arguments = ["-m", "llmner", "convert", "in.txt", "-", "--to", "text"]
    with run_in_terminal(folder, *arguments) as terminal:
        assert terminal.end() == 0
    assert terminal.seen[:4] == [f"Anna met {n}." for n in range(4)]
    assert "━" not in "".join(terminal.seen)


def test_bad_rows_are_told_above_the_bar(folder: Path) -> None:
    row = '{"text": "Anna met 0.", "reply": "PS: Anna"}\n'
    (folder / "replies.jsonl").write_text((row * 50 + "{\n") * 4, "utf-8")
    arguments = ["project", "--input", "replies.jsonl", "--output", "out.jsonl", "--skip-bad"]
    with run_in_terminal(folder, "-m", "llmner", *arguments) as terminal:
        assert terminal.end() == 0
    found = [row for row in terminal.seen if "projecting" in row]
    pattern = r"projecting [━╸╺ ]{20} \d+/\? (?:[\d,]+\.\d replies/s|[\d.]+ s a reply)"
    assert [row for row in found if not re.fullmatch(pattern, row)] == []
    rows = [row for row in terminal.rows if row.strip()]
    assert [row.partition(":")[0] for row in rows[:4]] == ["skipped"] * 4
    assert rows[-1].startswith("200 replies: ")


def test_messages_of_a_training_stand_above_its_bar(folder: Path) -> None:
    pytest.importorskip("tqdm")
    script = """
from tqdm.auto import tqdm
from llmner.cli._common import note
bar = tqdm(total=3, ncols=60)
bar.update(1)
bar.refresh()
note("step 1 of 3: loss 0.5")
bar.update(2)
bar.close()
"""
    with run_in_terminal(folder, "-c", script) as terminal:
        assert terminal.end() == 0
    assert "step 1 of 3: loss 0.5" in [row.rstrip() for row in terminal.rows]


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize(
    ("steps", "seconds", "shown"),
    [
        (20, 10.0, "2.0 sentences/s"),
        (20_000, 1.0, "20,000.0 sentences/s"),
        (10, 10.0, "1.0 sentences/s"),
        (10, 10.4, "1.0 s a sentence"),
        (10, 32.0, "3.2 s a sentence"),
        (1, 61.4, "61 s a sentence"),
        (1, 4000.0, "4,000 s a sentence"),
        (1, 0.0, "1,000,000.0 sentences/s"),
    ],
)
def test_no_rate_is_nought(clock: Clock, steps: int, seconds: float, shown: str) -> None:
    pace = Pace("sentence", "sentences", clock=clock)
    clock.now += seconds
    pace.step(steps)
    assert pace.text(None) == shown


def left(pace: Pace, remaining: int) -> int:
    match = re.search(r"(\d+):(\d\d):(\d\d) left", pace.text(remaining))
    assert match is not None
    hours, minutes, seconds = map(int, match.groups())
    return 3600 * hours + 60 * minutes + seconds


@pytest.mark.parametrize("together", [1, 16])
def test_the_time_left_falls_by_a_second_in_a_second(clock: Clock, together: int) -> None:
    """Whether rows come one by one or a batch at a time."""
    pace = Pace("sentence", "sentences", clock=clock)
    shown = []
    for done in range(together, 161, together):
        for _ in range(3 * together):
            clock.now += 1
            if done > together:
                shown.append(left(pace, 160 - done + together))
        for _ in range(together):
            pace.step(1)
    assert shown == list(range(480 - 3 * together - 1, -1, -1))


def test_a_wait_longer_than_any_before_slows_the_rate_down(clock: Clock) -> None:
    pace = Pace("sentence", "sentences", clock=clock)
    for _ in range(10):
        clock.now += 2
        pace.step(1)
    assert pace.text(10) == "2.0 s a sentence, 0:00:20 left"
    clock.now += 2
    assert pace.text(10) == "2.0 s a sentence, 0:00:18 left"
    clock.now += 10
    assert pace.text(10) == "3.0 s a sentence, 0:00:28 left"
    pace.step(1)
    assert pace.text(9) == "2.9 s a sentence, 0:00:26 left"


def test_loading_counts_neither_before_nor_between(clock: Clock) -> None:
    pace = Pace("sentence", "sentences", clock=clock)
    clock.now += 500
    pace.begin()
    assert pace.text(4) == "0:00:00 so far"
    clock.now += 2
    pace.step(1)
    # Another model is loaded.
    clock.now += 500
    pace.begin()
    clock.now += 2
    pace.step(1)
    assert pace.text(2) == "2.0 s a sentence, 0:00:04 left"


def test_the_pace_counts_only_what_this_run_did(clock: Clock) -> None:
    steps = Steps(Pace("sentence", "sentences", clock=clock), 100)
    steps.resume(90)
    steps.begin()
    clock.now += 2
    steps(4)
    assert (steps.done, steps.text()) == (94, "2.0 sentences/s, 0:00:03 left")
    steps.total(96)
    assert steps.text() == "2.0 sentences/s, 0:00:01 left"


def test_answers_are_counted_once_and_rows_when_they_are_kept(clock: Clock) -> None:
    steps = Steps(Pace("sentence", "sentences", clock=clock), 10)
    for _ in range(4):
        clock.now += 1
        steps.answer()
    assert (steps.done, steps.text()) == (0, "1.0 sentences/s, 0:00:06 left, 4 more answered")
    steps(3)
    assert (steps.done, steps.text()) == (3, "1.0 sentences/s, 0:00:06 left, 1 more answered")
    # Rows of which no answer was told, such as a tagger's.
    clock.now += 1
    steps(2)
    assert (steps.done, steps.text()) == (5, "1.0 sentences/s, 0:00:05 left")


def test_without_a_terminal_steps_are_counted_all_the_same() -> None:
    with progress("asking", 2) as steps:
        steps.begin()
        steps(1)
    assert steps.done == 1
