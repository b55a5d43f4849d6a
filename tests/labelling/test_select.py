"""Sentences that are worth a label: by what, in which order, and why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from llmner.baselines import BaselineExtractor, LinearClassifierConfig, train_baseline
from llmner.baselines._marginals import TagMarginals
from llmner.cli import app
from llmner.corpora import read_corpus, write_corpus
from llmner.errors import InputError
from llmner.labelling import CRITERIA, Evidence, asked_evidence, select
from llmner.labelling.select import uncertainty
from llmner.spans import Sentence, Span, TextLabel
from tests.labelling.test_audit import corpus


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def marginals(text: str, *rows: list[float]) -> TagMarginals:
    places = tuple(place for place, char in enumerate(text) if not char.isspace())
    return TagMarginals(places, ("O", "S-A"), np.array(rows, np.float32))


def test_what_is_not_named_counts_as_what_is() -> None:
    # Half a chance of an entity, and the tagger names none.
    unsure = Evidence((), marginals("a b", [0.5, 0.5], [0.99, 0.01]))
    sure = Evidence((Span(0, 1, "A", 0.9),), marginals("a b", [0.1, 0.9], [0.9, 0.1]))
    assert uncertainty("a b", unsure)[0] == pytest.approx((1.0 + 0.02) / 2, abs=1e-5)
    picked = select([Sentence("a b"), Sentence("b a")], 2, "uncertainty", evidence=[[sure, unsure]])
    assert [own.sentence.text for own in picked] == ["b a", "a b"]
    assert picked[0].reason == "b in b is O with 50 %"
    # Labels of whole texts are unsure near one half.
    texts = [Evidence(labels={"x": 0.9, "y": 0.45}), Evidence(labels={"x": 0.99, "y": 0.01})]
    picked = select([Sentence("a"), Sentence("b")], 1, "uncertainty", evidence=[texts])
    assert (picked[0].number, picked[0].reason) == (0, "y with 45 %")
    assert picked[0].score == pytest.approx(0.9)


def test_models_that_disagree_say_about_what() -> None:
    here, there = Span(0, 1, "A"), Span(2, 3, "A")
    one = [Evidence((here,)), Evidence((here,)), Evidence()]
    other = [Evidence((here,)), Evidence((there,)), Evidence()]
    picked = select([Sentence(text) for text in "abc"], 3, "disagreement", evidence=[one, other])
    assert [own.number for own in picked] == [1, 0, 2]
    assert picked[0].score == 1
    assert "another does not" in picked[0].reason
    assert picked[1].reason == "the models agree"


def test_rare_and_unlike_sentences_come_first() -> None:
    known = [Sentence("손흥민은 춘천에서 살았다."), Sentence("김도윤은 강릉에서 살았다.")]
    pool = [
        Sentence("손흥민은 강릉에서 살았다."),
        Sentence("Ethereum rallied."),
        Sentence("Ethereum rallies."),
        known[0],
    ]
    rare = select(pool, 4, "rarity", labelled=known)
    # What is labelled is never chosen again.
    assert [own.number for own in rare] == [1, 2, 0]
    assert "pairs of characters are new: Et" in rare[0].reason
    unlike = select(pool, 3, "diversity", labelled=known)
    assert unlike[0].number in (1, 2)
    # The second of two alike is the last.
    assert unlike[1].number == 0
    doubts = [Evidence((Span(0, 1, "A", score),)) for score in (0.5, 0.5, 0.5, 0.5)]
    mixed = select(pool, 3, "mixed", evidence=[doubts], labelled=known)
    assert [own.number for own in mixed] == [own.number for own in unlike]
    assert "50 % sure; " in mixed[0].reason


def test_quotas_are_filled_first_and_the_order_stays() -> None:
    sentences = [Sentence(f"text {number}") for number in range(10)]
    said = [
        Evidence((Span(0, 1, "RARE" if number in (7, 9) else "USUAL", 0.1 + number / 20),))
        for number in range(10)
    ]
    plain = select(sentences, 3, "uncertainty", evidence=[said])
    assert [own.number for own in plain] == [0, 1, 2]
    wanted = select(sentences, 3, "uncertainty", evidence=[said], quotas={"RARE": 2})
    assert [own.number for own in wanted] == [0, 7, 9]


def test_a_model_without_scores_still_fills_the_number_and_quotas() -> None:
    sentences = [Sentence(f"문장 {number} 입니다") for number in range(50)]
    mute = [Evidence((Span(0, 2, "RARE" if number % 5 == 0 else "A"),)) for number in range(50)]
    for by in ("mixed", "diversity", "uncertainty"):
        picked = select(sentences, 20, by, evidence=[mute], quotas={"RARE": 8})
        assert len({own.number for own in picked}) == 20
        assert sum(own.spans[0].label == "RARE" for own in picked) >= 8
    # One character is unlike nothing.
    pool = [*sentences, Sentence("가"), Sentence("나")]
    assert all(len(own.sentence.text) > 1 for own in select(pool, 20, "diversity"))


def test_random_draws_anew_with_every_seed() -> None:
    sentences = [Sentence(f"{number:012d}") for number in range(2000)] + [Sentence("가\ud800나")]
    drawn = [{own.number for own in select(sentences, 500, "random", seed=s)} for s in range(8)]
    overlaps = [len(one & other) for n, one in enumerate(drawn) for other in drawn[:n]]
    # 125 of 500 by chance.
    assert all(70 < overlap < 190 for overlap in overlaps)


@given(
    st.lists(st.text("ab ", max_size=6), max_size=12),
    st.integers(1, 14),
    st.sampled_from([by for by in CRITERIA if by != "disagreement"]),
)
def test_no_text_is_chosen_twice_and_as_many_as_there_are(
    texts: list[str], number: int, by: str
) -> None:
    sentences = [Sentence(text) for text in texts]
    evidence = [[Evidence((), None, {"x": len(text) / 10}) for text in texts]]
    picked = select(sentences, number, by, evidence=evidence, labelled=[Sentence("a")])  # type: ignore[arg-type]
    chosen = [own.sentence.text for own in picked]
    there = {text for text in texts if text.strip() and text != "a"}
    assert len(chosen) == len(set(chosen)) == min(number, len(there))
    assert set(chosen) <= there
    assert all(0 <= own.score <= 1 for own in picked)
    # Nothing depends on anything but what is given.
    again = select(sentences, number, by, evidence=evidence, labelled=[Sentence("a")])  # type: ignore[arg-type]
    assert [own.row() for own in again] == [own.row() for own in picked]


def test_slips_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mixed needs a model"):
        select([Sentence("a")], 1)
    with pytest.raises(InputError, match="needs two models"):
        select([Sentence("a")], 1, "disagreement", evidence=[[Evidence()]])
    texts = tmp_path / "texts.txt"
    texts.write_text("가나다\n라마바\n", encoding="utf-8")
    output = tmp_path / "picked.jsonl"
    for arguments, told in (
        ([], "mixed needs a model"),
        (["--by", "uncertanty"], "unknown criterion 'uncertanty'"),
        (["--model", "crf"], "crf learns from labelled sentences"),
        (["--by", "random", "--quota", "PS=3"], "--quota needs a model"),
        (["--model", "crf", "--quota", "PS"], "expected LABEL=NUMBER"),
        (["--by", "rarity", "--labelled", texts, "--output", texts], "would overwrite"),
    ):
        result = run("select", texts, "--output", output, *arguments)
        assert result.exit_code == 2, arguments
        assert told in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_a_tagger_learns_from_what_is_labelled_and_rows_can_be_labelled(tmp_path: Path) -> None:
    pytest.importorskip("sklearn_crfsuite", reason='needs pip install "llmner[baselines]"')
    labelled, texts = tmp_path / "labelled.jsonl", tmp_path / "texts.txt"
    write_corpus(corpus(60), labelled, "spans")
    others = [
        "손흥민은 어제 춘천에서 살았다.",
        "제우스가 올림포스로 날아갔다.",
        "이서연은 내일 부산에서 놀았다.",
    ]
    texts.write_text("\n".join(others), encoding="utf-8")
    output = tmp_path / "picked.jsonl"
    arguments = ["select", texts, "--labelled", labelled, "--model", "crf", "--number", 2]
    result = run(*arguments, "--output", output)
    assert result.exit_code == 0, result.output
    assert "2 of 3 sentences are in" in result.stderr
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert rows[0]["text"] == others[1]
    assert set(rows[0]) == {"id", "text", "spans", "by", "score", "reason"}
    assert rows[0]["score"] >= rows[1]["score"]
    # What the tagger finds is there to begin from.
    assert any(row["spans"] for row in rows)
    assert len(list(read_corpus(output))) == 2
    converted = run("convert", output, tmp_path / "tasks.json", "--to", "label-studio")
    assert converted.exit_code == 0, converted.output
    assert not (tmp_path / "picked.jsonl.tagger").exists()
    warned = run(*arguments, "--quota", "LC=2", "--quota", "XX=1", "--output", output)
    assert "warning: XX is found in 0 of them, not in 1" in warned.stderr


def test_a_tagger_that_is_there_tells_the_same_as_one_that_learns_now(tmp_path: Path) -> None:
    labelled, waiting = tmp_path / "labelled.jsonl", tmp_path / "waiting.txt"
    sentences = corpus(120)
    write_corpus(sentences[:60], labelled, "spans")
    waiting.write_text("".join(f"{own.text}\n" for own in sentences[60:]), "utf-8")
    done = run("train-baseline", "crf", "--train", labelled, "--output", tmp_path / "crf")
    assert done.exit_code == 0, done.output
    options = ("select", waiting, "--labelled", labelled, "--number", 9)
    for model, name in (("crf", "now"), (f"baseline:{tmp_path / 'crf'}", "there")):
        done = run(*options, "--model", model, "--output", tmp_path / name)
        assert done.exit_code == 0, done.output
    now, there = (
        [json.loads(line) for line in (tmp_path / name).read_text("utf-8").splitlines()]
        for name in ("now", "there")
    )
    assert [row["text"] for row in now] == [row["text"] for row in there]
    assert [row["reason"] for row in now] == [row["reason"] for row in there]
    assert all(" with " in row["reason"] for row in there), there[0]["reason"]
    # Why they were picked is explained by the words that the tagger is unsure for.
    explained = ("explain", "--engine", f"baseline:{tmp_path / 'crf'}", "--input")
    done = run(*explained, tmp_path / "there", "--json")
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["picked"] for row in rows] == [f"mixed: {row['reason']}" for row in there]
    for row, own in zip(rows, there, strict=True):
        assert row["doubt"]["score"] == pytest.approx(own["score"], abs=1e-5)
        words = row["doubt"]["words"]
        best = max(words, key=lambda word: word["share"])
        highlight = {key: best[key] for key in ("start", "end")} if best["share"] > 0 else None
        assert row["doubt"]["highlight"] == highlight
    done = run(*explained, tmp_path / "there")
    assert f"picked by mixed: {there[0]['reason']}"[:50] in done.stdout
    done = run(*explained, tmp_path / "there", "--report", tmp_path / "why.html")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "why.html").read_text("utf-8")
    assert page.count("picked by mixed") == 9
    # What nobody picked has no such reason.
    done = run(*explained, labelled, "--json")
    assert "picked" not in done.stdout


def test_a_classifier_is_unsure_of_labels_that_it_does_not_give(tmp_path: Path) -> None:
    sentences = [
        Sentence(f"{subject} {verdict}", labels=(TextLabel(label),))
        for label, subjects in (("배송", ("배송이", "택배가")), ("맛", ("맛이", "국물이")))
        for subject in subjects
        for verdict in ("좋아요", "나빠요", "빨라요", "짜요")
    ]
    train_baseline(sentences, LinearClassifierConfig(buckets=1 << 12), tmp_path / "texts")
    extractor = BaselineExtractor(tmp_path / "texts")
    [said] = asked_evidence([Sentence("배송이 좋아요")], extractor)
    assert set(said.labels) == {"배송", "맛"}
    assert said.labels["맛"] < 0.5 < said.labels["배송"]
    (given,) = next(iter(extractor.extract(["배송이 좋아요"]))).labels
    # What it gives is what it finds, and what it only thinks possible is not.
    assert said.given == {given.label}
    [picked] = select([Sentence("배송이 좋아요")], 1, "uncertainty", evidence=[[said]])
    assert picked.labels == (given.label,)
