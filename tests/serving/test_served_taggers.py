"""Trained taggers behind the server: the same spans as in this process, from shared batches."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs pip install "llmner[serve]"')
pytest.importorskip("torch", reason='needs pip install "llmner[baselines]"')
pytest.importorskip("sklearn_crfsuite", reason='needs pip install "llmner[baselines]"')

from starlette.testclient import TestClient

from llmner.asking import AskOptions
from llmner.baselines import BaselineExtractor, CrfConfig, EncoderConfig, train_baseline
from llmner.corpora import read_corpus
from llmner.errors import InputError
from llmner.serving import Limits, create_app
from llmner.serving._building import build_service
from llmner.spans import Span
from tests.baselines.tiny import tiny_encoder
from tests.conftest import ROOT
from tests.serving.fakes import eventually

SENTENCES = list(read_corpus(ROOT / "data" / "sample.tsv"))
TEXTS = [sentence.text for sentence in SENTENCES[:40]]
SECRET = "비밀"
Open = Callable[..., TestClient]


@pytest.fixture(scope="module", params=["crf", "tokens", "characters"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tagger")
    config: Any = CrfConfig(max_iterations=40)
    if request.param != "crf":
        # A BERT whose tokens are tagged, and a RoBERTa whose characters are.
        tokens = request.param == "tokens"
        base = tiny_encoder(place / "base", "bert" if tokens else "roberta")
        config = EncoderConfig(
            model=str(base),
            head=request.param,
            epochs=8 if tokens else 12,
            learning_rate=3e-3,
            head_learning_rate=1e-2,
            batch_size=8 if tokens else 4,
        )
    train_baseline(SENTENCES[:50], config, place / "tagger", corpus="sample.tsv")
    return place / "tagger"


@pytest.fixture
def client() -> Iterator[Open]:
    with ExitStack() as stack:

        def opened(folder: Path, *, limits: Limits = Limits(), **options: Any) -> TestClient:
            asked = AskOptions.of(engine=f"baseline:{folder}", **options)
            service = build_service(asked, limits)
            server = stack.enter_context(
                TestClient(create_app(service), raise_server_exceptions=False)
            )
            assert eventually(lambda: service.state == "ready")
            return server

        yield opened


def found(extractor: BaselineExtractor, texts: Sequence[str]) -> list[list[dict[str, Any]]]:
    """What ``/infer`` should say."""
    return [
        [
            {
                "entity_group": span.label,
                "score": None if span.score is None else round(span.score, 6),
                "word": text[span.start : span.end],
                "start": span.start,
                "end": span.end,
            }
            for span in extraction.spans
        ]
        for text, extraction in zip(texts, extractor.extract(texts), strict=True)
    ]


def near(one: list[list[dict[str, Any]]], other: list[list[dict[str, Any]]]) -> bool:
    """Whether answers are the same. A score depends on the batch, in its last digits."""
    return len(one) == len(other) and all(
        [{**entity, "score": None} for entity in left]
        == [{**each, "score": None} for each in right]
        and all(
            abs(entity["score"] - each["score"]) < 1e-4
            for entity, each in zip(left, right, strict=True)
        )
        for left, right in zip(one, other, strict=True)
    )


def test_the_server_finds_what_the_tagger_finds(client: Open, folder: Path) -> None:
    expected = found(BaselineExtractor(folder), TEXTS)
    assert sum(map(len, expected)) > 20
    server = client(folder)
    assert near(server.post("/infer", json={"text": TEXTS}).json()["result"], expected)
    assert near([server.post("/infer", json={"text": TEXTS[0]}).json()["result"]], expected[:1])
    rows = server.post("/v1/extract", json={"texts": TEXTS[:5]}).json()
    assert rows["recipe"] is None
    assert rows["usage"] == {"prompt_tokens": None, "completion_tokens": None}
    for row, text, entities in zip(rows["results"], TEXTS, expected, strict=False):
        assert row["text"] == text
        assert [(span["start"], span["end"]) for span in row["spans"]] == [
            (entity["start"], entity["end"]) for entity in entities
        ]
        assert "reply" not in row


def test_clients_share_batches(client: Open, folder: Path) -> None:
    expected = found(BaselineExtractor(folder), TEXTS)
    server = client(folder, limits=Limits(batch_wait=0.3))
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(
                lambda text: server.post("/infer", json={"text": text}).json()["result"], TEXTS
            )
        )
    assert near(answers, expected)
    counted = server.get("/metrics").text
    asked = 1 + len(TEXTS)
    assert f"llmner_batch_size_sum {asked:.1f}" in counted
    batches = float(counted.partition("llmner_batch_size_count ")[2].split()[0])
    assert batches < asked / 4


def test_a_lowest_score_is_the_servers_or_the_requests_own(client: Open, folder: Path) -> None:
    scores = sorted(
        span.score for row in BaselineExtractor(folder).extract(TEXTS) for span in row.spans
    )
    middle = scores[len(scores) // 2] + 1e-6
    server = client(folder, min_score=middle)
    kept = sum(map(len, server.post("/infer", json={"text": TEXTS}).json()["result"]))
    assert 0 < kept < len(scores)
    rows = server.post("/v1/extract", json={"texts": TEXTS, "min_score": 0.0}).json()["results"]
    assert sum(len(row["spans"]) for row in rows) == len(scores)


@pytest.mark.parametrize(
    "asked", [{"recipe": "klue"}, {"reply_format": "lines"}, {"grounded": True}]
)
def test_a_tagger_takes_no_recipe(client: Open, folder: Path, asked: dict[str, Any]) -> None:
    refused = client(folder).post("/v1/extract", json={"texts": ["서울"], **asked})
    assert refused.status_code == 422
    assert refused.json()["error"]["message"].startswith(f"{next(iter(asked))}: ")


def test_the_page_is_told_that_it_is_a_tagger(client: Open, folder: Path) -> None:
    told = client(folder).get("/v1/recipes").json()
    assert told["model"]
    assert told["tagger"] == list(BaselineExtractor(folder).labels)


def test_projection_goes_on_beside_a_tagger(client: Open, folder: Path) -> None:
    asked = {"text": "서울에서", "reply": "LC: 서울", "recipe": "klue"}
    answer = client(folder).post("/v1/project", json=asked).json()
    assert [(span["start"], span["end"]) for span in answer["spans"]] == [(0, 2)]


def test_blank_and_odd_texts_are_answered(client: Open, folder: Path) -> None:
    texts = ["", " ", "\n", "😀" * 50, "서울 " * 3000, "a\u0000b"]
    answers = client(folder).post("/infer", json={"text": texts}).json()["result"]
    assert near(answers, found(BaselineExtractor(folder), texts))


def test_a_text_at_which_the_tagger_fails_spoils_no_other_and_is_not_logged(
    client: Open, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kind = type(BaselineExtractor(folder).load())
    tag = kind.tag

    def fails(self: Any, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        for text in texts:
            if SECRET in text:
                raise RuntimeError(f"cannot tag {text}")
        return tag(self, texts)

    monkeypatch.setattr(kind, "tag", fails)
    expected = found(BaselineExtractor(folder), TEXTS[:2])
    server = client(folder)
    with caplog.at_level(logging.DEBUG):
        first, failed, second = server.post(
            "/infer", json={"text": [TEXTS[0], SECRET, TEXTS[1]]}
        ).json()["result"]
        (row,) = server.post("/v1/extract", json={"texts": [SECRET]}).json()["results"]
    assert near([first, second], expected)
    assert failed["error"]["type"] == "no_answer"
    assert SECRET not in str(failed)
    assert row["error"] == failed["error"]["message"]
    assert SECRET not in caplog.text
    assert server.get("/readyz").status_code == 200


def test_a_long_text_holds_nobody_up_and_ends_with_its_request(
    client: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(BaselineExtractor(folder).load())
    tag = kind.tag
    asked: list[list[int]] = []

    def slow(self: Any, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        asked.append([len(text) for text in texts])
        time.sleep(0.05)
        return tag(self, ["서울" if len(text) > 500 else text for text in texts])

    monkeypatch.setattr(kind, "tag", slow)
    server = client(folder, limits=Limits(timeout=2.0, batch_size=4))
    long = "서울에서 만났다. " * 100_000
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(server.post, "/infer", json={"text": long})
        assert eventually(lambda: len(asked) > 3)
        started = time.monotonic()
        quick = server.post("/infer", json={"text": TEXTS[0]})
        seconds = time.monotonic() - started
        assert quick.status_code == 200
        assert waiting.result().status_code == 504
    # It waited for the pieces that were asked before it, and not for the rest.
    assert seconds < 1.5
    assert max(max(lengths) for lengths in asked) <= 1200
    count = len(asked)
    time.sleep(0.5)
    assert len(asked) <= count + 2


def test_a_folder_without_its_model_is_told_by_the_file(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (name,) = {"model.crfsuite", "model.safetensors"} & {path.name for path in copy.iterdir()}
    (copy / name).unlink()
    fatal: list[Exception] = []
    service = build_service(AskOptions.of(engine=f"baseline:{copy}"), Limits())
    service.on_fatal = fatal.append
    with TestClient(create_app(service)):
        assert eventually(lambda: bool(fatal))
    assert isinstance(fatal[0], InputError)
    assert str(copy / name) in str(fatal[0])


def test_a_folder_without_a_tagger_is_told_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        build_service(AskOptions.of(engine=f"baseline:{tmp_path}"), Limits())


def test_what_means_nothing_to_a_tagger_is_refused(folder: Path) -> None:
    options = AskOptions.of(engine=f"baseline:{folder}", samples=3)
    with pytest.raises(InputError, match="samples does not apply to a baseline"):
        build_service(options, Limits())
