"""Templates of strangers: what they can reach, what they cannot do, and how much they can do of
it.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.runtime import Context, LoopContext, Undefined

from llmner.errors import RecipeError
from llmner.recipes import _templates
from llmner.recipes._templates import FILTERS, METHODS, TESTS, fill_template

PLAIN: dict[str, Any] = {
    "labels": [{"code": "PS", "name": "사람", "aliases": ("인물", "person"), "person": None}],
    "examples": [{"text": "손흥민은", "answer": '{"PS": ["손흥민"]}'}],
    "empty": "{}",
    "text": "춘천에서 <b>\n둘째 줄",
    "number": 3,
}


def fill(template: str, **more: Any) -> str:
    return fill_template(template, **{**PLAIN, **more})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{% for l in labels %}{{ loop.index }}{{ l.code }}{% if not loop.last %},{% endif %}{% "
        "endfor %}", "1PS"),
        ("{{ labels | map(attribute='code') | join('/') }}", "PS"),
        ("{{ labels[0].aliases | join(', ') | upper }}", "인물, PERSON"),
        ("{% for k, v in labels[0].items() if v %}{{ k }} {% endfor %}", "code name aliases "),
        ("{% set t = text | trim %}{{ t ~ '!' }}", "춘천에서 <b>\n둘째 줄!"),
        ("{{ text.replace('\n', ' ') }}", "춘천에서 <b> 둘째 줄"),
        ("{{ text | replace('\n', '') | length }}", "12"),
        ("{{ examples | tojson }}", None),
        ("{{ 'yes' if labels | length > 0 and labels[0].person is none else 'no' }}", "yes"),
        ("{% for n in range(2, 5) %}{{ n }}{{ loop.cycle('a', 'b') }}{% endfor %}", "2a3b4a"),
        ("{{ number + 1 }} {{ number is odd }} {{ -number }} {{ 7 % 4 }} {{ 'a' + 'b' "
        "}}", "4 True -3 3 ab"),
        ("{{ labels[0].nothing | default('none') }}", "none"),
        ("{{ text[:2] }}{{ text.split()[-1] }}{{ ', '.join(['a', 'b']) }}", "춘천줄a, b"),
        ("{% set x %}a{{ number }}{% endset %}{{ x }}", "a3"),
        ("{{ labels | selectattr('person', 'none') | list | length }}", "1"),
    ],
)  # fmt: skip
def test_what_recipes_use_works_as_in_jinja(template: str, text: str | None) -> None:
    plain = (
        jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(template).render(**PLAIN)
    )
    assert fill(template) == plain
    assert text is None or plain == text


def reached(start: list[Any]) -> Iterator[tuple[str, Any]]:
    """Everything that attributes, elements and calls lead to, with the way there."""
    environment = _templates._ENVIRONMENT
    names = {
        name
        for kind in (str, dict, list, tuple, int, LoopContext, Undefined, type)
        for name in dir(kind)
    }
    names |= {
        "__globals__",
        "__code__",
        "__self__",
        "__func__",
        "gi_frame",
        "cr_frame",
        "f_globals",
        "model_dump",
        "parse_raw",
        "environment",
    }
    waiting = [(f"[{number}]", value) for number, value in enumerate(start)]
    seen: set[tuple[str, str]] = set()
    while waiting:
        way, value = waiting.pop()
        key = type(value).__name__, getattr(value, "__name__", "")
        if key in seen or way.count(".") > 6:
            continue
        seen.add(key)
        yield way, value
        for name in sorted(names | (set(value) if isinstance(value, dict) else set()), key=str):
            for read in (environment.getattr, environment.getitem):
                with contextlib.suppress(jinja2.UndefinedError):
                    got = read(value, name)
                    if not isinstance(got, Undefined):
                        waiting.append((f"{way}.{name}", got))
        if isinstance(value, list | tuple | str):
            waiting += [(f"{way}[{n}]", item) for n, item in enumerate(value[:3])]
        if callable(value) and environment.is_safe_callable(value):
            context = Context(environment, {}, None, {})
            for arguments in ((), ("a",), ("a", "b"), (["a", "b"],), (2,)):
                with contextlib.suppress(TypeError, ValueError, LookupError, jinja2.TemplateError):
                    waiting.append(
                        (f"{way}{arguments}", environment.call(context, value, *arguments))
                    )


def test_nothing_that_a_template_reaches_can_be_called_but_what_is_listed() -> None:
    environment = _templates._ENVIRONMENT
    token = _templates._METER.set(_templates._Meter(PLAIN))
    try:
        loop = LoopContext(["a", "b"], environment.undefined)
        next(loop)
        start = [
            PLAIN,
            *PLAIN.values(),
            loop,
            *environment.globals.values(),
            jinja2.Undefined(),
            ("a", 1),
            1.5,
            True,
        ]
        start.append(fill("{{ labels | tojson }}"))
        callables: set[str] = set()
        kinds: set[str] = set()
        for way, value in reached(start):
            kinds.add(type(value).__name__)
            if isinstance(value, LoopContext):
                # A recursive loop is called by its name; there are none.
                assert not environment.is_safe_callable(value)
            elif callable(value) and not isinstance(value, Undefined):
                owner = getattr(value, "__self__", None)
                listed = any(
                    isinstance(owner, k) and value.__name__ in m for k, m in METHODS.items()
                )
                assert listed or value is _templates._bounded_range, way
                callables.add(value.__name__)
    finally:
        _templates._METER.reset(token)
    assert set(environment.globals) == {"range"}
    assert {"upper", "items", "cycle", "_bounded_range", "join"} <= callables
    assert kinds <= {
        "str", "int", "float", "bool", "NoneType", "list", "tuple", "dict", "LoopContext", "StrictUndefined",
        "Undefined", "builtin_function_or_method", "method", "function", "Markup",
    }  # fmt: skip


def test_the_filters_and_tests_are_those_that_are_listed() -> None:
    environment = _templates._ENVIRONMENT
    assert {name for name in environment.filters if not name.startswith("_")} == FILTERS
    assert set(environment.tests) == TESTS


EVIL = "cposix\\nsystem\\n(S'echo owned > pwned'\\ntR."


@pytest.mark.parametrize(
    "template",
    [
        f'{{{{ labels[0].parse_raw("{EVIL}", proto="pickle", allow_pickle=True) }}}}',
        "{{ labels[0].__class__ }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ ''['__class__'] }}",
        "{{ labels | map(attribute='__class__') | join }}",
        "{{ labels | map('attr', '__class__') | list }}",
        "{{ labels | attr('__class__') }}",
        "{{ '{0.__class__}'.format(text) }}",
        "{{ '%s' | format(text) }}",
        "{{ '{0.__class__}'.format_map(labels[0]) }}",
        "{{ ('{0.__class__}' | string).format(text) }}",
        "{{ 'x'.encode() }}",
        "{{ 'x'.translate({}) }}",
        "{{ range.__globals__ }}",
        "{{ loop.__class__ }}",
        "{% for x in labels %}{{ loop._iterable }}{% endfor %}",
        "{% for x in labels %}{{ loop.__init__ }}{% endfor %}",
        "{% for x in labels recursive %}{{ loop(labels) }}{% endfor %}",
        "{{ self }}", "{{ self.__init__ }}", "{{ cycler('a') }}", "{{ joiner(',') }}", "{{ lipsum() }}",
        "{{ namespace(a=1) }}", "{{ dict(a=1) }}", "{{ labels.append(1) }}", "{{ labels[0].update({'a': 1}) }}",
        "{{ labels[0].pop('code') }}", "{{ labels[0].clear() }}", "{{ labels[0].setdefault('a', 1) }}",
        "{% macro m() %}{% endmacro %}{{ m() "
        "}}", "{% include 'x' %}", "{% import 'x' as x %}", "{% extends 'x' %}",
        "{% block b %}{% endblock %}", "{% call x() %}{% endcall %}", "{% filter upper %}x{% endfilter %}",
        "{{ range(*[1]) }}", "{{ (labels[0].items)() }}{{ (text.upper or 1)() "
        "}}", "{{ text.upper }}",
        "{{ number.__add__(1) }}", "{{ number.real }}", "{{ 2 ** 3 }}", "{{ 'a' * 3 }}", "{{ '%s' % 1 }}",
        "{{ '%999999999d' is even }}", "{{ '%999999999d' is odd }}", "{{ '%9d' is divisibleby(1) }}",
        "{{ [text] }}", "{{ {'a': labels} }}", "{{ number.__class__.__base__ }}", "{{ _METER }}",
        "{{ x.__class__ }}", "{{ none.__class__ }}", "{{ true.real }}", "{{ text | _counted(1) }}",
        "{{ labels | random }}", "{{ text | pprint }}", "{{ text | xmlattr }}", "{{ text | indent(9) }}",
        "{{ text | center(9) }}", "{{ labels | batch(1) }}", "{{ labels | groupby('code') }}", "{{ 1.5 | round(2) }}",
        "{{ range is callable }}", "{{ labels | sum(attribute='code') }}", "{{ caller() }}", "{{ varargs }}",
        "{{ text.upper.__self__ }}", "{{ labels[0].get.__self__ }}", "{% for f in [text.upper] "
        "%}{{ f() }}{% endfor %}",
        "{% set f = text.upper %}{{ f() }}", "{% do x %}", "{% debug %}", "{{ gettext('x') }}", "{{ _('x') }}",
    ],
)  # fmt: skip
def test_what_a_template_cannot_do_is_one_line(
    template: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError) as refused:
        fill(template)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400
    assert not list(tmp_path.iterdir())
    assert PLAIN["labels"][0]["code"] == "PS"


DOUBLED = "{% set a = text %}" + "{% set a = a ~ a %}" * 60
BOMBS = [
    "{% for a in range(1000000000) %}x{% endfor %}",
    "{% for a in range(30000) %}{% for b in range(30000) %}x{% endfor %}{% endfor %}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    DOUBLED + "{{ a }}",
    DOUBLED,
    DOUBLED.replace("a ~ a", "a + a"),
    DOUBLED.replace("a ~ a", "[] + a") + "{% set a = labels %}" + "{% set a = a + a %}" * 60,
    DOUBLED.replace("a ~ a", "a | replace('', a)"),
    DOUBLED.replace("a ~ a", "a.replace('', a)"),
    DOUBLED.replace("a ~ a", "a.join(a)"),
    DOUBLED.replace("a ~ a", "a | join(a)"),
    DOUBLED.replace("a ~ a", "[1, 2, 3] | map('string') | join(a)"),
    "{% for a in range(100000) %}{% set b = text | upper | lower | title %}{% endfor %}",
    "{% for a in range(100000) %}{{ text.count('x') }}{% endfor %}",
    "{% for a in range(1000000) %}{% if 'zzz' in text %}x{% endif %}{% endfor %}",
    "{% for a in range(1000000) %}{% set b = text[1:] %}{% endfor %}",
    "{% set a %}{% for a in range(1000000) %}xxxxxxxxxxxxxxxxxxx{% endfor %}{% endset %}",
    "{% set x = 9007199254740991 %}" + "{% set x = x * x %}" * 9,
    "{{ 9" + "0" * 5000 + " }}",
    "{{ 1e999 }}",
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "{{ " + "not " * 3000 + "1 }}",
    "{{ " + "-" * 500 + "1 }}",
    "{% if a %}" * 900 + "{% endif %}" * 900,
    "{% for a in labels %}" * 30
    + "{% endfor %}" * 30
    + "{% for a in labels %}" * 39
    + "{% endfor %}" * 39,
    "{{ text | truncate(100000000000) | replace('a', 'b') | list | tojson | list | tojson | list "
    "| tojson | list | tojson }}" * 99,
    "x" * 300_000,
]


@pytest.mark.parametrize("template", BOMBS, ids=range(len(BOMBS)))
def test_what_a_template_does_is_counted(template: str) -> None:
    """Ends after a number of steps that does not depend on the processor."""
    with pytest.raises(RecipeError):
        fill(template, text="가나다 " * 1000)


def test_long_texts_and_many_labels_are_no_bomb() -> None:
    text = "춘천에서 " * 200_000
    labels = [{"code": f"L{n}", "name": "이름", "words": (f"L{n}",)} for n in range(2000)]
    filled = fill(
        "{% for l in labels %}{{ l.code }}: {{ l.name }}\n{% endfor %}{{ text }}\n{{ text }}",
        text=text,
        labels=labels,
    )
    assert filled.endswith(f"L1999: 이름\n{text}\n{text}")


@given(
    st.lists(
        st.sampled_from(
            ["{{", "}}", "{%", "%}", "{#", "#}", " text", " labels", "[0]", ".", "|", "join", "upper", "items", "()", "'x'", "for ", "x ", "in ",
             "endfor", "if ", "endif", "set ", "=", "~", "+", "-", "*", "(", ")", "[", "]", "{", "}", ":", ",", "1", "loop", "range", "\n", "가",
             "__class__", "is ", "not ", "defined", "else", "recursive", "raw", "endraw", "\\", '"']
        ),
        max_size=25,
    )
)  # fmt: skip
def test_any_template_gives_a_text_or_one_line(pieces: list[str]) -> None:
    with contextlib.suppress(RecipeError):
        assert isinstance(fill("".join(pieces)), str)


def test_only_plain_data_is_given_to_a_template() -> None:
    class Label:
        code = "PS"

    for value in (Label(), Label, fill_template, {"a": Label()}, [object()], b"x"):
        with pytest.raises(RecipeError, match="not a text, number, list or mapping"):
            fill_template("{{ x }}", x=value)


def test_everything_a_template_may_do_is_in_the_guide(pytestconfig: pytest.Config) -> None:
    guide = (pytestconfig.rootpath / "docs" / "recipes.md").read_text(encoding="utf-8")
    words = set(guide.replace("`", " ").replace(",", " ").replace(".", " ").split())
    assert words >= {name for name in FILTERS | METHODS[str] | METHODS[dict] if name != "d"}
    assert inspect.getdoc(_templates) is not None
