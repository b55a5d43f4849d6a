"""What base models' licences ask of an adapter made from them: a name, a notice, an entry in the
card.

A small table of families whose terms are known here; of others nothing is said. It reads no files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from llmner.errors import InputError

__all__ = ["KLUE_NOTICE", "Terms", "check_name", "last_part", "terms_of"]

KLUE_NOTICE = (
    "Trained on KLUE-NER of KLUE, Korean Language Understanding Evaluation (Park et al., 2021), "
    "https://klue-benchmark.com, which is licensed under CC BY-SA 4.0 "
    "(https://creativecommons.org/licenses/by-sa/4.0/). Its sentences were rendered as questions "
    "and answers."
)
"""Attribution that CC BY-SA 4.0 asks for."""

_HUB = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms a base model comes under, as far as they concern an adapter.

    Attributes:
        licence: The Hub's identifier, ``other`` for licences it has no identifier for.
        title: What people call it.
        link: Where its text is.
        name: The Hub's ``license_name``, which goes with ``other``.
        begins: What the name of a derived model must begin with.
        notice: A sentence that must go with every copy.
    """

    licence: str
    title: str
    link: str
    name: str | None = None
    begins: str | None = None
    notice: str | None = None


# Licences with an identifier and without conditions on names: owner, models, identifier, title. The
# owner counts: the same name elsewhere may be something else.
_OPEN = (
    ("qwen", r"qwen3-", "apache-2.0", "Apache License 2.0"),
    ("qwen", r"qwen2\.5-(?:(?:0\.5|1\.5|7|14|32)b)\b", "apache-2.0", "Apache License 2.0"),
    ("mistralai", r"mistral-7b-|mistral-nemo-|mixtral-8x", "apache-2.0", "Apache License 2.0"),
    ("huggingfacetb", r"smollm[23]-", "apache-2.0", "Apache License 2.0"),
    ("microsoft", r"phi-(?:2|3|3\.5|4)\b", "mit", "MIT License"),
)
_GEMMA = re.compile(r"(?:code|recurrent)?gemma-(?:(?:1\.1-)?[27]b\b|[23]-|3n-)", re.IGNORECASE)
_LLAMA = re.compile(r"(?:meta-)?llama-3(?:\.([123]))?-", re.IGNORECASE)
# Names of EXAONE's own repositories; a copy in Llama's layout is called after them.
_EXAONE = re.compile(r"(EXAONE-(?:3\.[05]|4\.0|Deep)-[\d.]+B(?:-Instruct)?)(?:-llama)?")


def last_part(name: str) -> str:
    """The last component of a Hub name or of a path, of whatever system."""
    return re.split(r"[\\/]", name.rstrip("\\/"))[-1]


def terms_of(base: str, also: Iterable[str] = ()) -> Terms | None:
    """The terms of a base model, or ``None`` where they are not known here.

    Args:
        base: Its name on the Hub (``google/gemma-3-270m``), or what a folder of it is called.
        also: What else it is called in the adapter's files; a licence may show in any of the names.
    """
    names = [base, *also]
    page = f"{_HUB}/{base}" if base.count("/") == 1 else None
    if any("exaone" in last_part(name).lower() for name in names):
        return _exaone(base, page)
    last = last_part(base)
    if _GEMMA.match(last):
        return Terms(
            "gemma",
            "Gemma Terms of Use",
            "https://ai.google.dev/gemma/terms",
            notice="Gemma is provided under and subject to the Gemma Terms of Use found at "
            "ai.google.dev/gemma/terms",
        )
    if llama := _LLAMA.match(last):
        return _llama(llama[1], page)
    owner, _, model = base.lower().partition("/")
    for licensor, models, licence, title in _OPEN:
        if owner == licensor and re.match(models, model):
            return Terms(licence, title, f"{_HUB}/{base}")
    return None


def _exaone(base: str, page: str | None) -> Terms:
    match = _EXAONE.fullmatch(last_part(base))
    if page is None:
        page = f"{_HUB}/LGAI-EXAONE/{match[1]}" if match else None
    link = f"{_HUB}/LGAI-EXAONE" if page is None else f"{page}/blob/main/LICENSE"
    return Terms(
        "other",
        "EXAONE AI Model License Agreement",
        link,
        name="exaone",
        begins="EXAONE",
        notice="This adapter is derived from an EXAONE model of LG AI Research. The EXAONE AI "
        "Model License "
        "Agreement governs the model and what is derived from it; for EXAONE 3.0, 3.5, Deep and "
        "4.0 it allows "
        f"non-commercial use only. Its text: {link}",
    )


def _llama(minor: str | None, page: str | None) -> Terms:
    version = "3" if minor is None else f"3.{minor}"
    title = f"{'Meta ' if minor is None else ''}Llama {version} Community License"
    return Terms(
        f"llama{version}",
        title,
        page or f"{_HUB}/meta-llama",
        begins="Llama-3" if minor is None else "Llama",
        notice=f"Built with "
        f"{'Meta ' if minor is None else ''}Llama{' 3' if minor is None else ''}. "
        f"{title.removesuffix(' Community License')} is licensed under the {title}, "
        "Copyright © Meta Platforms, Inc. All Rights Reserved.",
    )


def check_name(repo: str, terms: Terms | None) -> None:
    """Make sure that an adapter may be called so.

    Args:
        repo: ``USER/NAME``.
        terms: The base model's terms.

    Raises:
        InputError: The base model's licence asks for another name.
    """
    owner, _, name = repo.partition("/")
    if terms is None or terms.begins is None or name.startswith(terms.begins):
        return
    bare = re.sub(rf"^{re.escape(terms.begins)}[-_.]*", "", name, flags=re.IGNORECASE)
    raise InputError(
        f"an adapter of this base model may not be called {name!r}",
        hint=f'its licence ({terms.title}) asks for a name that begins with "{terms.begins}", '
        f"for example {owner}/{terms.begins}-{bare or 'ner'}",
    )
