"""What anyone can send is read and projected in linear time, and never raises: found out by
pumping.

A minute of random patterns runs here; ``make fuzz`` runs them for an hour. ``LLMNER_FUZZ_SECONDS``
and ``LLMNER_FUZZ_SEED`` choose otherwise.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from llmner.projection import Budget, project, project_reply
from llmner.replies import find_places, read_reply
from llmner.spans import Mention
from tests.costs import seconds
from tests.pumping import FORMATS, RUNS, SCHEMA, TEXT, growth, look


@pytest.mark.parametrize("name", RUNS)
def test_no_pattern_takes_more_than_linear_time_or_raises(name: str) -> None:
    seconds = float(os.environ.get("LLMNER_FUZZ_SECONDS", "60")) / len(RUNS)
    fixed = "0" if os.environ.get("CI") else str(time.time_ns() % 10**6)
    seed = int(os.environ.get("LLMNER_FUZZ_SEED", fixed))
    count, finding = look(name, seconds, seed)
    assert finding is None
    print(f"{name}: {count} patterns, seed {seed}")


SHAPES: dict[str, Callable[[int], str]] = {
    "spaces before a letter": lambda n: (". " + " " * 190 + "x\n") * (n // 190),
    "strings without an end": lambda n: '["x}' * n,
    "words between strings": lambda n: '["a" b]' * n,
    "comments without an end": lambda n: "[/*]" * n,
    "line breaks in strings": lambda n: '["a\nb"]' * n,
    "line breaks in objects": lambda n: '{"PS":["a\nb"]}\n' * n,
    "marks on one letter": lambda n: "PS\ta" + "\u0315\u0300" * n,
    "closing brackets": lambda n: "PS\t" + "]" * n,
    "brackets on both sides": lambda n: "PS\t" + "[" * n + "a" + "]" * n,
    "cells of a table": lambda n: "PS|" * n + "x|" * n,
    "escaped quotes": lambda n: "\\" * n + '"',
    "quotes escaped again and again": lambda n: "".join("\\" * (k % 9) + '"' for k in range(n)),
    "strings that never end": lambda n: '（[]\\"' * n,
    "open brackets": lambda n: "[" * n,
    "open objects": lambda n: '{"PS":' * n,
    "thoughts": lambda n: "<think>" * n + "</think>" * n,
    "fences": lambda n: "```json\n" * n,
    "tags": lambda n: "<손:PS>" * n,
    "an angle and spaces": lambda n: "<" + " " * n + "!",
    "open tags": lambda n: "<손" * n,
    "square tags": lambda n: "[손:PS]" * n,
    "escaped quotes in calls": lambda n: 'Q("x") ' + 'a(\\"' * n,
    "lists in code": lambda n: ' PS=["' * n,
    "empty elements": lambda n: "<a>" * 40 + "x<b/>" * n + "<PS>a</PS>",
    "pieces of one name": lambda n: "x\tB-PS\n" + "x\tI-PS\n" * n,
    "columns": lambda n: "text," + "x," * n + "\n" + "a,b\n" * n + "x," * n,
    "keys for texts": lambda n: "{" + ",".join(f'"name":"x","z{k}":1' for k in range(n // 4)) + "}",
    "quotes that are missing": lambda n: '["x" a' + ('"x: ' * 900 + '"],') * (n // 900),
    "words under a label": lambda n: ("PS: " + "가" * 78 + "x\n") * (n // 20),
    "bullets": lambda n: "- 손 (PS)\n" * n,
    "headings": lambda n: "PS:\n- 손\n" * n,
    "near misses": lambda n: '{"PS": ["' + '", "'.join(f"손훙{k}민은" for k in range(n // 10)) + '"]}',
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_known_shapes_stay_linear_and_hide_no_mention(shape: str) -> None:
    """Each of them took quadratic time once, or might; what stands behind one of them is found
    as before.
    """

    def run(text: str) -> None:
        for format in FORMATS:
            reply = project_reply(TEXT, text, SCHEMA, format).reply
            assert reply is not None
            find_places(text, reply.mentions, reply.format)

    assert growth(run, lambda size: SHAPES[shape](size // 4), size=4_000) is None


# Of a number, a text and a mention.
CLAIMS: dict[str, Callable[[int], tuple[str, str]]] = {
    "spaces in a mention": lambda n: (TEXT, "a" + " " * n + "b c"),
    "legal forms": lambda n: (TEXT, "a" + " Co" * n + " b"),
    "commas": lambda n: (TEXT, "a" + " ," * n + " b"),
    "titles": lambda n: (TEXT, "Mr " * n + "b"),
    "acronyms": lambda n: ("A.B. " * n + "5 A", "AB " * 11 + "5"),
    "separators": lambda n: ("a . " * n + "b", "a-" * 11 + "b"),
    "marks": lambda n: ("ü" * n, "ueueueue"),
    "other separators": lambda n: ("A.B " * n, "A-B"),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_known_mentions_stay_linear(claim: str) -> None:
    def run(size: str) -> None:
        text, mention = CLAIMS[claim](len(size) // 4)
        project(text, [Mention("PS", mention)], SCHEMA)

    assert growth(run, lambda size: "x" * size, size=4_000) is None


@pytest.mark.parametrize("shape", ["", *SHAPES])
def test_the_last_of_four_thousand_mentions_is_found(shape: str) -> None:
    names = [f"이름{number:04d}호" for number in range(4000)]
    text = " ".join(names)
    reply = '{"PS": ' + json.dumps(names, ensure_ascii=False) + "}"
    before = SHAPES[shape](2000) if shape else ""
    projection = project_reply(text, f"{before}\n```json\n{reply}\n```", SCHEMA, "json-by-type")
    # Readers that take such a beginning for another format, or for a thought, do not come to the
    # rest.
    swallowed = {
        "square tags",
        "strings without an end",
        "thoughts",
        "fences",
        "escaped quotes",
        "quotes escaped again and again",
    }
    if projection.spans or shape not in swallowed:
        last = projection.spans[-1]
        assert text[last.start : last.end] == names[-1]
        assert len(projection.spans) == 4000


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("가 " * 400, lambda n: [Mention(f"L{k}", "가") for k in range(n)]),
        ("가 " * 400, lambda n: [Mention("PS", "가" + "\u200b" * k) for k in range(n // 16)]),
        (
            "가나다라 " * 500,
            lambda n: [Mention(f"L{k % 7}", ("가나", "나다", "라")[k % 3]) for k in range(n)],
        ),
        ("손흥민 " * 300, lambda n: [Mention("PS", f"손훙민{k}") for k in range(n)]),
    ],
)
def test_steps_grow_with_the_mentions_and_are_counted(
    text: str, claims: Callable[[int], list[Mention]]
) -> None:
    """Steps are the same on any machine; time is compared by the patterns above."""
    steps = []
    for n in (500, 2000, 8000):
        budget = Budget()
        project(text, claims(n), budget=budget)
        steps.append(budget.spent)
    assert steps[2] < 8 * steps[1] < 64 * steps[0]


def test_backslashes_before_a_quote_do_not_recurse() -> None:
    for count in (1, 3, 7, 1000, 200_000):
        assert read_reply("\\" * count + '"', SCHEMA).mentions == ()
    escaped = json.dumps(json.dumps({"PS": ["손흥민"]}, ensure_ascii=False), ensure_ascii=False)
    assert [mention.text for mention in read_reply(escaped, SCHEMA).mentions] == ["손흥민"]


def a_long_projection() -> tuple[str, list[Mention]]:
    syllables = random.Random(0)
    base = [chr(0xAC00 + syllables.randrange(11172)) for _ in range(190)]
    changed = ["".join(c if syllables.random() < 0.8 else "똠" for c in base) for _ in range(200)]
    return " ".join(changed), [Mention("PS", "".join(base[k % 40 :]) + str(k)) for k in range(50)]


def test_work_can_be_ended_wherever_it_is() -> None:
    """Between two looks at the budget lies little work, so ending takes little time: steps are
    spent evenly.
    """
    from llmner.errors import WorkLimitError

    runs: list[Callable[[Any], object]] = [
        lambda budget: project(*a_long_projection(), budget=budget),
        lambda budget: project(
            "가 " * 400, [Mention(f"L{k}", "가") for k in range(5000)], budget=budget
        ),
        lambda budget: project_reply("손", '["x}' * 20_000, SCHEMA, budget=budget),
        lambda budget: project_reply("손", "PS\t손\n" * 20_000, SCHEMA, "lines", budget=budget),
        lambda budget: read_reply('{"PS": ["손"]}\n' * 20_000, SCHEMA, budget=budget),
    ]
    for run in runs:
        whole = Budget()
        run(whole)
        assert whole.spent > 1000
        taken = seconds(partial(run, Budget()))
        for share in (0.1, 0.5, 0.9):

            def ended(
                run: Callable[[Any], object] = run, steps: int = int(whole.spent * share)
            ) -> None:
                with pytest.raises(WorkLimitError):
                    run(Budget(steps))

            # In one run, and with room for a busy machine: a tenth of the steps is not all of the
            # time.
            assert seconds(ended) < taken * (share + 0.4) + 0.05
