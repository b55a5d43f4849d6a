"""Encoders as ONNX: taggers and classifiers that run without torch."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from llmner._mishaps import Mishap, attempt, one_line
from llmner.baselines import load_baseline
from llmner.baselines._encoder_classifier import EncoderClassifier
from llmner.baselines._encoder_tagger import HEAD, EncoderTagger
from llmner.baselines._encoders import ONNX_CONFIG, padded
from llmner.baselines._onnx import ATTRIBUTES, HEAD_MODEL, MODEL, OnnxConfig, OnnxNetwork
from llmner.baselines._store import read_baseline_record, save_exported
from llmner.errors import InputError, MissingExtraError
from llmner.files import dump_json, whole_file, whole_folder

if TYPE_CHECKING:
    from llmner.baselines._character_tagger import CharacterTagger

__all__ = ["Weights", "export_encoder"]

Weights = Literal["float32", "int8"]
"""The type of an exported encoder's weights."""

# A protobuf file cannot have more than two gigabytes.
_MOST_BYTES = 1_900_000_000
# The largest difference of scores that arithmetic in another order explains.
_TOLERANCE = 1e-2
# Windows of several lengths, the last of them longer than what sliding attention sees.
_PROBES = ("가", "손흥민은 춘천에서 태어났다.", "Anna was in Rome on 3 May. " * 12, "서울 " * 600)


def export_encoder(
    source: Path,
    output: Path,
    *,
    weights: Weights = "float32",
    trust_remote_code: bool = False,
    report: Callable[[str], None] | None = None,
) -> Path:
    """Write an encoder as ONNX, with its tokenizer and its record. The folder loads as any tagger.

    What is written in float32 is compared with the original: their scores must agree.

    Args:
        source: A trained encoder or encoder classifier, or one of transformers.
        output: The folder to write. It must not exist, or must be empty. It appears complete or not
            at all.
        weights: ``int8`` for matrices and embeddings of eight bits, a step for each column of a
            matrix; activations are turned into eight bits as they come.
        trust_remote_code: Run Python code that comes with the model.
        report: Called with a sentence before anything that takes long.

    Returns:
        The folder.

    Raises:
        InputError: The source is no encoder, was exported already, cannot be written as ONNX, or
            does not give the same scores; or the folder is not empty.
        MissingExtraError: The ``export`` extra is not installed.

    >>> export_encoder(Path("build/bert"), Path("build/bert-onnx"))  # doctest: +SKIP
    PosixPath('build/bert-onnx')
    """
    _check_installed()
    record = read_baseline_record(source)
    if (source / ONNX_CONFIG).is_file():
        raise InputError("was exported already", path=source, hint="name what it was exported from")
    say = report or (lambda _: None)
    with whole_folder(output) as part:
        model = load_baseline(source, device="cpu", trust_remote_code=trust_remote_code)
        if not isinstance(model, EncoderTagger | EncoderClassifier):
            raise InputError(
                f"is a {model.kind}, which is no encoder and has no torch to do without",
                path=source,
                hint="export an encoder or an encoder classifier",
            )
        say(f"Writing {output} as ONNX; this takes a minute")
        _write(model, part, record, weights)
        facts = {"exported": {"weights": weights, "from": source.name}}
        save_exported(part, record, **facts)
        # Nothing is given away that does not load.
        load_baseline(part, device="cpu")
    return output


def _check_installed() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtraError("export", "exporting to ONNX") from None


def _write(
    model: EncoderTagger | EncoderClassifier,
    folder: Path,
    record: Mapping[str, Any],
    weights: Weights,
) -> None:
    inputs = ["input_ids", "attention_mask"]
    fields: dict[str, Any] = {}
    if isinstance(model, EncoderClassifier):
        known = model.encoded("가")[0]
        inputs = [name for name in model.tokenizer.model_input_names if name in known]
        fields = {
            "labels": list(model.labels),
            "several": model.several,
            "choice": model.choice.to_dict(),
            "attributes": {name: own.to_dict() for name, own in model.values.items()},
        }
        if model.attribute_model is not None:
            _write_network(model, model.attribute_model, inputs, folder / ATTRIBUTES, weights)
    elif model.unit == "character":
        _write_head(cast("CharacterTagger", model), folder)
    else:
        fields = {"tags": model.tags, "scheme": model.scheme, "foreign": model.foreign}
    _write_network(model, model.model, inputs, folder / MODEL, weights)
    config = OnnxConfig(
        weights=weights,
        inputs=inputs,
        pad_token_id=model.tokenizer.pad_token_id or 0,
        max_length=model.max_length,
        stride=model.stride,
        parameters=model.parameters(),
        **fields,
    )
    with whole_file(folder / ONNX_CONFIG) as stream:
        stream.write(dump_json(config.model_dump(), indent=2) + b"\n")
    backend = model.tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    backend.save(str(folder / "tokenizer.json"))


def _write_network(
    tagger: EncoderTagger | EncoderClassifier,
    model: Any,
    inputs: Sequence[str],
    path: Path,
    weights: Weights,
) -> None:
    """Write a model of transformers. Its output is its scores, or else its states.

    Raises:
        InputError: It cannot be written, or does not give the same scores.
    """
    import torch
    from torch import nn

    options = {"use_cache": False} if hasattr(model.config.get_text_config(), "use_cache") else {}

    class Network(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *given: Any) -> Any:
            found = self.model(**dict(zip(inputs, given, strict=True)), **options)
            return found.logits if hasattr(found, "logits") else found.last_hidden_state

    network = Network().eval()
    probes = _probes(tagger, inputs)
    batch = [torch.tensor(rows) for rows in probes.values()]
    dynamic = dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC)
    size = sum(own.numel() * 4 for own in model.parameters())
    with _quiet():
        program = attempt(
            torch.onnx.export,
            network,
            tuple(rows[1:3] for rows in batch),
            dynamic_shapes={"given": (dynamic,) * len(inputs)},
            input_names=list(inputs),
            output_names=["scores"],
            dynamo=True,
            verbose=False,
        )
        if isinstance(program, Mishap):
            cause = program.error.__cause__ or program.error
            why = one_line(str(cause).strip().partition("\n")[0], 200)
            raise InputError(f"this model cannot be written as ONNX ({why})")
        program.save(str(path), external_data=size > _MOST_BYTES)
        with torch.inference_mode():
            wanted = network(*batch).numpy()
    found = OnnxNetwork(path)(probes)
    counted = probes["attention_mask"].astype(bool) if wanted.ndim == 3 else slice(None)
    difference = float(np.abs(found - wanted)[counted].max())
    if not difference <= _TOLERANCE * max(1.0, float(np.abs(wanted[counted]).max())):
        raise InputError(
            f"this model cannot be written as ONNX: its scores would differ by {difference:.3g}"
        )
    if weights == "int8":
        _quantise(path, external=size > _MOST_BYTES)


def _probes(
    tagger: EncoderTagger | EncoderClassifier, inputs: Sequence[str]
) -> dict[str, NDArray[np.int64]]:
    """A batch of windows of several lengths: (windows, longest) each."""
    if isinstance(tagger, EncoderClassifier):
        rows = [tagger.encoded(text)[0] for text in _PROBES]
    else:
        windows = [tagger.windows(text)[0].ids for text in _PROBES]
        rows = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in windows]
    fill = {"input_ids": tagger.tokenizer.pad_token_id or 0}
    return {name: padded([row[name] for row in rows], fill.get(name, 0)) for name in inputs}


def _write_head(tagger: CharacterTagger, folder: Path) -> None:
    """Write the BiLSTM of a tagger of characters, and what its chain knows of tags."""
    import torch
    from safetensors.numpy import save_file
    from torch import nn

    head = tagger.network.head
    size = tagger.model.config.get_text_config().hidden_size

    class Head(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.head = head

        def forward(self, states: Any, tokens: Any, *numbers: Any) -> Any:
            index = tokens[..., None].expand(-1, -1, states.shape[-1])
            views = dict(zip(head.embeddings, numbers, strict=True))
            return self.head.read(views, states.gather(1, index))

    names = ["states", "tokens", *head.embeddings]
    places = torch.zeros((1, 3), dtype=torch.long)
    example = (torch.zeros((1, 2, size)), places, *[places] * len(head.embeddings))
    axes = {name: {1: "tokens" if name == "states" else "places"} for name in (*names, "scores")}
    with _quiet():
        # The newer exporter unrolls an LSTM into as many steps as its example has.
        torch.onnx.export(
            Head().eval(),
            example,
            str(folder / HEAD_MODEL),
            input_names=names,
            output_names=["scores"],
            dynamic_axes=axes,
            dynamo=False,
        )
    with torch.inference_mode():
        between, first, last = (edge.contiguous().numpy() for edge in head.chain.edges())
    save_file({"between": between, "first": first, "last": last}, folder / HEAD)
    tagger.save_vocabulary(folder)


def _quantise(path: Path, *, external: bool) -> None:
    """Turn a network's weights into integers of eight bits, in place."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Weights beside a network are known to it by the name of their file.
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, _quiet():
        target = Path(folder) / path.name
        quantize_dynamic(
            path,
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            use_external_data_format=external,
        )
        path.with_name(f"{path.name}.data").unlink(missing_ok=True)
        for made in sorted(Path(folder).iterdir()):
            made.replace(path.with_name(made.name))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep exporters from printing; what goes wrong is raised."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
