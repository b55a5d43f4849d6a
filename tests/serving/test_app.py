"""Requests and answers, one by one, against an app with a model that answers as told."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs pip install "llmner[serve]"')

from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from llmner.engines import Reply
from llmner.errors import GenerationError, InputError, MissingExtraError
from llmner.projection import project_reply
from llmner.recipes import Recipe
from llmner.replies import REPAIRS
from llmner.serving import _projector, _workers, create_app
from llmner.serving._bodies import ProjectionResult
from llmner.serving._workers import WorkerPool
from tests.conftest import ROOT
from tests.serving.fakes import Model, eventually, named, service

TEXT = "손흥민은 춘천에서 3,000명을 만났다."
Open = Callable[..., TestClient]


@pytest.fixture
def client() -> Iterator[Open]:
    """Opens an app and waits until it is ready."""
    with ExitStack() as stack:

        def opened(
            model: Model | None = None, *, app: dict[str, Any] | None = None, **options: Any
        ) -> TestClient:
            served = service(model, **options)
            made = TestClient(create_app(served, **(app or {})), raise_server_exceptions=False)
            if model is not None:
                stack.callback(model.gate.set)
            stack.enter_context(made)
            assert eventually(lambda: served.state == "ready")
            return made

        yield opened


def spans(row: dict[str, Any]) -> list[tuple[int, int, str]]:
    return [(span["start"], span["end"], span["label"]) for span in row["spans"]]


def test_infer_has_just_the_shape_of_a_pipeline(client: Open) -> None:
    answer = client(Model()).post("/infer", json={"text": TEXT})
    assert answer.status_code == 200
    assert answer.json() == {
        "result": [
            {"entity_group": "PS", "score": None, "word": "손흥민", "start": 0, "end": 3},
            {"entity_group": "LC", "score": None, "word": "춘천", "start": 5, "end": 7},
            {"entity_group": "QT", "score": None, "word": "3,000명", "start": 10, "end": 16},
        ]
    }


def test_a_list_of_texts_gives_a_list(client: Open) -> None:
    server = client(Model())
    found = server.post("/infer", json={"text": [TEXT, "아무도 없다", "서울"]}).json()["result"]
    assert [[row["word"] for row in rows] for rows in found] == [
        ["손흥민", "춘천", "3,000명"],
        [],
        ["서울"],
    ]
    assert server.post("/infer", json={"text": []}).json() == {"result": []}


def test_words_are_the_texts_own_whatever_the_model_writes(client: Open) -> None:
    server = client(Model(lambda text: '{"QT": ["3, 000 명", "7.2km"], "PS": ["손 흥민"]}'))
    text = "손흥민은 7.2㎞를 3,000명과 달렸다 😀 손흥민"
    found = server.post("/infer", json={"text": text}).json()["result"]
    assert [row["word"] for row in found] == ["손흥민", "7.2㎞", "3,000명"]
    assert all(row["word"] == text[row["start"] : row["end"]] for row in found)


def test_a_text_that_shows_nothing_has_no_entity_and_asks_no_model(client: Open) -> None:
    model = Model()
    server = client(model)
    texts = ["", " \u3000", "\u200b\n"]
    assert server.post("/infer", json={"text": texts}).json() == {"result": [[], [], []]}
    answer = server.post("/v1/extract", json={"texts": texts}).json()
    assert [(row["reply"], row["status"], row["spans"]) for row in answer["results"]] == [
        ("{}", "ok", [])
    ] * 3
    assert not any("error" in row for row in answer["results"])
    assert answer["usage"] == {"prompt_tokens": 0, "completion_tokens": 0}
    assert model.asked == []
    assert "llmner_unanswered_texts_total 0.0" in server.get("/metrics").text


def test_extract_tells_spans_outcomes_reply_and_usage(client: Open) -> None:
    model = Model(lambda text: "```json\n" + named(text)[:-1] + ', "OG": ["런던"]}\n```')
    answer = client(model).post("/v1/extract", json={"texts": [TEXT, "서울"]}).json()
    first, second = answer["results"]
    assert (first["index"], second["index"]) == (0, 1)
    assert spans(first) == [(0, 3, "PS"), (5, 7, "LC"), (10, 16, "QT")]
    assert [outcome["kind"] for outcome in first["outcomes"]] == [
        "exact",
        "exact",
        "exact",
        "not_found",
    ]
    assert first["reply"].startswith("```json")
    assert first["repairs"] == ["fence"]
    assert first["markup"] == "<손흥민:PS>은 <춘천:LC>에서 <3,000명:QT>을 만났다."
    assert first["usage"] == {"prompt_tokens": 7, "completion_tokens": 3}
    assert answer["usage"] == {"prompt_tokens": 14, "completion_tokens": 6}
    assert answer["recipe"] == "klue"


def test_a_request_is_asked_in_the_windows_of_the_recipe_that_it_names(client: Open) -> None:
    model = Model()
    text = " ".join(f"{n}일에 손흥민은 춘천에서 3,000명을 만났다." for n in range(8))
    server = client(model)
    for name, windows in (("klue", 0), ("klue-mini", 4)):
        answer = server.post("/v1/extract", json={"texts": [text], "recipe": name}).json()
        assert len(answer["results"][0].get("windows", ())) == windows
    assert server.post("/infer", json={"text": text}).status_code == 200
    assert [len(batch) for batch in model.asked] == [1, 4, 1]


def test_a_long_text_is_asked_about_in_windows_and_answered_as_one(client: Open) -> None:
    model = Model()
    text = " ".join(f"{n}일에 손흥민은 춘천에서 3,000명을 만났다." for n in range(40))
    row = client(model).post("/v1/extract", json={"texts": [text]}).json()["results"][0]
    assert len(row["windows"]) > 2
    assert len(row["spans"]) == 120
    assert all(
        text[span["start"] : span["end"]] in ("손흥민", "춘천", "3,000명") for span in row["spans"]
    )
    assert row["usage"]["prompt_tokens"] == 7 * len(row["windows"])


def test_recipe_format_and_score_are_the_requests(client: Open) -> None:
    model = Model()
    server = client(model)
    answer = server.post(
        "/v1/extract", json={"texts": [TEXT], "recipe": "klue-strict", "reply_format": "lines"}
    )
    assert answer.json()["recipe"] == "klue-strict"
    refused = server.post("/v1/extract", json={"texts": [TEXT], "recipe": "../../etc/passwd"})
    assert refused.status_code == 422
    assert refused.json()["error"]["fields"][0]["field"] == "recipe"
    # This engine cannot.
    grounded = server.post("/v1/extract", json={"texts": [TEXT], "grounded": True})
    assert grounded.status_code == 422
    assert "grammar" in grounded.json()["error"]["message"]


def test_labels_of_ones_own_are_asked_for_in_the_language_of_the_texts(client: Open) -> None:
    asked: list[str] = []

    class Listening(Model):
        def generate(self, prompts: Any) -> list[Reply]:
            asked.extend(prompt.messages[0]["content"] for prompt in prompts)
            return super().generate(prompts)

    server = client(
        Listening(lambda text: '{"WHO": ["손흥민"], "PLACE": ["춘천"], "PS": ["서울"]}')
    )
    for body, begins in (
        ({"texts": [TEXT], "labels": {"WHO": "사람", "PLACE": ""}}, "주어진"),
        ({"texts": [TEXT], "labels": ["WHO", "PLACE"], "language": "en"}, "Find every"),
    ):
        answer = server.post("/v1/extract", json=body)
        assert answer.json()["recipe"] == "labels"
        row = answer.json()["results"][0]
        assert [span["label"] for span in row["spans"]] == ["WHO", "PLACE"]
        assert [each["kind"] for each in row["outcomes"]][-1] == "unknown_label"
        assert asked[-1].startswith(begins)
    explained = server.post("/v1/explain", json={"text": TEXT, "labels": ["WHO"]})
    assert explained.status_code in (200, 422)


@pytest.mark.parametrize(
    "labels",
    [
        [],
        {},
        ["a:b"],
        ["A", "a"],
        [""],
        ["A" * 65],
        {"SECRET" * 50_000: "x"},
        {str(number): 3 for number in range(90)},
        {"A": "b" * 501},
        [str(number) for number in range(101)],
        "PERSON",
        3,
        {"A": 3},
        ["{{ 7 * 7 }}"],
    ],
)
def test_labels_that_are_none_are_refused(client: Open, labels: object) -> None:
    answer = client(Model()).post("/v1/extract", json={"texts": [TEXT], "labels": labels})
    assert answer.status_code == 422, answer.text
    assert [each["field"] for each in answer.json()["error"]["fields"]] == ["labels"]
    # One message, in words of the field's own.
    assert len(answer.content) < 600
    assert "SECRET" not in answer.text
    assert "constrained" not in answer.text


def test_a_model_that_was_fine_tuned_says_so(client: Open) -> None:
    from llmner.engines.adapters import PACKAGED_ADAPTER, find_adapter

    model = Model()
    assert client(model).get("/v1/recipes").json()["fine_tuned"] is None
    model.adapter = find_adapter(PACKAGED_ADAPTER)  # type: ignore[attr-defined]
    assert client(model).get("/v1/recipes").json()["fine_tuned"] == "klue-mini"


def test_labels_are_no_templates_and_exclude_a_recipe(client: Open) -> None:
    model = Model()
    server = client(model)
    meaning = "{{ 7 * 7 }}{% for _ in range(10**9) %}x{% endfor %}"
    answer = server.post("/v1/extract", json={"texts": [TEXT], "labels": {"A": meaning}})
    assert answer.status_code == 200
    both = server.post("/v1/extract", json={"texts": [TEXT], "labels": ["A"], "recipe": "klue"})
    assert both.status_code == 422
    assert "give one of recipe and labels" in both.text


def test_results_are_streamed_one_a_line(client: Open) -> None:
    # That each is sent as soon as it is there: test_server.py.
    with client(Model(), batch_size=1, batch_wait=0).stream(
        "POST",
        "/v1/extract",
        json={"texts": [TEXT, "서울", "춘천"]},
        headers={"Accept": "application/x-ndjson"},
    ) as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        rows = [json.loads(line) for line in answer.iter_lines()]
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert spans(rows[1]) == [(0, 2, "LC")]


def test_a_stream_that_fails_says_so_in_its_last_line(client: Open) -> None:
    def answer(text: str) -> str:
        if text == "서울":
            raise GenerationError("away", retryable=True)
        return named(text)

    server = client(Model(answer), batch_size=1, batch_wait=0)
    body = {"texts": [TEXT, "서울"]}
    lines = server.post(
        "/v1/extract", json=body, headers={"Accept": "application/x-ndjson"}
    ).text.splitlines()
    assert json.loads(lines[0])["index"] == 0
    assert json.loads(lines[1])["error"]["type"] == "engine_unavailable"
    # What fails before anything was sent has a status.
    first = server.post(
        "/v1/extract", json={"texts": ["서울"]}, headers={"Accept": "application/x-ndjson"}
    )
    assert first.status_code == 503


def test_project_needs_no_model(client: Open) -> None:
    server = client()
    reply = '네.\n```json\n{"사람": ["손흥민", "손흥민"], "수량": ["7.2km"], "장소": ["춘천에서", "런던"],}\n```'
    text = "손흥민은 7.2㎞를 달렸고, 손흥민의 팀은 춘천에서 이겼다."
    answer = server.post("/v1/project", json={"text": text, "reply": reply})
    row = answer.json()
    assert spans(row) == [(0, 3, "PS"), (5, 9, "QT"), (16, 19, "PS"), (24, 26, "LC")]
    assert [each["kind"] for each in row["outcomes"]] == [
        "exact",
        "exact",
        "canonical",
        "trimmed",
        "not_found",
    ]
    assert row["status"] == "repaired"
    assert set(row["repairs"]) == {"fence", "trailing-comma", "prose", "label-name"}
    assert row["markup"].startswith("<손흥민:PS>은 <7.2㎞:QT>")
    none = server.post("/infer", json={"text": text})
    assert (none.status_code, none.json()["error"]["type"]) == (501, "no_model")


def test_project_takes_label_sets_of_the_clients_own(client: Open) -> None:
    server = client()
    body = {"text": "Ada met Bob in Rome.", "reply": "PER: Ada, Bob\nCITY: Rome"}
    named_ = server.post("/v1/project", json={**body, "labels": ["PER", "CITY"]}).json()
    assert spans(named_) == [(0, 3, "PER"), (8, 11, "PER"), (15, 19, "CITY")]
    assert len(server.post("/v1/project", json={**body, "any_label": True}).json()["spans"]) == 3
    klue = server.post("/v1/project", json=body).json()
    assert {each["label"] for each in klue["outcomes"]} == {"PS"}
    for wrong in (
        {"labels": ["PER", "PER"]},
        {"labels": ["P ER"]},
        {"labels": ["PER"], "any_label": True},
    ):
        assert server.post("/v1/project", json={**body, **wrong}).status_code == 422


def test_a_label_that_markup_cannot_hold_leaves_it_out(client: Open) -> None:
    asked = {"text": "Ada", "reply": '{"a:b": ["Ada"]}', "any_label": True}
    row = client().post("/v1/project", json=asked).json()
    assert spans(row) == [(0, 3, "a:b")]
    assert row["markup"] is None


def test_long_projections_leave_the_loop_and_are_the_same(
    client: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[str] = []
    run, here = WorkerPool.run, _projector.project_request

    async def apart(self: WorkerPool, *arguments: Any) -> Any:
        where.append("process")
        return await run(self, *arguments)

    def in_loop(*arguments: Any) -> ProjectionResult:
        where.append("loop")
        return here(*arguments)

    monkeypatch.setattr(WorkerPool, "run", apart)
    monkeypatch.setattr(_projector, "project_request", in_loop)
    server = client()
    for times in (1, 400):
        text, reply = TEXT * times, json.dumps({"PS": ["손흥민"] * times})
        row = server.post("/v1/project", json={"text": text, "reply": reply}).json()
        expected = project_reply(text, reply, Recipe.load("klue").schema_)
        assert spans(row) == [(span.start, span.end, span.label) for span in expected.spans]
        assert len(row["spans"]) == times
    assert where == ["loop", "process"]


def test_what_is_short_and_a_lot_of_work_leaves_the_loop_too(
    client: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_projector, "_SHORT_STEPS", 1)
    done: list[object] = []
    run = WorkerPool.run

    async def apart(self: WorkerPool, *arguments: Any) -> Any:
        done.append(arguments[0])
        return await run(self, *arguments)

    monkeypatch.setattr(WorkerPool, "run", apart)
    asked = {"text": TEXT, "reply": '{"PS": ["손흥민"], "LC": ["춘천"]}'}
    assert spans(client().post("/v1/project", json=asked).json()) == [(0, 3, "PS"), (5, 7, "LC")]
    assert done == [_workers.project]


def endless(length: int) -> dict[str, str]:
    """A projection of half a minute: mentions that are nearly everywhere in a text, and nowhere."""
    mention = "가나" * 15
    return {
        "text": "가나" * length,
        "reply": json.dumps({"PS": [f"{mention}{n}" for n in range(length)]}),
    }


def test_long_projections_are_given_up_in_time_and_hold_up_no_model(client: Open) -> None:
    server = client(Model(), timeout=0.5, queue=1)
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(server.post, "/v1/project", json=endless(2000))
        assert eventually(lambda: "llmner_queue_requests 1.0" in server.get("/metrics").text)
        assert server.post("/infer", json={"text": "서울"}).status_code == 200
        refused = server.post("/v1/project", json=endless(2000))
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "busy")
        late = job.result(20)
    assert (late.status_code, late.json()["error"]["type"]) == (504, "timeout")
    assert eventually(lambda: "llmner_queue_requests 0.0" in server.get("/metrics").text)


@given(text=st.text(max_size=60), reply=st.text(max_size=200))
def test_no_text_and_no_reply_breaks_projection(text: str, reply: str) -> None:
    with TestClient(create_app(service())) as server:
        answer = server.post("/v1/project", json={"text": text, "reply": reply})
        assert answer.status_code == 200
        assert all(0 <= span["start"] < span["end"] <= len(text) for span in answer.json()["spans"])


WRONG = [
    (b"{}", "text"),
    (b'{"text": 5}', "text"),
    (b'{"text": ["a", 5]}', "text.1"),
    (b'{"text": "a", "txt": 1}', "txt"),
    (b"[]", "body"),
    (b"null", "body"),
    (b"{", "body"),
    (b"", "body"),
    (b"\xff\xfe", "body"),
    (b'{"text": "\\ud800"}', "body"),
    (b"[" * 100_000, "body"),
]


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": [' + b"0," * 500_000 + b"0]}",
        b'{"text": "a"' + b"".join(b',"k%d":0' % n for n in range(200_000)) + b"}",
    ],
    ids=["elements", "fields"],
)
def test_a_flood_of_wrong_fields_is_answered_at_once_and_briefly(client: Open, body: bytes) -> None:
    server = client(Model())
    tracemalloc.start()
    began = time.monotonic()
    answer = server.post("/infer", content=body, headers={"Content-Type": "application/json"})
    seconds = time.monotonic() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer.status_code == 422
    assert len(answer.content) < 20_000
    assert seconds < 2
    assert peak < 64 << 20


@pytest.mark.parametrize(("body", "field"), WRONG)
def test_wrong_requests_name_the_field_and_quote_nothing(
    client: Open, body: bytes, field: str
) -> None:
    answer = client(Model()).post(
        "/infer", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    assert field in [each["field"] for each in answer.json()["error"]["fields"]]


def test_a_wrong_value_is_not_sent_back(client: Open) -> None:
    answer = client(Model()).post(
        "/v1/extract", json={"texts": ["a"], "min_score": 4, "recipe": {"비밀": 1}}
    )
    assert answer.status_code == 422
    assert {each["field"] for each in answer.json()["error"]["fields"]} == {"min_score", "recipe"}
    assert "비밀" not in answer.text


def test_other_content_is_refused(client: Open) -> None:
    answer = client(Model()).post(
        "/infer", content=json.dumps({"text": "a"}), headers={"Content-Type": "text/plain"}
    )
    assert (answer.status_code, answer.json()["error"]["type"]) == (415, "not_json")


def test_bodies_are_limited_whether_they_say_their_length_or_not(client: Open) -> None:
    server = client(Model(), body=1000)
    body = json.dumps({"text": "가" * 1000}).encode()
    headers = {"Content-Type": "application/json"}
    said = server.post("/infer", content=body, headers=headers)
    assert (said.status_code, said.json()["error"]["type"]) == (413, "too_large")
    chunked = server.post("/infer", content=iter([body[:600], body[600:]]), headers=headers)
    assert (chunked.status_code, chunked.json()["error"]["type"]) == (413, "too_large")
    assert server.post("/infer", json={"text": "가"}).status_code == 200


def test_a_full_queue_says_when_to_come_again(client: Open) -> None:
    model = Model()
    server = client(model, queue=2, batch_size=1, batch_wait=0)
    model.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(server.post, "/infer", json={"text": "서울"}) for _ in range(2)]
        assert eventually(lambda: "llmner_queue_requests 2.0" in server.get("/metrics").text)
        refused = server.post("/infer", json={"text": "서울"})
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "busy")
        assert int(refused.headers["retry-after"]) >= 1
        # Nothing else is held up meanwhile.
        assert (
            server.post("/v1/project", json={"text": "서울", "reply": "LC: 서울"}).status_code
            == 200
        )
        assert server.get("/healthz").status_code == 200
        model.gate.set()
        assert [job.result(5).status_code for job in waiting] == [200, 200]
    assert server.post("/infer", json={"text": "서울"}).status_code == 200


def test_what_takes_too_long_is_given_up(client: Open) -> None:
    model = Model()
    server = client(model, timeout=0.3, batch_size=1, batch_wait=0)
    model.gate.clear()
    answer = server.post("/infer", json={"text": "서울"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (504, "timeout")
    assert "llmner_queue_requests 0.0" in server.get("/metrics").text


def test_an_engine_that_hangs_is_noticed_though_nobody_waits_any_more(client: Open) -> None:
    model = Model(lambda text: named(text))
    server = client(model, timeout=0.3, batch_size=1, batch_wait=0)

    def away(text: str) -> str:
        time.sleep(0.6)
        raise GenerationError("no answer", retryable=True)

    model.answer = away
    assert server.post("/infer", json={"text": "서울"}).status_code == 504
    assert server.get("/readyz").json()["state"] == "ready"
    assert eventually(lambda: server.get("/readyz").json()["state"] == "failing")
    model.answer = named
    assert eventually(lambda: server.get("/readyz").json()["state"] == "ready")


def test_an_engine_that_refuses_from_the_start_says_so(client: Open) -> None:
    def answer(_: str) -> str:
        raise GenerationError("refuses the key")

    served = service(Model(answer))
    # An endpoint: its trouble may pass, and clients hear of it.
    served.engine_loads = False
    with TestClient(create_app(served)) as server:
        assert eventually(lambda: served.state == "failing")
        refused = server.post("/infer", json={"text": "서울"})
        assert (refused.status_code, refused.json()["error"]["type"]) == (502, "engine_failed")
        assert server.get("/readyz").status_code == 503


def test_an_engine_that_cannot_be_started_is_fatal(client: Open) -> None:
    class Missing(Model):
        def __enter__(self) -> Missing:
            raise MissingExtraError("openai", "asking an endpoint")

        def __exit__(self, *_: object) -> None: ...

    served = service(Missing())
    with pytest.raises(MissingExtraError), TestClient(create_app(served)):
        pass
    told: list[Exception] = []
    served = service(Missing())
    served.on_fatal = told.append
    with TestClient(create_app(served)) as server:
        assert server.post("/infer", json={"text": "서울"}).status_code == 503
    assert isinstance(told[0], MissingExtraError)


def test_stopping_does_not_wait_for_a_model_that_is_being_loaded() -> None:
    model = Model()
    model.gate.clear()
    served = service(model, timeout=20)
    with TestClient(create_app(served)):
        assert eventually(lambda: model.batches == [["."]])
        began = time.monotonic()
    assert time.monotonic() - began < 3
    model.gate.set()


def test_mounted_in_another_app_it_does_the_same(client: Open) -> None:
    served = service(Model())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with served.running():
            yield

    app = FastAPI(lifespan=lifespan)
    app.mount("/ner", create_app(served, keys=("k",)))
    with TestClient(app) as server:
        assert eventually(lambda: served.state == "ready")
        for path in ("/ner/", "/ner/healthz", "/ner/static/page.js"):
            assert server.get(path).status_code == 200, path
        assert server.get("/ner/metrics").status_code == 401
        key = {"Authorization": "Bearer k"}
        found = server.post("/ner/infer", json={"text": "서울"}, headers=key).json()
        assert found["result"][0]["word"] == "서울"
        counted = server.get("/ner/metrics", headers=key).text
        assert 'llmner_requests_total{route="/infer",status="200"} 1.0' in counted
        # The page asks beside itself, wherever that is.
        page = server.get("/ner/").text + server.get("/ner/static/page.js").text
        assert not re.findall(r"""(?:href=|src=|ask\(|submit\()["']/[^"']*""", page)


def test_mounted_without_a_model_nothing_has_to_be_entered() -> None:
    app = FastAPI()
    app.mount("/ner", create_app(service(timeout=60)))
    asked = {"text": "서울에서 " * 2000, "reply": "LC: 서울"}
    with TestClient(app) as server:
        for _ in range(2):
            answer = server.post("/ner/v1/project", json=asked)
            assert (answer.status_code, answer.json()["spans"][0]["label"]) == (200, "LC")


def test_tokens_of_every_sample_are_counted(client: Open) -> None:
    server = client(Model(), options={"samples": 3})
    row = server.post("/v1/extract", json={"texts": ["서울"]}).json()
    assert row["usage"] == {"prompt_tokens": 21, "completion_tokens": 9}
    assert 'llmner_tokens_total{kind="prompt"} 21.0' in server.get("/metrics").text


def test_texts_without_an_answer_are_told(client: Open) -> None:
    long = "a question and an answer of 9 tokens do not fit into the model's context (8 of 10 used)"
    model = Model(lambda text: named(text) if text != "길다" else Reply("", "error", error=long))
    server = client(model)
    refused = server.post("/infer", json={"text": "길다"})
    told = "this text does not fit into the model's context; send it in parts"
    assert (refused.status_code, refused.json()["error"]["message"]) == (422, told)
    answered = server.post("/infer", json={"text": ["길다", "서울", "길다"]})
    assert answered.status_code == 200
    error, entities, another = answered.json()["result"]
    assert error == another == {"error": {"type": "no_answer", "message": told}}
    assert [entity["word"] for entity in entities] == ["서울"]
    # Nobody is told to try again what cannot be answered.
    assert server.post("/infer", json={"text": ["길다"]}).json()["result"] == [error]
    first, second = server.post("/v1/extract", json={"texts": ["서울", "길다"]}).json()["results"]
    assert "error" not in first
    assert second["error"] == told
    passing = Model(
        lambda text: named(text) if text == "." else Reply("", "error", error="429", retryable=True)
    )
    for text in ("서울", ["서울", "춘천"]):
        away = client(passing).post("/infer", json={"text": text})
        assert (away.status_code, away.headers["retry-after"]) == (503, "1")


def test_a_list_keeps_its_answers_when_the_engine_passes_one_over(client: Open) -> None:
    model = Model(
        lambda text: named(text) if text != "a" else Reply("", "error", error="429", retryable=True)
    )
    answered = client(model).post("/infer", json={"text": ["서울", "a"]})
    entities, error = answered.json()["result"]
    assert answered.status_code == 200
    assert [entity["word"] for entity in entities] == ["서울"]
    assert error["error"]["type"] == "engine_unavailable"


@pytest.mark.parametrize(("retryable", "status"), [(True, 503), (False, 502)])
def test_an_engine_that_fails_is_no_error_of_the_server(
    client: Open, retryable: bool, status: int
) -> None:
    def answer(text: str) -> str:
        if text == ".":
            return "{}"
        raise GenerationError("away", retryable=retryable)

    refused = client(Model(answer)).post("/infer", json={"text": "서울"})
    assert refused.status_code == status
    assert ("retry-after" in refused.headers) == retryable


@pytest.mark.parametrize("error", [ZeroDivisionError, TimeoutError])
def test_what_nobody_foresaw_is_a_clean_500_and_quotes_no_text(
    client: Open, caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    def answer(text: str) -> str:
        if text == ".":
            return "{}"
        raise error(text)

    server = client(Model(answer))
    with caplog.at_level(logging.DEBUG, "llmner.serving"):
        refused = server.post("/infer", json={"text": "비밀스러운 글"})
    assert (refused.status_code, refused.json()["error"]["type"]) == (500, "internal")
    assert error.__name__ in caplog.text
    assert "비밀" not in caplog.text + refused.text


SECRET = "sk-proj-8fJq2LmXw93kTzRb"
SAID = f"http://10.0.0.5:8000/v1 refuses the key (Incorrect API key provided: {SECRET[:9]}***{SECRET[-4:]})"


@pytest.mark.parametrize("retryable", [True, False])
@pytest.mark.parametrize("raised", [True, False])
def test_no_client_hears_what_an_endpoint_says(
    client: Open, retryable: bool, raised: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(text: str) -> str | Reply:
        if text == "서울" and raised:
            raise GenerationError(SAID, retryable=retryable)
        return (
            Reply("", "error", error=SAID, retryable=retryable) if "서울" in text else named(text)
        )

    long = {"texts": ["춘천", "서울", "서울 " * 300]}
    server = client(Model(answer), batch_size=1, batch_wait=0)
    with caplog.at_level(logging.DEBUG):
        told = [
            server.post("/infer", json={"text": "서울"}),
            server.post("/infer", json={"text": ["춘천", "서울"]}),
            server.post("/v1/extract", json=long),
            server.post("/v1/extract", json=long, headers={"Accept": "application/x-ndjson"}),
            server.get("/readyz"),
            server.get("/metrics"),
        ]
    assert {each.status_code for each in told} <= {200, 422, 502, 503}
    whole = "".join(each.text for each in told) + caplog.text
    for part in ("10.0.0.5", "sk-pr", "kTzRb", "TzRb", "Incorrect"):
        assert part not in whole


def test_the_log_says_why_an_engine_refuses_and_shows_no_key(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answer(_: str) -> str:
        raise GenerationError(SAID)

    served = service(Model(answer))
    served.engine_loads = False
    with caplog.at_level(logging.WARNING), TestClient(create_app(served)):
        assert eventually(lambda: "Incorrect API key provided: ***" in caplog.text)
    assert "http://10.0.0.5:8000/v1 refuses the key" in caplog.text
    assert "sk-pr" not in caplog.text
    assert SECRET[-4:] not in caplog.text


def test_no_key_is_no_key(client: Open) -> None:
    for keys in (("",), ("a", " "), ("a\n",), ("\x00",)):
        with pytest.raises(InputError, match="key"):
            create_app(service(), keys=keys)
    server = client(app={"keys": ("naïve",)})
    for shown, status in (
        ("naïve".encode(), 200),
        ("naïve".encode("latin-1"), 200),
        (b"na", 401),
        (b"na\xef", 401),
        (b"", 401),
    ):
        headers = {b"Authorization": b"Bearer " + shown}
        assert server.get("/v1/recipes", headers=headers).status_code == status
    # One that Latin-1 lacks is not empty in it.
    assert (
        client(app={"keys": ("하나",)})
        .get("/v1/recipes", headers={b"Authorization": b"Bearer "})
        .status_code
        == 401
    )


def test_keys_are_wanted_where_there_are_some(client: Open) -> None:
    server = client(Model(), app={"keys": ("하나", "two")})
    for headers in (
        {},
        {"Authorization": "Bearer three"},
        {"Authorization": "Basic two"},
        {"Authorization": "Bearer "},
    ):
        refused = server.post("/infer", json={"text": "서울"}, headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
    for path in ("/metrics", "/v1/recipes"):
        assert server.get(path).status_code == 401
    for path in ("/", "/static/page.js", "/healthz", "/readyz", "/openapi.json"):
        assert server.get(path).status_code == 200
    for key in ("하나".encode(), b"two"):
        assert (
            server.post(
                "/infer", json={"text": "서울"}, headers={b"Authorization": b"Bearer " + key}
            ).status_code
            == 200
        )


def test_names_it_does_not_go_by_are_refused(client: Open) -> None:
    server = client(app={"hosts": frozenset({"localhost", "::1", "127.0.0.1"})})
    for host, status in (
        ("localhost:8080", 200),
        ("[::1]:8080", 200),
        ("127.0.0.1", 200),
        ("evil.example", 403),
    ):
        assert server.get("/healthz", headers={"Host": host}).status_code == status


def test_answers_are_safe_in_browsers_and_closed_to_other_pages(client: Open) -> None:
    server = client(Model())
    for path in ("/", "/healthz", "/static/page.js", "/nowhere", "/metrics"):
        headers = server.get(path, headers={"Origin": "https://else.example"}).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    assert server.options("/infer", headers=asked).status_code == 405
    opened = client(Model(), app={"cors": frozenset({"https://app.example"}), "keys": ("k",)})
    allowed = opened.options("/infer", headers=asked)
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    assert allowed.headers["access-control-expose-headers"] == "retry-after"
    assert (
        "access-control-allow-origin"
        not in opened.options("/infer", headers={**asked, "Origin": "https://b.example"}).headers
    )


def test_metrics_count_and_quote_nothing(client: Open) -> None:
    server = client(Model())
    server.post("/infer", json={"text": TEXT})
    server.post("/v1/project", json={"text": "춘천", "reply": "LC: 춘천, 런던"})
    server.get("/nowhere/춘천")
    text = server.get("/metrics").text
    for line in (
        'llmner_requests_total{route="/infer",status="200"} 1.0',
        'llmner_requests_total{route="other",status="404"} 1.0',
        'llmner_outcomes_total{kind="exact"} 4.0',
        'llmner_outcomes_total{kind="not_found"} 1.0',
        'llmner_tokens_total{kind="prompt"} 7.0',
        "llmner_ready 1.0",
    ):
        assert line in text, line
    for name in ("request_seconds", "batch_size", "batch_seconds"):
        assert f"llmner_{name}_bucket" in text
    assert "춘천" not in text


@pytest.mark.parametrize("asked", [True, False])
def test_texts_are_logged_only_when_asked(
    client: Open, asked: bool, caplog: pytest.LogCaptureFixture
) -> None:
    served = service(Model())
    served.log_texts = asked
    with caplog.at_level(logging.DEBUG), TestClient(create_app(served)) as server:
        assert eventually(lambda: served.state == "ready")
        server.post("/infer", json={"text": "춘천에서"})
        server.post("/v1/project", json={"text": "서울에서", "reply": "LC: 서울"})
    assert all((text in caplog.text) == asked for text in ("춘천에서", "서울에서"))


def test_readiness_follows_the_engine(client: Open) -> None:
    away = threading.Event()

    def answer(text: str) -> str:
        if away.is_set():
            raise GenerationError("connection refused by 10.0.0.5", retryable=True)
        return named(text)

    server = client(Model(answer))
    assert server.get("/readyz").json() == {"state": "ready", "message": ""}
    away.set()
    assert server.post("/infer", json={"text": "서울"}).status_code == 503
    failing = server.get("/readyz")
    assert (failing.status_code, failing.json()["state"]) == (503, "failing")
    # Anyone may ask this; what is behind the server is not told.
    assert "10.0.0.5" not in failing.text
    assert server.get("/healthz").json()["state"] == "ok"
    away.clear()
    assert eventually(lambda: server.get("/readyz").status_code == 200)
    assert server.post("/infer", json={"text": "서울"}).status_code == 200


def test_readiness_is_the_engines_not_one_questions(client: Open) -> None:
    refuses: set[str] = {"서울"}

    def answer(text: str) -> str:
        if text in refuses:
            raise GenerationError("refuses")
        return named(text)

    model = Model(answer)
    server = client(model)
    looked = model.batches.count(["."])
    assert server.post("/infer", json={"text": "서울"}).status_code == 502
    assert eventually(lambda: model.batches.count(["."]) > looked)
    assert server.get("/readyz").status_code == 200
    # A key that is withdrawn is refused whatever is asked.
    refuses.add(".")
    assert server.post("/infer", json={"text": "서울"}).status_code == 502
    assert eventually(lambda: server.get("/readyz").status_code == 503)
    refuses.clear()
    assert eventually(lambda: server.get("/readyz").status_code == 200)


def test_while_the_model_is_loaded_clients_are_told_to_wait() -> None:
    model = Model()
    model.gate.clear()
    served = service(model)
    with TestClient(create_app(served)) as server:
        loading = server.post("/infer", json={"text": "서울"})
        assert (loading.status_code, loading.json()["error"]["type"]) == (503, "loading")
        assert loading.headers["retry-after"] == "5"
        assert server.get("/readyz").json()["state"] == "loading"
        model.gate.set()
        assert eventually(lambda: served.state == "ready")


def test_recipes_are_listed_with_what_can_be_chosen(client: Open) -> None:
    told = client(Model()).get("/v1/recipes").json()
    assert told["default"] == "klue"
    assert {recipe["name"] for recipe in told["recipes"]} >= {"klue", "klue-strict", "gmb"}
    assert told["recipes"][0]["labels"][0].keys() == {"code", "name", "description"}
    assert told["repairs"] == dict(REPAIRS)
    assert (told["model"], told["grounded"], told["constrains"]) == (True, False, False)


def test_every_repair_has_words() -> None:
    code = "".join(
        path.read_text("utf-8") for path in (ROOT / "llmner" / "replies").glob("_[!r]*.py")
    )
    code += (ROOT / "llmner" / "replies" / "_read.py").read_text("utf-8")
    used = set(
        re.findall(
            r'(?:_add_repair\(|repairs\.append\(|extra\.append\(|repairs\[)"([a-z-]+)"', code
        )
    )
    assert used <= set(REPAIRS), used - set(REPAIRS)
    assert len(used) > 25


def test_openapi_has_an_example_for_every_request_and_answer(client: Open) -> None:
    told = client(Model()).get("/openapi.json").json()
    for path in ("/infer", "/v1/extract", "/v1/project"):
        post = told["paths"][path]["post"]
        schema = post["requestBody"]["content"]["application/json"]["schema"]
        for example in schema["examples"]:
            assert (
                client(Model())
                .post(path, json={**example, "grounded": False} if "texts" in example else example)
                .status_code
                == 200
            )
        assert {"200", "413", "422", "503"} <= set(post["responses"])
