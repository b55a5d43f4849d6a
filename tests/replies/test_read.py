"""What models send, and what must be read out of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmner.projection import Budget, project_reply
from llmner.replies import REPLY_FORMATS, ReadReply, read_exact, read_reply, render_reply
from llmner.schema import LabelSchema
from llmner.spans import Mention, Sentence, Span
from tests.costs import seconds
from tests.strategies import sentences, texts

S, C = ("PS", "손흥민"), ("LC", "춘천")

# (name, reply, expected mentions, expected status, repairs that must be among those reported)
CASES: list[tuple[str, str, list[tuple[str, str]], str, set[str]]] = [
    ("by type", '{"PS": ["손흥민"], "LC": ["춘천"]}', [S, C], "ok", set()),
    ("list", '[{"label": "PS", "text": "손흥민"}, {"label": "LC", "text": '
    '"춘천"}]', [S, C], "ok", set()),
    ("tagged", "<손흥민:PS>은 <춘천:LC>에서 태어났다.", [S, C], "ok", set()),
    ("lines", "PS\t손흥민\nLC\t춘천", [S, C], "ok", set()),
    ("fence with language", '```json\n{"PS": ["손흥민"]}\n```', [S], "repaired", {"fence"}),
    ("fence without language", '```\n{"PS": ["손흥민"]}\n```', [S], "repaired", {"fence"}),
    ("fence of tildes", '~~~json\n{"PS": ["손흥민"]}\n~~~', [S], "repaired", {"fence"}),
    ("fence on one line", '```json {"PS": ["손흥민"]}```', [S], "repaired", {"fence"}),
    ("fence never closed", '```json\n{"PS": ["손흥민"]}', [S], "repaired", {"fence"}),
    ("fence and prose", '결과입니다.\n```json\n{"PS": ["손흥민"]}\n```\n도움이 '
    '되었나요?', [S], "repaired", {"fence", "prose"}),
    ("fenced lines", "```\nPS\t손흥민\n```", [S], "repaired", {"fence"}),
    ("prose before and after", '분석 결과: {"PS": ["손흥민"]} 이상입니다.', [S], "repaired", {"prose"}),
    ("brackets in prose", '[참고] 결과는 {"PS": ["손흥민"]} 입니다.', [S], "repaired", {"prose"}),
    ("think", '<think>{"PS": ["박지성"]}일까?</think>{"PS": '
    '["손흥민"]}', [S], "repaired", {"think"}),
    ("think opened by the template", '박지성인가 {"PS": ["박지성"]}\n</think>\n{"PS": '
    '["손흥민"]}', [S], "repaired", {"think"}),
    ("think never closed", '<think>{"PS": ["박지성"]} 흠', [], "unreadable", {"unclosed-think"}),
    ("end of turn", '{"PS": ["손흥민"]}<|im_end|>', [S], "repaired", {"end-of-turn"}),
    ("EXAONE's end of turn", '{"PS": ["손흥민"]}[|endofturn|]', [S], "repaired", {"end-of-turn"}),
    ("single quotes", "{'PS': ['손흥민'], 'LC': ['춘천']}", [S, C], "repaired", {"quotes"}),
    ("curly quotes", "{“PS”: [“손흥민”]}", [S], "repaired", {"quotes"}),
    ("full-width brackets", '｛"PS"：［"손흥민"］，"LC"：［"춘천"］｝', [S, C], "repaired", {"brackets"}),
    ("trailing comma", '{"PS": ["손흥민",], "LC": ["춘천"],}', [S, C], "repaired", {"trailing-comma"}),
    ("comments", '{"PS": ["손흥민"], // 선수\n "LC": /* 도시 */ ["춘천"] # '
    '끝\n}', [S, C], "repaired", {"comment"}),
    ("unquoted keys", '{PS: ["손흥민"], LC: ["춘천"]}', [S, C], "repaired", {"bare-word"}),
    ("unquoted values", "{PS: [손흥민], LC: [춘천]}", [S, C], "repaired", {"bare-word"}),
    ("duplicate keys", '{"PS": ["손흥민"], "PS": ["박지성"]}', [S, ("PS", "박지성")], "repaired", {"duplicate-key"}),
    ("a name under two names", '{"PS": ["손흥민"], "사람": ["박지성"]}', [S, ("PS", "박지성")], "repaired", {"label-name"}),
    ("Python literals", "{'PS': ('손흥민',), 'LC': None, 'OG': "
    "[]}", [S], "repaired", {"brackets", "null"}),
    ("a Python set", "{'PS': {'손흥민'}}", [S], "repaired", {"object-for-list"}),
    ("byte prefix", '{u"PS": [u"손흥민"]}', [S], "repaired", {"python-literal"}),
    ("truncated in a string", '{"PS": ["손흥민", "박지', [S], "truncated", {"truncated"}),
    ("truncated in a list", '{"PS": ["손흥민"], "LC": ["춘천"', [S, C], "truncated", {"truncated"}),
    ("truncated in an object", '[{"label": "PS", "text": "손흥민"}, {"label": "LC", '
    '"te', [S], "truncated", {"truncated"}),
    ("truncated in a number", '{"PS": ["손흥민"], "QT": [3', [S], "truncated", {"truncated"}),
    ("a complete object in a cut list", '[{"label": "PS", "text": "손흥민"', [S], "truncated", {"truncated"}),
    ("two drafts", '{"PS": ["박지성"]}\n다시 보니:\n{"PS": '
    '["손흥민"]}', [S], "repaired", {"drafts"}),
    ("a draft and a cut one", '{"PS": ["손흥민"]}\n다시:\n{"PS": ["박지성"', [S], "repaired", {"drafts"}),
    ("a draft and an empty aside", '{"PS": ["손흥민"]}\n없으면 {} 로 답합니다.', [S], "repaired", {"drafts"}),
    ("a fenced draft goes first", '```json\n{"PS": ["손흥민"]}\n```\n참고: {"PS": '
    '["박지성"]}', [S], "repaired", {"fence"}),
    ("JSON Lines", '{"label": "PS", "text": "손흥민"}\n{"label": "LC", "text": '
    '"춘천"}', [S, C], "repaired", {"json-lines"}),
    ("an object a label", '{"PS": ["손흥민"]}\n{"LC": ["춘천"]}', [S, C], "repaired", {"json-lines"}),
    ("Korean label names", '{"사람": ["손흥민"], "장소": ["춘천"]}', [S, C], "repaired", {"label-name"}),
    ("English label names", '{"person": ["손흥민"], "location": '
    '["춘천"]}', [S, C], "repaired", {"label-name"}),
    ("lower case", '{"ps": ["손흥민"], "lc": ["춘천"]}', [S, C], "repaired", {"label-name"}),
    ("BIO prefixes", '[{"label": "B-PS", "text": "손흥민"}]', [S], "repaired", {"label-name"}),
    ("code and name", '{"PS(사람)": ["손흥민"]}', [S], "repaired", {"label-name"}),
    ("strings for lists", '{"PS": "손흥민", "LC": "춘천"}', [S, C], "ok", set()),
    ("nested lists", '{"PS": [["손흥민"]], "LC": [[["춘천"]]]}', [S, C], "repaired", {"nested-list"}),
    ("nulls", '{"PS": ["손흥민", null], "LC": null}', [S], "repaired", {"null"}),
    ("none words", '{"PS": ["손흥민"], "LC": ["없음"], "OG": "None", "DT": '
    '[""]}', [S], "repaired", {"none-word"}),
    ("numbers", '{"QT": [32, 3.10, 1e5]}', [("QT", "32"), ("QT", "3.10"), ("QT", "1e5")], "ok", set()),
    ("wrapped", '{"entities": [{"type": "PS", "text": "손흥민"}]}', [S], "repaired", {"wrapped"}),
    ("wrapped in Korean", '{"개체명": {"PS": ["손흥민"]}}', [S], "repaired", {"wrapped"}),
    ("as transformers' pipeline", '[{"entity_group": "PS", "word": "손흥민", "score": '
    '0.9}]', [S], "ok", set()),
    ("entity is the label", '[{"entity": "PS", "word": "손흥민"}]', [S], "ok", set()),
    ("entity is the text", '[{"entity": "손흥민", "type": "PS"}]', [S], "ok", set()),
    ("Korean keys", '[{"유형": "PS", "텍스트": "손흥민"}]', [S], "ok", set()),
    ("surfaces as keys", '{"손흥민": "PS", "춘천": "LC"}', [S, C], "repaired", {"surface-keyed"}),
    ("pairs", '[["손흥민", "PS"], ["LC", "춘천"]]', [S, C], "repaired", {"pair"}),
    ("labelled strings", '["손흥민:PS", "LC: 춘천"]', [S, C], "repaired", {"labelled-string"}),
    ("objects under a label", '{"PS": [{"text": "손흥민", "역할": "선수"}]}', [S], "ok", set()),
    ("quotes inside a string", '{"PS": ["그는 "왕"이다"]}', [("PS", '그는 "왕"이다')], "repaired", {"quotes"}),
    ("an apostrophe", "{'PS': ['O'Brien']}", [("PS", "O'Brien")], "repaired", {"quotes"}),
    ("escapes", '{"PS": ["\\uc190\\ud765\\ubbfc"]}', [S], "ok", set()),
    ("escapes in a damaged reply", "{'PS': ['\\uc190\\ud765\\ubbfc', "
    "'a\\nb']}", [S, ("PS", "a\nb")], "repaired", {"quotes"}),
    ("missing comma", '{"PS": ["손흥민" "박지성"]}', [S, ("PS", "박지성")], "repaired", set()),
    ("wrong bracket", '{"PS": ["손흥민"}', [S], "repaired", {"brackets"}),
    ("missing colon", '{"PS" ["손흥민"]}', [S], "repaired", {"missing-colon"}),
    ("lists under a wrapper", '{"PS": {"values": ["손흥민", "박지성"]}}', [S, ("PS", "박지성")], "repaired", {"object-for-list"}),
    ("numbered objects", '{"PS": {"1": "손흥민", "2": "박지성"}}', [S, ("PS", "박지성")], "repaired", {"object-for-list"}),
    ("several texts of one label", '[{"label": "PS", "text": ["손흥민", '
    '"박지성"]}]', [S, ("PS", "박지성")], "ok", set()),
    ("a list beside a label", '[{"type": "PS", "entities": ["손흥민"]}]', [S], "ok", set()),
    ("a label in a list", '[{"label": ["PS"], "text": "손흥민"}]', [S], "ok", set()),
    ("other strings beside the text", '[{"token": 1, "span": "0-3", "text": "손흥민", "label": '
    '"PS"}]', [S], "ok", set()),
    ("two keys that may be the label", '[{"type": "entity", "label": "PS", "text": '
    '"손흥민"}]', [S], "ok", set()),
    ("offsets beside surfaces", '{"PS": [["손흥민", 0, 3]]}', [S], "repaired", {"offsets"}),
    ("surfaces with an object for a label", '{"손흥민": {"type": "PS"}}', [S], "repaired", {"surface-keyed"}),
    ("a line break in a string", '{"PS": ["손\n흥민"], "LC": ["춘천"]}', [("PS", "손\n흥민"), C], "repaired", {"control-character"}),
    ("semicolons for commas", '{"PS": ["손흥민"; "박지성"]}', [S, ("PS", "박지성")], "repaired", set()),
    ("JSON in a JSON string", '{\\"PS\\": [\\"손흥민\\"]}', [S], "repaired", {"escaped"}),
    ("a wrong bracket in the middle", '{"PS": ["손흥민"}, "LC": ["춘천"]}', [S, C], "repaired", {"brackets"}),
    ("names that say nothing", '{"PS": ["Nothing", "손흥민"]}', [("PS", "Nothing"), S], "ok", set()),
    ("two fences, two labels", '```json\n{"PS": ["손흥민"]}\n```\n```json\n{"LC": '
    '["춘천"]}\n```', [S, C], "repaired", {"fence"}),
    ("JSON without its braces", 'PS: ["손흥민", "박지성"]\nLC: ["춘천"]', [S, ("PS", "박지성"), C], "repaired", {"line-style"}),
    ("labels on one line", "PS: 손흥민, LC: 춘천", [S, C], "repaired", {"line-style"}),
    ("labels behind, on one line", "손흥민(PS), 춘천(LC)", [S, C], "repaired", {"line-style"}),
    ("a dash between", "손흥민 - PS\n춘천 - LC", [S, C], "repaired", {"line-style"}),
    ("a heading and no bullet", "PS:\n손흥민\n\nLC:\n춘천", [S, C], "repaired", {"line-style"}),
    ("no entity, in a longer sentence", "해당 문장에는 개체명이 없습니다.", [], "repaired", {"none-word"}),
    ("no entity, in a longer English "
    "sentence", "The text contains no named entities.", [], "repaired", {"none-word"}),
    ("label then bullets", "PS:\n- 손흥민\nLC:\n- 춘천", [S, C], "repaired", {"line-style"}),
    ("Markdown headings", "### 사람\n- 손흥민\n### 장소\n- 춘천", [S, C], "repaired", {"line-style"}),
    ("bullets with labels", "- PS: 손흥민\n- LC: 춘천", [S, C], "repaired", {"line-style"}),
    ("bold labels", "**PS**: 손흥민\n**LC**: 춘천", [S, C], "repaired", {"line-style"}),
    ("numbering, label last", "1. 손흥민 (PS)\n2. 춘천 (LC)", [S, C], "repaired", {"line-style"}),
    ("several on a line", "PS: 손흥민, 박지성\nQT: 3,000명", [S, ("PS", "박지성"), ("QT", "3,000명")], "repaired", {"line-style"}),
    ("bracketed lines", "[손 흥 민:PS]\n[춘 천:LC]", [("PS", "손 흥 민"), ("LC", "춘 천")], "repaired", {"line-style"}),
    ("a table", "| 유형 | 표현 |\n|---|---|\n| PS | 손흥민 |\n| LC | 춘천 "
    "|", [S, C], "repaired", {"table"}),
    ("tabs, label last", "손흥민\tPS\n춘천\tLC", [S, C], "repaired", {"line-style"}),
    ("XML tags", "<PS>손흥민</PS>은 <LC>춘천</LC>에서", [S, C], "repaired", {"other-markup"}),
    ("square markup in a sentence", "[손흥민:PS]은 [춘천:LC]에서 왔다", [S, C], "repaired", {"other-markup"}),
    ("pretty-printed", '{\n  "PS": [\n    "손흥민"\n  ],\n  "LC": [\n    "춘천"\n  '
    ']\n}', [S, C], "ok", set()),
    ("an unknown label is kept", '{"PS": ["손흥민"], "MISC": ["리그"]}', [S, ("MISC", "리그")], "ok", set()),
    ("empty object", "{}", [], "ok", set()),
    ("empty list", "[]", [], "ok", set()),
    ("empty lists", '{"PS": [], "LC": []}', [], "ok", set()),
    ("no entity, in Korean", "개체 없음", [], "repaired", {"none-word"}),
    ("no entity, in a sentence", "해당 개체명이 없습니다.", [], "repaired", {"none-word"}),
    ("no entity, in English", "There are no named entities found.", [], "repaired", {"none-word"}),
    ("nothing at all", "", [], "empty", set()),
    ("white space", " \n\t\u3000", [], "empty", set()),
    ("a refusal", "죄송하지만 도와드릴 수 없습니다.", [], "unreadable", set()),
    ("brackets without end", "{{{{ [[[", [], "unreadable", set()),
]  # fmt: skip


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 40
    assert len({name for name, *_ in CASES}) == len(CASES)


@pytest.mark.parametrize(
    ("reply", "expected", "status", "repairs"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_reading(
    schema: LabelSchema, reply: str, expected: list[tuple[str, str]], status: str, repairs: set[str]
) -> None:
    read = read_reply(reply, schema)
    assert [(mention.label, mention.text) for mention in read.mentions] == expected
    assert read.status == status, read.repairs
    assert repairs <= set(read.repairs)
    assert (read.status == "ok") == (not read.repairs and bool(reply.strip()) and status == "ok")


@pytest.mark.parametrize("asked", sorted(REPLY_FORMATS))
@pytest.mark.parametrize(("reply", "expected"), [c[1:3] for c in CASES], ids=[c[0] for c in CASES])
def test_a_reply_in_another_format_than_asked_loses_nothing(
    schema: LabelSchema, asked: str, reply: str, expected: list[tuple[str, str]]
) -> None:
    read = read_reply(reply, schema, asked)
    assert {(m.label, m.text) for m in read.mentions} == set(expected)


def test_attributes_are_kept(schema: LabelSchema) -> None:
    (mention,) = read_reply('[{"label": "PS", "text": "손흥민", "역할": "선수"}]', schema).mentions
    assert mention == Mention("PS", "손흥민", {"역할": "선수"})


def test_without_a_schema_labels_stay_as_they_are() -> None:
    read = read_reply('{"Person": ["Son"], "사람": ["손흥민"]}')
    assert [(m.label, m.text) for m in read.mentions] == [("Person", "Son"), ("사람", "손흥민")]
    assert [(m.label, m.text) for m in read_reply("PER\tSon\nLOC: London").mentions] == [
        ("PER", "Son"),
        ("LOC", "London"),
    ]


def test_tagged_replies_say_where_mentions_stand(schema: LabelSchema) -> None:
    read = read_reply("다음과 같습니다.\n<손흥민:PS>은 <춘천:LC>에서\n이상.", schema, "tagged")
    assert read.text == "손흥민은 춘천에서"
    assert [mention.start for mention in read.mentions] == [0, 5]
    assert read.order == "text"
    assert "prose" in read.repairs


def test_a_tagged_reply_without_markup_says_that_there_is_nothing(schema: LabelSchema) -> None:
    read = read_reply("손흥민은 춘천에서", schema, "tagged")
    assert (read.mentions, read.status, read.text) == ((), "ok", "손흥민은 춘천에서")


def test_what_order_tells_depends_on_the_format(schema: LabelSchema) -> None:
    assert read_reply('{"PS": ["a"]}', schema).order == "label"
    assert read_reply('[{"label": "PS", "text": "a"}]', schema).order == "text"
    assert read_reply("PS\ta", schema).order == "text"


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(texts, st.text(alphabet="{}[]()\"'`,:<>/\\ \n\tPSLC손흥민|-#*~｛］“", max_size=60))
)
def test_reading_never_raises(reply: str) -> None:
    schema = LabelSchema.of("PS", "LC")
    for format in ("auto", *REPLY_FORMATS, "no such format"):
        for given_schema in (schema, None):
            read = read_reply(reply, given_schema, format)
            assert all(isinstance(mention.text, str) for mention in read.mentions)


@settings(deadline=None)
@given(sentences(), st.sampled_from(sorted(REPLY_FORMATS)))
def test_what_is_rendered_is_read_back(sentence: Sentence, format: str) -> None:
    schema = LabelSchema.of("PS", "LC", "OG", "DT", "TI", "QT")
    read = read_reply(render_reply(sentence, format, schema), schema, format)
    wanted = [(span.label, sentence.surface(span)) for span in sentence.spans]
    got = [(mention.label, mention.text) for mention in read.mentions]
    if format == "json-by-type":
        wanted.sort(key=lambda pair: schema.codes.index(pair[0]))
    # A surface that says "none" ("-", "", "…") is no mention; it is the one thing that cannot be
    # said.
    if all(any(char.isalnum() for char in text) for _, text in wanted):
        # White space at the very end of a reply is nobody's.
        assert [(label, text.rstrip()) for label, text in got] == [
            (label, text.rstrip()) for label, text in wanted
        ]


GARBAGE = [
    '"a "', '{"', "[", "<think>", "{'a", "`", "```\n", "<a:", "[a:", " ", '"a\n', '{"a\n', '"a" "', "/*", "{/*", "\\",
    '{"a":', "]", "{}", "[PS:a] ", "- PS: a, b\n", "(a", "[[1],", ":", "PS\t", "a|", "</think>", "[a](b)", "<a>", "\n",
    "{'a': 'b', ", "“", "PS: ", "<PS>a", "x" ,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("unit", GARBAGE)
def test_a_megabyte_of_garbage_takes_linear_time(schema: LabelSchema, unit: str) -> None:
    def cost(size: int) -> float:
        reply = unit * (size // len(unit))
        return seconds(lambda: read_reply(reply, schema), times=1)

    cost(20_000)
    small, large = cost(100_000), cost(1_000_000)
    assert large < 20
    # Ten times the text; twenty-five leaves room for noise and none for a square.
    assert large < 25 * max(small, 0.02)


@pytest.mark.parametrize("depth", [50, 99, 101, 400, 900, 5000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"PS":', "}"), ('{"x":[', "]}")])
def test_deep_nesting_is_cut_off_not_crashed(
    schema: LabelSchema, depth: int, opening: str, closing: str
) -> None:
    read = read_reply('{"PS": ' + opening * depth + '"손흥민"' + closing * depth + "}", schema)
    assert depth > 90 or read.status != "unreadable"
    assert depth < 110 or "too-deep" in read.repairs


@pytest.mark.parametrize(
    "text", ["뉴스 (PS)", "가격: PS", "소니 | PS", "-", "개체 없음", "<.:LC> <없음:LC>"]
)
def test_the_sentence_again_is_an_answer_whatever_it_looks_like(text: str) -> None:
    schema = LabelSchema.of("PS", "LC")
    sentence = Sentence(text)
    projection = project_reply(text, render_reply(sentence, "tagged"), schema, "tagged")
    assert projection.spans == ()
    assert projection.reply is not None
    assert projection.reply.status == "ok"


@pytest.mark.parametrize(
    "text",
    [
        "[1] 손흥민은",
        '["손흥민"]은',
        "{손흥민}: 골",
        "[] 손흥민",
        '{"a": ["손흥민"]',
        "뉴스\n[\n손흥민\n]",
    ],
)
def test_a_marked_sentence_that_begins_as_json_does_is_no_json(text: str) -> None:
    at = text.index("손흥민")
    sentence = Sentence(text, (Span(at, at + 3, "PS"),))
    read = read_reply(render_reply(sentence, "tagged"), LabelSchema.of("PS", "LC"), "tagged")
    assert read == ReadReply((Mention("PS", "손흥민", start=at),), "ok", (), "tagged", "text", text)


@pytest.mark.parametrize(
    "reply",
    [
        "x" + " " * 800 + ":" + " " * 800 + ":     y",
        "```json\nx" + "`" * 16_000 + "y\n```\n",
        "```" + " " * 16_000 + "!\n```\n",
        "x" + " " * 98 + "(" + " " * 98 + "x",
    ],
)
def test_no_regular_expression_runs_away(schema: LabelSchema, reply: str) -> None:
    assert seconds(lambda: (read_reply(reply, schema), schema.resolve(reply))) < 0.5


@pytest.mark.parametrize(
    ("reply", "expected", "repairs"),
    [
        ("손흥민\tPS\n춘천\tLC", [S, C], ()),
        ("PS\t손흥민\nLC\t춘천", [S, C], ("line-style",)),
        ('{"PS": ["손흥민"], "LC": ["춘천"]}', [S, C], ("format",)),
        ("-", [], ()),
        ("없음", [], ("none-word",)),
    ],
)
def test_pairs_are_read_where_they_were_asked_for(
    schema: LabelSchema, reply: str, expected: list[tuple[str, str]], repairs: tuple[str, ...]
) -> None:
    read = read_reply(reply, schema, "pairs")
    assert [(mention.label, mention.text) for mention in read.mentions] == expected
    assert read.repairs == repairs


def test_a_surface_that_could_be_a_label_is_read_by_the_order_that_was_asked_for(
    schema: LabelSchema,
) -> None:
    for format, expected in (("pairs", ("OG", "PS")), ("lines", ("PS", "OG"))):
        (mention,) = read_reply("PS\tOG", schema, format).mentions
        assert (mention.label, mention.text) == expected


@pytest.mark.parametrize(
    "tail", ["<end_of_turn>", "<|im_end|>", "</s>", "\r\n", "\n", "\r\nLC\t춘천\r\n"]
)
def test_rows_to_the_letter_lose_what_ends_a_turn(schema: LabelSchema, tail: str) -> None:
    for format, row in (("lines", "PS\t손흥민"), ("pairs", "손흥민\tPS")):
        if "LC" in tail and format == "pairs":
            continue
        read = read_reply(row + tail, schema, format)
        assert read.mentions[0] == Mention("PS", "손흥민")
        assert read.format == format


def test_an_exact_reader_reads_nothing_else(schema: LabelSchema) -> None:
    for format, reply in (
        ("json-by-type", '{"PS": "손흥민"}'),
        ("json-by-type", '{"XX": ["손흥민"]}'),
        ("json-by-type", '["손흥민"]'),
        ("json-list", '[{"label": "PS", "text": "a", "more": 1}]'),
        ("json-list", '{"label": "PS"}'),
        ("tagged", "<손흥민:PS> < 가"),
        ("lines", "손흥민\tPS"),
        ("pairs", "PS\t손흥민"),
        ("pairs", ""),
        ("yaml", "a: b"),
    ):
        assert read_exact(reply, schema, format) is None
    assert read_exact("-", schema, "pairs") == ReadReply((), "ok", (), "pairs", "text")


@pytest.mark.parametrize("wrap", ['{"a":', "["])
@pytest.mark.parametrize("depth", [1, 20, 98])
def test_strings_of_json_in_strings_of_json_end_somewhere(
    schema: LabelSchema, wrap: str, depth: int
) -> None:
    reply = '{"PS": ["손흥민"]}'
    for level in range(7):
        nested = json.dumps(reply, ensure_ascii=False)
        closing = {"{": "}", "[": "]"}[wrap[0]] * depth
        reply = f'{wrap * depth}{{"arguments":{nested}}}{closing}'
        read = read_reply(reply, schema)
        if depth == 1 and level < 3:
            assert read.mentions == (Mention("PS", "손흥민"),)
        assert read.status != "ok"


def test_pieces_with_nothing_in_them_are_read(schema: LabelSchema) -> None:
    reply = '[["", "B-PS"], ["##", "B-PS"], ["ab", "I-PS"], ["cd", "I-PS"]]'
    assert read_reply(reply, schema).mentions[-1].text == "ab cd"


def test_a_budget_counts_what_is_looked_for_in_the_text(schema: LabelSchema) -> None:
    reply, spent = '{"PS": ["가, 나"]} x\n' * 100, []
    for text in ("가", "가" * 1_000_000):
        budget = Budget()
        read_reply(reply, schema, text=text, budget=budget)
        spent.append(budget.spent)
    assert spent[1] > 10 * spent[0]
