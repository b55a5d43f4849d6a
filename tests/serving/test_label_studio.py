"""Label Studio's calls: what it sends, and what it reads of the answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs pip install "llmner[serve]"')
from starlette.testclient import TestClient

from llmner.corpora import read_corpus
from llmner.engines import Reply
from llmner.serving import create_app
from llmner.serving._routes_label_studio import _names
from tests.serving.fakes import Model, eventually, named, service

CONFIG = """<View>
  <Labels name='entities' toName="article"><Label value="PS"/><Label value="LC"/></Labels>
  <Text name="article" value="$body"/>
  <Choices name="topic" toName="article"><Choice value="a"/></Choices>
</View>"""
TEXT = "😀 손흥민은 춘천에서 3,000명을 만났다."


def task(id: int, /, **data: Any) -> dict[str, Any]:
    """A task as Label Studio sends it."""
    more = {"meta": {}, "created_at": "2026-01-01T00:00:00Z", "is_labeled": False, "overlap": 1}
    return {"id": id, "data": data, "annotations": [], "predictions": [], "project": 3, **more}


@pytest.fixture
def client() -> Iterator[TestClient]:
    with ExitStack() as stack:
        served = service(Model())
        made = stack.enter_context(TestClient(create_app(served)))
        assert eventually(lambda: served.state == "ready")
        yield made


def test_tasks_get_predictions_that_fit_the_projects_interface(client: TestClient) -> None:
    asked = {
        "tasks": [
            task(1, body=TEXT, title="not this"),
            task(2, body=""),
            task(3, image="a.png", number=3),
            task(4, text="손흥민은"),
        ],
        "label_config": CONFIG,
        "model_version": None,
        "project": "3.1700000000",
        "params": {"login": None, "password": None, "context": None},
        "something_newer": True,
    }
    answer = client.post("/predict", json=asked)
    assert answer.status_code == 200, answer.text
    first, empty, image, other = answer.json()["results"]
    assert [result["value"]["labels"] for result in first["result"]] == [["PS"], ["LC"], ["QT"]]
    assert {(r["from_name"], r["to_name"]) for r in first["result"]} == {("entities", "article")}
    # Label Studio counts UTF-16 units: the emoji has two.
    value = first["result"][0]["value"]
    assert (value["start"], value["end"], value["text"]) == (3, 6, "손흥민")
    assert TEXT.encode("utf-16-le")[2 * 3 : 2 * 6].decode("utf-16-le") == "손흥민"
    assert first["model_version"].startswith("llmner-")
    assert (empty["result"], image["result"]) == ([], [])
    assert other["result"][0]["value"]["text"] == "손흥민"


def test_its_predictions_are_read_back_as_the_same_spans(
    client: TestClient, tmp_path: Path
) -> None:
    answer = client.post("/predict", json={"tasks": [task(1, text=TEXT)]}).json()
    exported = [{"id": 1, "data": {"text": TEXT}, "predictions": answer["results"]}]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(exported), encoding="utf-8")
    (sentence,) = read_corpus(path)
    assert sentence.text == TEXT
    found = [TEXT[span.start : span.end] for span in sentence.spans]
    assert found == ["손흥민", "춘천", "3,000명"]
    assert json.loads(named(TEXT)) == {"PS": ["손흥민"], "LC": ["춘천"], "QT": ["3,000명"]}


def test_setup_and_health(client: TestClient) -> None:
    sent = {
        "project": "3.17",
        "schema": CONFIG,
        "hostname": "http://localhost:8080",
        "access_token": "t",
        "extra_params": {},
        "force_reload": True,
    }
    assert client.post("/setup", json=sent).json()["model_version"].startswith("llmner-")
    assert client.get("/health").json() == {"status": "UP", "model_class": "llmner"}


def test_without_a_model_it_is_not_up() -> None:
    with TestClient(create_app(service(None))) as made:
        assert made.get("/health").status_code == 501
        assert made.post("/predict", json={"tasks": [task(1, text="a")]}).status_code == 501


def test_a_key_is_the_password_of_basic_authentication() -> None:
    served = service(Model())
    with TestClient(create_app(served, keys=("비밀 key",))) as made:
        assert eventually(lambda: served.state == "ready")
        body = {"tasks": [task(1, text="손흥민은")]}
        for shown, status in (
            ("anyone:비밀 key", 200),
            (":비밀 key", 200),
            ("비밀 key", 401),
            ("비밀 key:", 401),
            ("anyone:other", 401),
        ):
            basic = base64.b64encode(shown.encode()).decode()
            headers = {"Authorization": f"Basic {basic}"}
            assert made.post("/predict", json=body, headers=headers).status_code == status, shown
        for wrong in ("Basic", "Basic !!!", "Basic  ", "Digest key"):
            sent = made.post("/predict", json=body, headers={"Authorization": wrong})
            assert sent.status_code == 401
        # Whether it is up is open, as that of any server.
        assert made.get("/health").status_code == 200


def test_controls_are_read_as_the_interface_means_them() -> None:
    config = """<View><!-- <Labels name="old" toName="t0"> -->
    <Labels hotkey=">" name="x" toName="y"/><Text name="y" value="$b"/></View>"""
    assert _names(config) == {"labels": "x", "text": "y", "choices": "labels", "value": "b"}


def test_an_engine_that_is_down_is_not_a_text_without_entities() -> None:
    down = Model(
        lambda text: (
            named(text) if text == "." else Reply("", "error", error="down", retryable=True)
        )
    )
    served = service(down)
    with TestClient(create_app(served)) as made:
        assert eventually(lambda: served.state == "ready")
        answer = made.post("/predict", json={"tasks": [task(1, text="손흥민"), task(2, text="")]})
        assert answer.status_code == 503
    small = service(Model(), answer=2000)
    with TestClient(create_app(small)) as made:
        assert eventually(lambda: small.state == "ready")
        many = [task(number, text="손흥민 " * 30) for number in range(5)]
        refused = made.post("/predict", json={"tasks": many})
        assert (refused.status_code, refused.json()["error"]["type"]) == (422, "too_much")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tasks": 3},
        {"tasks": [3]},
        {"tasks": [{"id": 1}]},
        {"tasks": [{"id": 1, "data": []}]},
        {"tasks": [task(1, text="a")] * 1001},
    ],
)
def test_what_is_no_request_of_its_is_refused(client: TestClient, body: Any) -> None:
    assert client.post("/predict", json=body).status_code == 422


def test_an_interface_that_would_hold_up_a_parser_does_not(client: TestClient) -> None:
    import time

    started = time.perf_counter()
    for config in (
        "<Labels " * 20_000,
        "<Labels " + "a" * 150_000 + ">",
        "<Text " + 'b="c" ' * 30_000 + ">",
        "<Labels a='" * 15_000 + ">",
        "<!--" * 40_000,
        '<Labels name="&#' + "9" * 5000 + ';">',
        "<Labels name='" + "n" * 150_000 + "'/>",
    ):
        sent = {"tasks": [task(1, text="손흥민은")], "label_config": config}
        assert client.post("/predict", json=sent).status_code == 200
    assert time.perf_counter() - started < 10
