"""Uploading a baseline's folder to the Hugging Face Hub: model, tokenizer, record and a card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from llmner._numbers import is_number
from llmner.baselines._kinds import KINDS
from llmner.baselines._store import RECORD_FILE, read_baseline_record
from llmner.baselines._types import silent
from llmner.errors import InputError
from llmner.files import dump_json, read_json
from llmner.hub._checks import Content, check_weights, checked_repo, refuse_secrets
from llmner.hub._evaluations import EVALUATION_FILE, evaluation_files
from llmner.hub._files import is_regular, without_file_names, without_paths
from llmner.hub.adapters import PushResult
from llmner.hub.client import Hub
from llmner.hub.folder import on_hub
from llmner.hub.licences import check_name, last_part, terms_of

__all__ = ["push_baseline"]

_LEGAL_FILES = ("LICENSE", "NOTICE")
_FIGURES = (("micro", "micro F1"), ("macro", "macro F1"))


def push_baseline(
    folder: Path,
    repo: str,
    *,
    private: bool = False,
    dry_run: bool = False,
    evaluations: Sequence[Path] = (),
    token: str | None = None,
    endpoint: str | None = None,
    report: Callable[[str], None] | None = None,
) -> PushResult:
    """Upload a tagger; ``--engine baseline:USER/NAME`` then uses it.

    The arguments and errors are those of :func:`llmner.training.push_adapter`.

    >>> push_baseline(Path("build/crf"), "me/crf-ner", dry_run=True).url  # doctest: +SKIP
    'https://huggingface.co/me/crf-ner'
    """
    tell = report if report is not None else silent
    hub = Hub(checked_repo(repo), token=token, endpoint=endpoint, report=tell)
    raw_record = read_baseline_record(folder)
    if raw_record.get("foreign"):
        raise InputError(
            "was not trained by llmner",
            path=folder,
            hint="upload it as it is with hf upload",
        )
    base = raw_record.get("base")
    # A snapshot in the Hub's cache has its name on the Hub in its path.
    base = None if base is None else on_hub(str(base)) or last_part(str(base))
    record = without_paths(raw_record) | ({} if base is None else {"base": base})
    terms = None if base is None else terms_of(str(base))
    check_name(repo, terms)
    contents: dict[str, Content] = {RECORD_FILE: dump_json(record, indent=2) + b"\n"}
    skipped = []
    for path in sorted(folder.iterdir()):
        if path.name in (*KINDS[str(record["kind"])].files, *_LEGAL_FILES) and is_regular(path):
            contents[path.name] = _without_folders(path)
        elif path.name not in (RECORD_FILE, "README.md") and not EVALUATION_FILE.fullmatch(
            path.name
        ):
            skipped.append(
                (path.name, "not part of a baseline" if is_regular(path) else "not a regular file")
            )
    weights = folder / "model.safetensors"
    if weights.name in contents:
        check_weights(weights)
    evaluations_by_name = {}
    for name, path in evaluation_files(folder, evaluations).items():
        evaluations_by_name[name] = _evaluation(path)
        contents[name] = dump_json(evaluations_by_name[name], indent=2) + b"\n"
    card = _card(record, repo, evaluations_by_name, None if terms is None else terms.title)
    contents["README.md"] = card.encode("utf-8", "replace")
    refuse_secrets(folder, contents)
    if not evaluations_by_name:
        tell(
            "no evaluation: the card has no results (llmner evaluate --json > evaluation-NAME.json)"
        )
    if skipped:
        tell(f"not uploaded: {', '.join(f'{name} ({why})' for name, why in skipped)}")
    contents = dict(sorted(contents.items()))
    files = tuple(
        (name, len(c) if isinstance(c, bytes) else c.stat().st_size) for name, c in contents.items()
    )
    commit = None if dry_run else hub.upload(contents, private=private, what="tagger")
    return PushResult(repo, hub.url, commit, files, tuple(skipped), card, dry_run)


def _without_folders(path: Path) -> Content:
    """A file as it is, or a copy of a configuration without folders of this machine."""
    if path.name not in ("config.json", "tokenizer_config.json"):
        return path
    config = read_json(path, hint="train it again")
    if not isinstance(config, dict):
        raise InputError("not a JSON object", path=path, hint="train it again")
    cleaned = without_file_names(config)
    return path if cleaned == config else dump_json(cleaned, indent=2) + b"\n"


def _evaluation(path: Path) -> dict[str, Any]:
    hint = "expected the output of evaluate --json"
    content = read_json(path, hint=hint)
    if not isinstance(content, dict) or not all(
        is_number(_part(content, key).get("f1")) for key, _ in _FIGURES
    ):
        raise InputError("not an evaluation", path=path, hint=hint)
    # A run from evaluate --output contains every sentence. They must not be published.
    evaluation: dict[str, Any] = without_paths(
        {key: value for key, value in content.items() if key != "rows"}
    )
    return evaluation


def _part(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object in an object; an empty one if it is missing."""
    value = mapping.get(key)
    return value if isinstance(value, dict) else {}


def _card(
    record: Mapping[str, Any],
    repo: str,
    evaluations: Mapping[str, Mapping[str, Any]],
    terms: str | None,
) -> str:
    kind = KINDS[str(record["kind"])]
    base = record.get("base")
    about_texts = kind.about == "texts"
    task = "text classification" if about_texts else "named entity recognition"
    about = {
        "library_name": kind.library,
        "pipeline_tag": f"{'text' if about_texts else 'token'}-classification",
        "tags": ["llmner", task.replace(" ", "-")],
        # The Hub refuses base models that it does not have.
        **({"base_model": base} if isinstance(base, str) and base.count("/") == 1 else {}),
    }
    corpus = _part(record, "corpus")
    origin = f"fine-tuned from {base}" if base else "trained from nothing"
    lines = [
        f"# {repo.rpartition('/')[2]}",
        "",
        f"{kind.title} for {task}, {origin}, made with llmner.",
        "",
        f"Labels: {', '.join(f'`{label}`' for label in record.get('labels', []))}.",
        "",
        "```bash",
        'pip install "llmner[baselines,hub]"',
        f'llmner extract --engine baseline:{repo} "..."',
        "```",
        "",
        "## Training",
        "",
        f"- corpus: {_line(corpus.get('name', ''))}, {corpus.get('sentences', '?')} sentences "
        f"(sha256 {corpus.get('sha256', '?')}), {record.get('held_out', 0)} of them held out",
        *(
            f"- {name}: {record[name]:,}"
            for name in ("parameters", "seconds")
            if is_number(record.get(name))
        ),
        *(f"- {name}: {_line(value)}" for name, value in _part(record, "config").items()),
        "",
    ]
    if evaluations:
        lines += [
            "## Results",
            "",
            "| evaluation | corpus | sentences | micro F1 | macro F1 |",
            "|---|---|---:|---:|---:|",
        ]
        for name, evaluation in evaluations.items():
            corpus_signature = _part(_part(evaluation, "signature"), "corpus")
            scores = _part(evaluation, "text_labels") if about_texts else evaluation
            figures = " | ".join(
                f"{100 * float(_part(scores, key).get('f1', 0)):.2f}" for key, _ in _FIGURES
            )
            lines.append(
                f"| {name} | {_line(corpus_signature.get('name', ''))} "
                f"| {evaluation.get('sentences', '')} | {figures} |"
            )
        scored = "labels of whole texts" if about_texts else "characters (llmner), not on subwords"
        lines += ["", f"Scored on {scored}.", ""]
    if kind.holds_words:
        lines += [
            "The model's files hold words of the training sentences, whose licence goes with them.",
            "",
        ]
    if terms is not None:
        lines += [f"The base model comes under its own terms: {terms}.", ""]
    return f"---\n{yaml.safe_dump(about, allow_unicode=True, sort_keys=False)}---\n\n" + "\n".join(
        lines
    )


def _line(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").split())
