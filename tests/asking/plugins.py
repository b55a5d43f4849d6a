"""A second package, as somebody else would install it: an engine and what makes it known."""

from __future__ import annotations

from pathlib import Path

__all__ = ["installed"]

_ENGINE = '''
from llmner.engines import Capabilities, Engine, Reply


class Shouting(Engine):
    """Names every word in capitals; ``wish`` is its own option."""

    capabilities = Capabilities(samples=True, batch_size=2)

    def __init__(self, *, max_new_tokens=256, device="auto", wish="PS"):
        self.wish, self.device = wish, device

    def generate(self, prompts):
        words = [[word for word in prompt.text.split() if word.isupper()] for prompt in prompts]
        return [Reply("{" + f'"{self.wish}": ' + str(found).replace("'", '"') + "}") for found in words]

    def describe(self):
        return {"engine": "shouting", "device": self.device}
'''


def installed(
    folder: Path, points: dict[str, dict[str, str]], modules: dict[str, str] | None = None
) -> Path:
    """Lay a package and its metadata into a folder that is to be on the path.

    Args:
        folder: Where to.
        points: Entry points by group and name.
        modules: Sources by the module's name; by default ``shouting``, which has an engine.
    """
    for name, source in (modules or {"shouting": _ENGINE}).items():
        (folder / f"{name}.py").write_text(source, "utf-8")
    metadata = folder / "toy-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n", "utf-8")
    groups = (
        "\n".join([f"[{group}]", *(f"{name} = {place}" for name, place in named.items())])
        for group, named in points.items()
    )
    (metadata / "entry_points.txt").write_text("\n\n".join(groups) + "\n", "utf-8")
    return folder
