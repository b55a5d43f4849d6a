"""Entry points of other packages: listing them, and loading one."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from llmner._mishaps import Mishap, attempt
from llmner.errors import InputError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["load_plugin", "plugins"]


def plugins(group: str, ours: Collection[str]) -> dict[str, EntryPoint]:
    """The entry points of a group by name, sorted, without those whose names are taken.

    This reads the metadata of installed packages, which takes milliseconds; it imports nothing.

    Args:
        group: The group, for example ``"llmner.engines"``.
        ours: Names that llmner itself uses.

    >>> plugins("llmner.no-such-group", ())
    {}
    """
    from importlib.metadata import entry_points

    points = {point.name: point for point in entry_points(group=group) if point.name not in ours}
    return {name: points[name] for name in sorted(points)}


def load_plugin(point: EntryPoint) -> Any:
    """Import what an entry point names.

    Raises:
        InputError: It cannot be imported.

    >>> from importlib.metadata import EntryPoint
    >>> load_plugin(EntryPoint("root", "math:sqrt", "llmner.example"))(9)
    3.0
    """
    loaded = attempt(point.load)
    if isinstance(loaded, Mishap):
        package = "a package" if point.dist is None else point.dist.name
        raise InputError(
            f"{point.name!r} of {package} ({point.group}) cannot be loaded: {loaded}",
            hint="install what it needs, or uninstall it",
        )
    return loaded
