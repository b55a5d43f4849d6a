"""German: titles and articles before names, the genitive, legal forms, and what labels are
called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from llmner.languages._language import Language, Reason, without_article, without_legal_words

__all__ = ["GERMAN", "other_forms"]

_ARTICLES: Final = re.compile(
    r"(?:der|die|das|dem|den|des|ein|eine|einer|einem|einen|eines)\s+", re.I
)
_LEGAL: Final = re.compile(r"[\s,]+(?:GmbH(?:\s*&\s*Co\.?\s*KG)?|AG|SE|KG|KGaA|OHG|e\.\s?V\.)$")
_LAST_OF_LEGAL: Final = frozenset("HGEAV.")


def other_forms(mention: str, spaced: str) -> Iterator[tuple[str, Reason]]:
    """(form, reason) for a canonical mention without its article or legal form: die Elbe → Elbe."""
    mention, words, article = without_article(mention, spaced.strip(), _ARTICLES)
    if article is not None:
        yield mention, article
    if words[-1:] not in _LAST_OF_LEGAL:
        return
    yield from without_legal_words(mention, words, _LEGAL)


GERMAN: Final = Language(
    code="de",
    scripts=frozenset({"latin"}),
    titles_before=(
        "Herr ",
        "Herrn ",
        "Frau ",
        "Prof. ",
        "Professor ",
        "Professorin ",
        "Kanzler ",
        "Kanzlerin ",
        "Präsident ",
        "Präsidentin ",
    ),
    other_forms=other_forms,
    endings=("s",),
    exact_words=(
        "nord|süd|ost|west|nieder|ober|unter|männer|frauen|vor|nach",
        "(?:mon|diens|donners|frei|sams|sonn)tag|mittwoch",
        "januar|februar|märz|april|juni|juli|august|september|oktober|november|dezember",
    ),
    exact_hints=("[a-zäöü]{3}",),
    units={
        "km": ("kilometer",),
        "m": ("meter",),
        "cm": ("zentimeter",),
        "kg": ("kilogramm", "kilo"),
        "g": ("gramm",),
        "t": ("tonnen", "tonne"),
        "l": ("liter",),
        "%": ("prozent",),
        "유로": ("euro",),
        "달러": ("dollar",),
    },
    label_words={
        "person": frozenset("person personen personenname personennamen".split()),
        "place": frozenset("ort orte ortsname ortsnamen standort".split()),
        "organisation": frozenset("organisation organisationen firma firmen unternehmen".split()),
        "date": frozenset("datum daten".split()),
        "time": frozenset("zeit uhrzeit zeiten uhrzeiten".split()),
        "quantity": frozenset("menge mengen anzahl".split()),
        "other": frozenset("sonstiges sonstige verschiedenes".split()),
    },
)
