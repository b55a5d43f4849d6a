"""Checkpoints of a training that was interrupted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

__all__ = ["last_checkpoint"]


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint. Checkpoints that are only half written are removed.

    The trainer writes its state last, so a checkpoint with a readable state is complete.

    >>> last_checkpoint(Path("no such folder")) is None
    True
    """
    checkpoints: list[tuple[int, Path]] = []
    for path in folder.glob("checkpoint-*"):
        number = path.name.removeprefix("checkpoint-")
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
            checkpoints.append((int(number), path))
        except (OSError, ValueError):
            shutil.rmtree(path, ignore_errors=True)
    return max(checkpoints)[1] if checkpoints else None
