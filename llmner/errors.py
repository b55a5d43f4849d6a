"""Every error that llmner raises on purpose.

::

    LlmnerError
    ├── InputError                 what the user gave is wrong; the command line exits with 2
    │   ├── CorpusError            a corpus file: missing, wrong encoding, a broken row
    │   ├── TagError               a tag sequence that its scheme does not allow
    │   ├── SpanError              a span that is empty, negative, out of range or overlapping
    │   │   └── MarkupError        a marked-up text that does not parse, or cannot be written
    │   ├── RecipeError            a recipe file: a typo, a missing key, a bad example
    │   ├── UnknownNameError       a format, engine or recipe nobody registered
    │   └── MismatchError          gold and predictions of different sentences
    ├── MissingExtraError          an optional part that is not installed (also an ImportError)
    ├── GenerationError            an engine that could not answer; may be ``retryable``
    ├── WorkLimitError             a reply that takes more work than its budget allows
    └── HubError                   the Hub refused, or could not be reached; may be ``retryable``

A message is one line: where, what is wrong, how to fix it. Messages quote files, models and
endpoints, so this module escapes control characters in them and shortens what is too long.
"""

from __future__ import annotations

from os import PathLike, fspath

from llmner._install import install_command
from llmner._shown import shortened, visible

__all__ = [
    "CorpusError",
    "GenerationError",
    "HubError",
    "InputError",
    "LlmnerError",
    "MarkupError",
    "MismatchError",
    "MissingExtraError",
    "RecipeError",
    "SpanError",
    "TagError",
    "UnknownNameError",
    "WorkLimitError",
]


# The longest parts of a message, in characters.
_PATH = 300
_ID = 100
_WORDS = 600
_MESSAGE = 1800


class LlmnerError(Exception):
    """Base of every error llmner raises on purpose. ``exit_code`` is what the command line returns.

    Args:
        message: What happened. It becomes one line of at most 1,800 characters; control characters
            are escaped.

    >>> print(LlmnerError("a\\tb"))
    a\\tb
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(shortened(visible(shortened(message, _MESSAGE)), _MESSAGE))


class InputError(LlmnerError):
    """The input is wrong; the message says where, and how to fix it.

    Args:
        problem: What is wrong, without a full stop at the end.
        path: The file it was found in.
        line: The line in that file, counted from 1.
        id: The id of the sentence or row.
        hint: How to fix it.

    >>> print(InputError("not JSON", path="a.jsonl", line=3, hint="expected one object a line"))
    a.jsonl:3: not JSON; expected one object a line
    """

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        path: str | PathLike[str] | None = None,
        line: int | None = None,
        id: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.problem = problem
        self.path = None if path is None else fspath(path)
        self.line = line
        self.id = id
        self.hint = hint
        super().__init__(self._message())

    def _message(self) -> str:
        where = shortened(self.path or "", _PATH)
        if self.line is not None:
            where = f"{where}:{self.line}" if where else f"line {self.line}"
        if self.id is not None:
            id = shortened(repr(self.id), _ID)
            where = f"{where} (id {id})" if where else f"id {id}"
        problem = shortened(self.problem, _WORDS)
        message = f"{where}: {problem}" if where else problem
        if self.hint:
            message = f"{message}; {shortened(self.hint, _WORDS)}"
        return message

    def located(
        self,
        *,
        path: str | PathLike[str] | None = None,
        line: int | None = None,
        id: str | None = None,
    ) -> InputError:
        """The same error with the path, line and id filled in where it has none.

        >>> print(SpanError("an empty span", id="s1").located(path="a.jsonl", line=3))
        a.jsonl:3 (id 's1'): an empty span
        """
        return type(self)(
            self.problem,
            path=self.path if self.path is not None else path,
            line=self.line if self.line is not None else line,
            id=self.id if self.id is not None else id,
            hint=self.hint,
        )


class CorpusError(InputError):
    """A corpus file that cannot be read: missing, a directory, wrong encoding, a broken row."""


class TagError(InputError):
    """A tag sequence that its scheme does not allow."""


class SpanError(InputError, ValueError):
    """A span that is empty, negative, outside its text, or overlaps another."""


class MarkupError(SpanError):
    """A marked-up text that does not parse, or a label that markup cannot hold."""


class RecipeError(InputError):
    """A recipe file with a typo, a missing key or an example that cannot be read."""


class UnknownNameError(InputError):
    """A format, engine or recipe name that nobody registered."""


class MismatchError(InputError):
    """Gold and predictions of different sentences: ids, texts or their number differ."""


class MissingExtraError(LlmnerError, ImportError):
    """An optional part is not installed; the message says how to install it.

    Args:
        extra: The extra of the ``llmner`` distribution, for example ``"local"``.
        what: What needs it, for example ``"the transformers engine"``.

    >>> print(MissingExtraError("vllm", "the vllm engine"))  # doctest: +ELLIPSIS
    the vllm engine needs an optional part; pip install ...[vllm]"
    """

    def __init__(self, extra: str, what: str) -> None:
        self.extra = extra
        super().__init__(f"{what} needs an optional part; {install_command(extra)}")


class GenerationError(LlmnerError):
    """An engine could not answer.

    Args:
        message: What happened and what to do about it.
        retryable: Whether the same request may succeed when it is sent again.

    >>> GenerationError("the endpoint does not answer", retryable=True).retryable
    True
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        self.retryable = retryable
        super().__init__(message)


class WorkLimitError(LlmnerError):
    """Reading or projecting a reply took more steps than its ``Budget`` has, or was stopped."""


class HubError(LlmnerError):
    """The Hugging Face Hub refused, or could not be reached.

    Args:
        message: What happened and what to do about it. It must not contain a token.
        retryable: Whether the same request may succeed when it is sent again.

    >>> HubError("the Hub refuses the token").retryable
    False
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        self.retryable = retryable
        super().__init__(message)
