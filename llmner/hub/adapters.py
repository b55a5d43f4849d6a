"""Uploading an adapter's folder to the Hugging Face Hub in one commit.

Only files on a list are uploaded, and those with paths of this machine are corrected. ``folder``
reads the folder, ``card`` writes the model card, and ``client`` talks to the Hub.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from llmner._yaml import load_yaml
from llmner.engines.adapters import PACKAGED_ADAPTER
from llmner.errors import InputError
from llmner.files import dump_json
from llmner.hub._checks import Content, check_weights, checked_repo, read_bytes, refuse_secrets
from llmner.hub._evaluations import EVALUATION_FILE
from llmner.hub._files import is_regular, without_file_names
from llmner.hub.card import card_of, notices
from llmner.hub.client import Hub
from llmner.hub.folder import ADAPTER_FILE, CONFIG_FILE, AdapterFolder, read_folder
from llmner.hub.licences import Terms, check_name, terms_of

__all__ = ["PushResult", "publishable", "push_adapter"]


_TOKENIZER = frozenset(
    "tokenizer.json tokenizer_config.json special_tokens_map.json added_tokens.json vocab.json "
    "vocab.txt merges.txt tokenizer.model spiece.model sentencepiece.bpe.model chat_template.jinja "
    "chat_template.json".split()
)
# These are read, corrected where necessary, and written anew.
_REWRITTEN = frozenset({CONFIG_FILE, "README.md", "recipe.yaml", "training.yaml", "training.json"})
_GEMMA_TERMS = "GEMMA_TERMS.txt"
_LEGAL = re.compile(r"(?:LICEN[CS]E|NOTICE|GEMMA_TERMS)[\w-]*(?:\.(?:txt|md))?")
_EXPECTED = ("tokenizer.json", "training.yaml", "training.json", "curves.png")
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class PushResult:
    """What was uploaded, or would be in a dry run.

    Attributes:
        repo: ``USER/NAME``.
        url: The repository's page.
        commit: The commit's hash; ``None`` for a dry run.
        files: (name, size in bytes) of every file, sorted by name.
        left: (name, reason) of what is in the folder and is not uploaded.
        card: The model card, which is uploaded as ``README.md``.
        dry_run: Whether nothing was uploaded.

    >>> result = PushResult("me/ner", "https://huggingface.co/me/ner", None, (), (), "# ner", True)
    >>> result.to_dict()["dry_run"]
    True
    """

    repo: str
    url: str
    commit: str | None
    files: tuple[tuple[str, int], ...]
    left: tuple[tuple[str, str], ...]
    card: str
    dry_run: bool

    def to_dict(self) -> dict[str, Any]:
        """The result as ``push --json`` prints it."""
        return {
            "repo": self.repo,
            "url": self.url,
            "commit": self.commit,
            "dry_run": self.dry_run,
            "files": [{"name": name, "bytes": size} for name, size in self.files],
            "left": [{"name": name, "why": why} for name, why in self.left],
            "card": self.card,
        }


def push_adapter(
    folder: Path,
    repo: str,
    *,
    private: bool = False,
    dry_run: bool = False,
    recipe: str | None = None,
    evaluations: Sequence[Path] = (),
    token: str | None = None,
    endpoint: str | None = None,
    report: Callable[[str], None] | None = None,
) -> PushResult:
    """Upload an adapter with its tokenizer, recipe, settings, training record and a model card.

    The repository is created if necessary. Checkpoints, logs, optimiser state, links and unknown
    files are not uploaded. In the uploaded copies, paths of this machine are shortened to their
    last part.

    Args:
        folder: The adapter's folder.
        repo: ``USER/NAME`` on the Hub.
        private: Make the repository private. An existing one must be private already.
        dry_run: Prepare and check everything without contacting the Hub.
        recipe: A built-in recipe's name or a YAML path, for a folder without ``recipe.yaml``.
        evaluations: Outputs of ``llmner evaluate --json``, besides ``evaluation-*.json`` in the
            folder.
        token: The Hub's token; by default ``HF_TOKEN`` or the token of ``hf auth login``.
        endpoint: The Hub's address; by default ``HF_ENDPOINT`` or the public Hub.
        report: Called with a sentence for everything that is corrected, left out or tried again.

    Raises:
        InputError: The Hub or the base model's licence does not allow the name, there is no
            adapter or no recipe, or a file must not be published or cannot be read.
        HubError: The Hub refused, or could not be reached.
        MissingExtraError: huggingface_hub is not installed.

    >>> result = push_adapter(Path("build/adapter"), "me/ner", dry_run=True)  # doctest: +SKIP
    >>> result.files[0]  # doctest: +SKIP
    ('NOTICE', 285)
    """
    tell = report if report is not None else _silent
    hub = Hub(checked_repo(repo), token=token, endpoint=endpoint, report=tell)
    adapter = read_folder(folder, recipe=recipe, evaluations=evaluations)
    check_name(repo, terms_of(adapter.base.name, adapter.base.also))
    if adapter.recipe is None:
        raise InputError(
            "has no recipe.yaml, which users need to ask the model as it was trained",
            path=folder,
            hint="name the recipe it was trained with, --recipe NAME_OR_PATH",
        )
    contents, skipped = publishable(adapter, repo, given=recipe is not None)
    for line in _remarks(adapter, contents, skipped):
        tell(line)
    files = tuple((name, _size(content)) for name, content in contents.items())
    commit = None if dry_run else hub.upload(contents, private=private)
    card = contents["README.md"]
    assert isinstance(card, bytes)
    return PushResult(repo, hub.url, commit, files, skipped, card.decode(), dry_run)


def publishable(
    adapter: AdapterFolder, repo: str | None = None, *, given: bool = False
) -> tuple[dict[str, Content], tuple[tuple[str, str], ...]]:
    """The files of an adapter's folder that are uploaded, and those that are not.

    Args:
        adapter: The folder, from ``read_folder``; it must have a recipe.
        repo: ``USER/NAME`` for the card; the folder's name is the default.
        given: Whether the user named the recipe.

    Returns:
        The contents by file name, sorted; and (name, reason) of what is not uploaded.

    Raises:
        InputError: A file must not be published, or cannot be read.
    """
    contents, skipped = _contents(adapter, recipe_given=given)
    terms = terms_of(adapter.base.name, adapter.base.also)
    if notice := _notice(contents, notices(adapter, terms), terms, adapter):
        contents["NOTICE"] = notice
    if terms is not None and terms.licence == "gemma":
        # The Gemma terms require their text to go with every derivative. The packaged adapter has
        # a copy.
        packaged = resources.files("llmner") / "models" / PACKAGED_ADAPTER / _GEMMA_TERMS
        contents.setdefault(_GEMMA_TERMS, packaged.read_bytes())
    contents["README.md"] = card_of(adapter, repo).encode()
    refuse_secrets(adapter.path, contents)
    return dict(sorted(contents.items())), skipped


def _silent(_: str) -> None:
    pass


def _contents(
    adapter: AdapterFolder, *, recipe_given: bool
) -> tuple[dict[str, Content], tuple[tuple[str, str], ...]]:
    """The files to upload by name, and (name, reason) of those that are not uploaded.

    Raises:
        InputError: A file cannot be read, or the weights are not valid.
    """
    folder = adapter.path
    contents: dict[str, Content] = {}
    skipped = []
    for path in sorted(folder.iterdir()):
        name = path.name
        if path.is_symlink():
            skipped.append((name, "a link"))
        elif not path.is_file():
            skipped.append(
                (
                    f"{name}/" if path.is_dir() else name,
                    "a folder" if path.is_dir() else "not a regular file",
                )
            )
        elif name in _TOKENIZER or name == ADAPTER_FILE:
            contents[name] = path
        elif _LEGAL.fullmatch(name) or name == CONFIG_FILE:
            contents[name] = read_bytes(path)
        elif name == "curves.png":
            if read_bytes(path).startswith(_PNG):
                contents[name] = path
            else:
                skipped.append((name, "not a PNG"))
        elif name not in _REWRITTEN and not EVALUATION_FILE.fullmatch(name):
            skipped.append((name, "not part of an adapter"))
    if ADAPTER_FILE not in contents:
        raise InputError(
            f"not an adapter: {ADAPTER_FILE} is missing, or a link",
            path=folder,
            hint="save the adapter with save_pretrained(folder)",
        )
    check_weights(folder / ADAPTER_FILE)
    _rewrite(contents, CONFIG_FILE, folder, json.loads, adapter.config, _json_bytes)
    if adapter.training:
        _rewrite(contents, "training.yaml", folder, _yaml_mapping, adapter.training, _yaml_bytes)
    if adapter.record:
        _rewrite(contents, "training.json", folder, json.loads, adapter.record, _json_bytes)
    if "tokenizer_config.json" in contents:
        _clean_tokenizer_config(contents, folder / "tokenizer_config.json")
    contents["recipe.yaml"] = _recipe_bytes(adapter, recipe_given=recipe_given)
    for evaluation in adapter.evaluations:
        contents[evaluation.file] = _json_bytes(evaluation.content)
    return contents, tuple(skipped)


def _rewrite(
    contents: dict[str, Content],
    name: str,
    folder: Path,
    parse: Callable[[bytes], Any],
    expected: Mapping[str, Any],
    dump: Callable[[Mapping[str, Any]], bytes],
) -> None:
    """Add a file as it is if its content is as expected, else a corrected copy."""
    source = read_bytes(folder / name)
    contents[name] = source if parse(source) == expected else dump(expected)


def _yaml_mapping(source: bytes) -> Any:
    return load_yaml(source.decode())


def _clean_tokenizer_config(contents: dict[str, Content], path: Path) -> None:
    """Remove the paths a tokenizer was loaded from, which are private; its tokens are kept."""
    try:
        config = json.loads(read_bytes(path))
    except (ValueError, RecursionError):
        raise InputError("not JSON", path=path) from None
    if isinstance(config, dict):
        cleaned = without_file_names(config)
        if cleaned != config:
            contents[path.name] = _json_bytes(cleaned)


def _recipe_bytes(adapter: AdapterFolder, *, recipe_given: bool) -> bytes:
    """The recipe's file as it is, or written out if it extends another one or is not there."""
    assert adapter.recipe is not None
    if recipe_given and not is_regular(adapter.path / "recipe.yaml"):
        return adapter.recipe.to_yaml().encode()
    source = read_bytes(adapter.path / "recipe.yaml")
    return adapter.recipe.to_yaml().encode() if "extends" in _yaml_mapping(source) else source


def _notice(
    contents: dict[str, Content], needed: Sequence[str], terms: Terms | None, adapter: AdapterFolder
) -> bytes | None:
    """The text of ``NOTICE`` if it needs changing: the present text and what it lacks.

    A copy of the base model's licence is added to ``contents`` where one is required.
    """
    if (
        terms is not None
        and terms.name is not None
        and not any(name.startswith("LICEN") for name in contents)
    ):
        # The licence must go with every copy. If the base model is a folder here, it is there.
        for source in (Path(name) for name in adapter.base.also):
            if source.is_dir():
                for path in sorted(source.iterdir()):
                    if (
                        _LEGAL.fullmatch(path.name)
                        and path.name.startswith("LICEN")
                        and is_regular(path)
                    ):
                        contents.setdefault(path.name, read_bytes(path))
    notice = contents.get("NOTICE", b"")
    assert isinstance(notice, bytes)
    added = [line for line in needed if line.encode() not in notice]
    if not added:
        return None
    return (
        b"\n\n".join([*([notice.rstrip()] if notice else []), *(line.encode() for line in added)])
        + b"\n"
    )


def _remarks(
    adapter: AdapterFolder, contents: Mapping[str, Content], skipped: Sequence[tuple[str, str]]
) -> list[str]:
    """Sentences that the user should read: what was corrected, is missing, or looks odd."""
    lines = list(adapter.told)
    missing = [name for name in _EXPECTED if name not in contents]
    if missing:
        lines.append(f"missing in the folder, so not uploaded: {', '.join(missing)}")
    if not adapter.evaluations:
        lines.append(
            "no evaluation: the card has no results (llmner evaluate --json > evaluation-NAME.json)"
        )
    names = {adapter.path.resolve().name, adapter.path.name}
    for evaluation in adapter.evaluations:
        if (
            evaluation.ours
            and evaluation.adapter is not None
            and Path(evaluation.adapter).name not in names
        ):
            lines.append(
                f"{evaluation.file} was answered by an adapter called {evaluation.adapter}"
            )
    if skipped:
        lines.append(f"not uploaded: {', '.join(f'{name} ({why})' for name, why in skipped)}")
    # Names of files may contain line breaks.
    return [" ".join(line.split()) for line in lines]


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _json_bytes(value: Mapping[str, Any]) -> bytes:
    return dump_json(value, indent=2) + b"\n"


def _yaml_bytes(value: Mapping[str, Any]) -> bytes:
    return yaml.safe_dump(dict(value), allow_unicode=True, sort_keys=False).encode()
