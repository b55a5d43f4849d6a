"""The command that installs a further part of this copy, from where the copy came."""

from __future__ import annotations

__all__ = ["install_command"]


def install_command(extra: str) -> str:
    """The command that installs an extra.

    A copy from a folder, a wheel or a checkout gets it from there: a registry may have another
    version, or none.

    >>> install_command("vllm")  # doctest: +ELLIPSIS
    'pip install ...[vllm]"'
    """
    import json
    import shlex
    from importlib import metadata
    from urllib.parse import unquote, urlsplit

    try:
        origin = json.loads(metadata.distribution("llmner").read_text("direct_url.json") or "{}")
        url = str(origin["url"])
        editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
    except (metadata.PackageNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        url = editable = ""
    if not url.startswith("file://"):
        return f'pip install "llmner[{extra}]"'
    path = unquote(urlsplit(url).path)
    named = f"{path}[{extra}]"
    # In double quotes, a shell reads some characters otherwise.
    quoted = shlex.quote(named) if set(path) & set('"$`\\!') else f'"{named}"'
    return f"pip install {editable}{quoted}"
