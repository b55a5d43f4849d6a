"""What an engine can do decides how it is served."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason='needs pip install "llmner[serve]"')

from llmner.asking import AskOptions
from llmner.errors import InputError
from llmner.recipes import Windows
from llmner.serving import Limits
from llmner.serving._building import build_service


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


def test_recorded_replies_cannot_be_served() -> None:
    with pytest.raises(InputError, match=r"^engine recorded cannot be served; expected"):
        build_service(AskOptions.of(engine="recorded"), Limits())
