"""llmner as a component of spaCy's pipelines, with spaCy itself."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("spacy", reason='needs pip install "llmner[spacy]"')
pytest.importorskip("openai", reason='needs pip install "llmner[openai]"')

import spacy

from llmner.errors import InputError
from llmner.integrations.spacy import UNALIGNED
from tests.engines.endpoint import Endpoint, serving
from tests.first_hour.test_first_calls import answer

LABELS = ["PERSON", "PLACE"]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with serving(Endpoint(answer=answer, models=("m",))) as server:
        yield server


def config(endpoint: Endpoint, **more: object) -> dict[str, object]:
    return {"labels": LABELS, "base_url": endpoint.url, "model": "m", **more}


def test_a_pipeline_finds_entities(endpoint: Endpoint) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("llmner", config=config(endpoint))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        docs = list(nlp.pipe(["Ines flew to Tallinn.", "Nobody.", "Bob sings."], batch_size=2))
    assert [[(ent.text, ent.label_) for ent in doc.ents] for doc in docs] == [
        [("Ines", "PERSON"), ("Tallinn", "PLACE")],
        [],
        [("Bob", "PERSON")],
    ]
    row = docs[0].user_data["llmner"]
    assert [span["start"] for span in row["spans"]] == [0, 13]
    assert nlp("Bob sings.").ents[0].text == "Bob"


def test_what_no_token_holds_is_kept_and_told(endpoint: Endpoint) -> None:
    nlp = spacy.blank("xx")
    nlp.add_pipe("llmner", config=config(endpoint))
    with pytest.warns(
        UserWarning, match=r"no tokens hold 2 of 2 entities \(first: in '손흥민은'\)"
    ):
        doc = nlp("손흥민은 춘천에서 태어났다.")
    assert doc.ents == ()
    assert [(span.text, span.label_) for span in doc.spans[UNALIGNED]] == [
        ("손흥민은", "PERSON"),
        ("춘천에서", "PLACE"),
    ]
    # The exact ones are there, too.
    assert [(s["start"], s["end"]) for s in doc.user_data["llmner"]["spans"]] == [(0, 3), (5, 7)]


def test_tokens_are_split_so_that_every_entity_fits(endpoint: Endpoint) -> None:
    nlp = spacy.blank("xx")
    nlp.add_pipe("llmner", config=config(endpoint, split_tokens=True))
    text = "손흥민은 춘천에서 태어났다."
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        doc = nlp(text)
    assert doc.text == text
    assert [token.text for token in doc] == ["손흥민", "은", "춘천", "에서", "태어났다", "."]
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("손흥민", "PERSON"), ("춘천", "PLACE")]
    assert UNALIGNED not in doc.spans


def test_entities_of_other_components_stay_where_none_is_found(endpoint: Endpoint) -> None:
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns(
        [{"label": "CITY", "pattern": "Tallinn"}, {"label": "VERB", "pattern": "flew"}]
    )
    nlp.add_pipe("llmner", config=config(endpoint))
    doc = nlp("Ines flew to Tallinn.")
    assert [ent.label_ for ent in doc.ents] == ["PERSON", "VERB", "PLACE"]


def test_spacy_finds_the_component_by_itself(endpoint: Endpoint) -> None:
    code = (
        "import spacy, json, sys; nlp = spacy.blank('en'); "
        "nlp.add_pipe('llmner', config=json.loads(sys.argv[1])); "
        "print([ent.text for ent in nlp('Ines flew.').ents])"
    )
    arguments = [sys.executable, "-c", code, json.dumps(config(endpoint))]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.stdout == "['Ines']\n", done.stderr


def test_a_pipeline_is_saved_and_loaded(endpoint: Endpoint, tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("llmner", config=config(endpoint, options={"temperature": 0.5}))
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    assert again("Ines flew.").ents[0].text == "Ines"
    assert json.loads(json.dumps(again.get_pipe_meta("llmner").default_config))["labels"] is None
    assert endpoint.bodies[-1]["temperature"] == 0.5


def test_no_answer_is_told_and_slips_are_errors(endpoint: Endpoint) -> None:
    nlp = spacy.blank("en")
    for wrong, told in (
        ({"engine": "opnai"}, "did you mean openai"),
        ({"options": {"modle": "m"}}, "did you mean model"),
    ):
        nlp.add_pipe("llmner", "broken", config=wrong)
        with pytest.raises(InputError, match=told):
            nlp("Bob")
        nlp.remove_pipe("broken")
    with pytest.raises(InputError, match="a place of its own"):
        nlp.add_pipe("llmner", config={"options": {"model": "m"}})
