"""Labels of whole texts and attributes through the extractor: windows, samples, rows, serving."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from llmner.corpora import read_corpus
from llmner.corpora.jsonl import SPANS_JSONL
from llmner.engines import Reply
from llmner.errors import CorpusError, SpanError
from llmner.extraction import Extractor
from llmner.recipes import Recipe
from llmner.recipes.chat import Prompt
from llmner.scoring import Prediction
from llmner.spans import Sentence, Span, TextLabel

RECIPE = Recipe.model_validate(
    {
        "name": "reviews",
        "text_labels": [
            {"code": "배송", "evidence": True, "attributes": {"sentiment": [-1, 0, 1]}},
            {"code": "맛", "attributes": {"sentiment": [-1, 0, 1]}},
        ],
        "reply_format": "json-list",
        "system": "",
    }
)


class Answers:
    """Answers each question by what its text has."""

    def __init__(self, *answers: tuple[str, list[dict[str, Any]]]) -> None:
        self.answers = answers
        self.asked: list[Prompt] = []

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        self.asked += prompts
        return [Reply(self.answer(prompt)) for prompt in prompts]

    def answer(self, prompt: Prompt) -> str:
        rows = [row for word, rows in self.answers if word in prompt.text for row in rows]
        return json.dumps(rows, ensure_ascii=False)

    def describe(self) -> dict[str, Any]:
        return {"engine": "answers"}


LATE: dict[str, Any] = {"label": "배송", "sentiment": -1, "evidence": ["늦게 왔어요"]}
TASTY: dict[str, Any] = {"label": "맛", "sentiment": 1}


def test_labels_of_windows_are_united_and_their_attributes_put_to_the_vote() -> None:
    text = (
        "택배가 늦게 왔어요. "
        + "그래도 참았습니다. " * 8
        + "맛은 좋아요. "
        + "또 늦게 왔어요. " * 3
    )
    answers = Answers(("늦게", [LATE]), ("맛은", [TASTY]))
    extractor = Extractor(RECIPE, answers, window=40, overlap=0)
    (extraction,) = extractor.extract([text])
    assert len(extraction.windows) > 3
    late, tasty = extraction.labels
    assert late == TextLabel("배송", {"sentiment": -1})
    assert tasty == TextLabel("맛", {"sentiment": 1})
    surfaces = [text[span.start : span.end] for span in late.evidence]
    assert len(surfaces) > 1
    assert set(surfaces) == {"늦게 왔어요"}
    mixed = Answers(("택배", [TASTY]), ("그래도", [{**TASTY, "sentiment": -1}]))
    (extraction,) = Extractor(RECIPE, mixed, window=40, overlap=0).extract([text])
    assert extraction.labels[0].attributes == {"sentiment": -1}


def test_a_row_has_the_labels_and_is_read_back(tmp_path: Path) -> None:
    answers = Answers(("늦게", [LATE, {"label": "색감", "sentiment": 1}]))
    sentence = Sentence("정말 늦게 왔어요", id="1")
    (extraction,) = Extractor(RECIPE, answers).extract([sentence])
    row = extraction.row()
    assert row["spans"] == []
    assert row["labels"] == [
        {
            "label": "배송",
            "attributes": {"sentiment": -1},
            "evidence": [{"start": 3, "end": 9}],
        }
    ]
    assert [outcome["kind"] for outcome in row["label_outcomes"]] == ["given", "unknown_label"]
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    (read,) = read_corpus(path, "spans")
    assert read.labels == extraction.labels
    assert read.labels[0].evidence == (Span(3, 9, "배송"),)
    assert Prediction.of_row(row, path).labels == Prediction.of(extraction).labels
    with (tmp_path / "again.jsonl").open("wb") as stream:
        assert SPANS_JSONL.write is not None
        SPANS_JSONL.write(read, stream)
    (again,) = read_corpus(tmp_path / "again.jsonl", "spans")
    assert again.labels[0].evidence == read.labels[0].evidence


def test_samples_vote_on_attributes_of_spans() -> None:
    recipe = Recipe.load("mams-terms")
    replies = iter(["positive", "negative", "negative"])

    class Sampling(Answers):
        def answer(self, prompt: Prompt) -> str:
            polarity = next(replies)
            return json.dumps([{"label": "TERM", "text": "soup", "polarity": polarity}])

    (extraction,) = Extractor(recipe, Sampling(), samples=3).extract(["The soup."])
    (span,) = extraction.spans
    assert (span.attributes, span.score) == ({"polarity": "negative"}, 1.0)
    assert extraction.row()["spans"][0]["attributes"] == {"polarity": "negative"}


def test_the_server_projects_both() -> None:
    testclient = pytest.importorskip(
        "fastapi.testclient", reason='needs pip install "llmner[serve]"'
    )
    from llmner.serving import create_app
    from llmner.serving._service import Service

    with testclient.TestClient(create_app(Service(RECIPE))) as client:
        answer = client.post(
            "/v1/project",
            json={"text": "정말 늦게 왔어요", "reply": json.dumps([LATE]), "recipe": "reviews"},
        ).json()
        assert answer["labels"][0]["attributes"] == {"sentiment": -1}
        assert answer["labels"][0]["evidence"] == [{"start": 3, "end": 9}]
        assert answer["label_outcomes"][0]["kind"] == "given"
        body = {
            "text": "Nice soup.",
            "reply": "soup: positive\nbread: purple",
            "recipe": "mams-terms",
        }
        answer = client.post("/v1/project", json=body).json()
        assert answer["spans"][0]["attributes"] == {"polarity": "positive"}
        recipes = client.get("/v1/recipes").json()["recipes"]
        about = {recipe["name"]: recipe["about"] for recipe in recipes}
        assert (about["reviews"], about["klue"]) == ("texts", "spans")
        assert next(r["labels"] for r in recipes if r["name"] == "reviews")[0]["code"] == "배송"


def test_evidence_beyond_its_text_is_told_with_its_place(tmp_path: Path) -> None:
    row = {"id": "7", "text": "늦어요", "spans": []}
    row["labels"] = [{"label": "배송", "evidence": [{"start": 0, "end": 9}]}]
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    message = r"rows.jsonl:1 \(id '7'\): evidence \[0, 9\) of 배송 ends after the text"
    with pytest.raises(CorpusError, match=message):
        list(read_corpus(path, "spans"))
    with pytest.raises(SpanError, match="ends after the text"):
        Prediction.of_row(row, path)
