"""What an endpoint's answer must keep to: how that is asked for, and whether the answer does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llmner.engines.grammars import continued, is_answer
from llmner.errors import MissingExtraError
from llmner.recipes.chat import Prompt

__all__ = ["ignored_constraint", "request_body"]


def request_body(prompt: Prompt, *, completion: bool) -> dict[str, Any]:
    """The fields of a request that ask for a JSON schema, as OpenAI, or a grammar, as vLLM does.

    >>> request_body(Prompt((), "", "", "", grammar="start: reply"), completion=False)
    {'structured_outputs': {'grammar': 'start: reply'}}

    Args:
        prompt: The prompt. If it has a JSON schema, its grammar is not sent.
        completion: Whether a completion is asked for rather than a chat's answer.
    """
    if prompt.json_schema is not None:
        form = {"name": "reply", "schema": dict(prompt.json_schema)}
        return {"response_format": {"type": "json_schema", "json_schema": form}}
    if prompt.grammar is not None:
        return {"structured_outputs": {"grammar": _grammar(prompt, prompt.grammar, completion)}}
    return {}


def ignored_constraint(prompt: Prompt, text: str, *, completion: bool, cut: bool) -> str | None:
    """The kind of constraint that an answer ignores: some endpoints skip unknown fields.

    Args:
        prompt: The prompt.
        text: The answer, unstripped.
        completion: Whether a completion was asked for.
        cut: Whether the answer was cut off, so that its beginning is enough.

    Returns:
        ``"JSON schemas"`` or ``"grammars"``, or ``None`` if the answer is as it should be.

    Raises:
        MissingExtraError: A library that checks answers is not installed.
    """
    if prompt.json_schema is not None:
        return None if _follows_schema(text, prompt.json_schema, cut=cut) else "JSON schemas"
    if prompt.grammar is not None:
        grammar = _grammar(prompt, prompt.grammar, completion)
        # White space around an answer does not count, unless it is part of the text.
        candidates = dict.fromkeys((text, text.strip()))
        if not any(is_answer(candidate, grammar, cut=cut) for candidate in candidates):
            return "grammars"
    return None


def _grammar(prompt: Prompt, grammar: str, completion: bool) -> str:
    return continued(grammar, prompt.stop) if completion else grammar


def _follows_schema(text: str, schema: Mapping[str, Any], *, cut: bool) -> bool:
    try:
        import jsonschema
    except ImportError:
        raise MissingExtraError(
            "openai", "checking that an endpoint keeps to a JSON schema"
        ) from None
    try:
        jsonschema.validate(json.loads(text), schema)
    except (ValueError, RecursionError):
        # An answer that was cut off is not JSON yet.
        return cut
    except jsonschema.ValidationError:
        return False
    return True
