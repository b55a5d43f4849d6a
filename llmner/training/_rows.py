"""From gold sentences to what the trainer sees: token rows, with the tokens that are learnt marked.

Questions are encoded exactly as the ``transformers`` engine encodes them, and the answer's tokens
follow them, so that a model meets in training what it will meet when it is asked. Rows are never
cut.
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
"""The label of a token that is not learnt, as torch's cross entropy has it."""

_PROBE = "가나다"


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One training row.

    Attributes:
        input_ids: Tokens of question, answer and end of turn.
        labels: The same, with :data:`IGNORED` where nothing is learnt. Same length.
        id: The sentence's id.
    """

    input_ids: list[int]
    labels: list[int]
    id: str | None = None


def end_of_turn(tokenizer: Any, ends: Iterable[int]) -> list[int]:
    """The tokens that follow an answer in the model's own chat template, up to the one that ends
    it.

    Models without a template end with their end-of-text token.

    Args:
        tokenizer: The model's tokenizer.
        ends: Tokens at which the model's generation stops.

    Raises:
        InputError: What the template puts after an answer stops nothing: a model trained on it
            would never learn to stop.
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
    for at, token in enumerate(tokens):
        if token in ends:
            return tokens[: at + 1]
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
    """Token rows of gold sentences, and the number of those left out for their length.

    Args:
        sentences: Sentences with gold spans.
        recipe: What is asked, and how it is answered.
        tokenizer: The model's tokenizer.
        end: The tokens of :func:`end_of_turn`.
        max_length: Longest row, in tokens.
        over_long: ``"error"`` or ``"drop"``.
        loss_on: ``"answer"`` or ``"all"``.

    Raises:
        InputError: Rows longer than ``max_length`` and ``over_long`` is ``"error"``, or nothing is
            left.
    """
    rows, longest, over = [], 0, 0
    for sentence in sentences:
        question = encode_prompt(tokenizer, build_prompt(recipe, sentence))
        answer = render_reply(sentence, recipe.reply_format, recipe.schema_)
        learnt = [*tokenizer(answer, add_special_tokens=False)["input_ids"], *end]
        tokens = question + learnt
        if len(tokens) > max_length:
            over += 1
            longest = max(longest, len(tokens))
            continue
        masked = question if loss_on == "all" else [IGNORED] * len(question)
        rows.append(TokenRow(tokens, masked + learnt, sentence.id))
    if over and (over_long == "error" or not rows):
        raise InputError(
            f"{over} of {len(sentences)} rows are longer than max_length {max_length} (the "
            f"longest has "
            f"{longest} tokens)",
            hint="raise --max_length, or leave them out with --over_long drop",
        )
    return rows, over
