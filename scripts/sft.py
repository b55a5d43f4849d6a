r"""Fine-tune a model to answer with entities.

    python scripts/sft.py --config scripts/configs/exaone-3.5-7.8b-24gb.yaml
    accelerate launch --num_processes 2 scripts/sft.py --config \
        scripts/configs/exaone-3.5-7.8b-24gb.yaml

The same as ``llmner train``, for people who work from a checkout. ``--help`` lists every field.
"""

import sys

from llmner.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["train"]
    main()
