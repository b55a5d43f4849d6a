"""Draws which packages of llmner import which, as a Mermaid flow chart.

    python scripts/house.py            # prints it
    python scripts/house.py --write    # writes it into docs/architecture.md

The guide calls the packages rooms and the whole a house. An arrow goes from a package to one that
it imports. It is left out where the package also reaches the other one through a third. Modules
that every package uses (errors, spans, files, helpers) are drawn as one, called the ground.
"""

from __future__ import annotations

import re
import sys
from itertools import product
from pathlib import Path

import grimp

PAGE = Path(__file__).resolve().parent.parent / "docs" / "architecture.md"
GROUND = "errors, spans, tagging, schema, files, markup"
MOVED = {"generation", "windows", "confidence", "runs", "chat"}


def rooms() -> dict[str, set[str]]:
    """The packages, each with those that it imports."""
    graph = grimp.build_graph("llmner", exclude_type_checking_imports=True)
    packages = {
        module.split(".")[1]
        for module in graph.modules
        if module.count(".") == 1 and graph.find_children(module)
    }

    def room(module: str) -> str:
        name = module.split(".")[1] if "." in module else "llmner"
        return name if name in packages else GROUND

    house: dict[str, set[str]] = {name: set() for name in [*packages, GROUND]}
    for module in graph.modules:
        if module == "llmner" or room(module) in MOVED:
            continue
        for imported in graph.find_modules_directly_imported_by(module):
            if imported != "llmner" and room(imported) != room(module) and room(module) != GROUND:
                house[room(module)].add(room(imported))
    return house


def reduced(house: dict[str, set[str]]) -> dict[str, set[str]]:
    """The packages, each with those that it imports and does not reach through another one."""

    def below(name: str) -> set[str]:
        """Everything that a package imports, directly or not."""
        return house[name] | {far for near in house[name] for far in below(near)}

    return {
        name: {
            one for one in near if not any(one in below(other) for other in near if other != one)
        }
        for name, near in house.items()
    }


def drawn() -> str:
    """The Mermaid flow chart."""
    house = reduced(rooms())
    names = {name: re.sub(r"\W+", "_", name) for name in house}
    lines = ["flowchart TD"]
    lines += [f'  {names[name]}["{name}"]' for name in sorted(house)]
    arrows = sorted((a, b) for a, b in product(house, house) if b in house[a])
    lines += [f"  {names[above]} --> {names[below]}" for above, below in arrows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    picture = drawn()
    if "--write" in sys.argv[1:]:
        page = PAGE.read_text("utf-8")
        PAGE.write_text(
            re.sub(r"(?<=```mermaid\n).*?(?=```)", picture, page, flags=re.DOTALL), "utf-8"
        )
    else:
        print(picture, end="")
