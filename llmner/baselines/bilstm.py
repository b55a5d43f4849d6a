"""A BiLSTM-CRF on characters, trained on a CPU in minutes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from llmner.baselines._bilstm_tagger import (
    VOCABULARY,
    WEIGHTS,
    BilstmCrfConfig,
    BilstmCrfTagger,
    Row,
    check_torch,
    make_network,
    padded,
)
from llmner.baselines._syllables import bioes_tags, places_of
from llmner.baselines._types import BestEpoch, Epoch, Trained, judge, learnt_labels
from llmner.engines._denormals import denormals_flushed
from llmner.spans import Sentence
from llmner.tagging import OUTSIDE, label_tags

__all__ = ["VOCABULARY", "WEIGHTS", "BilstmCrfConfig", "BilstmCrfTagger", "train_bilstm_crf"]

# So many batches are drawn at a time and sorted by length.
_POOL = 20
# Share of the steps in which the learning rate rises.
_RISE = 0.1


def train_bilstm_crf(
    sentences: Sequence[Sentence],
    config: BilstmCrfConfig,
    folder: Path,
    *,
    held_out: Sequence[Sentence] = (),
    on_epoch: Callable[[Epoch], None] | None = None,
    report: Callable[[str], None] | None = None,
) -> Trained:
    """Train a BiLSTM-CRF; with held-out sentences the epoch with the best F1 on them is kept.

    Args:
        sentences: The training sentences.
        config: The configuration.
        folder: Not used, because the model is in memory until it is saved.
        held_out: Sentences that choose the best epoch and stop the training early. Without them,
            the last epoch is kept.
        on_epoch: Called after each epoch.
        report: Not used.

    Raises:
        InputError: There is no entity to learn.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    check_torch()
    import torch
    from torch.nn.utils import clip_grad_norm_
    from torch.nn.utils.rnn import pad_sequence

    from llmner.baselines._network import vocabularies
    from llmner.baselines._views import views

    started = time.perf_counter()
    labels = learnt_labels(sentences)
    tags = [OUTSIDE, *label_tags(labels, "bioes")]
    number_of = {tag: number for number, tag in enumerate(tags)}
    train = [(sentence, places) for sentence in sentences if (places := places_of(sentence.text))]
    vocabulary = vocabularies((views(s.text, places) for s, places in train), config.min_frequency)
    torch.manual_seed(config.seed)
    rng = random.Random(config.seed)
    network = make_network(vocabulary, tags, config)
    tagger = BilstmCrfTagger(network, tags, vocabulary, config)
    rows = [
        Row(
            places,
            tagger.row(s.text, places),
            torch.tensor([number_of[t] for t in bioes_tags(s, places)]),
        )
        for s, places in train
    ]
    # A batch uses few rows of the embeddings, so these have sparse gradients and a sparse Adam.
    dense = [
        weights
        for name, weights in network.named_parameters()
        if not name.startswith("embeddings.")
    ]
    optimizers = [
        torch.optim.Adam(dense, lr=config.learning_rate),
        torch.optim.SparseAdam(list(network.embeddings.parameters()), lr=config.learning_rate),
    ]
    steps = 1 + config.epochs * -(-len(rows) // config.batch_size)
    # OneCycleLR divides by the number of rising steps minus one, which must not be 0.
    steps += steps * _RISE == 1
    schedules = [
        torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            config.learning_rate,
            steps,
            pct_start=_RISE,
            anneal_strategy="linear",
            cycle_momentum=False,
        )
        for optimizer in optimizers
    ]
    epochs: list[Epoch] = []
    best = BestEpoch(config.patience)
    kept: dict[str, torch.Tensor] | None = None
    with denormals_flushed():
        for number in range(1, config.epochs + 1):
            epoch_started = time.perf_counter()
            network.train()
            total = 0.0
            for batch in _batches(rows, config.batch_size, rng):
                scores, mask = network(*padded(batch))
                targets = pad_sequence([row.tags for row in batch], batch_first=True)
                loss = network.chain.loss(scores, targets, mask).mean()
                for optimizer in optimizers:
                    optimizer.zero_grad()
                loss.backward()
                clip_grad_norm_(dense, 5.0)
                for optimizer, schedule in zip(optimizers, schedules, strict=True):
                    optimizer.step()
                    schedule.step()
                total += loss.item() * len(batch)
            figures: tuple[float, float, float] | tuple[()] = ()
            if held_out:
                figures = judge(held_out, tagger.tag([sentence.text for sentence in held_out]))
            epoch = Epoch(number, total / len(rows), None, *figures)
            epochs.append(replace(epoch, seconds=round(time.perf_counter() - epoch_started, 1)))
            if on_epoch is not None:
                on_epoch(epochs[-1])
            if best.update(epochs[-1]):
                # Copies, because training changes the network.
                kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            if best.should_stop(epochs[-1]):
                break
    if kept is not None:
        network.load_state_dict(kept)
    seconds = time.perf_counter() - started
    return Trained(tagger, seconds, tuple(epochs), best.epoch)


def _batches(rows: Sequence[Row], size: int, rng: random.Random) -> list[list[Row]]:
    """Batches of rows of similar lengths, in a random order."""
    order = list(rows)
    rng.shuffle(order)
    batches = []
    for start in range(0, len(order), size * _POOL):
        pool = sorted(order[start : start + size * _POOL], key=len)
        batches += [pool[first : first + size] for first in range(0, len(pool), size)]
    rng.shuffle(batches)
    return batches
