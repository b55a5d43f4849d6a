"""Labels that are likely wrong: found, ranked, told, decided on, mended."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from llmner.baselines._marginals import TagMarginals
from llmner.cli import app
from llmner.corpora import read_corpus, write_corpus
from llmner.errors import CorpusError, InputError
from llmner.labelling import Evidence, Suspicion, apply_decisions, audit, suspicion_of_row
from llmner.labelling._suspicions import KINDS, candidates, damage
from llmner.labelling.evidence import fold_numbers
from llmner.spans import Sentence, Span, TextLabel
from tests.engines.endpoint import Endpoint, serving

PEOPLE = ["손흥민", "김도윤", "이서연", "박지민", "최민호", "정하늘", "오세훈", "한가인"]
PLACES = ["춘천", "강릉", "원주", "속초", "대전", "부산", "광주", "전주"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def corpus(count: int = 160, seed: int = 1) -> list[Sentence]:
    """Sentences of people who go to places."""
    rng = random.Random(seed)
    sentences = []
    for number in range(count):
        person, place = rng.choice(PEOPLE), rng.choice(PLACES)
        text = f"{person}은 {rng.choice(('어제', '오늘', '내일'))} {place}에서 {rng.choice(('살았다', '일했다', '놀았다'))}."
        start = text.index(place)
        spans = (Span(0, len(person), "PS"), Span(start, start + len(place), "LC"))
        sentences.append(Sentence(text, spans, f"s{number}"))
    return sentences


def damaged(sentences: list[Sentence]) -> tuple[list[Sentence], dict[str, str]]:
    """The same with one error of each kind in some sentences, told by id."""
    sentences, errors = list(sentences), {}
    rng = random.Random(3)
    for number, kind in enumerate(KINDS * 3):
        place = 10 * number + 3
        made = damage(sentences[place], kind, ["PS", "LC"], rng)
        if made is not None:
            sentences[place] = replace(sentences[place], spans=made[0])
            errors[str(sentences[place].id)] = kind
    return sentences, errors


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    pytest.importorskip("sklearn_crfsuite", reason='needs pip install "llmner[baselines]"')
    sentences, errors = damaged(corpus())
    path = tmp_path_factory.mktemp("noisy") / "corpus.jsonl"
    write_corpus(sentences, path, "spans")
    return path, errors


def rows_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_planted_errors_come_first_and_acceptance_mends_them(
    noisy: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    path, errors = noisy
    output, page = tmp_path / "audit.jsonl", tmp_path / "audit.html"
    result = run("audit", path, "--output", output, "--report", page, "--folds", 4)
    assert result.exit_code == 0, result.output
    assert "labels to look at are in" in result.stderr
    rows = rows_of(output)
    keys = {
        "sentence",
        "id",
        "text",
        "kind",
        "start",
        "end",
        "label",
        "suggested",
        "score",
        "attribute",
    }
    assert all(set(row) == {*keys, "reason", "decision"} for row in rows)
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)  # type: ignore[type-var]
    first = {row["id"] for row in rows[: len(errors)]}
    assert len(first & set(errors)) >= 0.9 * len(errors)
    kinds = {row["id"]: row["kind"] for row in reversed(rows)}
    assert sum(kinds.get(id) == kind for id, kind in errors.items()) >= 0.7 * len(errors)
    assert not (tmp_path / "audit.jsonl.folds").exists()
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert f"wrote {page}" in result.stderr
    # Whoever accepts what is suggested has the corpus back.
    decided_on = set()
    for row in rows:
        place = (row["id"], row["start"], row["end"], row["label"])
        if row["id"] in errors and place not in decided_on:
            row["decision"] = "accept"
            decided_on.add(place)
    decided, mended = tmp_path / "decided.jsonl", tmp_path / "mended.jsonl"
    decided.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = run("audit", path, "--apply", decided, "--output", mended)
    assert result.exit_code == 0, result.output
    before = {one.id: one.spans for one in corpus()}
    after = {one.id: one.spans for one in read_corpus(mended)}
    assert sum(after[id] == before[id] for id in errors) >= 0.9 * len(errors)
    assert all(after[id] == before[id] for id in before if id not in errors)
    # Decisions are nobody's to write over.
    again = run("audit", path, "--output", decided)
    assert again.exit_code == 2
    assert "decisions; use them with --apply" in again.stderr


def test_an_interrupted_run_uses_its_taggers_again(
    noisy: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmner.baselines import _train

    path, _ = noisy
    trained: list[str] = []
    real = _train.train_baseline

    def counted(*arguments: object, **options: object) -> object:
        trained.append(str(arguments[2]))
        if len(trained) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("llmner.baselines.train_baseline", counted)
    output = tmp_path / "a.jsonl"
    arguments = ["audit", path, "--output", output, "--folds", 4]
    assert run(*arguments).exit_code == 130
    assert not output.exists()
    assert run(*arguments).exit_code == 0
    # Two were there; the third was begun twice.
    assert len(trained) == 5
    # Another corpus is no reason to use them.
    once = output.read_bytes()
    assert run(*arguments).exit_code == 0
    assert output.read_bytes() == once


def test_models_that_are_there_are_asked(tmp_path: Path) -> None:
    pytest.importorskip("openai", reason='needs pip install "llmner[openai]"')
    path = tmp_path / "gold.txt"
    path.write_text("<Ines:PER> flew to <Tallinn:LOC>.\nBob flew to <Oslo:PER>.\n", "utf-8")
    names = {"Ines": "PER", "Bob": "PER", "Tallinn": "LOC", "Oslo": "LOC"}

    def answer(question: str) -> str:
        found: dict[str, list[str]] = {}
        for name, label in names.items():
            if name in question:
                found.setdefault(label, []).append(name)
        return json.dumps(found)

    with serving(Endpoint(answer=answer, models=("m",))) as server:
        asked = ["--model", "openai:m", "--base-url", server.url, "--labels", "PER,LOC"]
        result = run("audit", path, "--from", "markup", *asked, "--output", tmp_path / "a.jsonl")
        assert result.exit_code == 0, result.output
        two = run(
            "audit", path, "--from", "markup", *asked, "--model", "openai:m", "--output",
            tmp_path / "b.jsonl",
        )  # fmt: skip
        assert two.exit_code == 0, two.output
    rows = rows_of(tmp_path / "a.jsonl")
    assert [(row["kind"], row["label"]) for row in rows] == [("missing", "PER"), ("label", "PER")]
    assert rows[1]["suggested"] == {"start": 12, "end": 16, "label": "LOC"}
    # Two models that say the same say no more than one.
    assert rows == rows_of(tmp_path / "b.jsonl")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "cfr"], "unknown model 'cfr'"),
        (["--model", "baseline:none"], "none"),
        (["--report", "a.md"], "name it .html"),
        (["--apply", "CORPUS"], "CORPUS"),
        (["--held-out", "none.tsv"], "none.tsv: no such file"),
    ],
)
def test_slips_are_told(
    noisy: tuple[Path, dict[str, str]], tmp_path: Path, arguments: list[str], told: str
) -> None:
    path, _ = noisy
    place = [str(tmp_path / "d.jsonl") if each == "CORPUS" else each for each in arguments]
    (tmp_path / "d.jsonl").write_text('{"sentence": 0}\n')
    result = run("audit", path, "--output", tmp_path / "a.jsonl", *place)
    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1
    assert told.replace("CORPUS", "d.jsonl:1: is no row of audit") in result.stderr
    assert not (tmp_path / "a.jsonl").exists()


def test_words_and_texts_that_are_labelled_two_ways_and_leaks_are_told() -> None:
    place = Span(0, 2, "LC")
    usual = [Sentence(f"춘천에서 {number}", (place,), f"u{number}") for number in range(9)]
    odd = Sentence("춘천에서 왔다", (Span(0, 2, "OG"),), "odd")
    twice = [Sentence("강릉 강릉", (place,), "one"), Sentence("강릉 강릉", (), "two")]
    sentences = [*usual, odd, *twice]
    agrees = [Evidence(one.spans) for one in sentences]
    found = audit(sentences, [agrees], held_out=[Sentence("춘천에서  3", (), "dev-7")])
    kinds = {own.kind: own for own in found}
    assert set(kinds) == {"leak", "duplicate", "inconsistent"}
    assert (kinds["leak"].id, kinds["leak"].start) == ("u3", None)
    assert "dev-7" in kinds["leak"].reason
    assert (kinds["duplicate"].id, kinds["duplicate"].suggested) == ("two", place)
    assert (kinds["inconsistent"].id, kinds["inconsistent"].suggested) == ("odd", place)
    assert found[0].kind == "leak"


def test_labels_of_whole_texts_are_doubted_too(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason='needs pip install "llmner[baselines]"')
    subjects = {"맛": ["국물이", "면이", "고기가"], "배송": ["택배가", "상자가", "포장이"]}
    verdicts = ["좋아요", "나빠요", "그래요", "별로예요", "훌륭해요", "괜찮아요"]
    sentences = [
        Sentence(f"{subject} {verdict}", (), f"{label}-{subject}-{verdict}", (TextLabel(label),))
        for label, words in subjects.items()
        for subject in words
        for verdict in verdicts
    ]
    sentences[4] = replace(sentences[4], labels=(TextLabel("배송"),))
    path, output = tmp_path / "reviews.jsonl", tmp_path / "audit.jsonl"
    write_corpus(sentences, path, "spans")
    result = run("audit", path, "--output", output)
    assert result.exit_code == 0, result.output
    rows = [row for row in rows_of(output) if row["id"] == sentences[4].id]
    assert {(row["kind"], row["label"]) for row in rows} == {
        ("spurious", "배송"),
        ("missing", "맛"),
    }
    assert all(row["start"] is None for row in rows)
    decided = tmp_path / "decided.jsonl"
    decided.write_text("".join(json.dumps(row | {"decision": "accept"}) + "\n" for row in rows))
    assert run("audit", path, "--apply", decided, "--output", tmp_path / "m.jsonl").exit_code == 0
    mended = list(read_corpus(tmp_path / "m.jsonl"))[4]
    assert [own.label for own in mended.labels] == ["맛"]


def test_attributes_of_labels_of_whole_texts_are_doubted_too(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason='needs pip install "llmner[baselines]"')
    verdicts = {1: ["좋아요", "훌륭해요", "괜찮아요"], -1: ["나빠요", "별로예요", "아쉬워요"]}
    sentences = [
        Sentence(
            f"{subject} {verdict}",
            (),
            f"{subject}-{verdict}",
            (TextLabel("맛", {"sentiment": value}), TextLabel("신맛", {"sentiment": 0})),
        )
        for subject in ("국물이", "면이", "고기가", "반찬이", "밥이", "김치가")
        for value, words in verdicts.items()
        for verdict in words
    ]
    first, second = sentences[4].labels
    sentences[4] = replace(
        sentences[4], labels=(replace(first, attributes={"sentiment": 1}), second)
    )
    path, output, page = (tmp_path / name for name in ("r.jsonl", "audit.jsonl", "page.html"))
    write_corpus(sentences, path, "spans")
    result = run("audit", path, "--output", output, "--report", page)
    assert result.exit_code == 0, result.output
    row = next(row for row in rows_of(output) if row["kind"] == "attribute")
    assert (row["id"], row["label"], row["start"], row["suggested"]) == (
        sentences[4].id,
        "맛",
        None,
        None,
    )
    assert row["attribute"] == {"name": "sentiment", "value": 1, "suggested": -1}
    assert 0.5 < row["score"] < 1
    assert "sentiment is 1, and the model says -1" in page.read_text("utf-8")
    for decision, value in (("accept", -1), ({"value": 0}, 0), ("keep", 1)):
        decided, mended = tmp_path / "decided.jsonl", tmp_path / "m.jsonl"
        decided.write_text(json.dumps(row | {"decision": decision}) + "\n")
        done = run("audit", path, "--apply", decided, "--output", mended)
        assert done.exit_code == 0, done.output
        labels = list(read_corpus(mended))[4].labels
        assert [own.attributes for own in labels] == [{"sentiment": value}, {"sentiment": 0}]
    decided.write_text(json.dumps(row | {"decision": {"worth": 0}}) + "\n")
    done = run("audit", path, "--apply", decided, "--output", mended)
    assert "decision" in done.stderr


def test_attributes_of_spans_are_doubted_too() -> None:
    food = Span(0, 2, "FOOD", attributes={"sentiment": "positive", "since": 1990})
    sentences = [Sentence("국물은 짜고 면은 좋다", (food, Span(7, 8, "FOOD")), "1")]
    sour = replace(food, score=0.9, attributes={"sentiment": "negative", "since": 1990})
    [found] = audit(sentences, [[Evidence((sour, Span(7, 8, "FOOD", 0.8)))]])
    assert (found.kind, found.start, found.score) == ("attribute", 0, pytest.approx(0.9))
    (mended,), count = apply_decisions(
        sentences, [suspicion_of_row(found.row() | {"decision": "accept"})]
    )
    assert count == 1
    assert [own.attributes for own in mended.spans] == [
        {"sentiment": "negative", "since": 1990},
        {},
    ]
    span = {"start": 0, "end": 2, "label": "FOOD"}
    with pytest.raises(InputError, match="about an attribute"):
        apply_decisions(sentences, [suspicion_of_row(found.row() | {"decision": span})])
    two = [suspicion_of_row(found.row() | {"decision": {"value": own}}) for own in ("a", "b")]
    with pytest.raises(InputError, match="two decisions about sentiment"):
        apply_decisions(sentences, two)
    # A second model that agrees with the label makes it doubtful no longer.
    calm = replace(sour, attributes=food.attributes)
    assert (
        audit(sentences, [[Evidence((one, Span(7, 8, "FOOD", 0.8)))] for one in (sour, calm)]) == []
    )


TEXTS = st.text("가나다 ab", min_size=1, max_size=12)


@st.composite
def labelled(draw: st.DrawFn) -> Sentence:
    text = draw(TEXTS)
    spans, start = [], 0
    for _ in range(draw(st.integers(0, 3))):
        begin = draw(st.integers(start, len(text)))
        end = draw(st.integers(begin, len(text)))
        if end > begin:
            spans.append(Span(begin, end, draw(st.sampled_from("AB")), draw(st.floats(0, 1))))
            start = end
    return Sentence(text, tuple(spans))


@given(st.lists(st.tuples(labelled(), labelled()), min_size=1, max_size=6))
def test_accepting_everything_a_model_doubts_gives_its_own_labels(
    pairs: list[tuple[Sentence, Sentence]],
) -> None:
    given_ = [one for one, _ in pairs]
    said = [
        Evidence(tuple(span for span in other.spans if span.end <= len(one.text)))
        for one, other in pairs
    ]
    for sentence, evidence in zip(given_, said, strict=True):
        doubts = audit([sentence], [[evidence]])
        rows = [suspicion_of_row(json.loads(json.dumps(own.row()))) for own in doubts]
        kept, none = apply_decisions([sentence], [(own, "keep") for own, _ in rows])
        assert (kept, none) == ([sentence], 0)
        (mended,), _ = apply_decisions([sentence], [(own, "accept") for own, _ in rows])
        # Labels do not overlap, and nobody is left who doubts what a model agrees with.
        ends = [span.end for span in mended.spans]
        assert all(a <= span.start for a, span in zip(ends, mended.spans[1:], strict=False))
        assert set(mended.spans) <= set(evidence.spans) | set(sentence.spans)


@given(labelled(), st.sampled_from(KINDS), st.integers(0, 99))
def test_damage_is_an_error_and_a_valid_labelling(sentence: Sentence, kind: str, seed: int) -> None:
    made = damage(sentence, kind, ["A", "B"], random.Random(seed))  # type: ignore[arg-type]
    if made is None:
        return
    spans, (start, end) = made
    changed = Sentence(sentence.text, spans)
    assert changed.spans != sentence.spans
    assert 0 <= start < end <= len(sentence.text)
    # A model that says what was there doubts what is there now, at that place.
    about = candidates(0, changed, Evidence(sentence.spans))
    assert any(own.start < end and start < own.end for own in about)


def test_equal_texts_share_a_fold() -> None:
    texts = ["a", "b", "c", "a", "b", "d", "e", "a"]
    numbers = fold_numbers(texts, 3, 7)
    assert numbers[0] == numbers[3] == numbers[7]
    assert set(numbers) == {0, 1, 2}
    with pytest.raises(InputError, match="different texts cannot make"):
        fold_numbers(["a", "a"], 2, 7)


def test_decisions_about_another_corpus_are_refused() -> None:
    doubt = Suspicion(0, None, "Bob", "spurious", 0, 3, "P", None, 0.9, "")
    with pytest.raises(InputError, match="about another text"):
        apply_decisions([Sentence("Ada")], [(doubt, "accept")])
    wrong = Span(0, 9, "P")
    with pytest.raises(InputError, match="ends after the text"):
        apply_decisions([Sentence("Bob")], [(doubt, wrong)])
    row = doubt.row()
    for change in (
        {"decision": "yes"},
        {"decision": {"start": 1}},
        {"kind": "odd"},
        {"score": None},
    ):
        with pytest.raises(CorpusError):
            suspicion_of_row(row | change)
    for odd in ({"start": 1.9, "end": 2.5, "label": "Q"}, {"start": 1, "end": 2, "label": None}):
        with pytest.raises(CorpusError):
            suspicion_of_row(row | {"decision": odd})
    own = suspicion_of_row(row | {"decision": {"start": 1, "end": 2, "label": "Q"}})
    assert own == (doubt, Span(1, 2, "Q"))


def test_one_span_takes_the_place_of_two_and_contradictions_are_told() -> None:
    text = "서울 시청역"
    two = Sentence(text, (Span(0, 2, "LC", attributes={"k": 1}), Span(3, 5, "OG")))
    whole = Span(0, 6, "LC")
    rows = audit([two], [[Evidence((whole,))]])
    assert {own.kind for own in rows} == {"boundary"}
    (mended,), count = apply_decisions([two], [(own, "accept") for own in rows])
    assert (mended.spans, count) == ((whole,), 2)
    # What else was known of the entity stays.
    assert mended.spans[0].attributes == {"k": 1}
    with pytest.raises(InputError, match="would overlap OG at 3"):
        apply_decisions([two], [(rows[0], "accept")])
    with pytest.raises(InputError, match="differ"):
        apply_decisions([two], [(rows[0], "accept"), (rows[0], Span(0, 1, "LC"))])
    leak = Suspicion(0, None, text, "leak", None, None, None, None, 1.0, "")
    with pytest.raises(InputError, match="no suggestion to accept"):
        apply_decisions([two], [(leak, "accept")])


def test_a_model_that_is_silent_doubts_nothing() -> None:
    gold = [Sentence("Bob sings", (Span(0, 3, "P"),))]
    assert audit(gold, [[Evidence(silent=True)]]) == []
    assert [own.kind for own in audit(gold, [[Evidence()]])] == ["spurious"]


def test_a_rare_label_is_not_wrong_for_being_rare() -> None:
    # One text in ten has the label, and the model gives it a low probability throughout.
    sentences = [
        Sentence(f"t{number}", (), str(number), (TextLabel("x"),) if number % 10 == 0 else ())
        for number in range(100)
    ]
    said = [Evidence(labels={"x": 0.09 if number % 10 == 0 else 0.01}) for number in range(100)]
    assert audit(sentences, [said]) == []
    # The one that looks like all those without it is doubted.
    said[30] = Evidence(labels={"x": 0.005})
    (found,) = audit(sentences, [said])
    assert (found.id, found.kind) == ("30", "spurious")
    # A model that knows no labels has no say.
    assert audit(sentences, [said, [Evidence()] * 100]) == [found]


def test_marginals_are_those_of_a_tagger_s_spans() -> None:
    pytest.importorskip("sklearn_crfsuite", reason='needs pip install "llmner[baselines]"')
    import tempfile

    from llmner.baselines.crf import CrfConfig, train_crf

    with tempfile.TemporaryDirectory() as folder:
        tagger = train_crf(corpus(80), CrfConfig(max_iterations=20), Path(folder)).baseline
        texts = [corpus(3, seed=9)[0].text, "", "손흥민은 " * 600]
        for text, spans, found in zip(
            texts, tagger.tag(texts), tagger.marginals(texts), strict=True
        ):  # type: ignore[attr-defined]
            assert isinstance(found, TagMarginals)
            assert len(found.places) == len(found.values) == len(text.replace(" ", ""))
            for span in spans:
                assert span.score == pytest.approx(
                    found.of_span(span.start, span.end, span.label), abs=1e-5
                )
                assert found.outside(span.start, span.end) <= 1 - (span.score or 0) + 1e-5
