"""Turn a corpus into training rows or another format.

    python scripts/convert.py data/sample.tsv train.jsonl --to chat --prompt-completion
    python scripts/convert.py data/sample.tsv sample.conll --to conll

The same as ``llmner convert``, for people who work from a checkout.
"""

import sys

from llmner.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["convert"]
    main()
