"""A baseline's folder to the Hugging Face Hub: model, tokenizer, record and a card, and nothing
else.
"""

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
from llmner.hub.adapters import Content, PushResult, check_weights, checked_repo, refuse_secrets
from llmner.hub.client import Hub
from llmner.hub.folder import (
    EVALUATION_FILE,
    evaluation_files,
    is_regular,
    on_hub,
    without_file_names,
    without_paths,
)
from llmner.hub.licences import check_name, last_part, terms_of

__all__ = ["push_baseline"]

_OTHERS = ("LICENSE", "NOTICE")
_SHOWN = (("micro", "micro F1"), ("macro", "macro F1"))


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
    """Upload a tagger; ``--engine baseline:USER/NAME`` then asks it.

    Arguments and errors as those of :func:`llmner.training.push_adapter`.
    """
    told = report if report is not None else silent
    hub = Hub(checked_repo(repo), token=token, endpoint=endpoint, report=told)
    known = read_baseline_record(folder)
    base = known.get("base")
    # A snapshot in the Hub's cache has a name there.
    base = None if base is None else on_hub(str(base)) or last_part(str(base))
    record = without_paths(known) | ({} if base is None else {"base": base})
    terms = None if base is None else terms_of(str(base))
    check_name(repo, terms)
    contents: dict[str, Content] = {RECORD_FILE: dump_json(record, indent=2) + b"\n"}
    left = []
    for path in sorted(folder.iterdir()):
        if path.name in (*KINDS[str(record["kind"])].files, *_OTHERS) and is_regular(path):
            contents[path.name] = _mended(path)
        elif path.name not in (RECORD_FILE, "README.md") and not EVALUATION_FILE.fullmatch(
            path.name
        ):
            left.append(
                (path.name, "not part of a baseline" if is_regular(path) else "no plain file")
            )
    weights = folder / "model.safetensors"
    if weights.name in contents:
        check_weights(weights)
    scored = {}
    for name, path in evaluation_files(folder, evaluations).items():
        scored[name] = _evaluation(path)
        contents[name] = dump_json(scored[name], indent=2) + b"\n"
    card = _card(record, repo, scored, None if terms is None else terms.title)
    contents["README.md"] = card.encode("utf-8", "replace")
    refuse_secrets(folder, contents)
    if not scored:
        told(
            "no evaluation: the card has no results (llmner evaluate --json > evaluation-NAME.json)"
        )
    if left:
        told(f"not uploaded: {', '.join(f'{name} ({why})' for name, why in left)}")
    contents = dict(sorted(contents.items()))
    files = tuple(
        (name, len(c) if isinstance(c, bytes) else c.stat().st_size) for name, c in contents.items()
    )
    commit = None if dry_run else hub.upload(contents, private=private)
    return PushResult(repo, hub.url, commit, files, tuple(left), card, dry_run)


def _mended(path: Path) -> Content:
    """A file as it is; of a configuration, a copy that names no folder of this machine."""
    if path.name not in ("config.json", "tokenizer_config.json"):
        return path
    held = read_json(path, hint="train it again")
    if not isinstance(held, dict):
        raise InputError("is no object", path=path, hint="train it again")
    mended = without_file_names(held)
    return path if mended == held else dump_json(mended, indent=2) + b"\n"


def _evaluation(path: Path) -> dict[str, Any]:
    hint = "expected what evaluate --json prints"
    held = read_json(path, hint=hint)
    if not isinstance(held, dict) or not all(
        is_number(_part(held, key).get("f1")) for key, _ in _SHOWN
    ):
        raise InputError("is no evaluation", path=path, hint=hint)
    # A kept run has every sentence, which is not ours to publish.
    found: dict[str, Any] = without_paths(
        {key: value for key, value in held.items() if key != "rows"}
    )
    return found


def _part(held: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object in an object; an empty one where there is none."""
    value = held.get(key)
    return value if isinstance(value, dict) else {}


def _card(
    record: Mapping[str, Any], repo: str, scored: Mapping[str, Mapping[str, Any]], terms: str | None
) -> str:
    kind = KINDS[str(record["kind"])]
    base = record.get("base")
    about = {
        "library_name": kind.library,
        "pipeline_tag": "token-classification",
        "tags": ["llmner", "named-entity-recognition"],
        # The Hub refuses names it does not know.
        **({"base_model": base} if isinstance(base, str) and base.count("/") == 1 else {}),
    }
    corpus = _part(record, "corpus")
    what = f"fine-tuned from {base}" if base else "trained from nothing"
    lines = [
        f"# {repo.rpartition('/')[2]}",
        "",
        f"{kind.title} for named entity recognition, {what}, made with llmner.",
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
    if scored:
        lines += [
            "## Results",
            "",
            "| evaluation | corpus | sentences | micro F1 | macro F1 |",
            "|---|---|---:|---:|---:|",
        ]
        for name, held in scored.items():
            known = _part(_part(held, "signature"), "corpus")
            figures = " | ".join(f"{100 * float(held[key]['f1']):.2f}" for key, _ in _SHOWN)
            lines.append(
                f"| {name} | {_line(known.get('name', ''))} | {held.get('sentences', '')} | "
                f"{figures} |"
            )
        lines += ["", "Scored on characters (llmner), not on subwords.", ""]
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
