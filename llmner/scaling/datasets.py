"""Extraction as a step of a Ray Data pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmner.asking import (
    AskOptions,
    build,
    build_baseline,
    in_language_of,
    is_baseline,
    prepare,
)
from llmner.files import dump_json
from llmner.scaling.clusters import Cluster, pooled
from llmner.spans import Sentence

if TYPE_CHECKING:
    from ray.data import Dataset

    from llmner.extraction import SpanExtractor

__all__ = ["extract"]


class RowWorker:
    """A process of Ray that extracts from batches of texts.

    Args:
        options: What is asked.
        text: The column of texts.
        id: The column of ids.
    """

    def __init__(self, options: AskOptions, text: str, id: str) -> None:
        self.options, self.text, self.id = options, text, id
        self.extractor: SpanExtractor | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """The batch, with what was found in each text."""
        texts = [str(own) for own in batch[self.text]]
        ids = batch.get(self.id, [None] * len(texts))
        named = [None if own is None else str(own) for own in ids]
        sentences = [Sentence(text, (), id) for text, id in zip(texts, named, strict=True)]
        if self.extractor is None:
            self.extractor = _built(self.options, texts)
        rows = [found.row() for found in self.extractor.extract(sentences)]
        own = {name: list(column) for name, column in batch.items()}
        return own | {
            "spans": [dump_json(row["spans"]).decode() for row in rows],
            "row": [dump_json(row).decode() for row in rows],
            "error": [row.get("error") for row in rows],
        }


def _built(options: AskOptions, texts: list[str]) -> SpanExtractor:
    if is_baseline(options.engine.engine):
        return build_baseline(options)
    return build(in_language_of(prepare(options), texts))


def extract(
    dataset: Dataset,
    options: AskOptions,
    *,
    text: str = "text",
    id: str = "id",
    batch_size: int = 256,
    cluster: Cluster | None = None,
) -> Dataset:
    """Extract from the texts of a Ray data set, with a pool of processes that each have a model.

    Nothing runs before the data set is read or written. What kills a process kills the job, as
    everywhere in Ray Data; :func:`~llmner.scaling.run_job` goes on.

    Args:
        dataset: The data set.
        options: What is asked, of any engine or tagger.
        text: The column of texts.
        id: The column of ids, if there is one.
        batch_size: Texts that a process takes at once.
        cluster: The processes; their number is that of the cluster's processors by default.

    Returns:
        The data set with three more columns: ``spans``, JSON as rows of ``extract`` have it;
        ``row``, the whole row as JSON; ``error``, why there is no answer.

    Raises:
        MissingExtraError: The ``ray`` extra is not installed.

    >>> from llmner.asking import AskOptions
    >>> import ray  # doctest: +SKIP
    >>> texts = ray.data.read_parquet("s3://bucket/texts")  # doctest: +SKIP
    >>> options = AskOptions.of(engine="baseline:build/crf")  # doctest: +SKIP
    >>> extract(texts, options).write_parquet("s3://bucket/found")  # doctest: +SKIP
    """
    given = {"options": options, "text": text, "id": id}
    found: Dataset = pooled(
        dataset, RowWorker, given, cluster or Cluster(), batch_size=batch_size, most=1 << 20
    )
    return found
