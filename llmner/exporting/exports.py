"""One way in: what a model is decides what it can become."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from llmner._mishaps import Mishap, attempt
from llmner.baselines import find_baseline
from llmner.baselines._store import RECORD_FILE, read_baseline_record
from llmner.engines._loading import check_available
from llmner.engines.adapters import RECIPE_FILE, Adapter, find_adapter
from llmner.engines.embedded import EMBEDDED_MODEL
from llmner.engines.merging import merged_folder
from llmner.errors import InputError, LlmnerError, UnknownNameError
from llmner.exporting.gguf_models import (
    QUANTIZATIONS,
    Quantization,
    check_architecture,
    relative_error,
    write_gguf,
)
from llmner.exporting.int8_models import save_int8
from llmner.exporting.onnx_models import export_encoder
from llmner.files import check_new_folder, kind_of
from llmner.hub.licences import check_name, terms_of
from llmner.recipes import Recipe
from llmner.recipes.chat import plain_chat_template

__all__ = ["FORMS", "Exported", "Form", "export_model"]

Form = Literal["bfloat16", "int8", "gguf", "onnx"]
"""What a model can become."""

FORMS: tuple[Form, ...] = get_args(Form)
_BASELINE = "baseline:"
GGUF_FILE = "model.gguf"


@dataclass(frozen=True, slots=True)
class Exported:
    """An exported model.

    Attributes:
        folder: Its folder.
        form: Its form.
        source: The folder of the baseline that it was made of; ``None`` for a language model.
        bytes: The size of its folder's files.
        error: How far its matrices are from the original ones: the root of the mean square of the
            differences, by that of the values. ``None`` if they are the same, or were not compared.
        notice: What the base model's licence asks for, if it is known.
    """

    folder: Path
    form: Form
    source: Path | None
    bytes: int
    error: float | None = None
    notice: str | None = None


def export_model(
    source: str,
    output: Path,
    form: Form,
    *,
    model: str | None = None,
    quantization: Quantization = "q8_0",
    trust_remote_code: bool = False,
    report: Callable[[str], None] | None = None,
) -> Exported:
    """Write a trained model in another form.

    An adapter is merged into its base model first. Encoders become ``onnx`` in float32, or with
    ``int8`` in integers; language models become ``bfloat16``, ``int8`` (compressed-tensors, for
    vLLM) or ``gguf`` (for llama.cpp).

    Args:
        source: An adapter, a language model or a baseline: a folder, ``USER/NAME`` on the Hub, or
            the packaged adapter's name. ``baseline:NAME`` is a baseline on the Hub.
        output: The folder to write. It must not exist, or must be empty. It appears complete or not
            at all.
        form: What the model becomes.
        model: The base model, where it is not the one that an adapter names.
        quantization: The type of a GGUF's matrices.
        trust_remote_code: Run Python code that comes with the model.
        report: Called with a sentence before anything that takes long.

    Raises:
        InputError: The source is missing, broken, or cannot become this; the folder is not empty.
        GenerationError: The language model cannot be loaded.
        MissingExtraError: The ``export`` or the ``local`` extra is not installed.

    >>> export_model("gemma-3-270m-klue-ner", Path("klue"), "gguf").bytes  # doctest: +SKIP
    291655072
    """
    for value, known, what in ((form, FORMS, "form"), (quantization, QUANTIZATIONS, "type")):
        if value not in known:
            raise UnknownNameError(f"unknown {what} {value!r}", hint=f"expected {', '.join(known)}")
    # Before anything is fetched.
    check_new_folder(output)
    if _is_baseline(source):
        if form not in ("onnx", "int8"):
            raise InputError(f"a baseline does not become {form}", hint="expected onnx or int8")
        folder = find_baseline(source.removeprefix(_BASELINE), report)
        export_encoder(
            folder,
            output,
            weights="int8" if form == "int8" else "float32",
            trust_remote_code=trust_remote_code,
            report=report,
        )
        return Exported(output, form, folder, size_of(output))
    if form == "onnx":
        raise InputError(
            "a language model does not become onnx", hint="expected bfloat16, int8 or gguf"
        )
    return _export_language_model(
        source, output, form, model, quantization, trust_remote_code, report
    )


def size_of(folder: Path) -> int:
    """The bytes of a folder's files."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _is_baseline(source: str) -> bool:
    if source.startswith(_BASELINE):
        return True
    folder = Path(source)
    if kind_of(folder) == "missing":
        return False
    if kind_of(folder / RECORD_FILE) != "missing":
        return True
    try:
        read_baseline_record(folder)
    except InputError:
        return False
    return True


def _is_whole_model(source: str) -> bool:
    """Whether a source is a language model by itself, and no adapter."""
    folder = Path(source)
    return source == EMBEDDED_MODEL or (
        kind_of(folder / "config.json") != "missing"
        and kind_of(folder / "adapter_config.json") == "missing"
    )


def _adapter_of(
    source: str, model: str | None, report: Callable[[str], None] | None
) -> Adapter | None:
    """The adapter of a name; ``None`` if the Hub has a whole model of this name.

    Raises:
        InputError: There is neither.
        GenerationError: The Hub does not answer.
    """
    try:
        return find_adapter(source, report, model=model)
    except LlmnerError:
        if model is not None or kind_of(Path(source)) != "missing" or source.count("/") != 1:
            raise
        if isinstance(attempt(check_available, source), Mishap):
            raise
        return None


def _check_gguf(base: str, trust_remote_code: bool) -> None:
    """Refuse a model that is not written as GGUF before it is loaded, if it can be told.

    Raises:
        InputError: It is not.
    """
    from transformers import AutoConfig

    if base == EMBEDDED_MODEL:
        return
    config = attempt(AutoConfig.from_pretrained, base, trust_remote_code=trust_remote_code)
    # EXAONE 3 becomes a Llama as it is loaded. What cannot be read is told by loading it.
    if not isinstance(config, Mishap) and config.model_type != "exaone":
        check_architecture(config.get_text_config())


def _export_language_model(
    source: str,
    output: Path,
    form: Form,
    model: str | None,
    quantization: Quantization,
    trust_remote_code: bool,
    report: Callable[[str], None] | None,
) -> Exported:
    whole = _is_whole_model(source)
    if whole and model is not None:
        raise InputError("is a whole model, which has no base model", path=source)
    adapter = None if whole else _adapter_of(source, model, report)
    base = source if adapter is None else model or adapter.model or ""
    terms = terms_of(base, (source,))
    check_name(f"USER/{output.absolute().name}", terms)
    notice = None if terms is None else f"{terms.title}, {terms.link}"
    if form == "gguf":
        _check_gguf(base, trust_remote_code)
    folder = Path(source) if adapter is None else adapter.folder
    recipe = folder / RECIPE_FILE
    error = None
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "report": report}
    with merged_folder(base, adapter, output, recipe_from=folder, **options) as merging:
        merged, tokenizer, part = merging
        if form == "gguf":
            path = part / GGUF_FILE
            template = plain_chat_template(Recipe.load(recipe)) if recipe.is_file() else None
            write_gguf(
                merged,
                tokenizer,
                path,
                name=output.absolute().name,
                quantization=quantization,
                chat_template=template,
            )
            error = relative_error(merged, path)
        elif form == "int8":
            error = save_int8(merged, tokenizer, part)
        else:
            merged.save_pretrained(part)
            tokenizer.save_pretrained(part)
    return Exported(output, form, None, size_of(output), error, notice)
