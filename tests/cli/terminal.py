"""A terminal for a command: what stands on each of its rows, and an engine that answers on demand."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.asking.plugins import installed
from tests.conftest import ROOT

__all__ = ["Terminal", "run_in_terminal", "toy_engine"]

_ENGINE = '''
from llmner.engines import Capabilities, Engine, Reply


class Toy(Engine):
    """Loads, answers and says what the lines of a pipe tell it to."""

    capabilities = Capabilities(in_process=True, batch_size=64)

    def __init__(self, *, model=None, report=print):
        self.pipe, self.report = model, report
        self.lines = None

    def load(self):
        if self.lines is None:
            self.report("Loading toy")
            self.lines = open(self.pipe, encoding="utf-8")
            assert self.lines.readline() == "load\\n"

    def stream(self, prompts):
        self.load()
        left = len(prompts)
        while left:
            line = self.lines.readline().strip()
            if line.startswith("say "):
                self.report(line[4:])
            else:
                yield int(line), Reply("PS: Anna")
                left -= 1

    def generate(self, prompts):
        replies = dict(self.stream(prompts))
        return [replies[index] for index in range(len(prompts))]

    def describe(self):
        return {"engine": "toy"}
'''
_CONTROL = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|[\r\n]|[^\x1b\r\n]+|\x1b")
_HALF = re.compile(r"(?:\x1b(?:\[[0-9;?]*)?)?\Z")


class Terminal:
    """The screen of a pseudo-terminal that one command writes to.

    Attributes:
        process: The command.
        rows: What stands on each row now.
        seen: What stood on a row when the cursor left it, or when it was erased.
    """

    def __init__(self, process: subprocess.Popen[bytes], master: int, tell: Callable[[str], None]):
        self.process = process
        self.rows = [""]
        self.seen: list[str] = []
        self.tell = tell
        self._master = master
        self._row = self._column = 0
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def until(self, holds: Callable[[], bool]) -> None:
        """Take in what is written until something holds, or fail after a minute."""
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, self.rows
            if select.select([self._master], [], [], 0.2)[0]:
                assert self._take(), self.rows

    def shows(self, pattern: str) -> None:
        """Wait until a row is as the pattern says, from its first to its last character."""
        self.until(lambda: any(re.fullmatch(pattern, row.rstrip()) for row in self.rows))

    def end(self) -> int:
        """Take in the rest, and wait for the command's exit code."""
        while self._take():
            pass
        self._leave()
        return self.process.wait(60)

    def _take(self) -> bool:
        try:
            piece = os.read(self._master, 1 << 16)
        except OSError:  # The other end is closed.
            piece = b""
        # A character or a control sequence may be cut in two.
        text = self._rest + self._decoder.decode(piece)
        self._rest = _HALF.search(text)[0]  # type: ignore[index]
        self._write(text.removesuffix(self._rest))
        return bool(piece)

    def _write(self, text: str) -> None:
        for match in _CONTROL.finditer(text):
            token, argument, letter = match[0], match[1], match[2]
            if token == "\r":
                self._leave()
                self._column = 0
            elif token == "\n":
                self._leave()
                self._row += 1
                if self._row == len(self.rows):
                    self.rows.append("")
            elif letter == "A":
                self._leave()
                self._row -= int(argument or 1)
            elif letter == "K":
                assert argument == "2"
                self._leave()
                self.rows[self._row] = ""
            elif letter in ("m", "h", "l"):
                pass
            else:
                assert not token.startswith("\x1b"), token
                row = self.rows[self._row].ljust(self._column)
                end = self._column + len(token)
                self.rows[self._row] = row[: self._column] + token + row[end:]
                self._column = end

    def _leave(self) -> None:
        row = self.rows[self._row].rstrip()
        if row and (not self.seen or self.seen[-1] != row):
            self.seen.append(row)


def toy_engine(folder: Path) -> None:
    """Install the engine ``toy``; its model is the path of a named pipe."""
    installed(folder, {"llmner.engines": {"toy": "toy:Toy"}}, {"toy": _ENGINE})
    os.mkfifo(folder / "pipe")


@contextmanager
def run_in_terminal(
    folder: Path, *arguments: object, stdout: int | None = None
) -> Iterator[Terminal]:
    """Run a command of Python in a terminal of 120 columns.

    Args:
        folder: Its working folder, also for modules; the toy engine's pipe lies there.
        *arguments: Python's arguments.
        stdout: Where standard output goes instead, as for ``Popen``.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    removed = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
    environment = {name: value for name, value in os.environ.items() if name not in removed}
    environment |= {
        "TERM": "xterm",
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdin=slave,
        stdout=slave if stdout is None else stdout,
        stderr=slave,
        env=environment,
        cwd=folder,
    )
    os.close(slave)
    # Opened for both, so that it waits for no reader.
    pipe = os.open(folder / "pipe", os.O_RDWR) if (folder / "pipe").exists() else None

    def tell(*lines: str) -> None:
        assert pipe is not None
        os.write(pipe, "".join(f"{line}\n" for line in lines).encode())

    try:
        yield Terminal(process, master, tell)
    finally:
        process.kill()
        process.wait()
        os.close(master)
        if process.stdout is not None:
            process.stdout.close()
        if pipe is not None:
            os.close(pipe)
