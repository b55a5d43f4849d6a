"""A client of an OpenAI-compatible endpoint, and the event loop that it runs in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from llmner._mishaps import Mishap, attempt, one_line
from llmner._secrets import masked
from llmner.engines._sending import bounded
from llmner.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal
    from openai import AsyncOpenAI

__all__ = ["CONNECT_SECONDS", "check_protocol", "connected", "results", "shown_address"]

CONNECT_SECONDS = 5.0
"""Seconds until an address where nothing answers counts as unreachable."""


def shown_address(base_url: str, key: str) -> str:
    """An address as errors may show it: one line, without passwords and keys.

    >>> shown_address("http://user:secret@127.0.0.1:8000/v1", "none")
    'http://***@127.0.0.1:8000/v1'
    """
    return one_line(masked(base_url, (key,)))


def check_protocol(base_url: str, key: str) -> None:
    """Check that an address begins with ``http://`` or ``https://``.

    Raises:
        InputError: It does not; the message says what to write.

    >>> check_protocol("localhost:8000/v1", "none")
    Traceback (most recent call last):
    llmner.errors.InputError: localhost:8000/v1 is no address; write http://localhost:8000/v1
    """
    if base_url.lower().startswith(("http://", "https://")):
        return
    # Behind two slashes a password is hidden.
    address = shown_address(f"//{base_url.removeprefix('//')}", key).removeprefix("//")
    is_bare = "//" not in address and not address.lower().startswith("http")
    hint = f"write http://{address}" if is_bare else "expected http://HOST:PORT/v1"
    raise InputError(f"{address} is no address", hint=hint)


@contextmanager
def connected(
    base_url: str, key: str, timeout: float
) -> Iterator[tuple[BlockingPortal, AsyncOpenAI]]:
    """A client, and the event loop that it runs in.

    The loop has a thread of its own, since the caller may be inside a loop already, as in a
    notebook. What is still on its way at the end is cancelled.

    Args:
        base_url: The endpoint, ending in ``/v1``.
        key: Its key; any word for servers that need none.
        timeout: Seconds until a request counts as lost.

    Raises:
        InputError: The key or the address cannot be used.
        MissingExtraError: The ``openai`` extra is not installed.
    """
    try:
        from anyio import CancelScope
        from anyio.from_thread import start_blocking_portal
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout
    except ImportError:
        raise MissingExtraError("openai", "asking an endpoint") from None
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(
            "the key has characters that an HTTP header cannot carry", hint="check OPENAI_API_KEY"
        )
    # If nothing listens at the address, that shows after seconds.
    timeouts = Timeout(timeout, connect=min(timeout, CONNECT_SECONDS))

    async def limit_size(response: Any) -> None:
        bounded(response)

    with start_blocking_portal() as portal:
        client = attempt(
            AsyncOpenAI,
            base_url=base_url,
            api_key=key,
            timeout=timeouts,
            max_retries=0,
            # The encodings that ``bounded`` decodes.
            default_headers={"Accept-Encoding": "gzip, deflate"},
            http_client=DefaultAsyncHttpxClient(
                timeout=timeouts, event_hooks={"response": [limit_size]}
            ),
        )
        if isinstance(client, Mishap):
            raise InputError(
                f"{shown_address(base_url, key)} is not a valid address ({client.message})",
                hint="expected http://HOST:PORT/v1",
            )

        async def close() -> None:
            # Nobody waits for requests that are still on their way.
            await portal.stop(True)
            with CancelScope(shield=True):
                await client.close()

        try:
            yield portal, client
        finally:
            portal.call(close)


def results(
    portal: BlockingPortal, work: Callable[..., Awaitable[None]], *arguments: Any
) -> Iterator[Any]:
    """Yield what ``work(*arguments, put)`` puts, while it runs in a client's event loop.

    The work is cancelled if the iterator is closed.

    Raises:
        Exception: Whatever the work raises, after everything that it had put.
    """
    # None stands for the end.
    queue: SimpleQueue[Any] = SimpleQueue()
    task = portal.start_task_soon(partial(work, *arguments, queue.put))
    task.add_done_callback(lambda _: queue.put(None))
    try:
        while (result := queue.get()) is not None:
            yield result
        task.result()
    finally:
        task.cancel()
