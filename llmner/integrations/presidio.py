"""A recogniser for Presidio, which finds and masks personal data.

``presidio-analyzer`` wants a spaCy pipeline for words and lemmas; :func:`blank_pipeline` is one
without a model, so that nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import spacy
from presidio_analyzer import AnalysisExplanation, EntityRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts, SpacyNlpEngine

from llmner.asking.one_call import extract
from llmner.errors import GenerationError, InputError
from llmner.languages import meaning_of
from llmner.recipes import Recipe
from llmner.schema import LabelSchema, as_schema

__all__ = ["LlmnerRecognizer", "blank_pipeline"]

_ENTITIES = {
    "person": "PERSON",
    "place": "LOCATION",
    "organisation": "ORGANIZATION",
    "date": "DATE_TIME",
    "time": "DATE_TIME",
}
# What an engine without probabilities is worth. Presidio's own recogniser of spaCy has 0.85.
_UNSCORED = 0.85


class LlmnerRecognizer(EntityRecognizer):  # type: ignore[misc]
    """Finds entities for Presidio's analyzer.

    Args:
        labels: As of :func:`llmner.extract`.
        recipe: As of :func:`llmner.extract`; without labels and recipe, KLUE-NER's six.
        entities: Presidio's name of each label, for those that have another than their meaning
            gives: labels of people are ``PERSON``, of places ``LOCATION``, of organisations
            ``ORGANIZATION``, of dates and times ``DATE_TIME``, others are named as they are.
        language: The language that the analyzer is asked about.
        name: The recogniser's name.
        **asked: Other arguments of :func:`llmner.extract`, such as ``model`` and ``base_url``.

    Raises:
        InputError: Labels that are none, or a recipe that does not exist.

    >>> found = LlmnerRecognizer(language="ko")  # doctest: +SKIP
    >>> [result.entity_type for result in found.analyze("손흥민은 춘천에서", [])]  # doctest: +SKIP
    ['PERSON', 'LOCATION']
    """

    def __init__(
        self,
        *,
        labels: Any = None,
        recipe: str | Recipe | None = None,
        entities: Mapping[str, str] | None = None,
        language: str = "ko",
        name: str = "llmner",
        **asked: Any,
    ) -> None:
        codes = _schema(labels, recipe).codes
        unknown = sorted(set(entities or {}) - set(codes))
        if unknown:
            raise InputError(f"entities names {unknown[0]!r}, which is no label")
        self._names = {code: _entity(code) for code in codes} | dict(entities or {})
        self._asked = asked | {"labels": labels, "recipe": recipe}
        super().__init__(
            supported_entities=list(dict.fromkeys(self._names.values())),
            name=name,
            supported_language=language,
        )

    def load(self) -> None:
        """Nothing: the model is loaded at the first text."""

    def analyze(
        self, text: str, entities: Sequence[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        """The entities of a text that are asked for; all of them if none are named.

        Raises:
            GenerationError: The text has no answer. A text without results would pass as clean.
        """
        extraction = extract(text, **{k: v for k, v in self._asked.items() if v is not None})
        if extraction.reply.error is not None:
            raise GenerationError(f"{self.name}: no answer to a text: {extraction.reply.error}")
        results = []
        for span in extraction.spans:
            entity = self._names.get(span.label, span.label)
            if entities and entity not in entities:
                continue
            score = _UNSCORED if span.score is None else span.score
            explanation = AnalysisExplanation(
                recognizer=self.name, original_score=score, textual_explanation=span.label
            )
            results.append(RecognizerResult(entity, span.start, span.end, score, explanation))
        return results


def _schema(labels: Any, recipe: str | Recipe | None) -> LabelSchema:
    if labels is not None:
        schema = as_schema(labels)
        assert schema is not None
        return schema
    own = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe or "klue")
    return own.schema_


def _entity(code: str) -> str:
    meaning = meaning_of(code.casefold())
    return _ENTITIES.get(meaning or "", code)


def blank_pipeline(language: str = "ko") -> SpacyNlpEngine:
    """An engine for Presidio's analyzer that cuts texts into words and loads no model.

    Args:
        language: The language that the analyzer is asked about.

    >>> blank_pipeline("ko").is_loaded()  # doctest: +SKIP
    True
    """

    class _Blank(SpacyNlpEngine):  # type: ignore[misc]
        def load(self) -> None:
            self.nlp = {language: spacy.blank("xx")}

    engine = _Blank(models=[{"lang_code": language, "model_name": "blank"}])
    engine.load()
    return engine
