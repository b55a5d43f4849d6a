"""``python -m llmner``."""

from llmner.cli import main

main()
