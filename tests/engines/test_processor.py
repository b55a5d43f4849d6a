"""The number type that is fast: measured, kept, and measured again where it must be."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from llmner.engines._processor import check_dtype, cpu_arithmetic
from llmner.errors import InputError

torch = pytest.importorskip("torch", reason='needs pip install "llmner[local]"')

ASKED = "from llmner.engines._processor import cpu_arithmetic as fast; print(fast().dtype)"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLMNER_CACHE", str(tmp_path))
    return tmp_path / "processors.json"


def speeds(path: Path) -> dict[str, dict[str, float]]:
    kept: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    return kept


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="needs an x86 processor")
def test_a_processor_without_bfloat16_computes_in_float32(cache: Path) -> None:
    """oneDNN leaves instructions out where it is told to, so every x86 processor can be slow."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    printed = subprocess.run(
        [sys.executable, "-c", ASKED], env=environment, capture_output=True, text=True, check=True
    )
    assert printed.stdout.split() == ["float32"]
    (key,) = speeds(cache)
    assert "ONEDNN_MAX_CPU_ISA=AVX2" in key


def test_what_is_fast_is_measured_once(cache: Path) -> None:
    dice = torch.get_rng_state()
    measured = cpu_arithmetic()
    # A training that is seeded is the same, whether it was measured before or not.
    assert torch.equal(torch.get_rng_state(), dice)
    ((key, kept),) = speeds(cache).items()
    assert torch.__version__ in key
    assert min(kept.values()) > 0
    for fast, float32 in (("float32", 3.0), ("bfloat16", 1.05)):
        # A little faster is not worth twice the memory.
        for int8 in (3.8, 4.0):
            told = {"float32": float32, "bfloat16": 1.0, "int8": int8}
            cache.write_text(json.dumps({key: told}))
            assert cpu_arithmetic().dtype == fast
            # Much faster than float32 is enough, but not where bfloat16 is as fast.
            assert cpu_arithmetic().int8 == (int8 == 4.0 and fast == "float32")
    cache.unlink()
    assert cpu_arithmetic().dtype == measured.dtype


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"here": 3}', "{", "null", '{"a": {"float32": "x"}}', '{"a": {"float32": 1}}'],
)
def test_a_broken_file_is_measured_anew(cache: Path, content: str) -> None:
    cache.write_text(content)
    assert cpu_arithmetic().dtype in ("float32", "bfloat16")
    assert all(min(kept.values()) > 0 for kept in speeds(cache).values())


def test_a_cache_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("LLMNER_CACHE", str(blocked / "folder"))
    threads = torch.get_num_threads()
    assert cpu_arithmetic().dtype in ("float32", "bfloat16")
    assert torch.get_num_threads() == threads


def test_int8_is_for_cpus() -> None:
    check_dtype("int8", torch.device("cpu"))
    with pytest.raises(InputError, match="int8 is for CPUs, and the device is cuda:0; use auto"):
        check_dtype("int8", torch.device("cuda:0"))


def test_float16_needs_a_processor_that_has_it() -> None:
    check_dtype("bfloat16", torch.device("cpu"))
    check_dtype("float16", torch.device("cuda"))
    if torch.ops.mkldnn._is_mkldnn_fp16_supported():
        check_dtype("float16", torch.device("cpu"))
    else:
        with pytest.raises(InputError, match="no instructions for float16; use auto"):
            check_dtype("float16", torch.device("cpu"))
