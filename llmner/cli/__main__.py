"""``python -m llmner.cli``."""

from llmner.cli import main

main()
