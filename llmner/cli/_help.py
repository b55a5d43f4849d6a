"""How help is laid out, and older names of options, which are taken but not shown.

Groups are plain sections. The panels of rich cut the names of long options at 80 columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

__all__ = ["CommandGroup", "GroupedCommand", "current_name"]

# Sections that come first; the others follow in their order.
_FIRST = ("Arguments", "Options")
# Longer than any help text.
_WHOLE = 1000
_OLDER = {"input-format": "from", "format": "from"}


def current_name(option: str) -> str:
    """The name of an option today, without its dashes.

    >>> current_name("input-format"), current_name("recipe")
    ('from', 'recipe')
    """
    return _OLDER.get(option, option)


class GroupedCommand(TyperCommand):
    """A command whose help lists its options in groups; options without a group come first."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Parse the command line; where there is a newer name, older ones are taken, too."""
        if any("--from" in parameter.opts for parameter in self.params):
            extra["token_normalize_func"] = current_name
        return super().make_context(info_name, args, parent, **extra)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the groups of options to the help text."""
        rows = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_argument = parameter.param_type_name == "argument"
                panel = getattr(parameter, "rich_help_panel", None) or "Options"
                rows.append(("Arguments" if is_argument else panel, record))
        _write(formatter, rows)


class CommandGroup(TyperGroup):
    """A command whose help lists its subcommands in groups, each with its whole first sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the groups of subcommands to the help text."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                panel = getattr(command, "rich_help_panel", None) or "Commands"
                rows.append((panel, (name, command.get_short_help_str(_WHOLE))))
        _write(formatter, rows)


def _write(formatter: Any, rows: Iterable[tuple[str, tuple[str, str]]]) -> None:
    groups: dict[str, list[tuple[str, str]]] = {}
    for title, row in rows:
        groups.setdefault(title, []).append(row)
    for title in sorted(groups, key=lambda title: title not in _FIRST):
        with formatter.section(title):
            formatter.write_dl(groups[title])
