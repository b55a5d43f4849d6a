"""Killing a training once it has written something."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path


def killed_once_there(command: Sequence[str], file: Path) -> str:
    """Run a command, and ``kill -9`` it once a JSON file is there. Gives its standard error."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 240
    while not _is_whole(file) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said
    return said


def _is_whole(file: Path) -> bool:
    """Whether all of a JSON file is written. A checkpoint with half of its state counts as none."""
    try:
        json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
