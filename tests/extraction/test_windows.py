"""Windows of long texts, and one answer from the answers about them."""

from __future__ import annotations

import json
import re
import tracemalloc
import unicodedata
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmner.engines import Reply, create_generator
from llmner.errors import InputError
from llmner.extraction import Extraction, Extractor
from llmner.extraction.runs import run_extraction
from llmner.extraction.windows import (
    Window,
    WindowSizes,
    check_windows,
    halve_window,
    split_windows,
)
from llmner.recipes import Recipe, Windows
from llmner.recipes.chat import Prompt
from llmner.replies import REPLY_FORMATS, render_reply
from llmner.scoring import Prediction, read_predictions
from llmner.spans import Mention, Sentence, Span
from tests.costs import seconds
from tests.strategies import texts


class Fake:
    """Answers each prompt by a function of it."""

    def __init__(self, answer: Callable[[Prompt], Reply | str]) -> None:
        self.answer = answer
        self.asked: list[Prompt] = []
        self.batches: list[int] = []

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        self.batches.append(len(prompts))
        self.asked += prompts
        answers = [self.answer(prompt) for prompt in prompts]
        return [answer if isinstance(answer, Reply) else Reply(answer) for answer in answers]

    def describe(self) -> dict[str, Any]:
        return {"engine": "fake", "model": None}


class Oracle(Fake):
    """Answers with the gold spans that are whole in the window it is asked about, wherever that
    is.
    """

    def __init__(self, gold: Sentence, recipe: Recipe, size: int, overlap: int) -> None:
        super().__init__(self._gold)
        self.gold, self.recipe = gold, recipe
        self.windows = list(split_windows(gold.text, size, overlap))

    def _gold(self, prompt: Prompt) -> str:
        window = self.windows[len(self.asked) - self.batches[-1] + self._number]
        self._number += 1
        assert prompt.text == self.gold.text[window.start : window.end]
        inside = tuple(
            Span(span.start - window.start, span.end - window.start, span.label)
            for span in self.gold.spans
            if window.start <= span.start and span.end <= window.end
        )
        return render_reply(
            Sentence(prompt.text, inside), self.recipe.reply_format, self.recipe.schema_
        )

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        self._number = 0
        return super().generate(prompts)


def cores(text: str, size: int, overlap: int) -> list[str]:
    return [
        text[window.core_start : window.core_end] for window in split_windows(text, size, overlap)
    ]


# Splitting


def test_a_text_that_fits_is_one_window() -> None:
    for text in ("", "가", "가. 나. 다."):
        assert list(split_windows(text, 10, 3)) == [Window(0, len(text), 0, len(text))]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("손흥민은 왔다. 그는 갔다. 끝났다.", ["손흥민은 왔다. ", "그는 갔다. ", "끝났다."]),
        (
            "그는 7.2㎞를 달렸다. 원주율은 3.14이다.",
            ["그는 7.2㎞를 달렸다. ", "원주율은 3.14이다."],
        ),
        ("“정말로?” 그가 말했다…  그래!!", ["“정말로?” ", "그가 말했다…  ", "그래!!"]),
        (
            "東京へ行きました。京都も「見た。」終わり！",
            ["東京へ行きました。", "京都も「見た。」", "終わり！"],
        ),
        ("제목 없는 제목\r\n\r\n본문이 온다", ["제목 없는 제목\r\n\r\n", "본문이 온다"]),
        ("J. R. R. Tolkien wrote. Dr. No slept.", ["J. R. R. Tolkien wrote. ", "Dr. No slept."]),
        (
            "오늘은 2014. 3. 5. 이었다. 내일은 아니다.",
            ["오늘은 2014. 3. 5. 이었다. ", "내일은 아니다."],
        ),
    ],
)
def test_cores_end_where_sentences_end(text: str, sentences: list[str]) -> None:
    longest = max(map(len, sentences))
    assert cores(text, longest, 0) == sentences


def test_short_sentences_share_a_window_and_a_long_one_goes_whole_if_it_can() -> None:
    text = "가나다. " * 10
    assert cores(text, 20, 4) == ["가나다. " * 3] * 3 + ["가나다. "]
    long = "이 문장은 열아홉 글자를 넘는다 그렇다. "
    assert cores("가. " + long + "나.", len(long), 10) == ["가. ", long, "나."]


def core_texts(text: str, size: int, overlap: int, core: int) -> list[str]:
    return [
        text[window.core_start : window.core_end]
        for window in split_windows(text, size, overlap, core=core)
    ]


def test_a_core_of_its_own_holds_whole_sentences_and_a_longer_one_goes_whole() -> None:
    text = "가나다. 라마바. 사아자. "
    assert core_texts(text, 14, 0, 10) == ["가나다. 라마바. ", "사아자. "]
    assert core_texts(text, 14, 0, 1) == ["가나다. ", "라마바. ", "사아자. "]
    # White space behind the last one does not count.
    assert core_texts("가나다. 라마바.\n\n 사아자. ", 14, 0, 9) == [
        "가나다. 라마바.\n\n ",
        "사아자. ",
    ]
    # What fits into a window is not split.
    assert core_texts(text, 15, 0, 1) == [text]
    # A sentence that no core holds, with and without a mark at its end, alone and after another.
    long = "손흥민은 춘천에서 태어나 런던에서 뛴다"
    for sentence in (long, f"{long}.", f"{long}.\n"):
        assert list(split_windows(sentence, 24, 0, core=10)) == [Window.of(sentence)]
        assert core_texts(f"왔다. {sentence}", 24, 0, 10) == ["왔다. ", sentence]
    # One that no window holds is cut as small as cores are, until one holds the rest.
    assert core_texts(long, 20, 0, 10) == ["손흥민은 춘천에서 ", "태어나 런던에서 뛴다"]
    # Context lies around cores; they leave room for it.
    first, second, third = split_windows(text, 14, 3, core=5)
    assert [first.core_end, second.core_end, third.core_end] == [5, 10, 15]
    assert first.end > first.core_end
    assert second.start < second.core_start
    assert core_texts(text, 14, 7, 14) == ["가나다. ", "라마바. ", "사아자. "]


def test_a_user_chooses_before_a_recipe_does() -> None:
    silent, sentences = Windows(), Windows(window=150, overlap=0, core=60)
    for recipe, chosen, expected in (
        (silent, {}, (400, 80, None)),
        (silent, {"window": 300}, (300, 80, None)),
        (silent, {"window": 100}, (100, 50, None)),
        (silent, {"window": 1}, (1, 0, None)),
        (silent, {"overlap": 20}, (400, 20, None)),
        (sentences, {}, (150, 0, 60)),
        (sentences, {"overlap": 20}, (150, 20, 60)),
        (sentences, {"window": 90}, (90, 0, None)),
        (sentences, {"window": 400, "overlap": 80}, (400, 80, None)),
        (Windows(window=100), {}, (100, 50, None)),
        (Windows(window=100, overlap=90), {}, (100, 90, None)),
        (Windows(window=100, overlap=90), {"window": 120}, (120, 60, None)),
    ):
        assert WindowSizes.of(recipe, **chosen) == WindowSizes(*expected)
    with pytest.raises(InputError, match="less than the window of 150 characters, got 150"):
        WindowSizes.of(sentences, overlap=150)


def test_an_extractor_asks_in_its_recipes_windows(klue: Recipe) -> None:
    recipe = Recipe.model_validate(
        {**klue.model_dump(), "windows": {"window": 25, "overlap": 0, "core": 10}}
    )
    text = "왔다. 갔다. 손흥민은 춘천에서 태어나 런던에서 뛴다. 끝."
    engine = Fake(lambda prompt: "{}")
    extractor = Extractor(recipe, engine)
    list(extractor.extract([text]))
    assert [prompt.text for prompt in engine.asked] == [
        "왔다. 갔다. ",
        "손흥민은 춘천에서 태어나 런던에서 뛴다. ",
        "끝.",
    ]
    told = extractor.describe()
    assert (told["window"], told["overlap"], told["core"]) == (25, 0, 10)
    # Chosen as they were before recipes had windows, they make the run that they made then.
    before = Extractor(recipe, engine, window=400, overlap=80).describe()
    assert before == Extractor(klue, engine).describe()
    assert "core" not in before


def test_context_is_whole_sentences_then_words() -> None:
    text = "하나다. " * 20
    for window in split_windows(text, 40, 10):
        assert text[window.start : window.core_start] in ("", "하나다. ", "하나다. " * 2)
        assert window.core_start == 0 or window.start < window.core_start
    words = "단어 " * 100
    for window in list(split_windows(words, 40, 10))[1:-1]:
        assert words[window.start : window.end].strip().startswith("단어")
        assert window.core_start - window.start >= 3


def test_what_windows_cannot_be() -> None:
    for size, overlap in ((0, 0), (5, -1), (5, 5)):
        with pytest.raises(InputError):
            check_windows(size, overlap)
        with pytest.raises(InputError):
            split_windows("가", size, overlap)


sizes = st.integers(1, 30).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1)))
pieces = st.sampled_from(
    "손흥민|e\u0301|\u1112\u1161\u11ab|👨‍👩‍👧|🇰🇷|👍🏽|\u0301|\u200d|7.2㎞|3,000|3.14|。|?|”|a|\ud83d\ude00| |  |\n|\r\n|. |다. ".split(
        "|"
    )
)
any_text = st.one_of(texts, st.lists(pieces, max_size=40).map("".join))


@given(any_text, sizes, st.none() | st.integers(1, 30))
def test_cores_tile_any_text_and_no_window_is_too_long(
    text: str, given: tuple[int, int], core: int | None
) -> None:
    size, overlap = given
    core = None if core is None else min(core, size)
    windows = list(split_windows(text, size, overlap, core=core))
    assert windows[0].core_start == 0
    assert windows[-1].core_end == len(text)
    assert all(one.core_end == other.core_start for one, other in pairwise(windows))
    for window in windows:
        assert 0 <= window.start <= window.core_start
        assert window.core_end <= window.end <= len(text)
        assert window.end - window.start <= size
        assert window.core_start < window.core_end or not text
        assert max(window.core_start - window.start, window.end - window.core_end) <= overlap
    if len(text) > size:
        assert len(windows) > 1


@given(any_text, sizes)
def test_halves_tile_the_core(text: str, given: tuple[int, int]) -> None:
    size, overlap = given
    for window in split_windows(text, size, overlap):
        if window.end - window.start < 2:
            continue
        parts = list(halve_window(text, window, overlap))
        assert (parts[0].core_start, parts[-1].core_end) == (window.core_start, window.core_end)
        assert all(one.core_end == other.core_start for one, other in pairwise(parts))
        assert all(2 * (part.end - part.start) <= window.end - window.start for part in parts)


NUMBER = re.compile(r"\d+(?:[.,]\d+)*[㎞m]?")
CLUSTERS = (
    re.compile(r"(?:(?!\r\n).)[\u0300-\u036f]+", re.DOTALL),
    re.compile("[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?"),
    re.compile("👨‍👩‍👧|👍🏽|\r\n|\ud83d\ude00"),
    re.compile("(?:🇰🇷)+"),
)
whole_pieces = st.sampled_from(
    "손흥민|e\u0301|e\u0301\u0302|\u1112\u1161\u11ab|\u1100\u1161|👨‍👩‍👧|🇰🇷|👍🏽|7.2㎞|3,000|3.14m|은|a|。| |\r\n|다. ".split(
        "|"
    )
)


@given(st.lists(whole_pieces, max_size=60).map("".join), st.integers(24, 40), st.integers(0, 12))
def test_no_cut_in_a_number_or_a_character(text: str, size: int, overlap: int) -> None:
    windows = list(split_windows(text, size, overlap))
    cuts = {cut for window in windows for cut in (window.start, window.end, window.core_start)}
    limit = size - overlap
    for pattern in (NUMBER, *CLUSTERS):
        for match in pattern.finditer(text):
            inside = [cut for cut in cuts if match.start() < cut < match.end()]
            if match[0].startswith("🇰🇷"):
                assert all((cut - match.start()) % 2 == 0 for cut in inside)
            elif len(match[0]) < min(limit, 8):
                assert not inside, (text, match, windows)


@pytest.mark.parametrize(
    "unit",
    [
        "손흥민은 춘천에서 태어났다. ",
        "가",
        ".",
        '."',
        "🇰🇷",
        "e\u0301",
        "\n",
        " ",
        "1",
        "。",
        "\u0301",
    ],
)
def test_splitting_takes_time_in_proportion_to_the_text(unit: str) -> None:
    def cost(length: int) -> float:
        text = (unit * length)[:length]
        return seconds(lambda: list(split_windows(text, 400, 80)))

    cost(1000)
    assert cost(80_000) < 40 * max(cost(10_000), 0.001)


# Asking


def test_a_short_text_is_asked_about_as_ever(klue: Recipe) -> None:
    engine = Fake(lambda prompt: '{"PS": ["손흥민"]}')
    text = "손흥민 " * 100
    (extraction,) = Extractor(klue, engine).extract([Sentence(text, (), "s")])
    assert [(prompt.text, prompt.id) for prompt in engine.asked] == [(text, "s")]
    assert extraction.windows == ()
    assert "windows" not in extraction.row()


def test_windows_of_all_texts_share_batches(klue: Recipe) -> None:
    engine = Fake(lambda prompt: "{}")
    long = "가나다. " * 20
    found = list(
        Extractor(klue, engine, batch_size=4, window=40, overlap=0).extract(
            [Sentence("짧다.", (), "a"), Sentence(long, (), "b"), "없다."]
        )
    )
    assert [extraction.sentence.text for extraction in found] == ["짧다.", long, "없다."]
    assert engine.batches == [4, 1]
    assert [prompt.id for prompt in engine.asked] == ["a", "b#1", "b#2", "b#3", None]
    assert [len(extraction.windows) for extraction in found] == [0, 3, 0]


def test_rows_of_long_texts_tell_of_their_windows_and_are_read_back(
    klue: Recipe, tmp_path: Path
) -> None:
    text = "손흥민이 왔다. 그는 갔다. 서울에서 잤다."
    answers = {
        "손흥민": Reply('{"PS": ["손흥민"]}', prompt_tokens=5, completion_tokens=2),
        "그는": Reply("", "error", error="timed out"),
        "서울": Reply(
            '```\n{"LC": ["서울", "런던"]', "length", prompt_tokens=4, completion_tokens=3
        ),
    }
    engine = Fake(
        lambda prompt: next(answer for word, answer in answers.items() if word in prompt.text)
    )
    extractor = Extractor(klue, engine, window=12, overlap=0)
    output = tmp_path / "out.jsonl"
    run_extraction(extractor, [Sentence(text, (), "s")], output, source="test")
    row = json.loads(output.read_text("utf-8"))
    assert row["spans"] == [
        {"start": 0, "end": 3, "label": "PS"},
        {"start": 16, "end": 18, "label": "LC"},
    ]
    assert [outcome["kind"] for outcome in row["outcomes"]] == ["exact", "exact", "not_found"]
    assert (row["finish_reason"], row["error"], row["status"]) == (
        "error",
        "timed out",
        "truncated",
    )
    assert [(w["start"], w["end"], w["finish_reason"], w["status"]) for w in row["windows"]] == [
        (0, 9, "stop", "ok"),
        (9, 16, "error", "empty"),
        (16, 24, "length", "truncated"),
    ]
    assert row["reply"] == "\n".join(w["reply"] for w in row["windows"])
    assert row["windows"][1]["error"] == "timed out"
    (prediction,) = read_predictions(output)
    (extraction,) = extractor.extract([Sentence(text, (), "s")])
    assert (prediction.spans, prediction.status) == (extraction.spans, "truncated")
    assert Prediction.of(extraction).spans == prediction.spans
    assert (extraction.reply.prompt_tokens, extraction.reply.completion_tokens) == (None, None)


def test_windows_are_split_until_they_fit(klue: Recipe) -> None:
    class Small(Fake):
        def fits(self, prompt: Prompt) -> bool:
            return len(prompt.text) <= 30

    text = "손흥민은 춘천에서 태어났다. " * 10
    engine = Small(lambda prompt: json.dumps({"LC": ["춘천"] * prompt.text.count("춘천")}))
    (extraction,) = Extractor(klue, engine, overlap=20).extract([text])
    assert max(len(prompt.text) for prompt in engine.asked) <= 30
    assert [text[span.start : span.end] for span in extraction.spans] == ["춘천"] * 10
    assert (
        "".join(text[p.window.core_start : p.window.core_end] for p in extraction.windows) == text
    )


def test_where_nothing_fits_the_engine_is_asked_all_the_same(klue: Recipe) -> None:
    class Full(Fake):
        def fits(self, prompt: Prompt) -> bool:
            return False

    engine = Full(lambda prompt: "{}")
    list(Extractor(klue, engine).extract(["가나다. " * 200]))
    assert len(engine.asked) < 10


def test_recorded_replies_are_of_whole_texts(klue: Recipe, tmp_path: Path) -> None:
    text = "손흥민은 왔다. " * 100
    replies = tmp_path / "replies.jsonl"
    row = {"id": "s", "text": text, "reply": '{"PS": ["손흥민", "손흥민"]}'}
    replies.write_text(json.dumps(row) + "\n", "utf-8")
    extractor = Extractor(klue, create_generator("recorded", path=replies))
    (extraction,) = extractor.extract([Sentence(text, (), "s")])
    assert len(extraction.spans) == 2
    assert extraction.windows == ()
    assert "window" not in extractor.describe()


def test_another_window_is_another_run(klue: Recipe, tmp_path: Path) -> None:
    def dying(prompt: Prompt) -> str:
        if prompt.text == "끝":
            raise KeyboardInterrupt
        return "{}"

    output = tmp_path / "out.jsonl"
    sentences = [Sentence("가"), Sentence("끝")]
    with pytest.raises(KeyboardInterrupt):
        run_extraction(Extractor(klue, Fake(dying), batch_size=1), sentences, output, source="test")
    other = Extractor(klue, Fake(lambda prompt: "{}"), window=300)
    with pytest.raises(InputError, match="another window; finish it as it was begun"):
        run_extraction(other, sentences, output, source="test")
    with pytest.raises(InputError, match="less than the window of 80 characters, got 80"):
        Extractor(klue, Fake(dying), window=80, overlap=80)


# Merging


@st.composite
def documents(draw: st.DrawFn) -> Sentence:
    """A text of names, words and separators; the names are its spans."""
    apart = draw(st.sampled_from([" ", "  ", "", "\n", ". "]))
    decomposed = draw(st.booleans())
    text, spans = "", []
    names = ["손흥민", "서울대", "7.2㎞", "😀팀", "김👨‍👩‍👧", "BTS"]
    words = ["은", "달렸다.", "그리고", "오늘도。", "👍🏽", "e\u0301tait", "was", "3.14", "그는"]
    for _ in range(draw(st.integers(30, 120))):
        word = draw(st.sampled_from([*names, *words]))
        written = unicodedata.normalize("NFD", word) if decomposed else word
        if word in names:
            text += "" if apart or not text else "/"
            spans.append(Span(len(text), len(text) + len(written), "PS" if len(word) > 3 else "OG"))
        text += written + (apart or ("/" if word in names else ""))
    return Sentence(text, tuple(spans), "d")


@settings(max_examples=60)
@given(
    documents(), st.integers(80, 140), st.integers(44, 60), st.sampled_from(sorted(REPLY_FORMATS))
)
def test_an_oracle_gives_back_every_gold_span(
    gold: Sentence, size: int, overlap: int, format: str
) -> None:
    recipe = Recipe.load("klue").with_reply_format(format)
    oracle = Oracle(gold, recipe, size, overlap)
    (extraction,) = Extractor(recipe, oracle, window=size, overlap=overlap).extract([gold])
    assert extraction.spans == gold.spans
    assert {outcome.kind for outcome in extraction.projection.outcomes} <= {"exact", "canonical"}
    assert len(extraction.projection.outcomes) == len(extraction.projection.reply.mentions)  # type: ignore[union-attr]


def test_a_window_that_fails_loses_no_other(klue: Recipe) -> None:
    text = "".join(f"사람{n:03}씨가 왔다. " for n in range(100))
    names = [match.span() for match in re.finditer(r"사람\d+", text)]

    def answer(prompt: Prompt) -> Reply | str:
        if "사람050" in prompt.text:
            return Reply("", "error", error="lost")
        return json.dumps({"PS": re.findall(r"사람\d{3}", prompt.text)})

    (extraction,) = Extractor(klue, Fake(answer), window=100, overlap=20).extract([text])
    failed = [part.window for part in extraction.windows if part.reply.error]
    found = [(span.start, span.end) for span in extraction.spans]
    assert set(found) <= set(names)
    lost = set(names) - set(found)
    assert lost
    # What its neighbours read in their context stays.
    assert all(any(w.core_start < start < w.core_end for w in failed) for start, _ in lost)
    assert len(lost) < sum(
        any(w.core_start <= start < w.core_end for w in failed) for start, _ in names
    )


def merged(text: str, answers: Callable[[Prompt], str], klue: Recipe, **options: Any) -> Any:
    return next(
        Extractor(klue, Fake(answers), window=20, overlap=10, **options).extract([text])
    ).projection


def test_windows_that_read_a_place_otherwise(klue: Recipe) -> None:
    text = "어제 서울대 병원에 갔다. 그래서 좋았다. 오늘은 집에 있다."
    windows = list(split_windows(text, 20, 10))
    assert windows[1].start <= text.index("갔다") < windows[1].core_start

    def answer(prompt: Prompt) -> str:
        # The first window's reply; in its neighbour the place is context.
        return '{"LC": ["병원"]}' if prompt.text.startswith("어제") else '{"OG": ["병원", "집"]}'

    found = merged(text, answer, klue)
    assert found.spans == (Span(7, 9, "LC"), Span(text.index("집"), text.index("집") + 1, "OG"))
    for outcome in found.outcomes:
        assert outcome.kind in ("exact", "overlapped", "not_found", "surplus"), outcome
        assert outcome.kind != "overlapped" or "another window" in outcome.reason


def test_a_place_only_a_neighbour_names_is_told_of(klue: Recipe) -> None:
    text = "가나다라 마바. 사아자차 카타. 파하거너 더러. 머버서어 저처."
    first, second, *_ = split_windows(text, 20, 10)
    name = text[first.core_end : first.end].split()[0]
    assert name in text[second.core_start : second.core_end]
    seen = text[first.start : first.end]
    found = merged(text, lambda p: json.dumps({"PS": [name]}) if p.text == seen else "{}", klue)
    assert found.spans == ()
    assert [(o.kind, o.reason) for o in found.outcomes] == [
        ("overlapped", "the window that it belongs to does not name it")
    ]


def test_repeats_and_places_that_replies_give_are_told_of_the_whole_text(klue: Recipe) -> None:
    text = "손흥민 왔다. 또 손흥민 갔다. " * 4
    found = merged(
        text, lambda p: '{"PS": ["손흥민"]}' if "손흥민" in p.text else "{}", klue, repeats="all"
    )
    assert [span.start for span in found.spans] == [m.start() for m in re.finditer("손흥민", text)]
    kept = [s for o in found.outcomes for s in (o.span, *o.repeats) if s is not None]
    assert sorted(kept) == list(found.spans)
    tagged = klue.with_reply_format("tagged")
    marked = merged(text, lambda p: p.text.replace("손흥민", "<손흥민:PS>"), tagged)
    assert marked.spans == found.spans
    assert [outcome.mention for outcome in marked.outcomes] == [Mention("PS", "손흥민")] * 8
    assert [outcome.mention.start for outcome in marked.outcomes] == [
        span.start for span in marked.spans
    ]


# A hundred windows and more


def document(length: int) -> Sentence:
    text, spans = "", []
    pieces = []
    at = number = 0
    while at < length:
        name = f"사람{number}"
        pieces.append(f"{name}씨는 춘천에서 태어나 7.2㎞를 달렸다. ")
        spans += [
            Span(at, at + len(name), "PS"),
            Span(at + len(name) + 3, at + len(name) + 5, "LC"),
        ]
        at += len(pieces[-1])
        number += 1
    text = "".join(pieces)
    return Sentence(text, tuple(spans), "long")


def test_a_document_of_200_000_characters(klue: Recipe) -> None:
    def answer(prompt: Prompt) -> str:
        reply = {
            "PS": re.findall(r"사람\d+", prompt.text),
            "LC": ["춘천"] * prompt.text.count("춘천"),
        }
        return json.dumps(reply, ensure_ascii=False)

    class Forgetful(Fake):
        def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
            return [Reply(answer(prompt)) for prompt in prompts]

    def ask(gold: Sentence) -> tuple[float, float]:
        def run() -> Extraction:
            (extraction,) = Extractor(klue, Forgetful(answer), batch_size=16).extract([gold])
            return extraction

        taken = seconds(run, times=2)
        tracemalloc.start()
        extraction = run()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert extraction.spans == gold.spans
        return taken, peak

    small, large = document(25_000), document(200_000)
    few, little = ask(small)
    many, much = ask(large)
    # Eight times the text: eight times the time and no more than that of memory, with room for a
    # busy machine.
    assert many < 8 * few * 2.5
    assert much < 8 * little * 1.5
    # The prompts of all windows together would be many times the text.
    assert much < 40_000_000


def test_a_name_listed_once_is_the_cores_where_context_has_it_too(klue: Recipe) -> None:
    text = "손흥민은 왔다. 또 그가 손흥민이다. 손흥민은 갔다. 오늘은 집에 있다."
    once = Fake(lambda prompt: '{"PS": ["손흥민"]}' if "손흥민" in prompt.text else "{}")
    (extraction,) = Extractor(klue, once, window=24, overlap=12).extract([text])
    assert len(extraction.windows) > 1
    assert [span.start for span in extraction.spans] == [
        at for at in range(len(text)) if text.startswith("손흥민", at)
    ]
