"""Whether the engine answers: asked at the start, and again whenever something went wrong."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from typing import Literal

import anyio

from llmner.errors import GenerationError

__all__ = ["EngineMonitor"]

log = logging.getLogger("llmner.serving")

# Seconds between two questions to an engine that does not answer.
_PROBE_SECONDS = 2.0


class EngineMonitor:
    """Keeps track of whether the engine answers.

    Args:
        state: ``"ready"`` where there is no engine, else ``"loading"``.
        masked: Hides keys in a message that goes to the log.

    Attributes:
        state: ``"loading"`` until the engine has answered once, then ``"ready"`` or ``"failing"``.
        trouble: The last error that the engine gave to the monitor's own question; empty while it
            answers.
    """

    def __init__(
        self, state: Literal["loading", "ready", "failing"], masked: Callable[[str], str]
    ) -> None:
        self.state = state
        self.trouble = ""
        self._masked = masked
        self._suspected = False
        self._on_ready: Callable[[], None] | None = None

    def when_ready(self, call: Callable[[], None]) -> None:
        """Call a function once: now if the engine has answered, else when it answers first."""
        if self.state == "ready":
            call()
        else:
            self._on_ready = call

    async def watch(
        self,
        ask: Callable[[], Awaitable[None]],
        *,
        loads: bool,
        on_fatal: Callable[[Exception], None] | None,
    ) -> None:
        """Ask the engine until it answers, and again when it fails. Never returns.

        Args:
            ask: Asks the engine a question of the server's own; raises what the engine raises.
            loads: The engine is a model in this process. If it cannot be loaded now, it cannot be
                loaded later either.
            on_fatal: Called with the error in that case.
        """
        while True:
            if self.state != "ready" or self._suspected:
                self._suspected = False
                await self._probe(ask, loads, on_fatal)
            await anyio.sleep(_PROBE_SECONDS if self.state != "ready" else _PROBE_SECONDS / 10)

    async def _probe(
        self,
        ask: Callable[[], Awaitable[None]],
        loads: bool,
        on_fatal: Callable[[Exception], None] | None,
    ) -> None:
        try:
            await ask()
        except CancelledError:
            return
        except Exception as error:
            temporary = isinstance(error, GenerationError) and error.retryable
            if loads and not temporary and self.state == "loading" and on_fatal is not None:
                on_fatal(error)
            # An endpoint may start late, or never. Clients get the error of their own request, so
            # the state need not stay "loading".
            if self.state != "loading" or not loads:
                self.state = "failing"
            # The message quotes no client's text: the question was the monitor's own.
            trouble = self._masked(str(error))
            if trouble != self.trouble:
                self.trouble = trouble
                log.warning("the engine does not answer: %s", trouble)
        else:
            if self.state == "failing":
                log.warning("the engine answers again")
            self.state, self.trouble = "ready", ""
            if self._on_ready is not None:
                call, self._on_ready = self._on_ready, None
                call()

    def report(self, error: Exception) -> None:
        """Note that the engine raised an error for some request. Any thread may call this."""
        if isinstance(error, CancelledError):
            return
        if isinstance(error, GenerationError) and not error.retryable:
            # The question may be to blame, and one client's question must not make the server look
            # unready. So ask the engine before changing the state.
            self._suspected = True
        elif self.state == "ready":
            self.state = "failing"
            # The message may quote a text, so only the error's type is logged.
            log.warning("the engine failed: %s", type(error).__name__)
