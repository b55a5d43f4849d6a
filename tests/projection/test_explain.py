from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from llmner.projection import project, project_reply
from llmner.spans import Mention
from tests.strategies import LABELS, texts

TEXT = "손흥민 씨는 7.2킬로미터를 달렸고 응우옌 감독은 쉬었다."


def test_every_mention_has_its_line() -> None:
    mentions = [
        Mention("PS", "손흥민 씨"),
        Mention("QT", "7.2km"),
        Mention("PS", "응우엔"),
        Mention("LC", "런던"),
    ]
    lines = project(TEXT, mentions).explain().splitlines()
    assert lines[0] == "[손흥민]PS 씨는 [7.2킬로미터]QT를 달렸고 [응우옌]PS 감독은 쉬었다."
    assert [line.split()[0] for line in lines[1:]] == ["PS", "QT", "PS", "LC"]
    assert lines[1].endswith("0-3    trimmed: title 씨")
    assert lines[2].endswith("canonical: the same quantity")
    assert "fuzzy 0.88: near '응우옌'" in lines[3]
    assert lines[4].endswith("not_found: not in the text")


def test_columns_line_up_in_a_terminal() -> None:
    lines = (
        project(TEXT, [Mention("PS", "손흥민"), Mention("QT", "7.2킬로미터")])
        .explain()
        .splitlines()[1:]
    )
    assert len({cell_len(line[: line.index("exact")]) for line in lines}) == 1


def test_how_the_reply_was_read_is_told() -> None:
    told = project_reply("손흥민은", '```json\n{"PS": ["손흥민"]}\n```').explain()
    assert "reply: repaired, json-by-type; repaired: fence" in told
    assert "no mentions" in project_reply("손흥민은", "{}").explain()


def test_repeats_are_told() -> None:
    told = project("서울은 서울이다", [Mention("LC", "서울")], repeats="all").explain()
    assert told.splitlines()[0] == "[서울]LC은 [서울]LC이다"
    assert "again at 4" in told


@given(texts, st.lists(st.tuples(st.sampled_from(LABELS), texts), max_size=4))
def test_it_is_one_printable_line_a_mention_on_any_input(
    text: str, pairs: list[tuple[str, str]]
) -> None:
    told = project(text, [Mention(*pair) for pair in pairs]).explain()
    assert told.count("\n") == max(1, len(pairs))
    assert all(line.isprintable() for line in told.split("\n"))
