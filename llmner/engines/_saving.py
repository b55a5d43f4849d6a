"""Checkpoints between the ends of epochs, for all trainers of ``transformers``."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

__all__ = ["SavesSteps"]


class SavesSteps(TrainerCallback):  # type: ignore[misc]
    """Has a checkpoint written every so many optimiser steps.

    Args:
        steps: How many.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Ask for one."""
        if state.global_step % self._steps == 0:
            # A loss that is not logged by then would be lost with whoever is killed.
            control.should_log = control.should_save = True
        return control
