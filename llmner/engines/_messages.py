"""Where the answer stands in a chat's message: in its content, in a tool call, or in its reasoning.

Servers and their parsers move an answer around. What it means is read by the package ``replies``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["MessageText", "message_text"]

# Fields for a model's reasoning: vLLM, SGLang, DeepSeek; OpenRouter, Ollama, Groq; Ollama's own.
_REASONING = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
# Beginnings of the types of parts that are reasoning: "thinking", "reasoning.text", ...
_THOUGHTS = ("think", "reason", "thought", "redacted", "analysis")
# Parts may hold parts; deeper ones are no text.
_DEPTH = 4


@dataclass(frozen=True, slots=True)
class MessageText:
    """The text of a message.

    Attributes:
        text: The text, unstripped; empty if the message has none.
        is_reasoning: Whether it stood where the server puts the model's reasoning.
        is_refusal: Whether the model refuses to answer.
    """

    text: str
    is_reasoning: bool = False
    is_refusal: bool = False


def message_text(message: Mapping[str, Any]) -> MessageText | None:
    """The text of a chat's message, wherever it stands.

    The content counts if it has text. Otherwise the arguments of tool calls do, then the reasoning:
    where the end of the reasoning is not found, servers take all of an answer for reasoning.

    >>> message_text({"content": [{"type": "text", "text": "PS: "}, {"text": "Anna"}]})
    MessageText(text='PS: Anna', is_reasoning=False, is_refusal=False)
    >>> message_text({"content": None, "reasoning_content": "PS: Anna"})
    MessageText(text='PS: Anna', is_reasoning=True, is_refusal=False)

    Returns:
        The text; ``None`` if the content is nothing that a message may have.
    """
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    if any(not isinstance(part, str | dict | None) for part in parts):
        return None
    if isinstance(content, dict) and not content.keys() & {"type", "text", "content"}:
        # JSON that a server has parsed.
        content = json.dumps(content, ensure_ascii=False)
    is_refusal = bool(message.get("refusal")) or any(
        isinstance(part, dict) and part.get("type") == "refusal" for part in parts
    )
    text = _joined(content, thoughts=False)
    if text.strip() or is_refusal:
        return MessageText(text, is_refusal=is_refusal)
    called = "\n".join(_arguments(message))
    if called.strip():
        return MessageText(called)
    for place in (*(message.get(name) for name in _REASONING), content):
        thought = _joined(place, thoughts=True)
        if thought.strip():
            return MessageText(thought, is_reasoning=True)
    return MessageText(text)


def _joined(content: Any, *, thoughts: bool, depth: int = _DEPTH) -> str:
    """The texts of a content's parts, joined.

    Args:
        content: A string, a part, or a list of them.
        thoughts: Whether to take the parts that are reasoning too.
        depth: How deep parts may be nested.
    """
    if isinstance(content, str):
        return content
    if not depth or not isinstance(content, list | dict):
        return ""
    if isinstance(content, list):
        return "".join(_joined(part, thoughts=thoughts, depth=depth - 1) for part in content)
    kind = str(content.get("type", "")).lower()
    is_thought = kind.startswith(_THOUGHTS) or content.get("thought") is True
    if is_thought and not thoughts:
        return ""
    names = ("text", "content", *(("thinking", "reasoning", "summary") if is_thought else ()))
    parts = (_joined(content.get(name), thoughts=thoughts, depth=depth - 1) for name in names)
    return next((part for part in parts if part), "")


def _arguments(message: Mapping[str, Any]) -> Iterator[str]:
    """The arguments of a message's tool calls, in the forms that OpenAI has had, as JSON."""
    calls = message.get("tool_calls")
    content = message.get("content")
    for call in (
        *(calls if isinstance(calls, list) else ()),
        {"function": message.get("function_call")},
        *(content if isinstance(content, list) else ()),
    ):
        if not isinstance(call, dict):
            continue
        inner = next(
            (call[name] for name in ("function", "custom") if isinstance(call.get(name), dict)),
            call,
        )
        for name in ("arguments", "input", "parameters"):
            value = inner.get(name)
            if isinstance(value, dict | list):
                yield json.dumps(value, ensure_ascii=False)
            elif isinstance(value, str):
                yield value
