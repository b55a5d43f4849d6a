"""``python -m llmner``."""

from llmner.cli import main

# Processes that the server starts load this module too, and are not the command.
if __name__ == "__main__":
    main()
