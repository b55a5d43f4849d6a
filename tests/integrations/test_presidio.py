"""llmner as a recogniser of Presidio, with Presidio itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("presidio_analyzer", reason='needs pip install "llmner[presidio]"')
pytest.importorskip("openai", reason='needs pip install "llmner[openai]"')
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry

from llmner.errors import GenerationError, InputError
from llmner.integrations.presidio import LlmnerRecognizer, blank_pipeline
from tests.engines.endpoint import Endpoint, serving
from tests.first_hour.test_first_calls import answer


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with serving(Endpoint(answer=answer, models=("m",))) as server:
        yield server


def analyzer(recognizer: LlmnerRecognizer, language: str) -> AnalyzerEngine:
    registry = RecognizerRegistry(supported_languages=[language])
    registry.add_recognizer(recognizer)
    return AnalyzerEngine(
        registry=registry, nlp_engine=blank_pipeline(language), supported_languages=[language]
    )


def test_an_analyzer_finds_people_and_places_without_a_download(endpoint: Endpoint) -> None:
    own = LlmnerRecognizer(labels=["PERSON", "PLACE"], base_url=endpoint.url, model="m")
    assert own.supported_entities == ["PERSON", "LOCATION"]
    engine = analyzer(own, "ko")
    text = "손흥민은 춘천에서 태어났다."
    found = engine.analyze(text, language="ko")
    shown = sorted((text[one.start : one.end], one.entity_type) for one in found)
    assert shown == [("손흥민", "PERSON"), ("춘천", "LOCATION")]
    assert all(one.score == 0.85 for one in found)
    only = engine.analyze(text, language="ko", entities=["PERSON"])
    assert [one.entity_type for one in only] == ["PERSON"]


def test_labels_have_presidios_names_or_those_that_are_given(endpoint: Endpoint) -> None:
    assert LlmnerRecognizer().supported_entities == [
        "PERSON", "LOCATION", "ORGANIZATION", "DATE_TIME", "QT",
    ]  # fmt: skip
    own = LlmnerRecognizer(
        labels={"PERSON": "people", "PLACE": ""},
        entities={"PLACE": "CITY"},
        language="en",
        base_url=endpoint.url,
        model="m",
    )
    found = analyzer(own, "en").analyze("Ines flew to Tallinn.", language="en")
    assert {one.entity_type for one in found} == {"PERSON", "CITY"}
    with pytest.raises(InputError, match="'CITY', which is no label"):
        LlmnerRecognizer(labels=["PLACE"], entities={"CITY": "X"})


def test_a_text_without_an_answer_does_not_pass_as_clean() -> None:
    refusing = Endpoint(answer=answer, models=("m",), faults=lambda *_: {"status": 400})
    with serving(refusing) as server:
        own = LlmnerRecognizer(labels=["PERSON"], base_url=server.url, model="m", language="en")
        with pytest.raises(GenerationError):
            own.analyze("Bob", [])
