"""Training a baseline of any kind, into a folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from llmner.baselines._kinds import BaselineConfig, kind_of_config
from llmner.baselines._store import RECORD_FILE, clear, save_baseline
from llmner.baselines._types import Epoch, Told, Trained, silent, tag_counts
from llmner.corpora._held_out import split_held_out
from llmner.errors import InputError
from llmner.files import is_file, kind_of
from llmner.scoring import corpus_signature
from llmner.spans import Sentence

__all__ = ["BaselineConfig", "check_folder", "train_baseline"]


def train_baseline(
    sentences: Sequence[Sentence],
    config: BaselineConfig,
    folder: Path,
    *,
    held_out: float = 0.0,
    seed: int = 42,
    corpus: str = "",
    restart: bool = False,
    report: Told | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Train a tagger and leave it in a folder, with a record of how it came about
    (``baseline.json``).

    Args:
        sentences: What to learn from.
        config: How; its type says which kind.
        folder: Where to.
        held_out: A share of the sentences (below 1), or a number of them, to judge epochs by; 0 for
            none.
        seed: Decides which.
        corpus: What the sentences are called, for the record.
        restart: Replace what lies in the folder.
        report: Told in a sentence what is being done, and of each epoch but the CRF's, which are
            many.
        on_epoch: Called after each epoch; it is not told then.

    Raises:
        InputError: No entity to learn, nothing left to learn from, or something in the folder
            already.
        GenerationError: An encoder that cannot be loaded.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    told: Told = report if report is not None else silent
    kind = kind_of_config(config)
    if on_epoch is None and kind.step == "epoch":
        on_epoch = _teller(told)
    check_folder(folder, restart=restart)
    learnt, held = split_held_out(sentences, held_out, seed) if held_out else (list(sentences), [])
    told(
        f"{len(learnt):,} sentences to learn from, {len(held):,} held out"
        if held
        else f"{len(learnt):,} sentences"
    )
    if held and not any(sentence.spans for sentence in held):
        told("the held-out sentences hold no entity: no epoch can be chosen by them")
    unknown = {span.label for s in held for span in s.spans} - {
        span.label for s in learnt for span in s.spans
    }
    if unknown:
        told(
            f"only held-out sentences have {', '.join(sorted(unknown))}: nothing is learnt of that"
        )
    folder.mkdir(parents=True, exist_ok=True)
    # What lies there is replaced when the new one is whole.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".training-") as name:
        work = Path(name)
        trained = kind.train(learnt, config, work, held_out=held, on_epoch=on_epoch, report=report)
        save_baseline(
            trained,
            work,
            config=config.model_dump(),
            corpus=corpus_signature(corpus, sentences),
            held_out=len(held),
            held_out_as=held_out,
            seed=seed,
            tags=tag_counts(learnt),
        )
        clear(folder)
        # The record comes last: without it nothing is taken for a baseline.
        for path in sorted(work.iterdir(), key=lambda path: path.name == RECORD_FILE):
            path.replace(folder / path.name)
    return trained


def _teller(told: Told) -> Callable[[Epoch], None]:
    return lambda epoch: told(str(epoch))


def check_folder(folder: Path, *, restart: bool) -> None:
    """Make sure that a baseline may go into a folder.

    Raises:
        InputError: It is no folder, holds something else, or holds a baseline that is not to be
            replaced.
    """
    kind = kind_of(folder)
    if kind not in ("missing", "folder"):
        raise InputError("is no folder", path=folder, hint="name another")
    if kind == "missing" or not any(folder.iterdir()):
        return
    if not is_file(folder / RECORD_FILE):
        raise InputError(
            "is not empty, and holds no baseline", path=folder, hint="name another folder"
        )
    if not restart:
        hint = "name another, or replace it with --restart"
        raise InputError("holds a baseline already", path=folder, hint=hint)
