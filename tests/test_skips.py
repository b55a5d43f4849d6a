"""Continuous integration fails on a skip that nobody allowed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import _SLOW, ROOT


def test_every_module_that_is_called_slow_is_there() -> None:
    assert [name for name in _SLOW if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize(
    ("reason", "ci", "code"),
    [("no CUDA device", "true", 0), ("I am tired", "true", 1), ("I am tired", "", 0)],
)
def test_a_skip_that_nobody_allowed_fails(reason: str, ci: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n", "utf-8")
    test = f"import pytest\n\ndef test_one():\n    pytest.skip({reason!r})\n\ndef test_two():\n    pass\n"
    (tmp_path / "test_it.py").write_text(test, "utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    environment = os.environ | {"CI": ci, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout
    assert ("does not allow: I am tired" in done.stdout) == bool(code)
