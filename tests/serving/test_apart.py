"""Work in processes of their own: what ends it, what it may take, and that the server goes on
meanwhile.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from itertools import pairwise
from typing import Any, cast

import anyio
import anyio.to_process
import psutil
import pytest

pytest.importorskip("fastapi", reason='needs pip install "llmner[serve]"')
httpx = pytest.importorskip("httpx")

from llmner.recipes import Recipe
from llmner.serving import _workers
from llmner.serving._bodies import is_short
from llmner.serving._refusals import RefusalError
from llmner.serving._schemas import InferRequest, ProjectRequest
from llmner.serving._workers import PackedSchemas, WorkerError, WorkerPool
from tests.serving.fakes import connection, eventually, in_a_loop, request, running, service

SCHEMAS = PackedSchemas.of({"klue": Recipe.load("klue").schema_}, "klue")
MIB = 1 << 20
SECRET = ["비밀"]


def done(work: Callable[..., Any], *arguments: Any, memory: int = 1024 * MIB) -> Any:
    async def apart() -> Any:
        return await WorkerPool(1, memory).run(work, *arguments)

    return in_a_loop(apart)


def fail(memory: int) -> None:
    def raises() -> None:
        raise ZeroDivisionError(*SECRET)

    _workers._guarded(raises, memory)


def die(memory: int) -> None:
    os._exit(1)


def fill(memory: int) -> int:
    return _workers._guarded(lambda: len(bytearray(1024 * MIB)), memory)


def number_of(memory: int) -> int:
    return os.getpid()


def test_work_is_done_elsewhere_and_its_process_is_used_again() -> None:
    async def twice() -> list[int]:
        processes = WorkerPool(1, 1024 * MIB)
        return [await processes.run(number_of) for _ in range(2)]

    first, second = in_a_loop(twice)
    assert first == second != os.getpid()


def test_a_projection_has_so_many_steps() -> None:
    body = json.dumps({"text": "서울", "reply": json.dumps({"LC": ["서울"] * 100})}).encode()
    made = done(_workers.project, body, SCHEMAS, 1_000_000, MIB)
    assert json.loads(made.body)["spans"] == [{"start": 0, "end": 2, "label": "LC"}]
    assert sum(made.outcomes.values()) == 100
    with pytest.raises(RefusalError) as refused:
        done(_workers.project, body, SCHEMAS, 10, MIB)
    assert (refused.value.status_code, refused.value.type) == (422, "too_much")


def test_work_has_so_much_memory() -> None:
    # The limit holds from the process's start on, so this module's imports come out of it too.
    assert done(fill, memory=3072 * MIB) == 1024 * MIB
    with pytest.raises(RefusalError) as refused:
        done(fill, memory=1000 * MIB)
    assert (refused.value.status_code, refused.value.type) == (422, "too_much")


def test_a_process_that_dies_costs_one_request() -> None:
    async def both() -> int:
        processes = WorkerPool(1, 1024 * MIB)
        with pytest.raises(RefusalError) as lost:
            await processes.run(die)
        assert (lost.value.status_code, lost.value.type) == (503, "worker_lost")
        return await processes.run(number_of)

    assert in_a_loop(both) > 0


class PanicException(BaseException):
    """As Rust's, which is no ``Exception`` and cannot be pickled."""

    def __reduce__(self) -> str:
        raise TypeError


def panic(memory: int) -> None:
    def raises() -> None:
        raise PanicException

    _workers._guarded(raises, memory)


@pytest.mark.parametrize("work", [panic, fill])
def test_a_process_that_ran_out_of_memory_is_not_used_again(work: Callable[..., Any]) -> None:
    async def thrice() -> tuple[int, int]:
        # The module of these tests is loaded there, too.
        processes = WorkerPool(1, 256 * MIB)
        first = await processes.run(number_of)
        with pytest.raises(RefusalError) as refused:
            await processes.run(work)
        assert (refused.value.status_code, refused.value.type) == (422, "too_much")
        return first, await processes.run(number_of)

    first, second = in_a_loop(thrice)
    assert first != second


@pytest.mark.parametrize("memory", [32, 48, 64])
def test_memory_that_ends_in_pydantic_ends_the_work(
    memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rust wants memory to tell where it panicked, and waits for ever where there is none.
    monkeypatch.setenv("RUST_BACKTRACE", "1")
    body = b'{"text": "", "reply": "", "more": [' + b"[]," * 700_000 + b"[]]}"

    async def checked() -> None:
        with anyio.fail_after(60):
            await WorkerPool(1, memory * MIB).run(_workers.parse, ProjectRequest, body)

    with pytest.raises(RefusalError) as refused:
        in_a_loop(checked)
    # Rust may end the whole process; "invalid" would be where the memory is enough.
    assert refused.value.type in ("too_much", "worker_lost", "invalid")


def test_a_signal_to_the_whole_group_leaves_work_to_the_server() -> None:
    async def signalled() -> tuple[int, int]:
        processes = WorkerPool(1, 1024 * MIB)
        first = await processes.run(number_of)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(first, number)
        await anyio.sleep(0.3)
        return first, await processes.run(number_of)

    first, second = in_a_loop(signalled)
    assert first == second


def test_a_process_that_does_not_start_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object, **__: object) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(_workers, "_START_SECONDS", 0.1)
    monkeypatch.setattr("anyio.to_process.run_sync", never)
    with pytest.raises(RefusalError) as refused:
        done(number_of)
    assert (refused.value.status_code, refused.value.type) == (503, "worker_lost")


def test_processes_are_started_where_nothing_gives_them_up(monkeypatch: pytest.MonkeyPatch) -> None:
    begin, run = anyio.to_process.open_process, anyio.to_process.run_sync
    starts_for: list[bool] = []
    warming: ContextVar[bool] = ContextVar("warming")

    async def begun(*arguments: Any, **named: Any) -> Any:
        starts_for.append(warming.get())
        return await begin(*arguments, **named)

    async def used() -> None:
        warming.set(True)
        await run(partial(number_of, 0), limiter=cast(Any, nullcontext()))

    async def one() -> None:
        async with anyio.create_task_group() as group:

            async def watched(work: Any, *arguments: Any, **named: Any) -> Any:
                warming.set(work.func is _workers._prepare_process)
                made = await run(work, *arguments, **named)
                if work.func is _workers._prepare_process:
                    # Somebody else is there for the same process, at the loop's next turn.
                    group.start_soon(used)
                return made

            monkeypatch.setattr("anyio.to_process.run_sync", watched)
            await WorkerPool(1, 1024 * MIB).run(number_of)

    monkeypatch.setattr("anyio.to_process.open_process", begun)
    in_a_loop(one)
    assert starts_for == [True, True]


def test_long_bodies_that_wait_to_be_read_are_counted() -> None:
    async def two() -> tuple[int, str]:
        served = service(queue=1, timeout=60)
        body = json.dumps({"text": "가" * 10_000}).encode()
        async with anyio.create_task_group() as group:
            group.start_soon(served.read_apart, InferRequest, body)
            await anyio.sleep(0)
            assert served._requests_inside() == 1
            with pytest.raises(RefusalError) as refused:
                await served.read_apart(InferRequest, body)
        return refused.value.status_code, refused.value.type

    assert in_a_loop(two) == (503, "busy")


def test_what_nobody_foresaw_comes_back_with_its_place_and_without_its_message() -> None:
    with pytest.raises(WorkerError) as failed:
        done(fail)
    assert failed.value.name == "ZeroDivisionError"
    assert "in raises" in failed.value.frames
    assert "비밀" not in str(failed.value)


def test_what_is_given_up_is_killed() -> None:
    async def given_up() -> tuple[int, int, list[int]]:
        processes = WorkerPool(1, 1024 * MIB)
        first = await processes.run(number_of)
        with anyio.move_on_after(0.5):
            # A thousand million seconds: nothing but a kill ends them.
            await processes.run(time.sleep)
        # Given up before it has begun: its process is there for the next one.
        with anyio.move_on_after(0):
            await processes.run(number_of)
        second = await processes.run(number_of)
        return first, second, [each.pid for each in psutil.Process().children() if is_worker(each)]

    first, second, left = in_a_loop(given_up)
    assert first != second
    assert first not in left


def test_a_long_body_is_checked_as_a_short_one_is() -> None:
    text = "서울" * 10_000
    asked = done(_workers.parse, InferRequest, json.dumps({"text": text}).encode())
    assert asked == InferRequest(text=text)
    with pytest.raises(RefusalError) as refused:
        done(_workers.parse, InferRequest, json.dumps({"text": text, "비밀": 1}).encode())
    assert refused.value.fields == (("비밀", "Extra inputs are not permitted"),)


LONG = {
    "no text": {"text": "", "reply": json.dumps({"PS": ["가"] * 300_000}, ensure_ascii=False)},
    "no reply": {"text": "가나 " * 400_000, "reply": ""},
    "fields": {"text": "가", "reply": "가", "more": [[] for _ in range(500_000)]},
}


@pytest.mark.parametrize("body", LONG.values(), ids=LONG)
def test_nothing_that_grows_with_a_request_is_done_in_the_loop(
    body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = service(timeout=60)
    run = served.running
    # What the loop's thread has worked, at every look.
    worked: list[float] = []

    async def look() -> None:
        while True:
            worked.append(time.thread_time())
            await anyio.sleep(0.001)

    @asynccontextmanager
    async def watched() -> AsyncIterator[None]:
        async with run(), anyio.create_task_group() as group:
            group.start_soon(look)
            yield
            group.cancel_scope.cancel()

    monkeypatch.setattr(served, "running", watched)
    content = json.dumps(body, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json"}
    with running(served) as address:
        # The process is there already.
        httpx.post(f"{address}/v1/project", json={"text": "가" * 5000, "reply": ""}, timeout=60)
        first, began = len(worked), time.perf_counter()
        answer = httpx.post(f"{address}/v1/project", content=content, headers=headers, timeout=60)
        whole = time.perf_counter() - began
    assert answer.status_code in (200, 422)
    # Looking takes time too, and what comes and goes has to be carried.
    assert max(b - a for a, b in pairwise(worked[first:])) < 0.2 * whole


@pytest.mark.parametrize(
    ("asked", "short"),
    [
        ({"text": "가" * 400, "reply": "나" * 200}, True),
        ({"text": "", "reply": "나" * 1000}, True),
        ({"text": "", "reply": "나" * 1001}, False),
        ({"text": "가" * 1001, "reply": ""}, False),
        ({"text": "가", "reply": "나", "labels": [f"L{n}" for n in range(50)]}, True),
        ({"text": "가", "reply": "나", "labels": [f"L{n}" for n in range(51)]}, False),
    ],
)
def test_short_is_what_is_little_work_whatever_it_says(asked: dict[str, Any], short: bool) -> None:
    assert is_short(ProjectRequest(**asked)) == short


def test_whoever_hangs_up_ends_the_process_that_worked_for_it() -> None:
    mention = "가나" * 15
    endless = {
        "text": "가나" * 2000,
        "reply": json.dumps({"PS": [f"{mention}{n}" for n in range(2000)]}),
    }
    with running(service(timeout=60)) as address:
        with connection(address) as client:
            client.sendall(request("/v1/project", endless))
            assert eventually(lambda: len(busy()) == 1, 30)
        assert eventually(lambda: not busy(), 30)


def is_worker(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and "anyio.to_process" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def busy() -> list[psutil.Process]:
    """Processes of this one that work, however little of a processor they get."""
    before = {each: worked(each) for each in psutil.Process().children() if is_worker(each)}
    time.sleep(0.3)
    return [each for each, seconds in before.items() if is_worker(each) and worked(each) > seconds]


def worked(process: psutil.Process) -> float:
    try:
        return float(process.cpu_times().user)
    except psutil.NoSuchProcess:
        return 0.0
