"""Untrusted Jinja templates, filled in with plain data in bounded time.

Recipes are files that people pass on, and their prompts are Jinja templates. A template may use a
small part of Jinja: its variables, loops, conditions, ``set``, and the filters, tests and methods
listed here. Everything else is refused when the template is parsed, and again when it runs. The
work of a template is counted, so it can neither run long nor write much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache, wraps
from typing import Any, Final, cast

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.runtime import LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS as JINJA_TESTS
from jinja2.visitor import NodeTransformer

from llmner.errors import RecipeError
from llmner.recipes._template_language import (
    FILTERS,
    LARGEST_NUMBER,
    LOOP_PROPERTIES,
    METHODS,
    TESTS,
    check_template,
)

__all__ = ["FILTERS", "METHODS", "TESTS", "fill_template"]


_LONGEST_SOURCE: Final = 200_000
# The work allowed for filling in a template once: a fixed part, and a part for each character of
# its variables. A unit is one step or one character written.
_WORK: Final = 2_000_000
_WORK_A_CHARACTER: Final = 64


class _Meter:
    """Counts the work of one template."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self.size = _measure(variables, _WORK * 8)
        self._left = _WORK + _WORK_A_CHARACTER * self.size

    def spend(self, work: int) -> None:
        self._left -= work
        if self._left < 0:
            raise SecurityError("it does too much: too many loops, or too long a text")


_METER: ContextVar[_Meter] = ContextVar("_METER")


def _measure(value: Any, most: int) -> int:
    """The number of characters and values in plain data.

    Raises:
        SecurityError: There are more than ``most``, or the value is not plain data.
    """
    size = 0
    stack = [value]
    while stack:
        value = stack.pop()
        size += 1
        if isinstance(value, str):
            size += len(value)
        elif isinstance(value, Undefined):
            continue
        elif isinstance(value, dict):
            stack += value.keys()
            stack += value.values()
        elif isinstance(value, list | tuple):
            stack += value
        elif value is not None and not isinstance(value, int | float):
            raise SecurityError(f"a {type(value).__name__} is not a text, number, list or mapping")
        if size + len(stack) > most:
            raise SecurityError("it does too much: too many loops, or too long a text")
    return size


def _charged(value: Any) -> Any:
    """Count a result's size as work, and check that it is plain data; iterators become lists."""
    meter = _METER.get()
    if isinstance(value, Iterator) or type(value).__name__ in (
        "dict_keys",
        "dict_values",
        "dict_items",
    ):
        items = []
        for item in value:
            meter.spend(1)
            items.append(item)
        value = items
    meter.spend(_measure(value, _WORK * 8))
    return value


def _charge_for(*values: Any) -> None:
    """Count the length of arguments as work, because functions read them."""
    for value in values:
        if isinstance(value, str | list | tuple | dict):
            _METER.get().spend(len(value))


def _replace(text: Any, old: Any, new: Any, count: Any = None) -> str:
    text, old, new = str(text), str(old), str(new)
    times = text.count(old)
    if count is not None:
        times = min(times, int(count))
    _METER.get().spend(len(text) + max(0, times) * len(new))
    replaced: str = text.replace(old, new, -1 if count is None else int(count))
    return replaced


def _joined(items: list[Any], separator: str) -> str:
    texts = [_written(item) for item in items]
    _METER.get().spend(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def _written(value: Any) -> Any:
    """The text that is written for a value. An undefined value raises here."""
    if isinstance(value, str):
        _METER.get().spend(1 + len(value))
        return value
    if isinstance(value, Undefined):
        return str(value)
    # A list may contain another one several times; it is written that many times.
    _METER.get().spend(_measure(value, _WORK * 8))
    return str(value)


def _join(environment: jinja2.Environment, value: Any, d: str = "", attribute: Any = None) -> str:
    items = list(_counted(value, 1))
    if attribute is not None:
        items = [environment.getitem(item, attribute) for item in items]
    return _joined(items, str(d))


def _concatenated(parts: Any) -> str:
    return _joined(list(parts), "")


def _counted(items: Any, steps: int, scans: int = 0) -> Iterator[Any]:
    """The items of a loop, each counted as ``steps`` of work, plus the work of its scans.

    A scan is a comparison or a slice, which may read all of the template's variables.
    """
    meter = _METER.get()
    cost = steps + scans * (1 + meter.size // 256)
    if not isinstance(items, Iterable):
        raise TypeError(f"a {type(items).__name__} cannot be looped over")
    for item in items:
        meter.spend(cost)
        yield item


def _metered(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter or test whose arguments and result are counted as work."""

    @wraps(function)
    def filtered(*arguments: Any, **options: Any) -> Any:
        _charge_for(*arguments, *options.values())
        return _charged(function(*arguments, **options))

    return filtered


def _integer_test(divides: int) -> Callable[[Any], bool]:
    def test(value: Any) -> bool:
        # For a text, % would format it.
        if not isinstance(value, int):
            raise TypeError("expected a whole number")
        return value % 2 == divides

    return test


def _bounded_range(*arguments: Any) -> Any:
    numbers = range(*arguments)
    _METER.get().spend(len(numbers))
    return list(numbers)


class _Metered(NodeTransformer):
    """Adds counting to every loop and to every concatenation of a template."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802
        steps = scans = 0
        for inner in node.body:
            steps += (
                sum(1 + len(getattr(part, "data", "")) for part in inner.find_all(nodes.Node)) + 1
            )
            # These two read a text without calling anything that counts it.
            scans += sum(1 for _ in inner.find_all((nodes.Compare, nodes.Slice)))
        self.generic_visit(node)
        cost = nodes.Const(1 + steps), nodes.Const(scans)
        node.iter = self._filter(cast(nodes.Expr, node.iter), "_counted", *cost)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802
        self.generic_visit(node)
        return self._filter(nodes.Tuple(node.nodes, "load", lineno=node.lineno), "_concatenated")

    def _filter(self, value: nodes.Expr, name: str, *arguments: nodes.Expr) -> nodes.Filter:
        return nodes.Filter(value, name, list(arguments), [], None, None, lineno=value.lineno)


class _Environment(ImmutableSandboxedEnvironment):
    """A Jinja environment with only what recipes need."""

    intercepted_binops = frozenset("+ - * / // %".split())
    intercepted_unops = frozenset("+ -".split())

    def __init__(self) -> None:
        # The optimizer would evaluate constant parts when the template is compiled, uncounted.
        super().__init__(undefined=jinja2.StrictUndefined, finalize=_finalize, optimized=False)
        self.globals.clear()
        self.globals["range"] = _bounded_range
        self.filters = {
            name: _metered(cast(Callable[..., Any], JINJA_FILTERS[name])) for name in FILTERS
        }
        self.filters["replace"] = _replace
        self.filters["join"] = jinja2.pass_environment(_join)
        self.filters["string"] = _written
        self.filters["_counted"] = _counted
        self.filters["_concatenated"] = _concatenated
        self.tests = {name: _metered(cast(Callable[..., Any], JINJA_TESTS[name])) for name in TESTS}
        self.tests["even"], self.tests["odd"] = _integer_test(0), _integer_test(1)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        check_template(tree)
        return _Metered().visit(tree)  # type: ignore[no-any-return]

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A value of a mapping, or an allowed method or loop property."""
        if isinstance(obj, Undefined):
            str(obj)
        kind = next((kind for kind in METHODS if isinstance(obj, kind)), None)
        if kind is not None and attribute in METHODS[kind]:
            return getattr(obj, attribute)
        if isinstance(obj, LoopContext) and attribute in LOOP_PROPERTIES:
            return getattr(obj, attribute)
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """An element of a list, a text or a mapping."""
        if isinstance(obj, Undefined):
            str(obj)
        try:
            if isinstance(obj, dict | list | tuple | str):
                return obj[argument]
        except (TypeError, LookupError):
            pass
        return self.undefined(obj=obj, name=argument)

    def is_safe_callable(self, obj: Any) -> bool:
        """Whether it is ``range``, or an allowed method of an allowed type."""
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        return obj is _bounded_range or any(
            isinstance(owner, kind) and name in methods for kind, methods in METHODS.items()
        )

    def call(__self, __context: Any, __obj: Any, *arguments: Any, **options: Any) -> Any:  # noqa: N805
        """Call a function if that is allowed, and count its work."""
        if not __self.is_safe_callable(__obj):
            raise SecurityError("only methods of texts and mappings, range and loop can be called")
        # Jinja's compiler may add these; none of the allowed functions takes them.
        options.pop("_loop_vars", None)
        options.pop("_block_vars", None)
        owner, name = getattr(__obj, "__self__", None), getattr(__obj, "__name__", "")
        _charge_for(owner, *arguments, *options.values())
        if isinstance(owner, str) and name == "replace":
            return _replace(owner, *arguments, **options)
        if isinstance(owner, str) and name == "join":
            (items,) = arguments
            return _joined(list(_counted(items, 1)), owner)
        return _charged(__obj(*arguments, **options))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Add numbers, texts or lists; the other operators take only numbers."""
        numbers = all(isinstance(side, int | float) for side in (left, right))
        same_kind = any(isinstance(left, kind) and isinstance(right, kind) for kind in (str, list))
        if isinstance(left, Undefined) or isinstance(right, Undefined):
            str(left), str(right)
        if not numbers and not (operator == "+" and same_kind):
            raise TypeError(f"{operator} of a {type(left).__name__} and a {type(right).__name__}")
        _charge_for(left, right)
        return _charged(_bounded(super().call_binop(context, operator, left, right)))

    def call_unop(self, context: Any, operator: str, argument: Any) -> Any:
        """Apply a sign to a number."""
        return _bounded(super().call_unop(context, operator, argument))


def _bounded(value: Any) -> Any:
    if isinstance(value, int | float) and not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        raise SecurityError("a number is too large")
    return value


@jinja2.pass_context
def _finalize(_: Any, value: Any) -> Any:
    # With pass_context, Jinja does not call it for constants when the template is compiled.
    return _written(value)


_ENVIRONMENT: Final = _Environment()


@lru_cache(maxsize=64)
def _compiled(source: str) -> jinja2.Template:
    return _ENVIRONMENT.from_string(source)


def fill_template(source: str, **variables: Any) -> str:
    """Fill in a Jinja template.

    Args:
        source: The template, at most 200,000 characters. It may use :data:`FILTERS`,
            :data:`TESTS`, :data:`METHODS`, loops, conditions and ``set``.
        **variables: Plain data: texts, numbers, lists, mappings.

    Raises:
        RecipeError: The template is not valid, uses what is not allowed, fails on these variables,
            or takes more than two million steps plus 64 for each character of its variables.

    >>> fill_template("{{ labels | join(', ') }}: {{ text }}", labels=["PS", "LC"], text="손흥민은")
    'PS, LC: 손흥민은'
    """
    if len(source) > _LONGEST_SOURCE:
        raise RecipeError(f"the template has more than {_LONGEST_SOURCE:,} characters")
    try:
        meter = _Meter(variables)
    except SecurityError as error:
        raise RecipeError(f"the template's variables are not allowed: {error.message}") from None
    token = _METER.set(meter)
    try:
        return "".join(_compiled(source).generate(**variables))
    except jinja2.TemplateSyntaxError as error:
        raise RecipeError(f"line {error.lineno} of the template: {error.message}") from None
    except jinja2.TemplateError as error:
        raise RecipeError(str(error.message)) from None
    except RecursionError:
        raise RecipeError("the template is nested too deeply") from None
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        SyntaxError,
        TypeError,
        ValueError,
    ) as error:
        # Whatever the template computes is the recipe's fault, not a bug here.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise RecipeError(f"the template fails ({reason})") from None
    finally:
        _METER.reset(token)
