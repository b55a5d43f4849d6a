"""The part of Jinja that recipes may use, and checking that a template keeps to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import jinja2
from jinja2 import nodes
from jinja2.runtime import LoopContext

__all__ = ["FILTERS", "LARGEST_NUMBER", "LOOP_PROPERTIES", "METHODS", "TESTS", "check_template"]

METHODS: Final[Mapping[type, frozenset[str]]] = {
    str: frozenset(
        "capitalize count endswith find isdigit islower isupper join lower lstrip removeprefix "
        "removesuffix replace rstrip split splitlines startswith strip title upper".split()
    ),
    dict: frozenset("get items keys values".split()),
    LoopContext: frozenset("changed cycle".split()),
}
"""Methods that a template may call, by the type of their object. It may also call ``range``."""

FILTERS: Final = frozenset(
    "abs capitalize count d default dictsort first int items join last length list lower map max "
    "min reject rejectattr replace reverse select selectattr sort string title tojson trim "
    "truncate unique upper wordcount".split()
)
"""Filters a template may use."""

TESTS: Final = frozenset(
    "boolean defined eq equalto even false float ge greaterthan gt in integer iterable le "
    "lessthan lower lt mapping ne none number odd sequence string true undefined upper "
    "== != > >= < <=".split()
)
"""Tests a template may use after ``is``, in ``select`` and in ``reject``."""

LOOP_PROPERTIES: Final = frozenset(
    "first index index0 last length nextitem previtem revindex revindex0".split()
)
"""Properties of ``loop`` that a template may read."""

_NODES: Final = (
    *(
        nodes.Template,
        nodes.Output,
        nodes.TemplateData,
        nodes.If,
        nodes.For,
        nodes.Assign,
        nodes.AssignBlock,
    ),
    *(
        nodes.With,
        nodes.Name,
        nodes.Const,
        nodes.List,
        nodes.Tuple,
        nodes.Dict,
        nodes.Pair,
        nodes.Keyword,
    ),
    *(
        nodes.CondExpr,
        nodes.Compare,
        nodes.Operand,
        nodes.And,
        nodes.Or,
        nodes.Not,
        nodes.Neg,
        nodes.Pos,
    ),
    *(
        nodes.Add,
        nodes.Sub,
        nodes.Mul,
        nodes.Div,
        nodes.FloorDiv,
        nodes.Mod,
        nodes.Concat,
        nodes.Slice,
    ),
    *(nodes.Getattr, nodes.Getitem, nodes.Filter, nodes.Test, nodes.Call),
)

_DEEPEST: Final = 40

LARGEST_NUMBER: Final = 2**53
"""The largest absolute value of a number in a template."""


def check_template(tree: nodes.Template) -> None:
    """Refuse a template that uses anything that is not allowed.

    Raises:
        TemplateAssertionError: It names the part and its line.
    """
    stack: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        problem = _problem(node, depth)
        if problem is not None:
            raise jinja2.TemplateAssertionError(problem, node.lineno or 1)
        stack += [(child, depth + 1) for child in node.iter_child_nodes()]


def _problem(node: nodes.Node, depth: int) -> str | None:
    """Why a node of a template is not allowed, or ``None`` if it is."""
    if depth > _DEEPEST:
        return "it is nested too deeply"
    if type(node) not in _NODES:
        return f"{type(node).__name__} is not allowed in a recipe's templates"
    if isinstance(node, nodes.Filter) and (node.node is None or node.name not in FILTERS):
        return f"No filter named {node.name!r}."
    if isinstance(node, nodes.Test) and node.name not in TESTS:
        return f"No test named {node.name!r}."
    if isinstance(node, nodes.Const) and isinstance(node.value, int | float):
        return None if abs(node.value) <= LARGEST_NUMBER else "a number is too large"
    if isinstance(node, nodes.For) and node.recursive:
        return "a loop cannot call itself"
    if isinstance(node, nodes.Filter | nodes.Test | nodes.Call) and (
        node.dyn_args or node.dyn_kwargs
    ):
        return "arguments cannot be unpacked with * or **"
    if (
        isinstance(node, nodes.List | nodes.Tuple | nodes.Dict)
        and getattr(node, "ctx", "load") == "load"
    ):
        # Lists of lists could grow exponentially without writing anything.
        parts = [part for part in node.iter_child_nodes() if not isinstance(part, nodes.Pair)]
        parts += [
            part
            for pair in node.iter_child_nodes()
            if isinstance(pair, nodes.Pair)
            for part in pair.iter_child_nodes()
        ]
        if not all(isinstance(part, nodes.Const) for part in parts):
            return "a list or a mapping in a template can contain only texts and numbers"
    if isinstance(node, nodes.Call):
        function = node.node
        if isinstance(function, nodes.Name):
            allowed = function.name == "range"
        else:
            allowed = isinstance(function, nodes.Getattr) and any(
                function.attr in m for m in METHODS.values()
            )
        if not allowed:
            return "only methods of texts and mappings, range and loop can be called"
    return None
