"""Modules that are found by being there, and entry points of other packages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from llmner._mishaps import Mishap, attempt
from llmner.errors import InputError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["load_plugin", "own_modules", "plugins"]


def own_modules(folders: Iterable[str], order: Sequence[str], suffix: str = "") -> list[str]:
    """Names of the modules of a package that bring one thing each; nothing is imported.

    Args:
        folders: The package's ``__path__``.
        order: The names that come first. Others come after, by name.
        suffix: What the modules' names end in. It is left out of the names.

    Returns:
        The names, without modules that begin with an underscore.

    >>> import llmner.engines
    >>> own_modules(llmner.engines.__path__, ("vllm", "openai"), "_engine")
    ['vllm', 'openai', 'recorded', 'transformers']
    """
    from pkgutil import iter_modules

    modules = [module.name for module in iter_modules(folders)]
    names = [
        name.removesuffix(suffix)
        for name in modules
        if name.endswith(suffix) and not name.startswith("_")
    ]
    ranks = {name: rank for rank, name in enumerate(order)}
    return sorted(names, key=lambda name: (ranks.get(name, len(ranks)), name))


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
