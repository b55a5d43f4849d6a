"""Files of other tools: read as a careful person would, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from llmner.cli import app
from llmner.corpora import ReadStats, guess_format, read_corpus, write_corpus
from llmner.errors import CorpusError
from llmner.spans import Sentence, Span

FOLDER = Path(__file__).parent / "foreign"
EXPECTED: list[dict[str, Any]] = [
    json.loads(line) for line in (FOLDER / "expected.jsonl").read_text("utf-8").split("\n") if line
]


def agrees(read: list[Sentence], texts: list[str] | None, entities: list[Any] | None) -> bool:
    """Whether sentences are the expected ones.

    Without texts, where spacing is a matter of taste, only labels and surfaces count.
    """
    if entities is None:
        return False
    if texts is None:
        said = [(n, s.label, x.surface(s)) for n, x in enumerate(read) for s in x.spans]
        wanted = [(n, label, surface) for n, _, _, label, surface in entities]
        return sorted(map(without_spaces, said)) == sorted(map(without_spaces, wanted))
    spans = [
        [n, s.start, s.end, s.label, x.surface(s)] for n, x in enumerate(read) for s in x.spans
    ]
    return [x.text for x in read] == texts and sorted(spans) == sorted(entities)


def without_spaces(entity: tuple[int, str, str]) -> tuple[int, str, str]:
    return entity[0], entity[1], "".join(entity[2].split())


@pytest.mark.parametrize("row", EXPECTED, ids=lambda row: row["file"])
def test_a_file_is_read_as_meant_or_refused(row: dict[str, Any]) -> None:
    path = FOLDER / row["file"]
    try:
        read = list(read_corpus(path))
    except CorpusError as error:
        refusal = str(error)
    else:
        refusal = None
    if refusal is not None:
        assert row.get("refusal_ok"), refusal
        assert row["file"] in refusal
        assert "\n" not in refusal
        return
    ways = [row, *row.get("alternatives", [])]
    assert any(agrees(read, way["texts"], way["entities"]) for way in ways), [
        (x.text, [(s.label, x.surface(s)) for s in x.spans]) for x in read
    ]


@pytest.mark.parametrize(
    ("name", "head", "tail", "format"),
    [
        ("a.conll", "the O\n\n", "Anna B_PER\n", "conll"),
        ("a.conll", "the O\n\n", "Anna PER-B\n", "conll"),
        ("a.conll", "# a remark\n", "Anna\tB-PER\n# O\n", "conll"),
        ("a.conll", "\n", "Anna\tB-PER\n", "conll"),
        ("a.txt", "河 O\n水 O\n\n", "陆 B-PER\n禾 I-PER\n", "conll"),
        ("a.tsv", "강물이 올랐다\t- -\n", "한여울은 갔다\tPER_B -\n", "naver"),
        ("a.txt", "강물이 올랐다.\n", "<한여울:PS>은 갔다.\n", "markup"),
        ("a.jsonl", '{"text": "a b", "label": []}\n', '{"text": "Anna", "label": [[0, 4, "PER"]]}\n', "doccano"),
        ("a.jsonl", '{"text": "a b", "label": []}\n', '{"text": "Anna", "label": "PER"}\n', "spans"),
    ],
)  # fmt: skip
def test_a_file_may_begin_without_names(
    name: str, head: str, tail: str, format: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(head * 300 + tail, "utf-8")
    assert guess_format(path) == format
    entities = sum(len(sentence.spans) for sentence in read_corpus(path))
    assert entities == (format != "spans")


@pytest.mark.parametrize("name", ["c16-hash-token.jsonl", "c17-docstart-token.jsonl"])
def test_a_token_like_a_comment_comes_back(name: str, tmp_path: Path) -> None:
    original = list(read_corpus(FOLDER / name))
    for format in ("conll", "germeval", "conllu", "hipe", "tokens"):
        write_corpus(original, tmp_path / format, format)
        (again,) = read_corpus(tmp_path / format, format)
        assert (again.text, again.spans) == (original[0].text, original[0].spans), format


def test_predictions_without_a_beginning_are_no_iob1(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app,
        [
            *("evaluate", "--json", "--resamples", "0"),
            *("--gold", str(FOLDER / "c20-gold.conll")),
            *("--predicted", str(FOLDER / "c20-predicted.conll")),
        ],
    )
    assert done.exit_code == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["strict"]["f1"] == 0
    assert figures["micro"]["f1"] == 1
    assert "1 broken tags" in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", '{"text": "a b c", "label": [[0, 5, "X"], [2, 3, "Y"]]}\n', "1 nested"),
        ("a.jsonl", '{"text": "ab", "entities": [[0, 2, "X"]], "relations": [{"id": 1}]}\n', "1 relations"),
        ("a.tsv", "1\tNew\tB-LOC\tO\n2\tYork\tI-LOC\tB-LOC\n", "1 nested"),
        ("a.json", '[{"text": "ab", "extractions": [{"extraction_class": "X", "extraction_text": "b", '
         '"char_interval": null}]}]', "1 entities without a place"),
        ("a.jsonl", '{"text": "ab", "spans": [], "answer": "reject"}\n{"text": "c", "spans": [], '
         '"answer": "accept"}\n', "1 texts that annotators did not accept"),
    ],
)  # fmt: skip
def test_what_a_sentence_cannot_hold_is_told(
    tmp_path: Path, name: str, content: str, told: str
) -> None:
    source = tmp_path / name
    source.write_text(content, "utf-8")
    done = CliRunner().invoke(app, ["convert", str(source), "-", "--to", "spans"])
    assert done.exit_code == 0, done.stderr
    assert told in done.stderr
    assert "--strict makes this an error" in done.stderr
    refused = CliRunner().invoke(app, ["convert", str(source), "-", "--to", "spans", "--strict"])
    assert refused.exit_code == 2
    assert len(refused.stderr.splitlines()) == 1
    stats = ReadStats()
    list(read_corpus(source, stats=stats))
    assert sum(stats.losses.counts.values()) == 1


RICH = Sentence(
    "Anna  sings in New York",
    (Span(0, 4, "PER", 0.9, {"role": "singer"}), Span(15, 23, "LOC")),
    "s1",
)


@pytest.mark.parametrize(
    ("format", "told"),
    [
        ("spans", []),
        ("label-studio", []),
        ("langextract", ["1 scores"]),
        ("doccano", ["1 scores", "1 attributes"]),
        ("conll", ["1 scores", "1 attributes"]),
        ("naver", ["1 ids", "1 texts with other white space", "1 scores", "1 attributes"]),
        ("text", ["1 ids", "2 entities", "1 scores", "1 attributes"]),
    ],
)
def test_what_a_format_cannot_hold_is_told(tmp_path: Path, format: str, told: list[str]) -> None:
    source, target = tmp_path / "a.jsonl", tmp_path / "out"
    write_corpus([RICH], source, "spans")
    done = CliRunner().invoke(app, ["convert", str(source), str(target), "--to", format])
    assert done.exit_code == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if "cannot hold" in line]
    assert len(warnings) == bool(told)
    for part in told:
        assert f"{part} (first: id 's1': " in warnings[0]
    target.unlink()
    strict = CliRunner().invoke(
        app, ["convert", str(source), str(target), "--to", format, "--strict"]
    )
    assert strict.exit_code == (2 if told else 0)
    assert target.exists() == (not told)


def test_files_of_several_pieces(tmp_path: Path) -> None:
    sentences = [
        Sentence("민준은 춘천에 산다.", (Span(0, 2, "PS"), Span(4, 6, "LC")), "doc-1"),
        Sentence("두 줄\n글", (Span(0, 1, "QT"),), "doc-2"),
    ]
    folder = tmp_path / "brat"
    assert write_corpus(sentences, folder, "brat") == 2
    assert sorted(path.name for path in folder.iterdir()) == [
        *("doc-1.ann", "doc-1.txt", "doc-2.ann", "doc-2.txt")
    ]
    assert (folder / "doc-1.ann").read_text("utf-8") == "T1\tPS 0 2\t민준\nT2\tLC 4 6\t춘천\n"
    assert list(read_corpus(folder)) == sentences
    assert list(read_corpus(folder / "doc-2.ann")) == sentences[1:]
    # One document of all sentences.
    write_corpus(sentences, tmp_path / "all.ann", "brat")
    (whole,) = read_corpus(tmp_path / "all.ann")
    assert whole.text == "민준은 춘천에 산다.\n두 줄\n글"
    assert [whole.surface(span) for span in whole.spans] == ["민준", "춘천", "두"]
    (tmp_path / "all.txt").write_text("민준이 춘천에 산다.\n두 줄\n글", "utf-8")
    assert len(list(read_corpus(tmp_path / "all.ann"))) == 1
    (tmp_path / "all.txt").write_text("아, 민준이 춘천에 산다.", "utf-8")
    with pytest.raises(CorpusError, match=r"all.ann:1 \(id 'all'\): \[0, 2\) PS should be '민준'"):
        list(read_corpus(tmp_path / "all.ann"))


def test_parquet_with_and_without_names_of_classes(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Sequence, Value

    tags = ClassLabel(names=["O", "B-PER", "I-PER"])
    features = Features({"tokens": Sequence(Value("string")), "ner_tags": Sequence(tags)})
    rows = {"tokens": [["Anna", "Berg", "sings"]], "ner_tags": [[1, 2, 0]]}
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "named.parquet")
    (sentence,) = read_corpus(tmp_path / "named.parquet")
    assert sentence == Sentence("Anna Berg sings", (Span(0, 9, "PER"),))
    Dataset.from_dict(rows).to_parquet(tmp_path / "bare.parquet")
    with pytest.raises(CorpusError, match="tags are numbers, and the file does not name them"):
        list(read_corpus(tmp_path / "bare.parquet"))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(CorpusError, match="is no Parquet file"):
        list(read_corpus(tmp_path / "bad.parquet"))
    spans = {"text": ["Anna sings"], "entities": [[{"start": 0, "end": 4, "label": "PER"}]]}
    Dataset.from_dict(spans).to_parquet(tmp_path / "spans.parquet")
    (sentence,) = read_corpus(tmp_path / "spans.parquet")
    assert sentence.spans == (Span(0, 4, "PER"),)


def test_a_damaged_binary_file_is_told(tmp_path: Path) -> None:
    for format in ("parquet", "spacy"):
        whole = tmp_path / f"whole.{format}"
        write_corpus(read_corpus("data/sample.tsv"), whole, format)
        assert list(read_corpus(whole)) == list(read_corpus("data/sample.tsv"))
        content = whole.read_bytes()
        damaged = tmp_path / f"damaged.{format}"
        for size in (0, 4, len(content) // 2, len(content) - 1):
            damaged.write_bytes(content[:size])
            with pytest.raises(CorpusError, match="damaged") as caught:
                list(read_corpus(damaged))
            assert "\n" not in str(caught.value)


def test_offsets_that_count_other_units_are_told(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text(
        '{"text": "💩Anna sings", "entities": [{"start": 2, "end": 6, "type": "PER", "text": "Anna"}]}\n',
        "utf-8",
    )
    done = CliRunner().invoke(app, ["convert", str(source), "-", "--to", "markup"])
    assert done.stdout == "💩<Anna:PER> sings\n"
    assert "UTF-16 code units" in done.stderr
    source.write_text(
        '{"text": "Anna sings", "entities": [{"start": 2, "end": 6, "type": "PER", "text": "Anna"}]}\n'
    )
    with pytest.raises(CorpusError, match=r"should be 'Anna', but 'na s' stands there"):
        list(read_corpus(source))


def test_one_cut_in_a_word_does_not_say_what_offsets_count(tmp_path: Path) -> None:
    # Only a span that is cut out of words at both ends is taken for one in other units.
    sentence = Sentence("😀 aO! x", (Span(3, 5, "PER"),))
    write_corpus([sentence], tmp_path / "a.jsonl", "doccano")
    assert list(read_corpus(tmp_path / "a.jsonl")) == [sentence]


@pytest.mark.parametrize(
    ("predicted", "told"),
    [
        (
            '{"text": "Anna", "spans": [{"start": 0, "end": 4, "label": "PER"}]}',
            "no label in common",
        ),
        ('{"text": "Anna"}', "not one entity"),
    ],
)
def test_a_score_that_says_nothing_is_told(tmp_path: Path, predicted: str, told: str) -> None:
    gold, run = tmp_path / "gold.jsonl", tmp_path / "run.jsonl"
    gold.write_text('{"text": "Anna", "spans": [{"start": 0, "end": 4, "label": "PS"}]}\n')
    run.write_text(predicted + "\n")
    arguments = ["--resamples", "0"]
    scored = CliRunner().invoke(
        app, ["evaluate", "--gold", str(gold), "--predicted", str(run), *arguments]
    )
    compared = CliRunner().invoke(
        app, ["compare", str(run), str(gold), "--gold", str(gold), *arguments]
    )
    for done in (scored, compared):
        assert done.exit_code == 0, done.stderr
        (warning,) = [line for line in done.stderr.splitlines() if "warning" in line]
        assert told in warning
        assert "run" in warning
    run.write_text(gold.read_text())
    gold.write_text('{"text": "Anna"}\n')
    done = CliRunner().invoke(
        app, ["evaluate", "--gold", str(gold), "--predicted", str(run), *arguments]
    )
    assert "gold.jsonl: not one entity, so no figure says anything" in done.stderr


def test_other_ids_of_equal_texts_are_joined_by_text(tmp_path: Path) -> None:
    texts = ["Anna sings", "Bob hums", "Anna sings"]
    rows = [
        {
            "id": f"g{n}",
            "text": text,
            "spans": [{"start": 0, "end": text.index(" "), "label": "PS"}],
        }
        for n, text in enumerate(texts)
    ]
    gold = tmp_path / "gold.jsonl"
    gold.write_text("".join(json.dumps(row) + "\n" for row in rows))
    others = [{**row, "id": f"p{row['id']}"} for row in reversed(rows)]
    run, replies = tmp_path / "run.jsonl", tmp_path / "replies.jsonl"
    run.write_text("".join(json.dumps(row) + "\n" for row in others))
    replies.write_text(
        "".join(
            json.dumps(
                {"id": row["id"], "text": row["text"], "reply": f"PS: {row['text'].split()[0]}"}
            )
            + "\n"
            for row in others
        )
    )
    for option, file in (("--predicted", run), ("--replies", replies)):
        done = CliRunner().invoke(
            app, ["evaluate", "--gold", str(gold), option, str(file), "--json", "--resamples", "0"]
        )
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout)["micro"]["f1"] == 1, option
        assert f"{file}: its ids are not those of the gold sentences; joined by text" in done.stderr


def test_replies_that_name_nothing_the_recipe_knows_are_told(tmp_path: Path) -> None:
    replies = tmp_path / "replies.jsonl"
    replies.write_text('{"text": "Anna sings", "reply": "{\\"chemical\\": [\\"Anna\\"]}"}\n')
    done = CliRunner().invoke(app, ["project", "-i", str(replies), "-o", "-"])
    assert "no mention has a label of the recipe" in done.stderr
    replies.write_text('{"text": "Anna sings", "reply": "no idea"}\n')
    done = CliRunner().invoke(app, ["project", "-i", str(replies), "-o", "-"])
    assert "no reply names an entity" in done.stderr
