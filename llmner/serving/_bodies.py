"""Validates request bodies, and answers projections.

These are plain functions of bytes. The server calls them in its event loop for short requests, and
in another process for long ones (``_workers``). They know neither HTTP nor queues.
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

__all__ = [
    "ProjectionResult",
    "choose",
    "is_short",
    "json_bytes",
    "markup_of",
    "project_request",
    "validate",
]

_M = TypeVar("_M", bound=BaseModel)
_T = TypeVar("_T")

# The largest short projection: characters of text and reply together, their product, and labels of
# the request's own. It takes some hundredths of a second at worst.
_SHORT_CHARACTERS = 4_000
_SHORT_PRODUCT = 100_000
_SHORT_LABELS = 50
# Lengths count as at least this in the product. Otherwise an empty text would make a long reply
# short, and the other way round.
_LEAST_LENGTH = 100

# Fewest bytes of a span and of an outcome in an answer.
_SPAN_BYTES = len('{"start":0,"end":0,"label":""},')
_OUTCOME_BYTES = len(
    '{"label":"","text":"","kind":"exact","start":0,"end":0,"similarity":1.0,"reason":""},'
)


@dataclass(frozen=True, slots=True)
class ProjectionResult:
    """The answer to a projection, and what the server counts and logs of it.

    Attributes:
        body: The answer, JSON.
        status: How the reply could be read.
        outcomes: Number of mentions by kind of outcome.
        text: The text, for the log.
        reply: The reply, for the log.
    """

    body: bytes
    status: str
    outcomes: Mapping[str, int]
    text: str
    reply: str


def validate(model: type[_M], body: bytes) -> _M:
    """Parse and validate a request's body. FastAPI's own way takes as long as a projection.

    Raises:
        RefusalError: The body is no JSON, or does not fit the model. The error names the wrong
            fields and never quotes their values.
    """
    try:
        request = model.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        raise _invalid([(_field(one["loc"]), one["msg"]) for one in problems]) from None
    if request.model_extra:
        unknown = islice(request.model_extra, 100)
        raise _invalid([(name[:60], "Extra inputs are not permitted") for name in unknown])
    return request


def _invalid(fields: list[tuple[str, str]]) -> RefusalError:
    message = "; ".join(f"{name}: {problem}" for name, problem in fields[:5])
    return RefusalError(422, "invalid", message, fields=fields[:100])


# How pydantic names the alternatives of a union.
_UNIONS = ("str", "list[", "dict[")


def _field(location: tuple[int | str, ...]) -> str:
    """A field as clients know it: ``texts.0``, without what pydantic adds about unions."""
    parts = [str(part)[:60] for part in location]
    return ".".join(part for part in parts if not part.startswith(_UNIONS)) or "body"


def choose(recipes: Mapping[str, _T], name: str | None, default: str) -> _T:
    """The recipe (or the labels of the recipe) that a request names.

    Args:
        recipes: What there is, by name.
        name: The name in the request, if any.
        default: The name to use otherwise.

    Raises:
        RefusalError: There is no recipe of that name.
    """
    if name is None:
        return recipes[default]
    if name not in recipes:
        names = ", ".join(recipes)
        message = f"no recipe is called {name[:60]!r}; expected one of {names}"
        raise RefusalError(422, "invalid", message, fields=[("recipe", f"expected one of {names}")])
    return recipes[name]


def is_short(request: ProjectRequest) -> bool:
    """Whether a projection is so little work that it may run in the event loop."""
    text, reply = len(request.text), len(request.reply)
    return (
        text + reply <= _SHORT_CHARACTERS
        and max(text, _LEAST_LENGTH) * max(reply, _LEAST_LENGTH) <= _SHORT_PRODUCT
        and len(request.labels or ()) <= _SHORT_LABELS
    )


def project_request(
    request: ProjectRequest,
    schemas: Mapping[str, LabelSchema],
    default: str,
    budget: Budget,
    limit: int,
) -> ProjectionResult:
    """Project a reply onto its text.

    Args:
        request: The request.
        schemas: Labels by the name of their recipe.
        default: The recipe of a request that names none.
        budget: Steps that the projection may take.
        limit: Largest answer, in bytes.

    Raises:
        RefusalError: The labels are wrong, the recipe does not exist, or the answer is too long.
        WorkLimitError: The projection takes more steps.
    """
    schema = (
        None
        if request.any_label
        else _own_labels(request) or choose(schemas, request.recipe, default)
    )
    projection = project_reply(
        request.text,
        request.reply,
        schema,
        request.reply_format,
        budget=budget,
        particles=request.particles,
        fuzzy=request.fuzzy,
        repeats=request.repeats,
    )
    # Checked before the rows are made, which take many times their bytes.
    _check_answer(_least_bytes(projection, request.reply), limit)
    row = projection_row(None, projection, request.reply)
    row.pop("id")
    body = json_bytes(row | {"markup": markup_of(projection)})
    _check_answer(len(body), limit)
    return ProjectionResult(
        body,
        "" if projection.reply is None else projection.reply.status,
        Counter(outcome.kind for outcome in projection.outcomes),
        request.text,
        request.reply,
    )


def _least_bytes(projection: Projection, reply: str) -> int:
    """A lower bound of the answer's size in bytes, given that a character has at least one."""
    spans = len(projection.spans)
    size = len(projection.text) + len(reply) + _SPAN_BYTES * spans
    for outcome in projection.outcomes:
        size += _OUTCOME_BYTES + len(outcome.mention.text) + _SPAN_BYTES * len(outcome.repeats)
    return size


def _check_answer(size: int, limit: int) -> None:
    """Check that an answer is not too long.

    Raises:
        RefusalError: It is.
    """
    if size > limit:
        message = f"the answer would have more than {limit} bytes; send less at once"
        raise RefusalError(422, "too_much", message)


def _own_labels(request: ProjectRequest) -> LabelSchema | None:
    """The label set that a request brings, if it brings one.

    Raises:
        RefusalError: It is not a label set.
    """
    if request.labels is None:
        return None
    try:
        return LabelSchema.of(*request.labels)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise _invalid([("labels", first["msg"][:200])]) from None


def json_bytes(value: object) -> bytes:
    """A value as JSON."""
    try:
        # Several times as fast as the standard library.
        return to_json(value)
    except PydanticSerializationError:
        # A model may reply with half a surrogate pair, which UTF-8 cannot encode.
        return dump_json(value)


def markup_of(projection: Projection) -> str | None:
    """The text with its entities marked; ``None`` if markup cannot express one of the labels."""
    try:
        return render_markup(projection.text, projection.spans)
    except MarkupError:
        return None
