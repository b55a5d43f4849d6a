"""What the licences of base models require of adapters: a name, a notice, an entry in the card.

Only the licences of some well-known families of models are here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from llmner.errors import InputError

__all__ = ["KLUE_NOTICE", "Terms", "check_name", "exaone_on_hub", "last_part", "terms_of"]

KLUE_NOTICE = (
    "Trained on KLUE-NER of KLUE, Korean Language Understanding Evaluation (Park et al., 2021), "
    "https://klue-benchmark.com, which is licensed under CC BY-SA 4.0 "
    "(https://creativecommons.org/licenses/by-sa/4.0/). Its sentences were rendered as questions "
    "and answers."
)
"""The attribution that CC BY-SA 4.0 requires."""

_HUB = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class Terms:
    """The licence of a base model, as far as it concerns adapters.

    Attributes:
        licence: The Hub's identifier; ``other`` for a licence without one.
        title: The licence's common name.
        link: The address of its text.
        name: The Hub's ``license_name``, which ``other`` requires.
        begins: The required beginning of the names of derived models.
        notice: A sentence that must go with every copy.

    >>> Terms("mit", "MIT License", "https://huggingface.co/microsoft/phi-4").begins is None
    True
    """

    licence: str
    title: str
    link: str
    name: str | None = None
    begins: str | None = None
    notice: str | None = None


# Licences without conditions on names: the models' owner, a pattern of their names, the Hub's
# identifier and the title. The owner counts, because others may use the same name for other models.
_OPEN = (
    ("qwen", r"qwen3-", "apache-2.0", "Apache License 2.0"),
    ("qwen", r"qwen2\.5-(?:(?:0\.5|1\.5|7|14|32)b)\b", "apache-2.0", "Apache License 2.0"),
    ("mistralai", r"mistral-7b-|mistral-nemo-|mixtral-8x", "apache-2.0", "Apache License 2.0"),
    ("huggingfacetb", r"smollm[23]-", "apache-2.0", "Apache License 2.0"),
    ("microsoft", r"phi-(?:2|3|3\.5|4)\b", "mit", "MIT License"),
)
_GEMMA = re.compile(r"(?:code|recurrent)?gemma-(?:(?:1\.1-)?[27]b\b|[23]-|3n-)", re.IGNORECASE)
_LLAMA = re.compile(r"(?:meta-)?llama-3(?:\.([123]))?-", re.IGNORECASE)
# Names of EXAONE's own repositories. Copies in Llama's layout add "-llama".
_EXAONE = re.compile(
    r"(EXAONE-(?:3\.[05]|4\.0|Deep)-[\d.]+B(?:-Instruct)?)(?:-llama(?:-[0-9a-f]{12})?)?"
)


def last_part(name: str) -> str:
    """The last part of a name on the Hub, or of a path of any system.

    >>> last_part("google/gemma-3-270m"), last_part("C:\\\\models\\\\gemma")
    ('gemma-3-270m', 'gemma')
    """
    return re.split(r"[\\/]", name.rstrip("\\/"))[-1]


def terms_of(base: str, also: Iterable[str] = ()) -> Terms | None:
    """The licence of a base model, or ``None`` if it is not known here.

    Args:
        base: Its name on the Hub (``google/gemma-3-270m``), or the name of its folder.
        also: Its other names in the adapter's files; any of them may reveal the licence.

    >>> terms_of("google/gemma-3-270m").title
    'Gemma Terms of Use'
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


def exaone_on_hub(base: str) -> str | None:
    """The name on the Hub of an EXAONE model, from the name of its folder or of a copy of it.

    >>> exaone_on_hub("models/EXAONE-3.0-7.8B-llama"), exaone_on_hub("EXAONE-mine")
    ('LGAI-EXAONE/EXAONE-3.0-7.8B-Instruct', None)
    """
    match = _EXAONE.fullmatch(last_part(base))
    if match is None:
        return None
    name = match[1]
    if name.startswith("EXAONE-3.") and not name.endswith("-Instruct"):
        name += "-Instruct"
    return f"LGAI-EXAONE/{name}"


def _exaone(base: str, page: str | None) -> Terms:
    known = exaone_on_hub(base)
    if page is None and known is not None:
        page = f"{_HUB}/{known}"
    link = f"{_HUB}/LGAI-EXAONE" if page is None else f"{page}/blob/main/LICENSE"
    return Terms(
        "other",
        "EXAONE AI Model License Agreement",
        link,
        name="exaone",
        begins="EXAONE",
        notice="This adapter is derived from an EXAONE model of LG AI Research. The EXAONE AI "
        "Model License Agreement governs the model and what is derived from it; for EXAONE 3.0, "
        f"3.5, Deep and 4.0 it allows non-commercial use only. Its text: {link}",
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
    """Make sure that the base model's licence allows the name of an adapter.

    Args:
        repo: ``USER/NAME``.
        terms: The base model's licence.

    Raises:
        InputError: The licence requires another name.

    >>> check_name("me/korean-ner", terms_of("meta-llama/Llama-3.2-1B"))
    Traceback (most recent call last):
    llmner.errors.InputError: an adapter of this base model may not be called 'korean-ner'; ...
    """
    owner, _, name = repo.partition("/")
    if terms is None or terms.begins is None or name.startswith(terms.begins):
        return
    bare = re.sub(rf"^{re.escape(terms.begins)}[-_.]*", "", name, flags=re.IGNORECASE)
    raise InputError(
        f"an adapter of this base model may not be called {name!r}",
        hint=f'its licence ({terms.title}) requires a name that begins with "{terms.begins}", '
        f"for example {owner}/{terms.begins}-{bare or 'ner'}",
    )
