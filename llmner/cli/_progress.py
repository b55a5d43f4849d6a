"""The progress bar: rows that are kept, how fast they come, and how long the rest takes.

It is shown only on a terminal, and from the first question on: what is loaded before has its own
line. ``_ending`` takes it off the screen while a line is printed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from llmner._watching import watching
from llmner.cli._ending import on_screen

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, Task

__all__ = ["Pace", "Steps", "prints_to_terminal", "progress"]


class Pace:
    """How fast steps are done, and how long those that are left take.

    The rate is the mean of the whole run. Answers come in batches that are sorted by length, so
    the last few say little about the next.

    Between two steps the time left counts down and the rate stands still. That is so for as long as
    the longest wait of the run. Only a longer one slows the rate down.

    >>> now = 0.0
    >>> pace = Pace("sentence", "sentences", clock=lambda: now)
    >>> now = 30.0  # Loading.
    >>> pace.begin()
    >>> now = 36.0
    >>> pace.step(2)
    >>> pace.text(98)
    '3.0 s a sentence, 0:04:54 left'
    >>> now = 40.0
    >>> pace.text(98)
    '3.0 s a sentence, 0:04:50 left'

    Args:
        one: The name of one step.
        many: The name of several.
        clock: Gives the time in seconds.
    """

    def __init__(self, one: str, many: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._one = one
        self._many = many
        self._clock = clock
        self._latest = clock()
        self._done = 0
        self._seconds = 0.0
        self._longest = 0.0

    def begin(self) -> None:
        """Work begins or goes on now; the time since the last step was spent on something else."""
        self._latest = self._clock()

    def step(self, steps: int) -> None:
        """Count ``steps`` more as done."""
        now = self._clock()
        wait = now - self._latest
        self._latest = now
        self._seconds += wait
        self._longest = max(self._longest, wait)
        self._done += steps

    def text(self, remaining: float | None) -> str:
        """The rate and the time left, as text; before the first step, how long it has taken.

        Args:
            remaining: The number of steps that are left; ``None`` if it is not known.
        """
        wait = self._clock() - self._latest
        if not self._done:
            return f"{_duration(wait)} so far"
        usual = min(wait, self._longest)
        # Not 0 where the clock is too coarse to tell.
        each = max((self._seconds + wait - usual) / self._done, 1e-6)
        rate = self._rate(each)
        if remaining is None:
            return rate
        return f"{rate}, {_duration(max(remaining * each - usual, 0.0))} left"

    def _rate(self, each: float) -> str:
        """The rate, never as 0.0: from one second a step on, the seconds are told.

        Args:
            each: Seconds for one step.
        """
        if each <= 1:
            return f"{1 / each:,.1f} {self._many}/s"
        return f"{each:.1f} s a {self._one}" if each < 10 else f"{each:,.0f} s a {self._one}"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


class Steps:
    """Counts finished steps and moves the bar of :func:`progress`.

    It is a watcher of extractions (``llmner._watching``). Without one, steps are all it counts.

    Attributes:
        done: Steps that are finished, those of an earlier run included.
    """

    def __init__(self, pace: Pace, total: int | None) -> None:
        self.done = 0
        self._total = total
        self._pace = pace
        # Sentences that have their answers, and whose rows wait for an earlier one.
        self._waiting = 0
        self._failed = 0
        self._bar: Progress | None = None

    def __call__(self, steps: int) -> None:
        """Count ``steps`` more as done."""
        self.done += steps
        counted = min(steps, self._waiting)
        self._waiting -= counted
        if steps > counted:
            self._pace.step(steps - counted)
        self._show()

    def begin(self) -> None:
        """Questions are asked from now on."""
        self._pace.begin()
        self._show()

    def answer(self) -> None:
        """One more sentence has its answers. Its row may wait for an earlier one."""
        self._waiting += 1
        self._pace.step(1)
        self._show()

    def resume(self, done: int) -> None:
        """Count ``done`` steps of an earlier run; the rate and the time left ignore them."""
        self.done += done
        self._show(start=False)

    def fail(self, failed: int) -> None:
        """Tell how many steps have no answer."""
        self._failed = failed

    def total(self, total: int) -> None:
        """Set the total number of steps."""
        self._total = total
        self._show(start=False)

    def text(self) -> str:
        """What stands behind the bar.

        >>> from itertools import count
        >>> seconds = count()
        >>> steps = Steps(Pace("row", "rows", clock=lambda: next(seconds)), None)
        >>> steps.answer()
        >>> steps.answer()
        >>> steps(1)
        >>> steps.text()
        '1.0 rows/s, 1 more answered'
        """
        remaining = None
        if self._total is not None:
            remaining = max(self._total - self.done - self._waiting, 0)
        waiting = f", {self._waiting} more answered" if self._waiting else ""
        failed = f", {self._failed:,} failed" if self._failed else ""
        return self._pace.text(remaining) + waiting + failed

    def use(self, bar: Progress | None) -> None:
        """Use a bar, which is shown with the first step; ``None`` for none."""
        self._bar = bar
        self._show(start=False)

    def _show(self, *, start: bool = True) -> None:
        if self._bar is None:
            return
        (task,) = self._bar.tasks
        self._bar.update(task.id, completed=self.done, total=self._total)
        if start and not self._bar.live.is_started:
            on_screen(self._bar)


@contextmanager
def progress(
    title: str,
    total: int | None = None,
    *,
    one: str = "sentence",
    many: str = "sentences",
    shown: bool = True,
) -> Iterator[Steps]:
    """Show a progress bar with rate and time left, if standard error is a terminal.

    It is there from the first step on, or from the first question of an extraction.

    Args:
        title: The text before the bar.
        total: The number of steps, if it is known.
        one: What is counted, for the rate.
        many: Several of them.
        shown: Whether there may be a bar.
    """
    steps = Steps(Pace(one, many), total)
    bar = _bar(title, total, steps.text) if shown and _is_terminal(sys.stderr) else None
    steps.use(bar)
    try:
        with watching(steps):
            yield steps
    finally:
        steps.use(None)
        if bar is not None:
            on_screen(None)


def _bar(title: str, total: int | None, text: Callable[[], str]) -> Progress | None:
    """A bar that is not shown yet; ``None`` if the terminal cannot move its cursor."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    if not console.is_interactive:
        return None
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        _text_column(text),
        console=console,
        transient=True,
        # Data that is on its way to a file or a pipe must not be printed above the bar.
        redirect_stdout=_is_terminal(sys.stdout),
    )
    bar.add_task(title, total=total)
    return bar


def _text_column(text: Callable[[], str]) -> ProgressColumn:
    from rich.progress import ProgressColumn
    from rich.table import Column
    from rich.text import Text

    class Behind(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(text())

    return Behind(Column(no_wrap=True))


def _is_terminal(stream: object) -> bool:
    isatty = getattr(stream, "isatty", None)
    return isatty is not None and bool(isatty())


def prints_to_terminal(output: Path | str) -> bool:
    """Whether an output is standard output, and that a terminal: a bar would be in its way."""
    return str(output) == "-" and _is_terminal(sys.stdout)
