"""``llmner evaluate``: scores of predictions, of recorded replies, or of an engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmner.cli._common import (
    AdapterOption,
    BatchSizeOption,
    DeviceOption,
    FuzzyOption,
    JsonOption,
    MaxNewTokensOption,
    ModelOption,
    ParticlesOption,
    RecipeOption,
    RemoteCodeOption,
    RepeatsOption,
    RepliesOption,
    ReplyFormatOption,
    SplitOption,
    StrictOption,
    guarded,
    load_recipe,
    make_generator,
    not_both,
    policy,
    progress,
    tell_repairs,
)

if TYPE_CHECKING:
    from llmner.scoring import Prediction


@guarded
def evaluate(
    gold: Annotated[str, typer.Option(help="The labelled corpus: file, saved data set, or Hub name.")],
    predicted: Annotated[
        Path | None, typer.Option(help="Predictions: what extract wrote, or any corpus format.")
    ] = None,
    replies: RepliesOption = None,
    engine: Annotated[
        str | None, typer.Option(help="Ask an engine now: transformers.", show_default=False)
    ] = None,
    gold_format: Annotated[str | None, typer.Option(help="The corpus's format; by default guessed.")] = None,
    split: SplitOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Score a sample of this many sentences, drawn as datasets does.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 42,
    recipe: RecipeOption = "klue",
    reply_format: ReplyFormatOption = None,
    model: ModelOption = None,
    adapter: AdapterOption = None,
    batch_size: BatchSizeOption = 16,
    max_new_tokens: MaxNewTokensOption = 256,
    device: DeviceOption = "auto",
    trust_remote_code: RemoteCodeOption = False,
    particles: ParticlesOption = "auto",
    fuzzy: FuzzyOption = 0.75,
    repeats: RepeatsOption = "listed",
    strict: StrictOption = False,
    json: JsonOption = False,
) -> None:
    """Score --predicted spans, recorded --replies, or an --engine's answers against --gold."""
    from llmner._files import dump_json, write_bytes
    from llmner.cli._show import console, show_evaluation
    from llmner.corpora import ReadStats, read_corpus
    from llmner.errors import MismatchError
    from llmner.extraction import Extractor, run_record
    from llmner.scoring import Prediction, align_sample, corpus_signature, read_predictions, sample
    from llmner.scoring import evaluate as score_predictions

    not_both(predicted=predicted, replies=replies, engine=engine)
    asked = load_recipe(recipe, reply_format)
    projecting = policy(particles, fuzzy, repeats)
    stats = ReadStats()
    corpus = list(read_corpus(gold, gold_format, split, strict=strict, stats=stats))
    tell_repairs(stats)
    chosen = sample(corpus, limit, seed)
    signature: dict[str, Any] = {
        "corpus": corpus_signature(Path(gold).name, corpus),
        "sample": None if limit is None else {"limit": limit, "seed": seed},
    }
    predictions: list[Prediction]
    if predicted is not None:
        predictions = align_sample(corpus, read_predictions(predicted), limit, seed, path=predicted)
        signature |= run_record(predicted) or {"predicted": predicted.name}
        signature.pop("input", None)
    else:
        generator = make_generator(
            engine or "recorded",
            model=model,
            adapter=adapter,
            replies=replies,
            batch_size=batch_size,
            max_new_tokens=max_new_tokens,
            device=device,
            trust_remote_code=trust_remote_code,
        )
        extractor = Extractor(
            asked,
            generator,
            batch_size=batch_size * 4,
            read_as="auto" if replies is not None and reply_format is None else None,
            **projecting,
        )
        predictions = []
        with progress("evaluating", len(chosen)) as step:
            for extraction in extractor.extract(chosen):
                predictions.append(Prediction.of(extraction))
                step(1)
        unused = getattr(generator, "unused", None)
        if limit is None and unused is not None and unused():
            raise MismatchError(
                f"{unused()} recorded replies belong to no gold sentence", path=replies, hint="ids must match"
            )
        signature |= extractor.describe()
    result = score_predictions(chosen, predictions, signature=signature)
    if json:
        write_bytes(dump_json(result.to_dict(), indent=2) + b"\n")
    else:
        show_evaluation(console(), result)
