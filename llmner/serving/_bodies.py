"""Bodies of requests, checked; and what a projection's body is answered with.

Plain functions of bytes, which run in the server's loop for what is short and in a process of their
own for what is not (``_apart``). They know neither HTTP nor queues.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from llmner.errors import MarkupError
from llmner.extraction.rows import projection_row
from llmner.files import dump_json
from llmner.markup import render_markup
from llmner.projection import Budget, Projection, project_reply
from llmner.schema import LabelSchema
from llmner.serving._refusals import RefusalError
from llmner.serving._schemas import ProjectRequest

__all__ = ["Projected", "checked", "is_short", "json_bytes", "markup_of", "named", "projected"]

_M = TypeVar("_M", bound=BaseModel)
_T = TypeVar("_T")

# What a short projection has at most: characters of text and reply, their product, labels of its
# own. It takes some hundredths of a second at worst.
_CHARACTERS = 4_000
_PRODUCT = 100_000
_LABELS = 50
# An empty text does not make a long reply short, nor the other way round.
_LEAST = 100

# Bytes of a span and of an outcome in an answer, whatever stands in them.
_SPAN = len('{"start":0,"end":0,"label":""},')
_OUTCOME = len(
    '{"label":"","text":"","kind":"exact","start":0,"end":0,"similarity":1.0,"reason":""},'
)


@dataclass(frozen=True, slots=True)
class Projected:
    """A projection as it is answered, and what is counted of it.

    Attributes:
        body: The answer, JSON.
        status: How the reply could be read.
        outcomes: Mentions by what became of them.
        logged: Text and reply.
    """

    body: bytes
    status: str
    outcomes: Mapping[str, int]
    logged: tuple[str, str]


def checked(model: type[_M], body: bytes) -> _M:
    """A body, checked. FastAPI's own way takes as long as a projection.

    Raises:
        RefusalError: It is no JSON, or not what it should be; fields are named, their values are
            not.
    """
    try:
        asked = model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        raise _invalid([(_field(one["loc"]), one["msg"]) for one in found]) from None
    if asked.model_extra:
        unknown = islice(asked.model_extra, 100)
        raise _invalid([(name[:60], "Extra inputs are not permitted") for name in unknown])
    return asked


def _invalid(fields: list[tuple[str, str]]) -> RefusalError:
    told = "; ".join(f"{name}: {message}" for name, message in fields[:5])
    return RefusalError(422, "invalid", told, fields=fields[:100])


def _field(place: tuple[int | str, ...]) -> str:
    """Where in the request: ``texts.0``; what pydantic adds about unions is left out."""
    return ".".join(str(part) for part in place if part not in ("str", "list[str]")) or "body"


def named(found: Mapping[str, _T], name: str | None, default: str) -> _T:
    """What a request chooses by name: a recipe, or its labels.

    Raises:
        RefusalError: There is none of that name.
    """
    if name is None:
        return found[default]
    if name not in found:
        known = ", ".join(found)
        message = f"no recipe is called {name[:60]!r}; expected one of {known}"
        raise RefusalError(422, "invalid", message, fields=[("recipe", f"expected one of {known}")])
    return found[name]


def is_short(asked: ProjectRequest) -> bool:
    """Whether a projection need not leave the event loop, whatever stands in it."""
    text, reply = len(asked.text), len(asked.reply)
    return (
        text + reply <= _CHARACTERS
        and max(text, _LEAST) * max(reply, _LEAST) <= _PRODUCT
        and len(asked.labels or ()) <= _LABELS
    )


def projected(
    asked: ProjectRequest,
    schemas: Mapping[str, LabelSchema],
    default: str,
    budget: Budget,
    answer: int,
) -> Projected:
    """A reply of any model, projected onto its text.

    Args:
        asked: The request.
        schemas: Labels by the recipe that they are of.
        default: The recipe of a request that names none.
        budget: Steps that it may take.
        answer: Bytes that its answer may have.

    Raises:
        RefusalError: Labels that are none, a recipe that does not exist, or a longer answer.
        WorkLimitError: It takes more steps.
    """
    schema = None if asked.any_label else own_labels(asked) or named(schemas, asked.recipe, default)
    projection = project_reply(
        asked.text,
        asked.reply,
        schema,
        asked.reply_format,
        budget=budget,
        particles=asked.particles,
        fuzzy=asked.fuzzy,
        repeats=asked.repeats,
    )
    # Before rows are made: they take many times their bytes.
    _check_answer(_least(projection, asked.reply), answer)
    row = projection_row(None, projection, asked.reply)
    row.pop("id")
    body = json_bytes(row | {"markup": markup_of(projection)})
    _check_answer(len(body), answer)
    return Projected(
        body,
        "" if projection.reply is None else projection.reply.status,
        Counter(outcome.kind for outcome in projection.outcomes),
        (asked.text, asked.reply),
    )


def _least(projection: Projection, reply: str) -> int:
    """Bytes that the answer has at least: a character has one or more."""
    spans = len(projection.spans)
    size = len(projection.text) + len(reply) + _SPAN * spans
    for outcome in projection.outcomes:
        size += _OUTCOME + len(outcome.mention.text) + _SPAN * len(outcome.repeats)
    return size


def _check_answer(size: int, limit: int) -> None:
    """See that an answer is not too long.

    Raises:
        RefusalError: It is.
    """
    if size > limit:
        message = f"the answer would have more than {limit} bytes; send less at once"
        raise RefusalError(422, "too_much", message)


def own_labels(asked: ProjectRequest) -> LabelSchema | None:
    """The label set that a request brings.

    Raises:
        RefusalError: It is none.
    """
    if asked.labels is None:
        return None
    try:
        return LabelSchema.of(*asked.labels)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise _invalid([("labels", first["msg"][:200])]) from None


def json_bytes(value: object) -> bytes:
    """JSON of an answer."""
    try:
        # Several times as fast as the standard library's.
        return to_json(value)
    except PydanticSerializationError:
        # A model may have replied with half a surrogate pair, which UTF-8 lacks.
        return dump_json(value)


def markup_of(projection: Projection) -> str | None:
    """The text with its entities marked; ``None`` where markup cannot hold a label."""
    try:
        return render_markup(projection.text, projection.spans)
    except MarkupError:
        return None
