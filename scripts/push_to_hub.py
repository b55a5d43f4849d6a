"""Upload a trained adapter to the Hugging Face Hub, with its recipe and a model card.

    python scripts/push_to_hub.py build/adapter --repo USER/NAME --dry-run
    python scripts/push_to_hub.py build/adapter --repo USER/NAME --private

The same as ``llmner push``, for people who work from a checkout.
"""

import sys

from llmner.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["push"]
    main()
