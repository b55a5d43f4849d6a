"""Reading YAML from untrusted sources: plain data, no duplicate keys, no exploding aliases.

:func:`line_of` finds the line of a value, so that recipes and configurations can name it in errors.
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
    """Parse a YAML document; give its value, and its node tree for :func:`line_of`.

    Only YAML's safe tags are allowed. An alias counts as a copy of the value it names: ten aliases
    of ten aliases of ten values count as a thousand. O(characters).

    Args:
        source: The document; at most a million characters.

    Raises:
        InputError: The document is not YAML, has a duplicate key, has more than 200,000 values, or
            has a value that contains itself. The error names the line if there is one.

    >>> value, node = parse_yaml("labels: [PS, LC]")
    >>> value, line_of(node, ["labels", 1])
    ({'labels': ['PS', 'LC']}, 1)
    """
    if len(source) > _LONGEST:
        raise InputError(f"too long: YAML may have at most {_LONGEST:,} characters")
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
    """The value of a YAML document; see :func:`parse_yaml`.

    >>> load_yaml("labels: [PS, LC]")
    {'labels': ['PS', 'LC']}
    """
    return parse_yaml(source)[0]


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _check(root: yaml.Node) -> None:
    """Check every node of a document, each once, however many aliases name it.

    Raises:
        InputError: A mapping has a key twice, a value contains itself, or aliases stand for too
            many values.
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
                raise InputError(
                    "a value contains an alias of itself", line=node.start_mark.line + 1
                )
            open_nodes.add(key)
            _refuse_duplicates(node)
            stack.append((node, True))
            for child in _children(node):
                if id(child) in open_nodes:
                    raise InputError(
                        "a value contains an alias of itself", line=child.start_mark.line + 1
                    )
                stack.append((child, False))


def _refuse_duplicates(node: yaml.Node) -> None:
    """Refuse duplicate keys: PyYAML would silently use the last one."""
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise InputError(
                "a key must be a string, not a list or a mapping", line=key.start_mark.line + 1
            )
        if key.value in seen:
            raise InputError(f"duplicate key {key.value!r}", line=key.start_mark.line + 1)
        seen.add(key.value)


def line_of(node: yaml.Node | None, location: Sequence[Any]) -> int | None:
    """The line of a value, counted from 1; ``None`` if not even the first part is there.

    Args:
        node: The document's node tree, from :func:`parse_yaml`.
        location: Keys and indices that lead to the value. Where the document ends earlier, the line
            of the last part that it has is given.

    >>> line_of(parse_yaml("a: 1\\nb: 2")[1], ["b"])
    2
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
