"""Data sets of the Hugging Face Hub with ``tokens`` and ``ner_tags``, such as ``klue/ner``.

Goes through ``datasets``, which is imported only here and only when it is needed. A folder written by
``save_to_disk`` is read the same way, without a network.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmner.corpora._types import ReadOptions
from llmner.errors import CorpusError, MissingExtraError, TagError
from llmner.spans import Sentence, Span
from llmner.tagging import guess_scheme, tags_to_spans

__all__ = ["is_saved_dataset", "read_dataset", "read_hub"]

_SAVED = ("dataset_info.json", "dataset_dict.json")


def is_saved_dataset(path: Path) -> bool:
    """Whether ``path`` is a folder that ``datasets`` wrote."""
    try:
        return any((path / name).is_file() for name in _SAVED)
    except OSError:
        # A sentence given for a file is too long for a name.
        return False


def read_hub(name: str, split: str | None, options: ReadOptions) -> Iterator[Sentence]:
    """Sentences of a data set on the Hub, or in a saved folder.

    Args:
        name: ``"klue/ner"``, or a folder.
        split: ``"train"``, ``"validation"``, ...; may be left out where there is only one.
        options: How to read.

    Raises:
        MissingExtraError: ``datasets`` is not installed.
        CorpusError: No such data set or split, or columns other than ``tokens`` and ``ner_tags``.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("hub", f"reading {name!r} through datasets") from None
    if is_saved_dataset(Path(name)):
        loaded = datasets.load_from_disk(name)
    else:
        namespace, _, rest = name.partition("/")
        # klue/ner is the configuration "ner" of the repository klue/klue.
        where = ("klue/klue", rest) if namespace == "klue" else (name, None)
        try:
            loaded = datasets.load_dataset(*where)
        except (OSError, ValueError) as error:
            first = str(error).strip().split("\n")[0]
            raise CorpusError(
                f"cannot be loaded from the Hub ({type(error).__name__}: {first})",
                path=name,
                hint="check the name and the connection, or give a file",
            ) from None
    if isinstance(loaded, dict):
        splits = list(loaded)
        if split is None and len(splits) == 1:
            split = splits[0]
        if split not in loaded:
            what = "no split was named" if split is None else f"no split is called {split!r}"
            raise CorpusError(what, path=name, hint=f"expected one of {', '.join(splits)}")
        loaded = loaded[split]
    yield from read_dataset(loaded, name=name, split=split or "rows", options=options)


def read_dataset(
    dataset: Any, *, name: str = "dataset", split: str = "rows", options: ReadOptions | None = None
) -> Iterator[Sentence]:
    """Sentences of a ``datasets.Dataset`` with ``tokens`` and ``ner_tags``.

    Tags may be strings or class ids whose names the features hold. Tokens of one character each, as in
    ``klue/ner``, are joined as they are; words are joined by spaces.

    Args:
        dataset: The data set.
        name: What to call it in errors.
        split: What ids begin with where rows have none of their own.
        options: How to read.

    Raises:
        CorpusError: Other columns, or tags that cannot be read.
    """
    options = options or ReadOptions()
    path = Path(name)
    missing = [column for column in ("tokens", "ner_tags") if column not in dataset.column_names]
    if missing:
        raise CorpusError(
            f"no column {missing[0]!r} (it has {', '.join(dataset.column_names)})",
            path=path,
            hint="expected tokens and ner_tags",
        )
    feature = dataset.features["ner_tags"]
    feature = getattr(feature, "feature", feature)
    names: list[str] | None = getattr(feature, "names", None)

    def decode(tags: list[Any]) -> list[str]:
        return [names[tag] if names is not None else str(tag) for tag in tags]

    head = dataset.select(range(min(200, len(dataset))))
    joiner = "" if all(len(token) == 1 for row in head for token in row["tokens"]) else " "
    scheme = guess_scheme(tag for row in head for tag in [*decode(row["ner_tags"]), "O"])
    for number, row in enumerate(dataset):
        id = str(row.get("guid") or row.get("id") or f"{split}-{number:05d}")
        try:
            spans, repairs = tags_to_spans(decode(row["ner_tags"]), scheme=scheme, strict=options.strict)
            starts, at = [], 0
            for token in row["tokens"]:
                starts.append(at)
                at += len(token) + len(joiner)
            moved = [
                Span(starts[s.start], starts[s.end - 1] + len(row["tokens"][s.end - 1]), s.label) for s in spans
            ]
            sentence = options.sentence(path, number + 1, id, joiner.join(row["tokens"]), moved)
        except TagError as error:
            options.bad(
                CorpusError(error.problem, path=path, line=number + 1, id=id, hint=error.hint), str(row)
            )
            continue
        except CorpusError as error:
            options.bad(error, str(row))
            continue
        options.repaired(path, number + 1, repairs, id)
        yield sentence
