"""Questions that an endpoint answers later: extractors for them, and answers that fit none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llmner.asking.building import extractor_options
from llmner.errors import InputError

if TYPE_CHECKING:
    from llmner.asking.building import Asking
    from llmner.engines import Engine
    from llmner.engines.batch_files import BatchReplies
    from llmner.extraction import Extractor
    from llmner.spans import Sentence

__all__ = ["batch_extractor", "unused_answers"]


def batch_extractor(asking: Asking, engine: Engine) -> Extractor:
    """An extractor that asks one of the engines of :mod:`llmner.engines.batch_files`."""
    from llmner.extraction import Extractor

    return Extractor(
        asking.recipe,
        engine,
        batch_size=engine.capabilities.batch_size,
        **extractor_options(asking),
    )


def unused_answers(
    asking: Asking, answers: BatchReplies, sentences: Sequence[Sentence], path: Path
) -> int:
    """How many answers are to no question about these texts.

    Args:
        asking: How the texts are asked about.
        answers: The answers.
        sentences: The texts.
        path: The file that errors name.

    Raises:
        InputError: All of them are.
    """
    from llmner.engines.batch_files import BatchNames

    questions = BatchNames()
    for _ in batch_extractor(asking, questions).extract(sentences):
        pass
    unused = len(answers.replies.keys() - questions.names)
    if unused == len(answers.replies):
        raise InputError(
            "answers other questions",
            path=path,
            hint="give the texts and options that the requests were written with",
        )
    return unused
