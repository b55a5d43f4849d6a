"""What is sent to an endpoint: the fields of a request, with those that a user adds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmner.engines._constraints import request_body
from llmner.engines._types import prompt_seed
from llmner.errors import InputError
from llmner.recipes.chat import Prompt

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["checked_fields", "described_fields", "post", "request_for"]

# Fields that have an option of their own, or that an answer could not be read with.
_TAKEN = {
    "model": "name it with --model",
    "messages": "the recipe says what is asked",
    "prompt": "the recipe says what is asked",
    "stream": "answers are read whole",
    "stream_options": "answers are read whole",
}
_LIMITS = ("max_tokens", "max_completion_tokens")
# Some gateways take keys among the fields; a run's record shows none.
_SECRET = re.compile(r"(?i)(?:^|[_-])(?:(?:api)?key|token|secret|password|authorization)$")
_HIDDEN = "***"


def checked_fields(fields: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields, if they can be sent.

    >>> checked_fields({"chat_template_kwargs": {"enable_thinking": False}})
    {'chat_template_kwargs': {'enable_thinking': False}}

    Raises:
        InputError: A field is one that the engine has to fill in itself, or is no JSON.
    """
    fields = dict(fields or {})
    for name, value in fields.items():
        if name in _TAKEN and not (name == "stream" and value in (False, None)):
            raise InputError(f"the request field {name!r} cannot be set", hint=_TAKEN[name])
        try:
            json.dumps({name: value}, allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"the request field {name!r} cannot be sent ({error})") from None
    return fields


def request_for(
    prompt: Prompt,
    limit: int,
    *,
    completion: bool,
    temperature: float,
    seed: int,
    fields: Mapping[str, Any],
) -> dict[str, Any]:
    """The fields of a request, by OpenAI's first names.

    Args:
        prompt: The question.
        limit: Longest answer, in tokens. One token is asked for to find out whether there is a chat
            template, so that answer is kept to no grammar.
        completion: Whether a completion is asked for rather than a chat's answer.
        temperature: 0 for the likeliest answer.
        seed: Seed of the draws.
        fields: Fields of the user; they win, and ``None`` removes a field.
    """
    request: dict[str, Any] = {"temperature": temperature, "max_tokens": limit}
    if temperature > 0:
        request["seed"] = prompt_seed(seed, prompt)
    if completion:
        request |= {"prompt": prompt.completion, "stop": [prompt.stop], "logprobs": 1}
    else:
        turns = [{"role": turn["role"], "content": turn["content"]} for turn in prompt.messages]
        request |= {"messages": turns, "logprobs": True}
    if limit > 1:
        request |= request_body(prompt, completion=completion)
    request |= fields
    if "max_completion_tokens" in fields and "max_tokens" not in fields:
        # It is the same limit under another name, and endpoints refuse both at once.
        del request["max_tokens"]
    if limit == 1:
        request |= {name: 1 for name in _LIMITS if request.get(name) is not None}
    return {name: value for name, value in request.items() if value is not None}


async def post(client: AsyncOpenAI, model: str, request: Mapping[str, Any]) -> Any:
    """Send a request; the raw response.

    Raises:
        openai.APIError: There is no answer.
    """
    # All other fields go as they are: an endpoint may take more than OpenAI's own.
    body = dict(request)
    if "messages" not in body:
        return await client.completions.with_raw_response.create(
            model=model, prompt=body.pop("prompt"), extra_body=body
        )
    return await client.chat.completions.with_raw_response.create(
        model=model, messages=body.pop("messages"), extra_body=body
    )


def described_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of a run's record that the fields have, if there are any; it shows no key.

    >>> described_fields({"api_key": "abc", "top_k": 1})
    {'request_fields': {'api_key': '***', 'top_k': 1}}
    """
    return {"request_fields": _described("", fields)} if fields else {}


def _described(name: str, value: Any) -> Any:
    if isinstance(value, str) and _SECRET.search(name):
        return _HIDDEN
    if isinstance(value, Mapping):
        return {key: _described(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_described(name, inner) for inner in value]
    return value
