"""German: articles, legal forms, titles, the genitive, and what labels are called."""

from __future__ import annotations

import pytest

from llmner import LabelSchema, Mention, project
from llmner.languages import Reason
from llmner.languages.german import GERMAN, other_forms


@pytest.mark.parametrize(
    ("spaced", "forms"),
    [
        ("die Elbe", [("elbe", Reason("article", "die"))]),
        ("Nordwind GmbH", [("nordwind", Reason("legal form", "GmbH"))]),
        (
            "der Segelclub e. V.",
            [
                ("segelclube.v.", Reason("article", "der")),
                ("segelclub", Reason("legal form", "e. V.")),
            ],
        ),
        ("Dierk", []),
        ("AG", []),
    ],
)
def test_articles_and_legal_forms(spaced: str, forms: list[tuple[str, Reason]]) -> None:
    mention = "".join(spaced.split()).lower()
    assert list(other_forms(mention, spaced)) == forms


@pytest.mark.parametrize(
    ("text", "claim", "surface"),
    [
        ("Weber kam spät", ("PER", "Frau Dr. Weber"), "Weber"),
        ("Deutschlands Norden", ("LOC", "Deutschland"), "Deutschland"),
        ("in Süddeutschland", ("LOC", "Norddeutschland"), None),
        ("Herr Mueller sang", ("PER", "Müller"), "Mueller"),
    ],
)
def test_names_in_german_texts(text: str, claim: tuple[str, str], surface: str | None) -> None:
    spans = project(text, [Mention(*claim)]).spans
    assert [text[span.start : span.end] for span in spans] == ([surface] if surface else [])


def test_labels_are_called_so() -> None:
    schema = LabelSchema.of("PER", "LOC", "ORG")
    words = ("Personen", "Orte", "Firma")
    assert [schema.resolve(word) for word in words] == ["PER", "LOC", "ORG"]
    assert GERMAN.label_words["date"] >= {"datum"}
