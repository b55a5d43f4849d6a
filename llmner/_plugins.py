"""What other packages bring through entry points: its names, and each when it is wanted."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from llmner._mishaps import Mishap, attempt
from llmner.errors import InputError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["load_plugin", "plugins"]


def plugins(group: str, ours: Collection[str]) -> dict[str, EntryPoint]:
    """The entry points of a group, sorted by name; those that are called as ours are left out.

    Looks at the metadata of what is installed, which takes milliseconds; nothing is imported.
    """
    from importlib.metadata import entry_points

    points = {point.name: point for point in entry_points(group=group) if point.name not in ours}
    return {name: points[name] for name in sorted(points)}


def load_plugin(point: EntryPoint) -> Any:
    """What an entry point names.

    Raises:
        InputError: It cannot be imported.
    """
    loaded = attempt(point.load)
    if isinstance(loaded, Mishap):
        package = "a package" if point.dist is None else point.dist.name
        raise InputError(
            f"{point.name!r} of {package} ({point.group}) cannot be loaded: {loaded}",
            hint="install what it needs, or uninstall it",
        )
    return loaded
