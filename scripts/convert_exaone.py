"""Convert an EXAONE 3.0 or 3.5 checkpoint to Llama's layout, so that it loads without remote code.

    python scripts/convert_exaone.py EXAONE-3.5-7.8B-Instruct EXAONE-3.5-7.8B-Instruct-llama

Both are folders. It needs memory for one shard, and as much disk space as the checkpoint takes.
EXAONE 4 loads as it is.
"""

from pathlib import Path
from typing import Annotated

import typer

from llmner.cli._common import guarded, note
from llmner.engines.exaone import convert_exaone


@guarded
def main(
    source: Annotated[Path, typer.Argument(help="Folder of the checkpoint.")],
    target: Annotated[Path, typer.Argument(help="Folder to write; its name begins with EXAONE.")],
) -> None:
    """Convert an EXAONE 3.0 or 3.5 checkpoint to Llama's layout."""
    count = convert_exaone(source, target, report=note)
    note(f"wrote {count} tensors to {target}")


if __name__ == "__main__":
    typer.run(main)
