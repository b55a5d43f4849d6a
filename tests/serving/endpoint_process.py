"""``python -m tests.serving.endpoint_process PORT``: an OpenAI-compatible endpoint that can be
killed.
"""

from __future__ import annotations

import sys
import time

from tests.engines.endpoint import Endpoint, serving
from tests.serving.fakes import named

if __name__ == "__main__":
    with serving(
        Endpoint(lambda question: named(question), faults=lambda *_: {"delay": 0.05}),
        port=int(sys.argv[1]),
    ):
        print("ready", flush=True)
        time.sleep(600)
