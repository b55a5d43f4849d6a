"""YAML as people write it and strangers send it: plain data, no key twice, aliases that stay small.

It knows no recipe and no configuration; it tells where a value stands, so that those can name the
line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from llmner.errors import InputError

__all__ = ["line_of", "load_yaml", "parse_yaml"]

_LONGEST = 1_000_000
_MOST_NODES = 200_000


def parse_yaml(source: str) -> tuple[Any, yaml.Node | None]:
    """What a YAML document says, and its nodes, for :func:`line_of`.

    Only the safe tags of YAML are known. An alias stands for a copy of what it names, and all
    copies count: ten aliases of ten aliases of ten are a thousand values. O(characters).

    Args:
        source: The document; at most a million characters.

    Raises:
        InputError: No YAML, a key twice in one mapping, more than 200,000 values, or one that holds
            itself. It names the line where there is one.
    """
    if len(source) > _LONGEST:
        raise InputError(f"not YAML that anybody wrote: it has more than {_LONGEST:,} characters")
    try:
        loader = yaml.SafeLoader(source)
        node = loader.get_single_node()
        if node is None:
            return None, None
        _check(node)
        return loader.construct_document(node), node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = None if mark is None else mark.line + 1
        raise InputError(f"not YAML: {error.problem}", line=line) from None
    except RecursionError:
        raise InputError("not YAML: nested too deeply") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise InputError(
            f"not YAML: {(str(error) or type(error).__name__).splitlines()[0]}"
        ) from None


def load_yaml(source: str) -> Any:
    """What a YAML document says; see :func:`parse_yaml`.

    >>> load_yaml("labels: [PS, LC]")
    {'labels': ['PS', 'LC']}
    """
    return parse_yaml(source)[0]


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _check(root: yaml.Node) -> None:
    """Look at each node once, however many aliases name it.

    Raises:
        InputError: A key stands twice in a mapping, a value holds itself, or aliases stand for too
            much.
    """
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()
    stack: list[tuple[yaml.Node, bool]] = [(root, False)]
    while stack:
        node, children_done = stack.pop()
        key = id(node)
        if children_done:
            open_nodes.discard(key)
            sizes[key] = 1 + sum(sizes[id(child)] for child in _children(node))
            if sizes[key] > _MOST_NODES:
                line = node.start_mark.line + 1
                raise InputError(
                    f"its aliases stand for more than {_MOST_NODES:,} values", line=line
                )
        elif key not in sizes:
            if key in open_nodes:
                raise InputError("a value holds an alias of itself", line=node.start_mark.line + 1)
            open_nodes.add(key)
            _refuse_duplicates(node)
            stack.append((node, True))
            for child in _children(node):
                if id(child) in open_nodes:
                    raise InputError(
                        "a value holds an alias of itself", line=child.start_mark.line + 1
                    )
                stack.append((child, False))


def _refuse_duplicates(node: yaml.Node) -> None:
    """YAML lets the last of two equal keys win, silently."""
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise InputError(
                "a key is a list or a mapping; expected a word", line=key.start_mark.line + 1
            )
        if key.value in seen:
            raise InputError(f"key {key.value!r} stands twice", line=key.start_mark.line + 1)
        seen.add(key.value)


def line_of(node: yaml.Node | None, location: Sequence[Any]) -> int | None:
    """The line, from 1, of the deepest part of ``location`` (keys and indices) that the document
    has.
    """
    line = None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif (
            isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value)
        ):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
