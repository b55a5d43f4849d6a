"""The picture of the house in the guide is today's."""

from __future__ import annotations

import re
import sys

import pytest

from tests.conftest import ROOT

pytest.importorskip("grimp", reason="needs the lint group of pyproject.toml")
sys.path.insert(0, str(ROOT / "scripts"))

import house


def test_the_picture_in_the_guide_is_drawn_from_todays_imports() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    (picture,) = re.findall(r"```mermaid\n(.*?)```", page, re.DOTALL)
    assert picture == house.drawn(), "python scripts/house.py --write"


def test_no_room_stands_on_itself() -> None:
    rooms = house.rooms()

    def below(name: str, seen: frozenset[str] = frozenset()) -> set[str]:
        assert name not in seen, f"a circle through {name}"
        return rooms[name] | {far for near in rooms[name] for far in below(near, seen | {name})}

    for name in rooms:
        assert name not in below(name)


def test_the_guide_names_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    table = page.partition("## What belongs where")[2]
    for room in set(house.rooms()) - {house.GROUND}:
        assert f"`{room}/" in table, room
