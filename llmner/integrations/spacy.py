"""A component for spaCy's pipelines: ``nlp.add_pipe("llmner")``.

spaCy finds it by the package's entry point. It asks whatever :func:`llmner.extract` can ask.
Entities are spans of tokens there, and characters here: where no token begins or ends with an
entity (손흥민은 is one token), the entity is kept in a span group of its own and told, or its
tokens are split.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import filter_spans

from llmner.asking.one_call import extract
from llmner.errors import InputError

if TYPE_CHECKING:
    from llmner.extraction import Extraction

__all__ = ["UNALIGNED", "EntityExtractor", "make_extractor"]

UNALIGNED = "llmner_unaligned"
"""The span group of entities that no tokens hold, each grown to the tokens around it."""
_DATA = "llmner"


class EntityExtractor:
    """Finds entities in documents, and sets ``doc.ents``.

    ``doc.user_data["llmner"]`` has the row of :meth:`llmner.extraction.Extraction.row`, with exact
    offsets, scores and outcomes. Entities that the document has already stay where none of these
    overlaps them.

    Args:
        name: The component's name, for warnings.
        split_tokens: Split tokens at the edges of entities, so that all of them fit.
        asked: The arguments of :func:`llmner.extract`.

    Raises:
        InputError: An argument does not exist, or has no such value.
    """

    def __init__(self, name: str, *, split_tokens: bool = False, **asked: Any) -> None:
        self.name = name
        self.split_tokens = split_tokens
        self._asked = {key: value for key, value in asked.items() if value is not None}

    def __call__(self, doc: Doc) -> Doc:
        """Find the entities of one document."""
        return next(self.pipe([doc], batch_size=1))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 32) -> Iterator[Doc]:
        """Find the entities of documents, so many at a time.

        Raises:
            GenerationError: The model cannot be loaded, or the endpoint does not answer.
        """
        docs = iter(stream)
        while batch := list(islice(docs, max(1, batch_size))):
            found = extract([doc.text for doc in batch], **self._asked)
            for doc, extraction in zip(batch, found, strict=True):
                yield self._set(doc, extraction)

    def _set(self, doc: Doc, extraction: Extraction) -> Doc:
        doc.user_data[_DATA] = extraction.row()
        if extraction.reply.error is not None:
            warnings.warn(f"{self.name}: no answer: {extraction.reply.error}", stacklevel=3)
        if self.split_tokens:
            _split(doc, {edge for span in extraction.spans for edge in (span.start, span.end)})
        entities, unaligned = [], []
        for span in extraction.spans:
            held = doc.char_span(span.start, span.end, label=span.label)
            if held is not None:
                entities.append(held)
                continue
            grown = doc.char_span(span.start, span.end, label=span.label, alignment_mode="expand")
            if grown is not None:
                unaligned.append(grown)
        if unaligned:
            doc.spans[UNALIGNED] = unaligned
            first = unaligned[0]
            warnings.warn(
                f"{self.name}: no tokens hold {len(unaligned)} of {len(extraction.spans)} entities "
                f"(first: in {first.text!r}); they are in doc.spans[{UNALIGNED!r}], and "
                "split_tokens=True makes room for them",
                stacklevel=3,
            )
        # Of spans that overlap, the longest stays; ours come first among equals.
        taken = {token for entity in entities for token in range(entity.start, entity.end)}
        others = [own for own in doc.ents if not taken & set(range(own.start, own.end))]
        doc.ents = filter_spans([*entities, *others])
        return doc


def _split(doc: Doc, edges: set[int]) -> None:
    """Split tokens where an entity begins or ends inside them."""
    with doc.retokenize() as retokenizer:
        for token in doc:
            inside = sorted(edge - token.idx for edge in edges if 0 < edge - token.idx < len(token))
            if not inside:
                continue
            cuts = [0, *inside, len(token)]
            parts = [token.text[start:end] for start, end in pairwise(cuts)]
            # Each part hangs on the first one, which keeps the token's own head.
            heads: list[Any] = [(token, 0)] * len(parts)
            retokenizer.split(token, parts, heads=heads)


@Language.factory(  # type: ignore[untyped-decorator]
    "llmner",
    assigns=["doc.ents", "doc.spans", "doc.user_data"],
    default_config={
        "labels": None,
        "recipe": None,
        "engine": None,
        "model": None,
        "base_url": None,
        "split_tokens": False,
        "options": {},
    },
)
def make_extractor(
    nlp: Language,
    name: str,
    labels: Any,
    recipe: str | None,
    engine: str | None,
    model: str | None,
    base_url: str | None,
    split_tokens: bool,
    options: dict[str, Any],
) -> Callable[[Doc], Doc]:
    """The factory of the component.

    Args:
        nlp: The pipeline.
        name: The component's name.
        labels: As of :func:`llmner.extract`: a list, or what each means by label.
        recipe: As of :func:`llmner.extract`.
        engine: As of :func:`llmner.extract`.
        model: As of :func:`llmner.extract`.
        base_url: As of :func:`llmner.extract`.
        split_tokens: Split tokens at the edges of entities.
        options: Further options of :func:`llmner.extract`, such as ``{"grounded": True}``.

    Raises:
        InputError: An option is given twice.

    >>> import spacy  # doctest: +SKIP
    >>> nlp = spacy.blank("xx")  # doctest: +SKIP
    >>> _ = nlp.add_pipe("llmner", config={"split_tokens": True})  # doctest: +SKIP
    >>> [(ent.text, ent.label_) for ent in nlp("손흥민은 춘천에서").ents]  # doctest: +SKIP
    [('손흥민', 'PS'), ('춘천', 'LC')]
    """
    asked = {
        "labels": labels,
        "recipe": recipe,
        "engine": engine,
        "model": model,
        "base_url": base_url,
    }
    twice = sorted(set(asked) & set(options))
    if twice:
        raise InputError(f"options names {twice[0]}, which has a place of its own")
    return EntityExtractor(name, split_tokens=split_tokens, **asked, **options)
