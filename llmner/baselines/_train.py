"""Training a baseline of any kind, into a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from llmner.baselines._store import RECORD_FILE, clear, save_baseline
from llmner.baselines._types import Epoch, Told, Trained, tag_counts
from llmner.baselines.bilstm import BilstmCrfConfig, train_bilstm_crf
from llmner.baselines.crf import CrfConfig, train_crf
from llmner.baselines.encoder import EncoderConfig, train_encoder
from llmner.errors import InputError
from llmner.scoring import corpus_signature
from llmner.spans import Sentence
from llmner.training._rows import split_held_out

__all__ = ["CONFIGS", "BaselineConfig", "train_baseline"]

BaselineConfig = CrfConfig | BilstmCrfConfig | EncoderConfig

CONFIGS: dict[str, type[CrfConfig] | type[BilstmCrfConfig] | type[EncoderConfig]] = {
    "crf": CrfConfig,
    "bilstm-crf": BilstmCrfConfig,
    "encoder": EncoderConfig,
}
"""The kinds of baselines, and how each is configured."""


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
    """Train a tagger and leave it in a folder, with a record of how it came about (``baseline.json``).

    Args:
        sentences: What to learn from.
        config: How; its type says which kind.
        folder: Where to.
        held_out: A share of the sentences (below 1), or a number of them, to judge epochs by; 0 for none.
        seed: Decides which.
        corpus: What the sentences are called, for the record.
        restart: Replace what lies in the folder.
        report: Told in a sentence what is being done.
        on_epoch: Called after each epoch.

    Raises:
        InputError: No entity to learn, nothing left to learn from, or something in the folder already.
        GenerationError: An encoder that cannot be loaded.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    told: Told = report if report is not None else _silent
    if folder.exists() and not folder.is_dir():
        raise InputError("is no folder", path=folder, hint="name another")
    if folder.is_dir() and any(folder.iterdir()) and not restart:
        what = "holds a baseline already" if (folder / RECORD_FILE).is_file() else "is not empty"
        raise InputError(what, path=folder, hint="name another, or replace what is there with --restart")
    learnt, held = split_held_out(sentences, held_out, seed) if held_out else (list(sentences), [])
    told(
        f"{len(learnt):,} sentences to learn from, {len(held):,} held out"
        if held
        else f"{len(learnt):,} sentences"
    )
    if held and not any(sentence.spans for sentence in held):
        told("the held-out sentences hold no entity: no epoch can be chosen by them")
    unknown = {span.label for s in held for span in s.spans} - {span.label for s in learnt for span in s.spans}
    if unknown:
        told(f"only held-out sentences have {', '.join(sorted(unknown))}: nothing is learnt of that")
    folder.mkdir(parents=True, exist_ok=True)
    clear(folder)
    if isinstance(config, CrfConfig):
        trained = train_crf(learnt, config, folder, held=held, on_epoch=on_epoch)
    elif isinstance(config, BilstmCrfConfig):
        trained = train_bilstm_crf(learnt, config, held=held, on_epoch=on_epoch)
    else:
        trained = train_encoder(learnt, config, folder, held=held, on_epoch=on_epoch, report=report)
    save_baseline(
        trained,
        folder,
        config=config.model_dump(),
        corpus=corpus_signature(corpus, sentences),
        held_out=len(held),
        held_out_as=held_out,
        seed=seed,
        tags=tag_counts(learnt),
    )
    return trained


def _silent(_: str) -> None:
    pass
