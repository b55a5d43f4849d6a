"""A fine-tuned encoder as a tagger: windows of tokens in, spans of characters out."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from llmner._mishaps import Mishap, attempt
from llmner._numbers import is_whole
from llmner.baselines._alignment import spans_of_tokens
from llmner.baselines._types import baseline_config
from llmner.engines._denormals import denormals_flushed
from llmner.engines._loading import load_pretrained
from llmner.engines._model_files import check_finite
from llmner.errors import GenerationError, InputError, MissingExtraError
from llmner.spans import Span
from llmner.tagging import is_tag, labels_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["FILES", "EncoderTagger", "Window", "load_encoder"]

TOKENIZER_FILES = ("special_tokens_map.json", "tokenizer_config.json", "vocab.txt")
FILES = ("model.safetensors", "config.json", "tokenizer.json", *TOKENIZER_FILES)
"""Names of the files that :meth:`EncoderTagger.save` may write. Not all models have all of them."""
# Windows tagged together.
_TOGETHER = 32
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a text's tokens that fits into the model.

    Attributes:
        ids: Numbers of the tokens, special ones included.
        offsets: (start, end) of each in the text, in code points; (0, 0) of special ones.
        own: Numbers of the tokens that are not special.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]
    own: list[int]


class EncoderTagger:
    """A fine-tuned encoder.

    Args:
        model: A model for token classification, whose ``id2label`` are IOB2 tags.
        tokenizer: Its tokenizer, which must be a fast one.
        max_length: Longest window, in tokens.
        stride: Tokens that two neighbouring windows share.

    Raises:
        InputError: The tokenizer has no offsets, because it is not a fast one.
    """

    kind: ClassVar[str] = "encoder"

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        *,
        max_length: int = 510,
        stride: int = 64,
    ) -> None:
        if not tokenizer.is_fast:
            raise InputError(
                "the tokenizer has no offsets", hint="use a model that has a tokenizer.json"
            )
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = _longest(model, tokenizer, max_length)
        self.stride = min(stride, self.max_length // 4)
        self.tags = [
            str(model.config.id2label[number]) for number in range(model.config.num_labels)
        ]
        self.labels = labels_of(self.tags)

    @classmethod
    def load(
        cls,
        folder: Path,
        record: Mapping[str, Any],
        *,
        device: str = "auto",
        trust_remote_code: bool = False,
    ) -> EncoderTagger:
        """Load the encoder from a folder that :meth:`save` wrote to.

        Args:
            folder: The folder.
            record: The contents of its ``baseline.json``.
            device: ``"auto"`` (CUDA if available), ``"cpu"``, ``"cuda:0"``, ...
            trust_remote_code: Run Python code that comes with the model.

        Raises:
            InputError: A file is missing or broken.
            MissingExtraError: The ``baselines`` extra is not installed.
        """
        config = baseline_config(record, folder, max_length=(8, 1 << 20), stride=(0, 1 << 20))
        try:
            model, tokenizer = load_encoder(str(folder), trust_remote_code=trust_remote_code)
        except GenerationError as error:
            raise InputError(str(error), path=folder, hint="train it again") from None
        for path in sorted(folder.glob("model*.safetensors")):
            check_finite(path)
        import torch

        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            model.to(device)
        except (RuntimeError, AssertionError) as error:
            why = str(error).strip().splitlines()[0]
            raise InputError(
                f"device {device!r} cannot be used ({why})", hint="expected cpu, cuda, cuda:1"
            ) from None
        tagger = attempt(
            cls, model, tokenizer, **{key: int(value) for key, value in config.items()}
        )
        # The tokenizer may have tokens that the model lacks, or the model labels that are not tags.
        result = tagger if isinstance(tagger, Mishap) else attempt(tagger.tag, ["."])
        if (
            isinstance(tagger, Mishap)
            or isinstance(result, Mishap)
            or not all(is_tag(tag, "iob2") for tag in tagger.tags)
        ):
            why = f" ({result})" if isinstance(result, Mishap) else ""
            raise InputError(
                f"cannot be loaded: its files are not of one tagger{why}",
                path=folder,
                hint="train it again",
            )
        return tagger

    def save(self, folder: Path) -> None:
        """Write the model and its tokenizer into a folder."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def parameters(self) -> int:
        """The number of weights of encoder and classification layer, including frozen ones."""
        return sum(weights.numel() for weights in self.model.parameters())

    def windows(self, text: str) -> list[Window]:
        """The tokens of a text, in one window if they fit, or in windows that overlap."""
        # Tokenizers do not take surrogates. Their replacement has the same length.
        encoded = self.tokenizer(
            _SURROGATE.sub("\ufffd", text),
            truncation=True,
            max_length=self.max_length,
            stride=self.stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        columns = (encoded[key] for key in ("input_ids", "offset_mapping", "special_tokens_mask"))
        return [
            Window(
                list(ids),
                [
                    (0, 0) if special else (start, end)
                    for (start, end), special in zip(offsets, mask, strict=True)
                ],
                [number for number, special in enumerate(mask) if not special],
            )
            for ids, offsets, mask in zip(*columns, strict=True)
        ]

    def tag(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """The spans of each text.

        A text that does not fit into the model is tagged in windows that overlap. Of the tokens
        that two windows share, the first half is taken from the earlier window.
        """
        windows = [
            (number, window) for number, text in enumerate(texts) for window in self.windows(text)
        ]
        predictions: dict[int, tuple[list[str], list[float]]] = {}
        # Windows of similar lengths are tagged together, the longest first.
        order = sorted(range(len(windows)), key=lambda index: -len(windows[index][1].ids))
        for start in range(0, len(order), _TOGETHER):
            batch = order[start : start + _TOGETHER]
            predictions.update(
                zip(batch, self._predict([windows[index][1] for index in batch]), strict=True)
            )
        by_text: list[list[tuple[Window, list[str], list[float]]]] = [[] for _ in texts]
        for index, (number, window) in enumerate(windows):
            by_text[number].append((window, *predictions[index]))
        return [self._joined(text, parts) for text, parts in zip(texts, by_text, strict=True)]

    def _predict(self, windows: Sequence[Window]) -> Iterator[tuple[list[str], list[float]]]:
        """The tags of each window's tokens, and their probabilities."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        self.model.eval()
        pad = self.tokenizer.pad_token_id or 0
        ids = pad_sequence([torch.tensor(window.ids) for window in windows], True, pad)
        mask = pad_sequence(
            [torch.ones(len(window.ids), dtype=torch.long) for window in windows], True, 0
        )
        device = self.model.device
        with torch.inference_mode(), denormals_flushed():
            scores = self.model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
        # Both are (windows, longest).
        probabilities, best = scores.float().softmax(-1).max(-1)
        for window, tags, row in zip(windows, best.tolist(), probabilities.tolist(), strict=True):
            size = len(window.ids)
            yield [self.tags[tag] for tag in tags[:size]], row[:size]

    def _joined(
        self, text: str, parts: Sequence[tuple[Window, list[str], list[float]]]
    ) -> tuple[Span, ...]:
        """The spans of a text, from the tags and probabilities of all its windows."""
        offsets: list[tuple[int, int]] = []
        tags: list[str | None] = []
        probabilities: list[float] = []
        for number, (window, window_tags, window_probabilities) in enumerate(parts):
            first = self.stride // 2 if number else 0
            end = self.stride - self.stride // 2 if number + 1 < len(parts) else 0
            for token in window.own[first : len(window.own) - end]:
                offsets.append(window.offsets[token])
                tags.append(window_tags[token])
                probabilities.append(window_probabilities[token])
        return spans_of_tokens(text, offsets, tags, probabilities)


def load_encoder(
    name: str, tags: Sequence[str] | None = None, *, trust_remote_code: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A model for token classification in float32, and its tokenizer.

    With ``tags``, the model gets a new classification layer for these tags.
    """
    try:
        import torch
        from transformers import AutoModelForTokenClassification
        from transformers.utils import logging as transformers_logging
    except ImportError:
        raise MissingExtraError("baselines", "an encoder") from None
    transformers_logging.disable_progress_bar()
    # Its warnings concern models that are spread over several devices.
    logging.getLogger("transformers.distributed.tensor_parallel").setLevel(logging.ERROR)
    labels: dict[str, Any] = {}
    if tags is not None:
        # Its warning that the classification layer is new is not needed here.
        logging.getLogger("transformers.modeling_utils").setLevel(logging.ERROR)
        labels = {
            "num_labels": len(tags),
            "id2label": dict(enumerate(tags)),
            "label2id": {tag: number for number, tag in enumerate(tags)},
            "ignore_mismatched_sizes": True,
        }
    model, tokenizer = load_pretrained(
        AutoModelForTokenClassification,
        name,
        name,
        dtype=torch.float32,
        trust_remote_code=trust_remote_code,
        # The classification layer has no weights to load before training.
        new_layers=tags is not None,
        **labels,
    )
    return model, tokenizer


def _longest(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, max_length: int) -> int:
    """The longest window in tokens: ``max_length``, or less if the model cannot take as many."""
    limits = [max_length, tokenizer.model_max_length]
    positions = getattr(model.config, "max_position_embeddings", None)
    if is_whole(positions) and positions > 0:
        # Models like RoBERTa do not use the position embeddings up to the padding token's number.
        unused = (
            (model.config.pad_token_id or 0) + 1 if "roberta" in str(model.config.model_type) else 0
        )
        limits.append(positions - unused)
    return int(min(limits))
