"""Copy a trained adapter of the embedded model into the package.

    python scripts/package_adapter.py build/gemma-3-270m-klue-ner

The folder's name becomes the adapter's name. The files are those that ``llmner push`` would
publish, without the tokenizer, which is the embedded model's own. Gemma's terms are added, since
every recipient must get a copy.
"""

import sys
from pathlib import Path

from llmner.hub.adapters import publishable
from llmner.hub.folder import read_folder

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "llmner" / "models"
TERMS = "GEMMA_TERMS.txt"


def main(folder: Path) -> None:
    """Copy the files, and print the size of each."""
    contents, skipped = publishable(read_folder(folder))
    contents[TERMS] = ROOT / "licenses" / "LicenseRef-Gemma.txt"
    target = MODELS / folder.resolve().name
    target.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if name.startswith("tokenizer"):
            continue
        data = content if isinstance(content, bytes) else content.read_bytes()
        (target / name).write_bytes(data)
        print(f"{len(data):>12,} {name}")
    for name, reason in skipped:
        print(f"not copied: {name} ({reason})")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
