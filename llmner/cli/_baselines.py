"""``--engine baseline:FOLDER``: a tagger in the place of an engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from llmner.cli._common import given, note
from llmner.errors import InputError

if TYPE_CHECKING:
    from llmner.baselines import BaselineExtractor

PREFIX = "baseline:"

_ASKS = (
    "recipe reply_format model adapter replies base_url concurrency grounded json_schema samples temperature "
    "max_model_len gpu_memory_utilization max_new_tokens window overlap particles fuzzy "
    "repeats retry"
).split()


def is_baseline(engine: str | None) -> bool:
    """Whether an engine's name is that of a tagger's folder."""
    return engine is not None and engine.startswith(PREFIX)


def make_baseline(
    engine: str,
    context: typer.Context,
    *,
    batch_size: int | None,
    min_score: float | None,
    calibration: Path | None,
    device: str,
    trust_remote_code: bool,
    beside_replies: bool = False,
) -> BaselineExtractor:
    """The tagger of ``baseline:FOLDER``.

    Options that were given and mean nothing to a tagger are refused, unless recorded replies are scored beside
    it, to which they do.

    Raises:
        InputError: Such an option, or a folder that holds no baseline.
    """
    from llmner.baselines import BaselineExtractor, find_baseline
    from llmner.extraction.confidence import Calibrator
    from llmner.files import kind_of

    for name in _ASKS:
        if given(context, name) and not beside_replies:
            option = "--retry-failed" if name == "retry" else f"--{name.replace('_', '-')}"
            raise InputError(f"{option} means nothing to a baseline", hint="leave it out")
    name = engine.removeprefix(PREFIX)
    found = BaselineExtractor(
        find_baseline(name, note),
        batch_size=batch_size or 64,
        min_score=min_score,
        calibrator=None if calibration is None else Calibrator.load(calibration),
        device=device,
        trust_remote_code=trust_remote_code,
        name=name if kind_of(Path(name)) == "missing" else None,
    )
    for option in ("device", "trust_remote_code"):
        if found.record["kind"] != "encoder" and given(context, option):
            hint = "leave it out: encoders alone have it"
            raise InputError(f"--{option.replace('_', '-')} means nothing to this baseline", hint=hint)
    return found
