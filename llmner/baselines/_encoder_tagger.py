"""A fine-tuned encoder as a tagger: windows of tokens in, spans of characters out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from llmner._mishaps import Mishap, attempt
from llmner._unicode import writable
from llmner.baselines._alignment import spans_of_all_tokens, spans_of_tokens
from llmner.baselines._encoders import (
    MODEL_FILES,
    ONNX_CONFIG,
    ONNX_FILES,
    EncoderModel,
    class_names,
    load_folder,
    padded,
)
from llmner.baselines._tag_names import tag_names
from llmner.baselines._text_labels import softmax
from llmner.baselines._types import baseline_config
from llmner.errors import InputError
from llmner.files import kind_of
from llmner.spans import Span
from llmner.tagging import Scheme, is_tag, labels_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["CHARACTERS", "FILES", "HEAD", "EncoderTagger", "Window"]

HEAD = "head.safetensors"
CHARACTERS = "characters.json"
"""What a tagger of characters has besides: weights on top of the encoder, and their vocabulary."""
FILES = (*MODEL_FILES, HEAD, CHARACTERS, *ONNX_FILES)
"""Names of the files of a tagger, exported or not. Not all models have all of them."""
# White space in the names of tokens: SentencePiece's, and byte-level BPE's space and line break.
_SPACES = "\u2581\u0120\u010a \n\t"


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


class EncoderTagger(EncoderModel):
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
        super().__init__(model, tokenizer, max_length=max_length, stride=stride)
        self.tags = list(tags) if tags is not None else class_names(model)
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
        if kind_of(folder / ONNX_CONFIG) != "missing":
            from llmner.baselines._onnx import load_onnx

            return cast(EncoderTagger, load_onnx(folder, "spans", device=device))
        config = baseline_config(record, folder, max_length=(8, 1 << 20), stride=(0, 1 << 20))
        options: dict[str, Any] = {key: int(value) for key, value in config.items()}
        foreign = record.get("foreign") is True
        of_characters = not foreign and kind_of(folder / CHARACTERS) != "missing"
        hint = "save it again with save_pretrained" if foreign else "train it again"
        model, tokenizer = load_folder(
            folder,
            "model*.safetensors",
            layer="none" if of_characters else "tokens",
            hint=hint,
            trust_remote_code=trust_remote_code,
        )
        if foreign:
            options["foreign"] = True
            options["tags"], options["scheme"] = tag_names(class_names(model))
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

    @cached_property
    def _blank(self) -> frozenset[int]:
        """Numbers of the tokens of white space alone, whose offsets may reach into a word."""
        names = self.tokenizer.get_vocab().items()
        return frozenset(number for name, number in names if name and not name.strip(_SPACES))

    def windows(self, text: str) -> list[Window]:
        """The tokens of a text, in one window if they fit, or in windows that overlap."""
        # Tokenizers do not take surrogates. Their replacement has the same length.
        encoded = self.tokenizer(
            writable(text),
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
        # Where a tokenizer adds no tokens of its own, an empty text has none.
        rows = [
            (number, row) for number, text in enumerate(texts) for row in self.rows(text) if row.ids
        ]
        predictions: dict[int, tuple[list[str], list[float]]] = {}
        for batch in self.batches([len(row.ids) for _, row in rows]):
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
        ids = padded([window.ids for window in windows], self.tokenizer.pad_token_id or 0)
        mask = padded([[1] * len(window.ids) for window in windows], 0)
        scores = self.scores(self.model, {"input_ids": ids, "attention_mask": mask})
        # Both are (windows, longest).
        values = softmax(scores)
        best, probabilities = values.argmax(-1), values.max(-1)
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
