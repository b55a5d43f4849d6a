"""Which words a label rests on, for classifiers and for whatever gives spans a score."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from llmner.baselines import BaselineExtractor, LinearClassifierConfig, train_baseline
from llmner.cli import app
from llmner.engines import Reply
from llmner.errors import GenerationError
from llmner.extraction import Extractor
from llmner.labelling import Explanation, WordShare, explain, explain_doubt
from llmner.labelling.explaining import Remembering, shares
from llmner.recipes import Recipe
from llmner.recipes.chat import Prompt
from llmner.spans import Sentence, Span, TextLabel

SENTENCES = [
    Sentence(f"{subject} {verdict}", labels=(TextLabel(label, {"sentiment": sentiment}),))
    for label, subjects in (
        ("배송", ["배송이", "택배가", "배달이"]),
        ("맛", ["맛이", "국물이", "풍미가"]),
    )
    for subject in subjects
    for verdict, sentiment in (("좋아요", 1), ("훌륭해요", 1), ("나빠요", -1), ("별로예요", -1))
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("explain") / "model"
    train_baseline(SENTENCES, LinearClassifierConfig(buckets=1 << 12), place)
    return place


def test_the_word_that_names_an_aspect_is_its_highlight(folder: Path) -> None:
    model = BaselineExtractor(folder)
    text = "어제 주문한 택배가, 정말 좋아요!"
    ((explanation,),) = explain(model, [text])
    assert explanation.label.label == "배송"
    best = explanation.highlight
    assert best is not None
    assert text[best.start : best.end] == "택배가"
    assert [text[word.start : word.end] for word in explanation.words] == [
        "어제",
        "주문한",
        "택배가",
        "정말",
        "좋아요",
    ]
    assert shares(model.load(), text, "배송") == explanation.words
    assert max(shares(model.load(), text, "맛"), key=lambda word: word.share).share < best.share
    assert explanation.to_dict()["highlight"] == {"start": best.start, "end": best.end}
    # Whoever has nothing to say has nothing to explain.
    assert list(explain(model, ["", "..."])) == [(), ()]


class Cued:
    """Names Paris, more surely where the text says that somebody flew."""

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        return [Reply(self.answer(prompt.text)) for prompt in prompts]

    def answer(self, text: str) -> str:
        if "Paris" not in text:
            return "[]"
        score = 0.9 if "flew" in text else 0.4
        return json.dumps([{"label": "LC", "text": "Paris", "confidence": score}])

    def describe(self) -> dict[str, Any]:
        return {"engine": "cued"}


def test_a_span_is_explained_by_what_stands_around_it() -> None:
    recipe = Recipe.load("klue").with_reply_format("json-list")
    text = "Ines flew to Paris today"
    ((explanation,),) = explain(Extractor(recipe, Cued()), [text])
    assert isinstance(explanation.label, Span)
    assert explanation.score == 0.9
    best = explanation.highlight
    assert best is not None
    assert text[best.start : best.end] == "flew"
    assert best.share == pytest.approx(0.5)
    # Its own word would take it away, which says nothing.
    assert [word.share for word in explanation.words if word.start == 13] == [0.0]


def test_a_model_that_fails_is_no_explanation() -> None:
    class Failing(Cued):
        def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
            return [Reply("", "error", error="gone") for _ in prompts]

    with pytest.raises(GenerationError, match="the model fails at a text: gone"):
        list(explain(Extractor(Recipe.load("klue"), Failing()), ["Paris"]))


def test_what_no_word_speaks_for_has_no_highlight() -> None:
    words = (WordShare(0, 1, 0.0), WordShare(2, 3, -0.2))
    assert Explanation("a b", TextLabel("x"), 0.5, words).highlight is None


def test_the_command_shows_and_prints(folder: Path) -> None:
    engine = ["--engine", f"baseline:{folder}"]
    result = CliRunner().invoke(app, ["explain", *engine, "국물이 별로예요"])
    assert result.exit_code == 0, result.output
    assert "맛 (sentiment=-1)" in result.stdout
    result = CliRunner().invoke(app, ["explain", *engine, "--json", "국물이 별로예요"])
    row = json.loads(result.stdout)
    assert row["explanations"][0]["label"] == "맛"
    assert row["explanations"][0]["highlight"] == {"start": 0, "end": 3}
    assert CliRunner().invoke(app, ["explain", *engine]).exit_code == 2


def test_a_page_shows_every_share_and_escapes_texts(folder: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "texts.txt"
    corpus.write_text("국물이 <b>별로예요</b>\n택배가 좋아요\n...\n", encoding="utf-8")
    arguments = ["explain", "--engine", f"baseline:{folder}", "--input", str(corpus)]
    result = CliRunner().invoke(app, [*arguments, "--report", str(tmp_path / "why.html")])
    assert result.exit_code == 0, result.output
    page = (tmp_path / "why.html").read_text(encoding="utf-8")
    assert page.count('<mark class="share4"') == 2
    assert ">국물이</mark>" in page
    assert "b&gt;별로예요&lt;/b" in page
    assert "<b>별로" not in page
    assert "No label, or no word" in page
    assert "<script" not in page
    assert CliRunner().invoke(app, [*arguments, "--json", "--report", "a.html"]).exit_code == 2
    # It takes no input for its output.
    before = corpus.read_bytes()
    assert CliRunner().invoke(app, [*arguments, "--report", str(corpus)]).exit_code == 2
    assert corpus.read_bytes() == before


class Unreliable:
    """Gives a span half a chance, fails at texts with one word, and answers others unreadably."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def generate(self, prompts: Sequence[Any]) -> list[Reply]:
        replies = []
        for prompt in prompts:
            self.asked.append(prompt.text)
            if "big" not in prompt.text and "fails" in prompt.text:
                replies.append(Reply("", "error", error="timed out"))
            else:
                replies.append(Reply("PS: Ada", "stop"))
        return replies

    def describe(self) -> dict[str, Any]:
        return {"engine": "unreliable"}


def test_an_answer_that_fails_is_no_doubt_that_is_gone() -> None:
    extractor = Extractor(Recipe.of("PS"), Unreliable())
    with pytest.raises(GenerationError, match="timed out"):
        explain_doubt(extractor, "Ada fails at big things")
    # Without scores there is nothing to be unsure of.
    assert explain_doubt(extractor, "Ada sees big things") is None


def test_a_text_is_asked_about_once_for_its_labels_and_its_doubt() -> None:
    engine = Unreliable()
    asked = Remembering(Extractor(Recipe.of("PS"), engine))
    (found,) = explain(asked, ["Ada sees big things"])
    assert len(found) == 1
    explain_doubt(asked, "Ada sees big things")
    assert len(engine.asked) == len(set(engine.asked)) == 5
