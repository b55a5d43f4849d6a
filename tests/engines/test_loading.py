"""What loading does to the rest of the process."""

from __future__ import annotations

import gc

import pytest

from llmner.engines._loading import collections_paused


@pytest.fixture(autouse=True)
def collecting() -> object:
    yield
    gc.enable()


def test_garbage_is_collected_again_after_loading() -> None:
    with collections_paused():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_garbage_is_collected_again_after_an_error() -> None:
    with pytest.raises(ValueError, match="broken"), collections_paused():
        raise ValueError("broken")
    assert gc.isenabled()


def test_who_collects_no_garbage_still_does_not() -> None:
    gc.disable()
    with collections_paused(), collections_paused():
        pass
    assert not gc.isenabled()
