"""Command-line options made from the options of ``llmner.asking``: fields, types, docstrings."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import typer
from annotated_types import Ge, Le

from llmner.asking.options import GROUPS, OPTIONS, AskOptions, option_help, read_fields
from llmner.cli._ending import dashed

__all__ = ["given_options", "with_ask_options"]

_F = TypeVar("_F", bound=Callable[..., Any])
# Of options that are dictionaries.
_METAVARS = {"request_fields": "NAME=VALUE", "labels": "LABELS"}


def with_ask_options(
    *,
    names: Collection[str] = OPTIONS,
    defaults: Mapping[str, Any] | None = None,
    help: Mapping[str, str] | None = None,
) -> Callable[[_F], _F]:
    """Add options of asking to a command that has a parameter ``options``.

    On the command line they replace that parameter. The command receives their values in it.

    Args:
        names: The options to add.
        defaults: Defaults that differ for this command, by name.
        help: Help texts that differ for this command, by name.
    """

    def decorate(command: _F) -> _F:
        signature = inspect.signature(command, eval_str=True)
        ask_parameters = _parameters(names, defaults or {}, help or {})

        @functools.wraps(command)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            values = {parameter.name: kwargs.pop(parameter.name) for parameter in ask_parameters}
            pairs = values.get("request_fields")
            if pairs is not None:
                values["request_fields"] = read_fields(pairs, dashed)
            # Options have a default engine of their own, and an address names one.
            context = kwargs.get("context")
            if context is not None and not given_options(context, ["engine"]):
                values.pop("engine", None)
            return command(*args, options=AskOptions.of(spell=dashed, **values), **kwargs)

        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            parameters += ask_parameters if parameter.name == "options" else [parameter]
        wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapper  # type: ignore[return-value]

    return decorate


def _parameters(
    names: Collection[str], defaults: Mapping[str, Any], help: Mapping[str, str]
) -> list[inspect.Parameter]:
    parameters = []
    for group in GROUPS.values():
        texts = {**option_help(group), **help}
        hints = get_type_hints(group, include_extras=True)
        panel = (inspect.getdoc(group) or "").partition("\n")[0].rstrip(".")
        for field in fields(group):
            if field.name not in names:
                continue
            default = defaults.get(field.name, field.default)
            bare = _bare(hints[field.name], default)
            option = typer.Option(
                _spelling(field.name, bare),
                help=texts[field.name],
                metavar=_METAVARS.get(field.name),
                rich_help_panel=panel,
                show_default=default is not None,
                **_bounds(hints[field.name]),
            )
            annotated: Any = Annotated
            annotation = annotated[bare, option]
            parameters.append(
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.POSITIONAL_OR_KEYWORD,
                    default=default,
                    annotation=annotation,
                )
            )
    return parameters


def _spelling(name: str, kind: Any) -> str:
    """How an option is written. Only a switch with a third state, unset, can be turned off."""
    written = dashed(name)
    if bool not in get_args(kind):
        # Otherwise typer would add --no-... to every switch.
        return written
    return f"{written}/{dashed(f'no_{name}')}"


def _bounds(hint: Any) -> dict[str, Any]:
    """The smallest and the largest value that a type's annotations allow, at any depth."""
    bounds: dict[str, Any] = {}
    for part in get_args(hint):
        if isinstance(part, Ge):
            bounds["min"] = part.ge
        elif isinstance(part, Le):
            bounds["max"] = part.le
        else:
            bounds |= _bounds(part)
    return bounds


def _bare(hint: Any, default: Any) -> Any:
    """A type without annotations, as typer takes it.

    A ``Literal`` becomes ``str``: ``AskOptions`` checks its values. A ``dict`` becomes a repeatable
    option of ``NAME=VALUE``.
    """
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0], default)
    if get_origin(hint) is Literal:
        return str
    if get_origin(hint) is dict:
        return list[str]
    parts = get_args(hint)
    if type(None) in parts:
        (inner,) = (part for part in parts if part is not type(None))
        bare: Any = _bare(inner, default)
        return bare | None
    return hint | None if default is None else hint


def given_options(context: typer.Context, names: Collection[str]) -> list[str]:
    """The names of those options that the user gave on the command line."""
    return [
        name
        for name in names
        if (source := context.get_parameter_source(name)) is not None
        and source.name == "COMMANDLINE"
    ]
