"""Prepare a run: read the sentences, load the model, build the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llmner.corpora import is_file_name, read_corpus
from llmner.corpora._held_out import split_held_out
from llmner.errors import InputError
from llmner.recipes import Recipe
from llmner.scoring import sample
from llmner.spans import Sentence
from llmner.training._config import TrainingConfig
from llmner.training._model import load_for_training
from llmner.training._rows import TokenRow, build_rows, end_of_turn

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a trainer needs, and the counts for the record.

    Attributes:
        recipe: How sentences are asked and answered.
        model: The base model.
        tokenizer: Its tokenizer.
        rows: Rows to learn from.
        held_rows: Rows of the held-out sentences.
        held_out: Held-out sentences that are answered in each evaluation.
        over_long: How many sentences were left out because they are too long.
    """

    recipe: Recipe
    model: Any
    tokenizer: Any
    rows: tuple[TokenRow, ...]
    held_rows: tuple[TokenRow, ...] = ()
    held_out: tuple[Sentence, ...] = ()
    over_long: int = 0


def prepare(config: TrainingConfig, report: Callable[[str], None] | None = None) -> Prepared:
    """Read the corpus, load the model, and build the rows.

    Raises:
        InputError: A corpus or recipe cannot be read, rows are too long, or the chat template
            never ends an answer.
        GenerationError: The model cannot be loaded.
        MissingExtraError: The ``train`` extra is not installed.
    """
    data = config.data
    recipe = Recipe.load(data.recipe)
    if data.reply_format is not None:
        recipe = recipe.with_reply_format(data.reply_format)
    sentences = sample(
        _sentences(data.train, data.train_format, recipe), data.train_limit, config.optim.seed
    )
    if data.validation is not None:
        learnt = sentences
        held_out = _sentences(data.validation, data.validation_format, recipe, "validation")
    else:
        learnt, held_out = split_held_out(sentences, data.held_out, config.optim.seed)
    model, tokenizer = load_for_training(config.model, report)
    ends = model.generation_config.eos_token_id
    end = end_of_turn(tokenizer, ends if isinstance(ends, list) else [] if ends is None else [ends])
    rows: list[list[TokenRow]] = []
    over_long = 0
    for part in (learnt, held_out):
        part_rows, too_long = build_rows(
            part,
            recipe,
            tokenizer,
            end,
            max_length=data.max_length,
            over_long=data.over_long,
            loss_on=data.loss_on,
        )
        rows.append(part_rows)
        over_long += too_long
    return Prepared(
        recipe,
        model,
        tokenizer,
        rows=tuple(rows[0]),
        held_rows=tuple(rows[1]),
        held_out=tuple(held_out[: config.evaluation.eval_sentences]),
        over_long=over_long,
    )


def _sentences(
    path: str, format: str | None, recipe: Recipe, split: str = "train"
) -> list[Sentence]:
    # A file is used as a whole; of a data set with several splits, only one.
    part = None if is_file_name(path) else split
    sentences = list(read_corpus(path, format, split=part))
    labels = set(recipe.schema_.codes)
    for sentence in sentences:
        for span in sentence.spans:
            if span.label not in labels:
                raise InputError(
                    f"label {span.label!r} is not among the recipe's {', '.join(sorted(labels))}",
                    path=path,
                    id=sentence.id,
                    hint="train with a recipe that has it",
                )
    return sentences
