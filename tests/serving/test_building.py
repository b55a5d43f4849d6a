"""What an engine can do decides how it is served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason='needs pip install "llmner[serve]"')

from starlette.testclient import TestClient

from llmner.asking import AskOptions
from llmner.errors import CorpusError, InputError
from llmner.recipes import Windows
from llmner.serving import Limits, create_app
from llmner.serving._building import build_service
from tests.serving.fakes import eventually


def test_an_endpoint_gets_questions_one_by_one_and_hears_of_the_clients_time() -> None:
    pytest.importorskip("openai", reason='needs pip install "llmner[openai]"')
    options = AskOptions.of(engine="openai", base_url="http://a/v1", model="m", concurrency=3)
    service = build_service(options, Limits(timeout=10, queue=7))
    limits = service.limits
    assert (limits.batch_size, limits.batch_wait, limits.lanes) == (1, 0.0, 3)
    assert (limits.timeout, limits.queue) == (10, 7)
    assert service.engine_loads is False
    assert (service.options["window"], service.options["overlap"]) == (None, None)


def test_the_embedded_model_is_asked_in_its_recipes_windows_unless_one_is_given() -> None:
    service = build_service(AskOptions(), Limits(batch_wait=0.5))
    assert service.recipe.windows == Windows(window=150, overlap=0, core=60)
    assert (service.options["window"], service.options["overlap"]) == (None, None)
    assert (service.limits.batch_size, service.limits.batch_wait) == (32, 0.5)
    assert service.engine_loads is True
    service = build_service(AskOptions.of(window=90), Limits())
    assert (service.options["window"], service.options["overlap"]) == (90, None)


def test_recorded_replies_are_served_by_their_texts_again_and_again(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the recorded engine needs recorded replies"):
        build_service(AskOptions.of(engine="recorded"), Limits())
    path = tmp_path / "replies.jsonl"
    rows = [
        {"id": "1", "text": "손흥민은 왔다.", "reply": "PS: 손흥민"},
        {"text": "서울에서", "reply": "LC: 서울"},
        {"id": "2", "text": "서울에서", "reply": "OG: 서울"},
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    service = build_service(AskOptions.of(engine="recorded", replies=path, recipe="klue"), Limits())
    with TestClient(create_app(service)) as client:
        assert eventually(lambda: service.state == "ready")
        for _ in range(3):
            found, unknown, other = client.post(
                "/infer", json={"text": ["손흥민은 왔다.", "부산에서", "서울에서"]}
            ).json()["result"]
            assert [(row["word"], row["entity_group"]) for row in found] == [("손흥민", "PS")]
            assert [(row["word"], row["entity_group"]) for row in other] == [("서울", "LC")]
            assert unknown["error"]["type"] == "no_answer"
    path.write_text(json.dumps({"id": "1", "reply": "PS: 손흥민"}), "utf-8")
    with pytest.raises(CorpusError, match="a row has no 'text', by which a server finds"):
        build_service(AskOptions.of(engine="recorded", replies=path), Limits())
