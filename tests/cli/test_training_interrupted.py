"""Ctrl-C in a training, wherever it is."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_SCRIPT = """
import signal, sys, time
from pathlib import Path
import numpy as np
import typer
from llmner.cli._ending import guarded
from llmner.cli._interrupts import prompt_interrupts

# Whoever starts the tests in the background has them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

@guarded
def training():
    with prompt_interrupts(Path(sys.argv[1])):
        matrix = np.ones((9000, 9000))
        print("there", flush=True)
        {work}

app = typer.Typer()
app.command()(training)
app([])
"""
# One call into native code that takes many seconds, and one that Python can end at any moment.
_WORK = {"native": "matrix @ matrix @ matrix", "python": "time.sleep(60)"}


@pytest.mark.parametrize("work", _WORK)
@pytest.mark.parametrize("kept", [None, "checkpoints", "seed-2/.training/checkpoints"])
def test_it_ends_soon_and_says_how_to_go_on(tmp_path: Path, work: str, kept: str | None) -> None:
    for step in (40, 9) if kept else ():
        folder = tmp_path / str(kept) / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "trainer_state.json").write_text("{}", encoding="utf-8")
    script = _SCRIPT.format(work=_WORK[work])
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    time.sleep(0.3)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    seconds = time.monotonic() - started
    assert process.returncode == 130
    # A second, and what a busy machine takes.
    assert seconds < 3
    (line,) = said.splitlines()
    if kept is None:
        assert line == "interrupted before anything was kept; the same command starts anew"
    else:
        newest = tmp_path / kept / "checkpoint-40"
        assert line == (
            f"interrupted; step 40 is kept in {newest}, and the same command goes on from there"
        )


def test_it_is_as_before_once_a_training_is_over(tmp_path: Path) -> None:
    from llmner.cli._interrupts import prompt_interrupts

    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    with prompt_interrupts(tmp_path):
        assert signal.set_wakeup_fd(-1) not in (-1, before)
    assert signal.set_wakeup_fd(before) == before
