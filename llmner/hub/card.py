"""Writing the model card of an adapter from the files in its folder.

Every figure in the card comes from a file. Texts from files are escaped, so that they can neither
end the metadata nor break a table.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from llmner.errors import MissingExtraError
from llmner.hub._evaluations import Scored
from llmner.hub._files import is_regular
from llmner.hub.folder import AdapterFolder, read_folder
from llmner.hub.licences import KLUE_NOTICE, Terms, terms_of
from llmner.recipes import Recipe
from llmner.replies import render_reply

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

__all__ = ["card_of", "model_card", "notices"]

_CORPUS_ON_HUB = "klue/klue"
_TAGS = ["llmner", "named-entity-recognition"]
# Fields of a configuration that do not influence results.
_LEFT_OUT = {
    "output",
    "log_steps",
    "keep_checkpoints",
    "eval_batch_size",
    "train_format",
    "trust_remote_code",
}
_LONGEST = 300
_EXAMPLES = {"ko": "손흥민은 춘천에서 태어났다.", "en": "Ada Lovelace was born in London."}


def model_card(folder: Path, repo: str | None = None, evaluations: Sequence[Path] = ()) -> str:
    """The model card of an adapter: Markdown after a block of metadata.

    Args:
        folder: The adapter's folder. What is missing in it is missing in the card.
        repo: ``USER/NAME`` on the Hub; the folder's name is the default.
        evaluations: Outputs of ``llmner evaluate --json``, besides ``evaluation-*.json`` in the
            folder.

    Raises:
        InputError: There is no adapter, or a file cannot be read.
        MissingExtraError: huggingface_hub is not installed.

    >>> print(model_card(Path("build/adapter"), "me/ner"))  # doctest: +SKIP
    """
    return card_of(read_folder(folder, evaluations=evaluations), repo)


def card_of(adapter: AdapterFolder, repo: str | None = None) -> str:
    """The model card of a folder that was read; see :func:`model_card`."""
    try:
        from huggingface_hub import ModelCard, ModelCardData
    except ImportError:
        raise MissingExtraError("hub", "writing a model card") from None
    title = repo or adapter.path.resolve().name
    terms = terms_of(adapter.base.name, adapter.base.also)
    recipe = adapter.recipe
    results = _results(adapter.evaluations)
    data = ModelCardData(
        # The Hub refuses base models that it does not have.
        base_model=adapter.base.name if adapter.base.on_hub else None,
        datasets=[_CORPUS_ON_HUB] if adapter.on_klue else None,
        language=None
        if recipe is None or recipe.language == "und"
        else recipe.language.partition("-")[0],
        library_name="peft",
        license=_declared(adapter) if terms is None else terms.licence,
        license_name=None if terms is None else terms.name,
        license_link=None if terms is None or terms.name is None else terms.link,
        # The pipeline that can load it. "token-classification" needs a classification head, which
        # an adapter of a causal model does not have. The tags and the results say that the task is
        # NER.
        pipeline_tag="text-generation",
        tags=[*_TAGS, "lora"] if _is_lora(adapter) else _TAGS,
        eval_results=results or None,
        model_name=title.rpartition("/")[2] if results else None,
    )
    body = (
        _environment().get_template("card.md.jinja").render(_context(adapter, repo, title, terms))
    )
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}"))


def notices(adapter: AdapterFolder, terms: Terms | None) -> list[str]:
    """Sentences that must go with every copy of the adapter."""
    sentences = [] if terms is None or terms.notice is None else [terms.notice]
    return [*sentences, KLUE_NOTICE] if adapter.on_klue else sentences


def _context(
    adapter: AdapterFolder, repo: str | None, title: str, terms: Terms | None
) -> dict[str, Any]:
    example = _worked_example(adapter.recipe)
    return {
        "title": title,
        "repo": repo,
        "adapter": title,
        "base": adapter.base,
        # The adapter's own figures come first.
        "evaluations": sorted(adapter.evaluations, key=lambda evaluation: not evaluation.ours),
        "recipe": adapter.recipe,
        "worked": example,
        "example": _one_line(example[0]) if example else _trial_sentence(adapter.recipe),
        "settings": [
            (key, _setting(value))
            for key, value in adapter.training.items()
            if key not in _LEFT_OUT and value is not None
        ],
        "epochs": _epochs(adapter.record),
        "facts": _facts(adapter.record),
        "chosen": _number(_part(adapter.record, "best").get("step")) is not None,
        "kind": "LoRA" if _is_lora(adapter) else "PEFT",
        "versions": _versions(adapter.record),
        "curves": is_regular(adapter.path / "curves.png"),
        "terms": terms,
        "declared": _declared(adapter),
        "notices": notices(adapter, terms),
    }


def _results(evaluations: Sequence[Scored]) -> list[EvalResult]:
    """The figures for the Hub's model index, from evaluations known to be of this adapter."""
    from huggingface_hub import EvalResult

    results = []
    corpora = [
        (evaluation.corpus, evaluation.revision) for evaluation in evaluations if evaluation.ours
    ]
    for evaluation in evaluations:
        if not evaluation.ours:
            continue
        is_only = corpora.count((evaluation.corpus, evaluation.revision)) == 1
        for title, value, interval in evaluation.figures.values():
            args = (
                {} if interval is None else {"interval_95": [round(bound, 4) for bound in interval]}
            )
            results.append(
                EvalResult(
                    task_type="token-classification",
                    task_name="Named Entity Recognition",
                    # "custom" is not a data set on the Hub: the corpus is the user's own.
                    dataset_type="custom" if evaluation.klue is None else _CORPUS_ON_HUB,
                    dataset_name=_one_line(evaluation.corpus)
                    if evaluation.klue is None
                    else f"KLUE-NER {evaluation.klue} ({_one_line(evaluation.corpus)})",
                    dataset_config=None if evaluation.klue is None else "ner",
                    dataset_split=evaluation.split,
                    # The Hub's index has no other field that tells two corpora apart.
                    dataset_revision=f"sha256:{_one_line(evaluation.revision)}",
                    dataset_args={"sentences": evaluation.sentences},
                    metric_type="f1",
                    metric_value=round(value, 4),
                    metric_name=title if is_only else f"{title} ({evaluation.file})",
                    metric_args=args or None,
                )
            )
    return results


def _is_lora(adapter: AdapterFolder) -> bool:
    return str(adapter.config.get("peft_type", "LORA")).upper() == "LORA"


def _declared(adapter: AdapterFolder) -> str | None:
    """The base model's licence in the training record, if it is a licence identifier."""
    declared = adapter.record.get("model_license")
    is_identifier = isinstance(declared, str) and re.fullmatch(
        r"[a-z0-9][a-z0-9.-]{1,40}", declared
    )
    # "other" requires a name and a link, which the record does not have.
    return declared if is_identifier and declared != "other" else None


def _worked_example(recipe: Recipe | None) -> tuple[str, str] | None:
    """(sentence, answer) of the recipe's first worked example."""
    sentence = None if recipe is None else next(recipe.example_sentences(), None)
    if recipe is None or sentence is None:
        return None
    return sentence.text, render_reply(sentence, recipe.reply_format, recipe.schema_)


def _trial_sentence(recipe: Recipe | None) -> str:
    """A sentence to try the model with, for a recipe without worked examples."""
    return _EXAMPLES.get("" if recipe is None else recipe.language.partition("-")[0], "…")


def _facts(record: Mapping[str, Any]) -> list[str]:
    """Sentences about the training run, from its record."""
    facts = []
    sentences, parameters, best = (
        _part(record, key) for key in ("sentences", "parameters", "best")
    )
    train, held_out, answered = (
        _number(sentences.get(key)) for key in ("train", "held_out", "answered")
    )
    if train is not None:
        held_out_text = "" if held_out is None else f", {held_out:,.0f} held out"
        answered_text = (
            ""
            if answered in (None, held_out)
            else f" ({answered:,.0f} of them answered in each evaluation)"
        )
        facts.append(f"{train:,.0f} sentences to learn from{held_out_text}{answered_text}.")
    trained, total = (_number(parameters.get(key)) for key in ("trained", "all"))
    if trained is not None and total:
        share = f" ({trained / total:.2%})"
        facts.append(f"{trained:,.0f} of {total:,.0f} parameters were trained{share}.")
    step, f1 = (_number(best.get(key)) for key in ("step", "f1"))
    if step is not None and f1 is not None:
        facts.append(
            f"Best on the held-out sentences: step {step:,.0f}, micro F1 {100 * f1:.2f} percent."
        )
    seconds = _number(record.get("seconds"))
    if seconds is not None:
        facts.append(f"It took {seconds:,.0f} seconds.")
    return facts


def _epochs(record: Mapping[str, Any]) -> list[list[str]]:
    """The rows of the table of epochs."""
    rows = record.get("epochs")
    cells = []
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict):
            losses = (_formatted(row.get(key), "{:.4f}") for key in ("train_loss", "eval_loss"))
            quality = (
                _formatted(row.get(key), "{:.2%}").rstrip("%")
                for key in ("precision", "recall", "f1")
            )
            seconds = _formatted(row.get("seconds"), "{:,.0f}")
            cells.append([_formatted(row.get("epoch"), "{:g}"), *losses, *quality, seconds])
    return cells


def _versions(record: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in _part(record, "versions").items())


def _part(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    """A finite number, or ``None`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _formatted(value: Any, form: str) -> str:
    number = _number(value)
    return "–" if number is None else form.format(number)


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("llmner.hub"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # The output is Markdown, not HTML. Every value goes through one of the filters below.
        autoescape=False,
    )
    environment.filters |= {
        "cell": _cell,
        "block": _block,
        "code": _code,
        "literal": lambda text: _code(json.dumps(text, ensure_ascii=False)),
        "points": lambda value: f"{100 * value:.2f}",
        "quoted": lambda text: _code(shlex.quote(text)),
    }
    return environment


def _one_line(text: str) -> str:
    """A text as one line without control characters and lone surrogates, shortened if long."""
    plain = " ".join(text.encode("utf-8", "replace").decode().split())
    plain = "".join(char if char.isprintable() else "\ufffd" for char in plain)
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"


def _cell(text: str) -> str:
    """A text escaped for Markdown, also for its tables."""
    text = _one_line(text)
    for char in "\\`*_[]<>|":
        text = text.replace(char, f"\\{char}")
    return text


def _block(text: str) -> str:
    """A text made safe for a fenced block; line breaks stay."""
    plain = text.encode("utf-8", "replace").decode().replace("`", "'")
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in plain)


def _code(text: str) -> str:
    """A text as one line made safe for inline code and fenced blocks."""
    return _block(" ".join(text.split()))
