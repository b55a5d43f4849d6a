"""``python -m tests.serving.many_clients ADDRESS CLIENTS REQUESTS``: how many answers each of many
clients had.

Half of them come when the others keep the server busy; each asks again when it has its answer.
Counted is from then on, until there are so many answers together.
"""

from __future__ import annotations

import asyncio
import json
import sys

from tests.serving.fakes import request


class _Client(asyncio.Protocol):
    """Asks, as little as it takes."""

    def __init__(self, left: list[int], over: asyncio.Event) -> None:
        self.answers = 0
        self._left = left
        self._over = over
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        assert isinstance(self._transport, asyncio.Transport)
        self._transport.write(request("/v1/project", {"text": "서울", "reply": "LC: 서울"}))

    def data_received(self, data: bytes) -> None:
        self._received += data
        # The answer's last field.
        if not self._received.endswith('<서울:LC>"}'.encode()):
            return
        self._received = b""
        self.answers += 1
        self._left[0] -= 1
        if self._left[0] > 0:
            self._ask()
        else:
            self._over.set()


async def main(address: str, clients: int, requests: int) -> list[int]:
    host, _, port = address.removeprefix("http://").partition(":")
    left, over = [1 << 30], asyncio.Event()
    loop = asyncio.get_running_loop()

    async def connected() -> list[_Client]:
        coming = (
            loop.create_connection(lambda: _Client(left, over), host, int(port))
            for _ in range(clients // 2)
        )
        return [protocol for _, protocol in await asyncio.gather(*coming)]

    first = await connected()
    await asyncio.sleep(0.5)
    before = [client.answers for client in first]
    left[0] = requests
    second = await connected()
    await over.wait()
    return [client.answers - n for client, n in zip(first, before, strict=True)] + [
        c.answers for c in second
    ]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
