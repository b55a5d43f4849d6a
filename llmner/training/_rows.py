"""From gold sentences to token rows, in which the tokens to learn are marked.

Questions are encoded exactly as in the ``transformers`` engine, and the answer's tokens follow, so
a model sees in training what it will see when it is asked. Rows are never cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llmner.engines.transformers_engine import encode_prompt
from llmner.errors import InputError
from llmner.recipes import Recipe
from llmner.recipes.chat import build_prompt
from llmner.replies import render_reply
from llmner.spans import Sentence

__all__ = ["IGNORED", "TokenRow", "build_rows", "end_of_turn"]

IGNORED = -100
"""The label of a token that is not learnt, as in torch's cross entropy."""

_PROBE = "가나다"


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One training row.

    Attributes:
        input_ids: Tokens of question, answer and end of turn.
        labels: The same tokens, but :data:`IGNORED` where nothing is learnt.
        id: The sentence's id.
    """

    input_ids: list[int]
    labels: list[int]
    id: str | None = None


def end_of_turn(tokenizer: Any, ends: Iterable[int]) -> list[int]:
    """The tokens after an answer in the model's chat template, up to the one that ends it.

    Without a template it is the end-of-text token.

    Args:
        tokenizer: The model's tokenizer.
        ends: Tokens at which the model's generation stops.

    Raises:
        InputError: No token that the template puts after an answer stops generation, so a model
            trained on it would never learn to stop.
    """
    ends = set(ends)
    if not tokenizer.chat_template:
        if tokenizer.eos_token_id is None:
            raise InputError("the tokenizer has no end-of-text token", hint="set its eos_token")
        return [int(tokenizer.eos_token_id)]
    messages = [{"role": "user", "content": _PROBE}, {"role": "assistant", "content": _PROBE}]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    after = text.rpartition(_PROBE)[2]
    tokens = list(tokenizer(after, add_special_tokens=False)["input_ids"])
    for index, token in enumerate(tokens):
        if token in ends:
            return tokens[: index + 1]
    raise InputError(
        f"the chat template ends an answer with {after!r}, at which generation does not stop",
        hint="add its token to eos_token_id in the model's generation_config.json",
    )


def build_rows(
    sentences: Sequence[Sentence],
    recipe: Recipe,
    tokenizer: Any,
    end: Sequence[int],
    *,
    max_length: int,
    over_long: str = "error",
    loss_on: str = "answer",
) -> tuple[list[TokenRow], int]:
    """Token rows of gold sentences, and how many sentences were left out as too long.

    Args:
        sentences: Sentences with gold spans.
        recipe: What is asked, and how it is answered.
        tokenizer: The model's tokenizer.
        end: The tokens of :func:`end_of_turn`.
        max_length: Longest row, in tokens.
        over_long: ``"error"`` or ``"drop"``.
        loss_on: ``"answer"`` or ``"all"``.

    Raises:
        InputError: A row is longer than ``max_length`` and ``over_long`` is ``"error"``, or no row
            is left.
    """
    rows, longest, too_long = [], 0, 0
    for sentence in sentences:
        question = encode_prompt(tokenizer, build_prompt(recipe, sentence))
        answer = render_reply(sentence, recipe.reply_format, recipe.schema_)
        answer_tokens = [*tokenizer(answer, add_special_tokens=False)["input_ids"], *end]
        tokens = question + answer_tokens
        if len(tokens) > max_length:
            too_long += 1
            longest = max(longest, len(tokens))
            continue
        question_labels = question if loss_on == "all" else [IGNORED] * len(question)
        rows.append(TokenRow(tokens, question_labels + answer_tokens, sentence.id))
    if too_long and (over_long == "error" or not rows):
        raise InputError(
            f"{too_long} of {len(sentences)} rows are longer than max_length {max_length} (the "
            f"longest has {longest} tokens)",
            hint="raise --max_length, or leave them out with --over_long drop",
        )
    return rows, too_long
