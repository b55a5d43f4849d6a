"""``/docs``: the routes with what they take and give, made from the OpenAPI description."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

__all__ = ["docs_page"]


def docs_page(openapi: Mapping[str, Any], address: str) -> bytes:
    """A page that describes an API, as UTF-8. It loads nothing from elsewhere and has no script.

    Args:
        openapi: The API's OpenAPI description.
        address: The server's address, for the examples.

    >>> route = {"get": {"summary": "What x is"}}
    >>> page = docs_page({"paths": {"/x": route}}, "http://localhost").decode()
    >>> "What x is" in page, "curl http://localhost/x" in page
    (True, True)
    """
    return _template().render(routes=list(_routes(openapi)), address=address).encode()


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("llmner.serving"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("docs.html.jinja")


def _routes(openapi: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    schemas = openapi.get("components", {}).get("schemas", {})
    for path, methods in openapi["paths"].items():
        for method, route in methods.items():
            request = _json_schema(route.get("requestBody", {}))
            answer = _resolved(_json_schema(route.get("responses", {}).get("200", {})), schemas)
            yield {
                "path": path,
                "method": method.upper(),
                "summary": route.get("summary", ""),
                "description": route.get("description", ""),
                "fields": list(_fields(request)),
                "calls": [_call(path, example) for example in request.get("examples", [])]
                or [f"curl {{address}}{path}"],
                "answers": [
                    json.dumps(example, ensure_ascii=False, indent=1)
                    for example in answer.get("examples", [])[:1]
                ],
                "errors": [
                    (status, told["description"])
                    for status, told in route.get("responses", {}).items()
                    if status >= "4" and "description" in told
                ],
            }


def _json_schema(part: Mapping[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = part.get("content", {}).get("application/json", {}).get("schema", {})
    return schema


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    resolved: Mapping[str, Any] = schemas.get(name, schema)
    return resolved


def _fields(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Each field of a request: its name, its type, and what it is for."""
    required = schema.get("required", [])
    properties = schema.get("properties", {})
    for name in sorted(properties, key=lambda name: name not in required):
        field = properties[name]
        kind = _kind(field)
        if name not in required:
            kind += ", optional"
        yield name, kind, field.get("description", "")


def _kind(field: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        kinds = [_kind(part) for part in field["anyOf"] if part.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    kind = str(field.get("type", "any"))
    return f"list of {_kind(field['items'])}s" if kind == "array" and "items" in field else kind


def _call(path: str, example: Any) -> str:
    body = shlex.quote(json.dumps(example, ensure_ascii=False))
    return f"curl {{address}}{path} -H 'content-type: application/json' -d {body}"
