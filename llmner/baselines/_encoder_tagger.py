"""A fine-tuned encoder as a tagger: windows of tokens in, spans of characters out."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from llmner._mishaps import Mishap, attempt
from llmner._numbers import is_whole
from llmner.baselines._alignment import spans_of_all_tokens, spans_of_tokens
from llmner.baselines._tag_names import tag_names
from llmner.baselines._types import baseline_config
from llmner.engines._denormals import denormals_flushed
from llmner.engines._loading import check_available, load_pretrained
from llmner.engines._model_files import check_finite
from llmner.engines.embedded import EMBEDDED_MODEL, embedded_model
from llmner.errors import GenerationError, InputError, MissingExtraError
from llmner.files import kind_of
from llmner.spans import Span
from llmner.tagging import Scheme, is_tag, labels_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["CHARACTERS", "FILES", "HEAD", "EncoderTagger", "Window", "load_encoder"]

TOKENIZER_FILES = ("special_tokens_map.json", "tokenizer_config.json", "vocab.txt")
HEAD = "head.safetensors"
CHARACTERS = "characters.json"
"""What a tagger of characters has besides: weights on top of the encoder, and their vocabulary."""
FILES = ("model.safetensors", "config.json", "tokenizer.json", *TOKENIZER_FILES, HEAD, CHARACTERS)
"""Names of the files that :meth:`EncoderTagger.save` may write. Not all models have all of them."""
# Windows tagged together: on a CPU few, of nearly one length, since padding costs there what tokens
# cost.
_TOGETHER, _TOGETHER_ON_CPU = 32, 8
# Names of a configuration's dropout, of the encoder and of the classification layer.
_DROPOUTS = ("hidden_dropout_prob", "hidden_dropout", "resid_dropout", "dropout")
_HEAD_DROPOUTS = ("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout")
# White space in the names of tokens: SentencePiece's, and byte-level BPE's space and line break.
_SPACES = "\u2581\u0120\u010a \n\t"
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

    A text becomes rows, a window each (:meth:`rows`); rows get tags and probabilities
    (:meth:`_predict`), and those of a text's rows become spans (:meth:`_joined`).

    Args:
        model: A model for token classification, whose ``id2label`` are tags.
        tokenizer: Its tokenizer, which must be a fast one.
        tags: The tags, if ``id2label`` does not have them.
        scheme: Their scheme.
        foreign: Whether it was trained elsewhere. Then a token of white space alone may have been
            taught a tag, as that of the word after it.
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
        tags: Sequence[str] | None = None,
        scheme: Scheme = "iob2",
        foreign: bool = False,
        max_length: int = 510,
        stride: int = 64,
    ) -> None:
        if not tokenizer.is_fast:
            raise InputError(
                f"its tokenizer ({type(tokenizer).__name__}) is a slow one, which does not say "
                "where its tokens stand in the text",
                hint="use a model that has a tokenizer.json",
            )
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = _longest(model, tokenizer, max_length)
        self.stride = min(stride, self.max_length // 4)
        self.tags = list(tags) if tags is not None else _label_names(model)
        self.scheme = scheme
        self.foreign = foreign
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
        """Load the encoder from a folder that :meth:`save` or ``save_pretrained`` wrote to.

        Args:
            folder: The folder.
            record: The contents of its ``baseline.json``, or what stands for them in a folder
                without it.
            device: ``"auto"`` (CUDA if available), ``"cpu"``, ``"cuda:0"``, ...
            trust_remote_code: Run Python code that comes with the model.

        Raises:
            InputError: A file is missing or broken, or the tokenizer has no offsets.
            MissingExtraError: The ``baselines`` extra is not installed.
        """
        config = baseline_config(record, folder, max_length=(8, 1 << 20), stride=(0, 1 << 20))
        options: dict[str, Any] = {key: int(value) for key, value in config.items()}
        foreign = record.get("foreign") is True
        of_characters = not foreign and kind_of(folder / CHARACTERS) != "missing"
        hint = "save it again with save_pretrained" if foreign else "train it again"
        try:
            model, tokenizer = load_encoder(
                str(folder),
                trust_remote_code=trust_remote_code,
                head="none" if of_characters else "trained",
            )
        except GenerationError as error:
            raise InputError(str(error), path=folder, hint=hint) from None
        for path in sorted(folder.glob("model*.safetensors")):
            check_finite(path)
        if foreign:
            options["foreign"] = True
            options["tags"], options["scheme"] = tag_names(_label_names(model))
        tagger: EncoderTagger | Mishap
        if of_characters:
            from llmner.baselines._character_tagger import CharacterTagger

            tagger = attempt(CharacterTagger.read, folder, model, tokenizer, **options)
        else:
            tagger = attempt(cls, model, tokenizer, **options)
        if isinstance(tagger, Mishap) and isinstance(tagger.error, InputError):
            raise tagger.error.located(path=folder)
        if not isinstance(tagger, Mishap):
            tagger.move(device)
        # The tokenizer may have tokens that the model lacks, or the model labels that are not tags.
        result = tagger if isinstance(tagger, Mishap) else attempt(tagger.tag, ["."])
        if (
            isinstance(tagger, Mishap)
            or isinstance(result, Mishap)
            or not (foreign or all(is_tag(tag, tagger.scheme) for tag in tagger.tags))
        ):
            why = f" ({result})" if isinstance(result, Mishap) else ""
            raise InputError(
                f"cannot be loaded: its files are not of one tagger{why}", path=folder, hint=hint
            )
        return tagger

    unit: ClassVar[Literal["token", "character"]] = "token"

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """(start, end) of what is tagged, in code points."""
        windows = self.windows(text)
        return [
            window.offsets[token]
            for number, window in enumerate(windows)
            for token in self.kept(window, number, len(windows))
        ]

    @property
    def network(self) -> Any:
        """All that has weights."""
        return self.model

    def move(self, device: str) -> None:
        """Move the weights to a device.

        Args:
            device: ``"auto"`` (CUDA if available), ``"cpu"``, ``"cuda:0"``, ...

        Raises:
            InputError: There is no such device here.
        """
        import torch

        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self.network.to(device)
        except (RuntimeError, AssertionError) as error:
            why = str(error).strip().splitlines()[0]
            raise InputError(
                f"device {device!r} cannot be used ({why})", hint="expected cpu, cuda, cuda:1"
            ) from None

    def save(self, folder: Path) -> None:
        """Write the model and its tokenizer into a folder."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def parameters(self) -> int:
        """The number of weights of encoder and classification layer, including frozen ones."""
        return sum(weights.numel() for weights in self.network.parameters())

    @cached_property
    def _blank(self) -> frozenset[int]:
        """Numbers of the tokens of white space alone, whose offsets may reach into a word."""
        names = self.tokenizer.get_vocab().items()
        return frozenset(number for name, number in names if name and not name.strip(_SPACES))

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
                    (0, 0) if special else (start, start if id in self._blank else end)
                    for id, (start, end), special in zip(ids, offsets, mask, strict=True)
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
        rows = [(number, row) for number, text in enumerate(texts) for row in self.rows(text)]
        predictions: dict[int, tuple[list[str], list[float]]] = {}
        for batch in self._batches([len(row.ids) for _, row in rows]):
            predictions.update(
                zip(batch, self._predict([rows[index][1] for index in batch]), strict=True)
            )
        by_text: list[list[tuple[Any, list[str], list[float]]]] = [[] for _ in texts]
        for index, (number, row) in enumerate(rows):
            by_text[number].append((row, *predictions[index]))
        return [self._joined(text, parts) for text, parts in zip(texts, by_text, strict=True)]

    def rows(self, text: str) -> Sequence[Any]:
        """What is tagged of a text, a row for each window; a row has the ``ids`` of its tokens."""
        return self.windows(text)

    @property
    def together(self) -> int:
        """How many windows are tagged together."""
        return _TOGETHER_ON_CPU if self.model.device.type == "cpu" else _TOGETHER

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """The numbers of windows to tag together: those of similar lengths, the longest first."""
        order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
        for start in range(0, len(order), self.together):
            yield order[start : start + self.together]

    def kept(self, window: Window, number: int, windows: int) -> list[int]:
        """The tokens of a window whose answers count; the others are a neighbour's.

        Args:
            window: The window.
            number: Its number among those of the text.
            windows: How many these are.
        """
        first = self.stride // 2 if number else 0
        end = self.stride - self.stride // 2 if number + 1 < windows else 0
        return window.own[first : len(window.own) - end]

    def _predict(self, windows: Sequence[Any]) -> Iterator[tuple[list[str], list[float]]]:
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
        self, text: str, parts: Sequence[tuple[Any, list[str], list[float]]]
    ) -> tuple[Span, ...]:
        """The spans of a text, from the tags and probabilities of all its windows."""
        offsets: list[tuple[int, int]] = []
        tags: list[str] = []
        probabilities: list[float] = []
        for number, (window, window_tags, window_probabilities) in enumerate(parts):
            for token in self.kept(window, number, len(parts)):
                offsets.append(window.offsets[token])
                tags.append(window_tags[token])
                probabilities.append(window_probabilities[token])
        if self.foreign:
            return spans_of_all_tokens(text, offsets, tags, probabilities, scheme=self.scheme)
        return spans_of_tokens(text, offsets, tags, probabilities)


def load_encoder(
    path: str,
    tags: Sequence[str] | None = None,
    *,
    trust_remote_code: bool = False,
    name: str | None = None,
    head: Literal["trained", "none"] = "trained",
    dropout: float | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A model in float32, and its tokenizer.

    Args:
        path: Its name on the Hub, or its folder.
        tags: Tags for which a new classification layer is made.
        trust_remote_code: Run Python code that comes with the model.
        name: What errors call it, if not ``path``.
        head: ``"trained"`` for a model with a classification layer, ``"none"`` for one without.
            A language model without one reads in both directions, if it can.
        dropout: Share of its hidden states that is dropped in training, if not its own.

    Raises:
        GenerationError: The model cannot be loaded.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    try:
        import torch
        from transformers import AutoModel, AutoModelForTokenClassification
        from transformers.utils import logging as transformers_logging
    except ImportError:
        raise MissingExtraError("baselines", "an encoder") from None
    transformers_logging.disable_progress_bar()
    # Its warnings concern models that are spread over several devices.
    logging.getLogger("transformers.distributed.tensor_parallel").setLevel(logging.ERROR)
    options: dict[str, Any] = {}
    if tags is not None or head == "none":
        # Its warning that a layer is new, or not used, is not needed here.
        logging.getLogger("transformers.modeling_utils").setLevel(logging.ERROR)
    if tags is not None:
        options = {
            "num_labels": len(tags),
            "id2label": dict(enumerate(tags)),
            "label2id": {tag: number for number, tag in enumerate(tags)},
            "ignore_mismatched_sizes": True,
        }
    fields = config_fields(path, trust_remote_code=trust_remote_code)
    if head == "none" and "use_bidirectional_attention" in fields:
        options["use_bidirectional_attention"] = True
    if dropout is not None:
        options |= {key: dropout for key in _DROPOUTS if isinstance(fields.get(key), (int, float))}
        options |= {key: dropout for key in _HEAD_DROPOUTS if key in fields}
    model, tokenizer = load_pretrained(
        AutoModel if head == "none" else AutoModelForTokenClassification,
        name or path,
        path,
        dtype=torch.float32,
        trust_remote_code=trust_remote_code,
        # The classification layer has no weights to load before training.
        new_layers=tags is not None or head == "none",
        **options,
    )
    return model, tokenizer


def model_path(name: str, report: Callable[[str], None] | None = None) -> str:
    """Where a model is loaded from: its name on the Hub, or its folder.

    Args:
        name: A name on the Hub, a folder, or ``gemma-3-270m``.
        report: Called with a sentence before anything that takes long.

    Raises:
        GenerationError: It is neither, or the Hub does not answer.
    """
    if name == EMBEDDED_MODEL:
        return str(embedded_model(report))
    check_available(name)
    return name


def config_fields(path: str, *, trust_remote_code: bool = False) -> dict[str, Any]:
    """What a model's configuration says; nothing if it cannot be read, which loading tells."""
    from transformers import AutoConfig

    config = attempt(AutoConfig.from_pretrained, path, trust_remote_code=trust_remote_code)
    return {} if isinstance(config, Mishap) else config.to_dict()


def _label_names(model: PreTrainedModel) -> list[str]:
    return [str(model.config.id2label[number]) for number in range(model.config.num_labels)]


def _longest(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, max_length: int) -> int:
    """The longest window in tokens: ``max_length``, or less if the model cannot take as many."""
    limits = [max_length, tokenizer.model_max_length]
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if is_whole(positions) and positions > 0:
        limits.append(positions - _unused_positions(model))
    return int(min(limits))


def _unused_positions(model: PreTrainedModel) -> int:
    """How many position embeddings no token has: models like RoBERTa count from the padding's."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings"):
            padding = getattr(module, "padding_idx", None)
            return 0 if padding is None else int(padding) + 1
    return 0
