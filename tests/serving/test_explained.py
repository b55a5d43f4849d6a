"""``/v1/explain``: the explanations of this process, from shared batches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs pip install "llmner[serve]"')
pytest.importorskip("sklearn", reason='needs pip install "llmner[baselines]"')

from starlette.testclient import TestClient

from llmner.baselines import BaselineExtractor, CrfConfig, LinearClassifierConfig, train_baseline
from llmner.corpora import read_corpus
from llmner.labelling import explain
from llmner.recipes import Recipe
from llmner.serving import Limits, create_app
from llmner.serving._service import Service
from tests.conftest import ROOT
from tests.labelling.test_explaining_labels import SENTENCES, Cued
from tests.serving.fakes import eventually

TEXT = "어제 주문한 택배가, 정말 좋아요!"
Open = Callable[..., TestClient]


@pytest.fixture(scope="module", params=["classifier", "tagger"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("explained") / "model"
    if request.param == "classifier":
        train_baseline(SENTENCES, LinearClassifierConfig(buckets=1 << 12), place)
    else:
        sample = list(read_corpus(ROOT / "data" / "sample.tsv"))[:40]
        train_baseline(sample, CrfConfig(max_iterations=20), place)
    return place


@pytest.fixture
def client() -> Iterator[Open]:
    with ExitStack() as stack:

        def opened(*arguments: Any, **options: Any) -> TestClient:
            service = Service(*arguments, **options)
            server = stack.enter_context(
                TestClient(create_app(service), raise_server_exceptions=False)
            )
            assert eventually(lambda: service.state == "ready")
            return server

        yield opened


def test_a_served_tagger_explains_what_it_would_here(client: Open, folder: Path) -> None:
    model = BaselineExtractor(folder)
    text = TEXT if model.about == "texts" else next(read_corpus(ROOT / "data" / "sample.tsv")).text
    ((*expected,),) = explain(model, [text])
    assert expected
    server = client(Recipe.load("klue"), tagger=model, limits=Limits(batch_size=4))
    answer = server.post("/v1/explain", json={"text": text})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"text": text, "explanations": [own.to_dict() for own in expected]}
    # With others' texts in the same batches, too.
    answers: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(server.post("/v1/explain", json={"text": text}).json())
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [answer.json()] * 4
    refused = server.post("/v1/explain", json={"text": text, "grounded": True})
    assert refused.status_code == 422
    assert server.post("/v1/explain", json={"text": "..."}).json()["explanations"] == []


def test_a_language_model_explains_by_its_scores(client: Open) -> None:
    recipe = Recipe.load("klue").with_reply_format("json-list")
    server = client(recipe, Cued())
    answer = server.post("/v1/explain", json={"text": "Ines flew to Paris today"}).json()
    (explanation,) = answer["explanations"]
    assert (explanation["label"], explanation["start"], explanation["score"]) == ("LC", 13, 0.9)
    assert explanation["highlight"] == {"start": 5, "end": 9}


def test_what_cannot_be_explained_is_refused(client: Open) -> None:
    server = client(Recipe.load("klue"), Cued())
    for body, status, kind in (
        ({"text": "word " * 201}, 422, "too_much"),
        ({"text": ""}, 422, "invalid"),
        ({"texts": ["a"]}, 422, "invalid"),
        ({"text": "a", "recipe": "../../etc"}, 422, "invalid"),
    ):
        answer = server.post("/v1/explain", json=body)
        assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind), body
    without = client(Recipe.load("klue"))
    assert without.post("/v1/explain", json={"text": "a"}).status_code == 501
