"""``llmner.extract`` and ``llmner.aextract``: one call from texts to entities."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence, Sized
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from llmner._unicode import is_invisible
from llmner.asking.building import (
    GLANCE,
    build,
    build_baseline,
    check_model_for_labels,
    language_of,
    prepare,
)
from llmner.asking.options import AskOptions, is_baseline
from llmner.errors import InputError
from llmner.spans import Sentence

if TYPE_CHECKING:
    from llmner.extraction import Extraction, SpanExtractor
    from llmner.recipes import Recipe
    from llmner.schema import Label, LabelSchema

    Labels = Sequence[str | Label] | Mapping[str, str] | LabelSchema | str

__all__ = ["AskFields", "aextract", "extract"]

# Extractors that are kept: a model is loaded once for all calls with the same options.
_KEPT = 4
_kept: OrderedDict[str, SpanExtractor] = OrderedDict()
_lock = threading.Lock()


class AskFields(TypedDict, total=False):
    """The options of :func:`extract` by name; ``AskOptions`` says what each does."""

    reply_format: str | None
    language: str | None
    adapter: str | None
    replies: Path | None
    request_fields: dict[str, Any] | None
    concurrency: int
    batch_size: int | None
    max_model_len: int | None
    gpu_memory_utilization: float | None
    device: str
    dtype: str
    quantization: str | None
    trust_remote_code: bool
    max_new_tokens: int
    temperature: float | None
    samples: int
    passes: int
    grounded: bool | None
    json_schema: bool
    window: int | None
    overlap: int | None
    min_score: float | None
    calibration: Path | None
    particles: Literal["auto", "keep", "trim"]
    fuzzy: float
    repeats: Literal["listed", "all"]


@overload
def extract(  # type: ignore[overload-overlap]
    texts: str | Sentence,
    labels: Labels | None = None,
    *,
    recipe: str | Recipe | None = None,
    engine: str | None = None,
    model: str | None = None,
    base_url: str | None = None,
    progress: bool = False,
    **options: Unpack[AskFields],
) -> Extraction: ...


@overload
def extract(  # type: ignore[overload-overlap]
    texts: list[str] | list[Sentence] | tuple[str | Sentence, ...],
    labels: Labels | None = None,
    *,
    recipe: str | Recipe | None = None,
    engine: str | None = None,
    model: str | None = None,
    base_url: str | None = None,
    progress: bool = False,
    **options: Unpack[AskFields],
) -> list[Extraction]: ...


@overload
def extract(
    texts: Iterable[str | Sentence],
    labels: Labels | None = None,
    *,
    recipe: str | Recipe | None = None,
    engine: str | None = None,
    model: str | None = None,
    base_url: str | None = None,
    progress: bool = False,
    **options: Unpack[AskFields],
) -> Iterator[Extraction]: ...


def extract(
    texts: str | Sentence | Iterable[str | Sentence],
    labels: Labels | None = None,
    *,
    recipe: str | Recipe | None = None,
    engine: str | None = None,
    model: str | None = None,
    base_url: str | None = None,
    progress: bool = False,
    **options: Unpack[AskFields],
) -> Extraction | list[Extraction] | Iterator[Extraction]:
    """Extract entities from a text, from a list of texts, or from a stream of them.

    Without labels and recipe the model in the box finds KLUE-NER's six. A model is loaded at the
    first call, and kept for later ones with the same options.

    Args:
        texts: One text, a list of texts, or any other iterable, which is read as it is needed.
        labels: What to find: ``["PERSON", "PLACE"]``, or with what each means:
            ``{"PRODUCT": "names of goods"}``. :class:`~llmner.schema.Label` objects and a
            :class:`~llmner.schema.LabelSchema` will do, too.
        recipe: A built-in recipe, a YAML file or a :class:`~llmner.recipes.Recipe`, in place of
            labels.
        engine: ``transformers``, ``vllm``, ``openai`` (any OpenAI-compatible endpoint) or
            ``baseline:FOLDER``; by default ``openai`` with a ``base_url``, else ``transformers``.
        model: The model's name or folder.
        base_url: Address of an endpoint, ending in ``/v1``.
        progress: Whether a bar on standard error shows how many texts are done.
        **options: Any other option of :class:`llmner.asking.AskOptions`.

    Returns:
        One extraction of one text, a list of those of a list, an iterator for any other iterable.
        A text without an answer has ``reply.error``.

    Raises:
        InputError: An option does not exist, has no such value, or excludes another; or something
            is no text or no label.
        GenerationError: The model cannot be loaded, or the endpoint does not answer.
        MissingExtraError: The engine's libraries are not installed.

    >>> doc = extract("손흥민은 춘천에서 태어났다.")  # doctest: +SKIP
    >>> [(span.text, span.label) for span in doc.spans]  # doctest: +SKIP
    [('손흥민', 'PS'), ('춘천', 'LC')]
    """
    single = isinstance(texts, str | Sentence)
    stream = _extractions(
        [texts] if isinstance(texts, str | Sentence) else texts,
        progress=progress and not single,
        labels=labels,
        recipe=recipe,
        engine=engine,
        model=model,
        base_url=base_url,
        **options,
    )
    if single:
        return next(stream)
    return list(stream) if isinstance(texts, list | tuple) else stream


async def aextract(
    texts: str | Sentence | Iterable[str | Sentence],
    labels: Labels | None = None,
    *,
    recipe: str | Recipe | None = None,
    engine: str | None = None,
    model: str | None = None,
    base_url: str | None = None,
    **options: Unpack[AskFields],
) -> AsyncIterator[Extraction]:
    """Extract as :func:`extract` does, without holding up the event loop.

    Args:
        texts: One text, or any iterable of texts.
        labels: As of :func:`extract`, and so are all others; there is no ``progress``.
        recipe: A recipe.
        engine: An engine.
        model: A model.
        base_url: An endpoint.
        **options: Other options.

    Yields:
        The extractions, in the order of the texts.

    Raises:
        InputError: As of :func:`extract`.
        GenerationError: As of :func:`extract`.
        MissingExtraError: As of :func:`extract`.

    >>> async def names(texts: list[str]) -> list[str]:
    ...     return [span.text async for doc in aextract(texts) for span in doc.spans]
    """
    import asyncio

    stream = _extractions(
        [texts] if isinstance(texts, str | Sentence) else texts,
        progress=False,
        labels=labels,
        recipe=recipe,
        engine=engine,
        model=model,
        base_url=base_url,
        **options,
    )
    while (extraction := await asyncio.to_thread(next, stream, None)) is not None:
        yield extraction


def _extractions(
    texts: Iterable[str | Sentence], *, progress: bool, **asked: Any
) -> Iterator[Extraction]:
    """The extractions of texts; the first text says in which language labels are asked for."""
    given = {name: value for name, value in asked.items() if value is not None}
    waiting = _checked(texts)
    if given.get("labels") is not None and "language" not in given:
        glance: list[str | Sentence] = []
        for text in islice(waiting, GLANCE):
            glance.append(text)
            if not is_invisible(_text(text)):
                break
        waiting = chain(glance, waiting)
        given["language"] = language_of(map(_text, glance))
    has_labels = "labels" in given
    recipe = _recipe(given)
    options = AskOptions.of(**given)
    if has_labels and recipe is not None:
        check_model_for_labels(options)
    extractor = _extractor(options, recipe)
    extractions = extractor.extract(waiting)
    return _shown(extractions, texts) if progress else extractions


def _recipe(given: dict[str, Any]) -> Recipe | None:
    """The recipe that is given as an object, or is made of labels that are; they are taken out.

    Raises:
        InputError: There are both, or there is no prompt for such labels.
    """
    from llmner.recipes import Recipe
    from llmner.schema import Label, LabelSchema

    labels = given.get("labels")
    if labels is not None and "recipe" in given:
        raise InputError("labels and a recipe are two questions", hint="give one of them")
    if isinstance(given.get("recipe"), Recipe):
        recipe: Recipe = given.pop("recipe")
        return recipe
    if isinstance(labels, Iterable) and not isinstance(labels, str | bytes | Mapping | LabelSchema):
        labels = given["labels"] = list(labels)
    has_objects = isinstance(labels, list) and any(isinstance(own, Label) for own in labels)
    if has_objects or isinstance(labels, LabelSchema | Label):
        objects = given.pop("labels")
        objects = [objects] if isinstance(objects, Label) else objects
        return Recipe.of(objects, language=given["language"])
    return None


def _checked(texts: Iterable[str | Sentence]) -> Iterator[str | Sentence]:
    """The texts, if they are some.

    Raises:
        InputError: They are not, or one of them is no text.
    """
    if isinstance(texts, bytes | Mapping) or not isinstance(texts, Iterable):
        raise InputError(
            f"texts: {texts!r:.60} is no text", hint="expected a text, or an iterable of texts"
        )

    def each() -> Iterator[str | Sentence]:
        for number, text in enumerate(texts):
            if not isinstance(text, str | Sentence):
                raise InputError(
                    f"texts[{number}]: {text!r:.60} is no text", hint="expected a str or a Sentence"
                )
            yield text

    return each()


def _text(text: str | Sentence) -> str:
    return text if isinstance(text, str) else text.text


def _extractor(options: AskOptions, recipe: Recipe | None) -> SpanExtractor:
    """An extractor with these options; that of an earlier call, if there is one."""
    key = repr((options, None if recipe is None else recipe.model_dump_json()))
    with _lock:
        extractor = _kept.pop(key, None)
        if extractor is None and is_baseline(options.engine.engine):
            given = [*options.given(), *([] if recipe is None else ["recipe"])]
            extractor = build_baseline(options, given=given)
        elif extractor is None:
            extractor = build(prepare(options, recipe=recipe))
        _kept[key] = extractor
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
    return extractor


def _shown(
    extractions: Iterator[Extraction], texts: Iterable[str | Sentence]
) -> Iterator[Extraction]:
    """The same, with a bar on standard error."""
    from rich.console import Console
    from rich.progress import Progress

    total = len(texts) if isinstance(texts, Sized) else None
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("extracting", total=total)
        for extraction in extractions:
            bar.advance(task)
            yield extraction
