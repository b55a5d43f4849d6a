"""Addresses for the package's page: those of the repository that builds it.

GitHub's workflows have its address in the environment. Elsewhere, a package has none, and the links
of its README stay as they are.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Addresses(MetadataHookInterface):
    """Fills ``[project.urls]``, and leads the README's links to the repository."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the addresses to the package's metadata."""
        readme = Path(self.root, "README.md").read_text("utf-8")
        server, name = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
        if server and name:
            home = f"{server}/{name}"
            metadata["urls"] = {
                "Repository": home,
                "Documentation": f"{home}/tree/HEAD/docs",
                "Changelog": f"{home}/blob/HEAD/CHANGELOG.md",
                "Issues": f"{home}/issues",
            }
            readme = absolute(readme, home)
        else:
            metadata["urls"] = {}
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}


def absolute(text: str, home: str) -> str:
    """A page whose links to files are addresses, since a package's page stands alone.

    >>> absolute("![a](docs/a.svg) [b](docs/b.md) [c](https://c)", "https://h/x")
    '![a](https://h/x/raw/HEAD/docs/a.svg) [b](https://h/x/blob/HEAD/docs/b.md) [c](https://c)'
    """

    def led(match: re.Match[str]) -> str:
        mark, words, link = match.groups()
        if re.match(r"[a-z]+:|#", link):
            return match[0]
        return f"{mark}[{words}]({home}/{'raw' if mark else 'blob'}/HEAD/{link})"

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", led, text)
