"""From a prompt to the tokens that a model reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmner.recipes.chat import Message, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["encode_prompt", "without_system"]


def encode_prompt(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> list[int]:
    """The token ids of a prompt.

    They are those of the conversation in the tokenizer's chat template, or of the conversation as
    plain text if there is no template.
    """
    if not tokenizer.chat_template:
        return list(tokenizer(prompt.completion)["input_ids"])
    import jinja2

    try:
        text = tokenizer.apply_chat_template(
            list(prompt.messages), tokenize=False, add_generation_prompt=True
        )
    except jinja2.TemplateError:
        # Some templates (Gemma's) have no system role.
        text = tokenizer.apply_chat_template(
            without_system(prompt.messages), tokenize=False, add_generation_prompt=True
        )
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def without_system(messages: Sequence[Message]) -> list[Message]:
    """The messages with the system prompt at the beginning of the first question.

    >>> without_system([
    ...     {"role": "system", "content": "Find names."},
    ...     {"role": "user", "content": "Anna sings"},
    ... ])
    [{'role': 'user', 'content': 'Find names.\\n\\nAnna sings'}]
    """
    if not messages or messages[0]["role"] != "system":
        return list(messages)
    system, first, *rest = messages
    merged: Message = {
        "role": first["role"],
        "content": f"{system['content']}\n\n{first['content']}",
    }
    return [merged, *rest]
