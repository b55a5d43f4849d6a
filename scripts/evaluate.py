"""Score predictions, recorded replies or a model against a labelled corpus.

    python scripts/evaluate.py --gold data/sample.tsv --engine transformers --limit 8
    python scripts/evaluate.py --gold data/sample.tsv --predicted build/demo.jsonl --json

The same as ``llmner evaluate``, for people who work from a checkout.
"""

import sys

from llmner.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["evaluate"]
    main()
