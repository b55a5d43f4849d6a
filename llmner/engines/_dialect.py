"""What an endpoint takes of a request: what it refuses is sent otherwise from then on.

Only fields without which an answer means the same are left out. Whether an error is to blame on a
single question, or ends the run, is up to ``_failures``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from llmner.engines._encoding import without_system
from llmner.engines._error_bodies import ErrorBody, StatedError, error_body, message_of

__all__ = ["Dialect", "is_about_length", "is_about_request"]

# Fields that may be left out, each with what that means to the user.
_OPTIONAL = {
    "temperature": ", so replies are drawn as the endpoint sees fit",
    "top_p": "",
    "seed": ", so the next run may draw other replies",
    "top_logprobs": "",
    "logprobs": ", so spans have no scores",
}
_LIMIT, _NEW_LIMIT = "max_tokens", "max_completion_tokens"
# Statuses of a request that is refused as it is. Some servers blame themselves (500, 501).
_STATUSES = (400, 403, 422, 500, 501)
_UNSUPPORTED = re.compile(
    r"(?i)unsupported|unrecogni[sz]ed|unknown|unexpected|deprecated|disallowed|forbidden|no longer"
    r"|incompatible|extra (?:inputs|fields)|\buse .{0,40}instead|in favou?r of|supports? only"
    r"|\bonly .{0,30}(?:default|support|allow|accept|set|valid)|obsolete|removed|replaced|renamed"
    r"|不支持|不允许|지원(?:하지|되지) 않|サポートされて(?:いない|いません)"
    r"|(?:not|n't|cannot|never)(?: currently| yet| be| to)* (?:support|allow|permit|accept|take"
    r"|implement|enable|available|defined|recogni[sz]e|compatible|applicable|exposed|use"
    r"|set|specified|request|have)"
)
_WRONG = re.compile(r"(?i)illegal|must|should|expected|positive|valid|wrong|bad")
_RANGE = re.compile(
    r"(?i)below|at (?:least|most)|minimum|maximum|between|greater|less|larger|smaller|exceed"
    r"|reached|too (?:large|small|high|low|big)|range|[<>≤≥]"
)
_LENGTH = re.compile(
    r"(?is)context.*(?:length|token|size|window)|(?:length|token).*context|max_model_len"
    r"|prompt is too long"
)
_ALTERNATE = re.compile(
    r"(?i)roles? (?:must|should|have to|need to)(?: strictly)? alternate|alternat\w* .{0,40}roles?"
    r"|roles? .{0,30}\balternat|roles? other than"
    r"|only .{0,40}\b(?:user|assistant|model)\b.{0,40}\broles?"
    r"|(?:must|should|has to|have to) (?:start|begin) with .{0,20}\buser\b"
    r"|\bfirst (?:message|turn|role).{0,40}\buser\b"
)
_SYSTEM = re.compile(
    r"(?i)\b(?:system|developer)[\s_-]*(?:role|message|prompt|instruction|turn)"
    r"|\brole\w*\b.{0,60}\b(?:system|developer)\b|\b(?:system|developer)\b.{0,40}\brole"
    r"|['\"`](?:system|developer)['\"`]"
)


class Dialect:
    """How requests to one endpoint are written. It changes with what the endpoint refuses.

    >>> dialect = Dialect(print)
    >>> sent = {"messages": [], "max_tokens": 9}
    >>> error = StatedError({"error": "Unsupported parameter: 'max_tokens'"})
    >>> dialect.adapt(error, sent, key="")
    True
    >>> dialect.written(sent)
    {'messages': [], 'max_completion_tokens': 9}

    Args:
        tell: Called with the end of a sentence about the endpoint, which tells the user what it
            refuses and what is done about it.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._left_out: set[str] = set()
        self._limit = _LIMIT
        self._has_system = True

    def written(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A request as this endpoint takes it.

        Args:
            request: The fields of the request, with OpenAI's first names.
        """
        fields = {name: value for name, value in request.items() if name not in self._left_out}
        if self._limit != _LIMIT and _LIMIT in fields:
            fields.setdefault(self._limit, fields.pop(_LIMIT))
        if "messages" in fields and not self._has_system:
            fields["messages"] = without_system(fields["messages"])
        return fields

    def adapt(self, error: BaseException | None, sent: Mapping[str, Any], key: str) -> bool:
        """Learn from a refusal; whether the request is now written otherwise.

        Args:
            error: What the endpoint answered; nothing is learnt if it is no refusal.
            sent: The request that it refused, as it was written.
            key: The key, which messages must not show.
        """
        from openai import APIStatusError

        if not isinstance(error, APIStatusError | StatedError):
            return False
        status, said, shown = error.status_code, error_body(error.body), message_of(error, key)
        if status not in _STATUSES or is_about_length(said.message):
            return False
        if status >= 500 and not is_about_request(said):
            return False
        changed = False
        if _LIMIT in sent and _NEW_LIMIT not in sent and _refuses_limit(said):
            self._limit = _NEW_LIMIT
            changed = True
        for name in _refused(said, sent):
            changed = True
            if name not in self._left_out:
                self._left_out.add(name)
                self._tell(f"refuses {name} ({shown}); it is left out{_OPTIONAL[name]}")
        turns = sent.get("messages", ())
        has_system = any(turn["role"] == "system" for turn in turns)
        # A role that has no rights (403) is not one of a conversation.
        if has_system and status != 403 and _refuses_system(said):
            changed = True
            if self._has_system:
                self._has_system = False
                self._tell(
                    f"refuses system turns ({shown}); the instruction is in the user's first"
                )
        return changed


def is_about_length(message: str) -> bool:
    """Whether an endpoint says that question and answer do not fit into the model's context.

    >>> is_about_length("This model's maximum context length is 4096 tokens.")
    True
    """
    return _LENGTH.search(message) is not None


def is_about_request(said: ErrorBody) -> bool:
    """Whether an endpoint blames what was sent, whatever its status is.

    >>> is_about_request(ErrorBody("Jinja Exception: System role not supported"))
    True
    """
    if _ALTERNATE.search(said.message):
        return True
    names = (*_OPTIONAL, _LIMIT)
    is_named = any(_is_named(name, said) for name in names) or _SYSTEM.search(said.message)
    return bool(is_named) and _UNSUPPORTED.search(said.message) is not None


def _is_named(name: str, said: ErrorBody) -> bool:
    if name == "logprobs":
        pattern = r"log[ _-]?prob"
    else:
        pattern = rf"(?<![a-z0-9_]){name.replace('_', '[ _-]?')}(?![a-z0-9_])"
    return re.search(pattern, f"{said.field}\n{said.message}", re.IGNORECASE) is not None


def _refuses_limit(said: ErrorBody) -> bool:
    """Whether the token limit has a name that the endpoint does not take."""
    if not _is_named(_LIMIT, said) and not _is_named(_NEW_LIMIT, said):
        return False
    if _UNSUPPORTED.search(f"{said.message} {said.code}"):
        return True
    return not _RANGE.search(said.message) and (
        _NEW_LIMIT in said.message or _WRONG.search(said.message) is not None
    )


def _refused(said: ErrorBody, sent: Mapping[str, Any]) -> Iterable[str]:
    """The optional fields of a request that the endpoint does not take."""
    unsupported = _UNSUPPORTED.search(f"{said.message} {said.code}") is not None
    wrong = unsupported or _WRONG.search(said.message) is not None
    in_range = _RANGE.search(said.message) is None
    for name in _OPTIONAL:
        if name not in sent or not _is_named(name, said):
            continue
        # A value that the user chose and that is out of range is told; a default of ours is not
        # worth an error.
        is_default = name not in ("temperature", "top_p") or sent[name] == 0
        if name == "logprobs" or unsupported or (wrong and (is_default or in_range)):
            yield name


def _refuses_system(said: ErrorBody) -> bool:
    if _ALTERNATE.search(said.message):
        return True
    is_wrong = _UNSUPPORTED.search(f"{said.message} {said.code}") or _WRONG.search(said.message)
    about = f"{said.message} {said.field}"
    is_about_roles = _SYSTEM.search(about) or re.search(r"(?i)\broles?\b", about)
    return bool(is_wrong and is_about_roles)
