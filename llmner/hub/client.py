"""A repository of the Hugging Face Hub: creating it, and writing files to it in one commit.

Requests that huggingface_hub does not repeat itself are repeated here. Every failure becomes an
error of one line.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from llmner.errors import HubError, InputError, MissingExtraError

__all__ = ["Hub"]

_T = TypeVar("_T")

_MAX_ATTEMPTS = 5
_LONGEST_WAIT = 60.0
# Seconds to wait for an answer; huggingface_hub would wait for ever.
_READ_TIMEOUT = 120.0
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
# By name, because huggingface_hub has changed its HTTP library before and the names stayed.
_TEMPORARY_ERRORS = frozenset({"TimeoutException", "NetworkError", "RemoteProtocolError"})
_SECRET = re.compile(r"hf_[A-Za-z0-9]{20,}|(?<=Bearer )[^\s'\"]+")


class Hub:
    """A repository on the Hub to write to.

    Args:
        repo: ``USER/NAME``.
        token: The token; by default ``HF_TOKEN`` or the token of ``hf auth login``.
        endpoint: The Hub's address; by default ``HF_ENDPOINT`` or the public Hub.
        report: Called with a sentence for every retry and warning.

    Raises:
        InputError: The endpoint is not a web address.
        MissingExtraError: huggingface_hub is not installed.

    >>> Hub("me/ner", token=None, endpoint="https://hub.example", report=print).url
    'https://hub.example/me/ner'
    """

    def __init__(
        self, repo: str, *, token: str | None, endpoint: str | None, report: Callable[[str], None]
    ) -> None:
        try:
            from huggingface_hub import HfApi, constants
        except ImportError:
            raise MissingExtraError("hub", "the Hugging Face Hub") from None
        self.endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        parts = urlsplit(self.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(
                f"{self.endpoint!r} is not a web address", hint="correct HF_ENDPOINT, or unset it"
            )
        self.repo = repo
        self._secrets = [secret for secret in (token, os.environ.get("HF_TOKEN")) if secret]
        self._report = report
        self._api = HfApi(endpoint=self.endpoint, token=token, library_name="llmner")

    @property
    def url(self) -> str:
        """The address of the repository's page."""
        return f"{self.endpoint}/{self.repo}"

    def upload(
        self, contents: Mapping[str, bytes | Path], *, private: bool, what: str = "adapter"
    ) -> str:
        """Create the repository if necessary, and write all files in one commit.

        Args:
            contents: The content of each file by name: bytes, or the path of a local file.
            what: What they are, for the commit's message.
            private: Whether the repository must be private. A new one is created private.

        Returns:
            The commit's hash.

        Raises:
            InputError: It must be private, but exists and is public.
            HubError: The Hub refused, or could not be reached.
        """
        with _reporting_to(self._tell):
            # None leaves the decision to the account's default.
            self._again(
                "making the repository",
                lambda: self._api.create_repo(self.repo, private=private or None, exist_ok=True),
            )
            if private:
                self._check_private()
            return self._again("writing the commit", lambda: self._commit(contents, what))

    def _check_private(self) -> None:
        info = self._again(
            "looking at the repository",
            lambda: self._api.model_info(self.repo, timeout=_READ_TIMEOUT),
        )
        if not info.private:
            raise InputError(
                f"{self.repo} exists and is public",
                hint="make it private in its settings, name another, or leave --private out",
            )

    def _commit(self, contents: Mapping[str, bytes | Path], what: str) -> str:
        from huggingface_hub import CommitOperationAdd

        from llmner import __version__

        # The operations are made anew for each attempt: the Hub then says which files it already
        # has, so a commit whose answer was lost is not made twice.
        operations = [CommitOperationAdd(name, content) for name, content in contents.items()]
        return self._api.create_commit(
            self.repo, operations, commit_message=f"Upload {what} with llmner {__version__}"
        ).oid

    def _again(self, action: str, call: Callable[[], _T]) -> _T:
        """Call, and repeat the call while its error looks temporary.

        Raises:
            HubError: The error is not temporary, or there were five attempts.
        """
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                return self._call(call)
            except _CallError as failure:
                if not failure.error.retryable or failure.tried or attempt == _MAX_ATTEMPTS:
                    raise failure.error from failure.__cause__
                wait = min(_LONGEST_WAIT, failure.wait or 2.0 ** (attempt - 1))
                self._tell(f"{action}: {failure.error}; trying again in {wait:g} s")
                time.sleep(wait)
        raise AssertionError("unreachable")

    def _call(self, call: Callable[[], _T]) -> _T:
        from huggingface_hub import get_session
        from huggingface_hub.errors import HfHubHTTPError

        # The base class of all errors of the HTTP library that this huggingface_hub uses.
        network: type[Exception] = HfHubHTTPError.__bases__[0]
        session = get_session()
        patience = session.timeout
        if patience.read is None:
            session.timeout = _READ_TIMEOUT
        try:
            return call()
        except (
            network,
            ConnectionError,
            TimeoutError,
            KeyError,
            RuntimeError,
            ValueError,
        ) as error:
            # An error in a thread is wrapped in a RuntimeError.
            cause = error.__cause__ if isinstance(error, RuntimeError) else None
            raise self._explained(
                cause if isinstance(cause, network) else error, network
            ) from error
        finally:
            session.timeout = patience

    def _explained(self, error: BaseException, network: type[Exception]) -> _CallError:
        """The error of one line for an exception, with what the next attempt needs to know."""
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

        if isinstance(error, HfHubHTTPError):
            return self._refused(error)
        if isinstance(error, OfflineModeIsEnabled):
            return _CallError(HubError("HF_HUB_OFFLINE is set; unset it to upload"))
        if isinstance(error, network | ConnectionError | TimeoutError):
            # huggingface_hub uploads through Xet if that is installed, even if the Hub lacks it.
            hint = (
                "set HF_HUB_DISABLE_XET=1 for a Hub without Xet"
                if "xet-" in str(error)
                else "check the connection"
            )
            message = f"{self.endpoint} cannot be reached ({self._clean(error)}); {hint}"
            names = {kind.__name__ for kind in type(error).__mro__}
            passing = not isinstance(error, network) or bool(names & _TEMPORARY_ERRORS)
            return _CallError(
                HubError(message, retryable=passing), tried=_is_retried_by_hub(_address(error))
            )
        if isinstance(error, json.JSONDecodeError):
            message = f"{self.endpoint} did not answer with JSON; is it a Hub?"
            return _CallError(HubError(message, retryable=True))
        # huggingface_hub and hf_xet raise these for unexpected answers.
        return _CallError(HubError(f"{self.repo} could not be uploaded: {self._clean(error)}"))

    def _refused(self, error: Any) -> _CallError:
        """The error of one line for an answer with an error status."""
        status = error.response.status_code
        answer = self._clean(error.server_message or "")
        reason = f": {answer}" if answer else ""
        owner = self.repo.partition("/")[0]
        if status == 401:
            message = (
                "the Hub does not accept the token, or there is none (401); make one with write "
                f"access at {self.endpoint}/settings/tokens, then run hf auth login or set HF_TOKEN"
            )
        elif status == 403:
            message = (
                f"the token may not write to {self.repo} (403{reason}); it needs write access to "
                f"the repositories of {owner}, see {self.endpoint}/settings/tokens"
            )
        elif status == 404:
            message = (
                f"the Hub has no {self.repo} (404{reason}); check the name, and that {owner} exists"
            )
        elif status in _TEMPORARY:
            message = f"the Hub cannot answer now ({status}{reason}); try again later"
        else:
            message = f"the Hub refused {self.repo} ({status}{reason})"
        after = error.response.headers.get("retry-after", "")
        return _CallError(
            HubError(message, retryable=status in _TEMPORARY),
            wait=float(after) if re.fullmatch(r"\d{1,6}", after) else None,
            tried=_is_retried_by_hub(_address(error.response)),
        )

    def _tell(self, message: str) -> None:
        self._report(self._clean(message))

    def _clean(self, message: object) -> str:
        """A message as one line of at most 300 characters, without tokens and signed addresses."""
        text = " ".join(str(message).split())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        text = re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]+", r"\1", _SECRET.sub("***", text))
        return text if len(text) <= 300 else f"{text[:299]}…"


class _CallError(Exception):
    """A failed call, with what the next attempt needs to know.

    Args:
        error: The error to raise if there is no next attempt.
        wait: The seconds that the Hub asks to wait.
        tried: Whether huggingface_hub has already repeated this request itself.
    """

    def __init__(self, error: HubError, *, wait: float | None = None, tried: bool = False) -> None:
        self.error = error
        self.wait = wait
        self.tried = tried
        super().__init__(str(error))


def _address(source: Any) -> str:
    """The path of the request behind a response or an error; empty where there is none."""
    try:
        return str(source.request.url.path)
    except (AttributeError, RuntimeError):
        return ""


def _is_retried_by_hub(path: str) -> bool:
    """Whether huggingface_hub repeats a request itself: all requests of an upload but these."""
    sent_once = (
        r"|/api/repos/create|/api/validate-yaml"
        r"|/api/models/[^/]+/[^/]+(?:/(?:commit|revision)/[^/]+)?"
    )
    return re.fullmatch(sent_once, path) is None


class _MessageHandler(logging.Handler):
    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record.getMessage())


@contextmanager
def _reporting_to(tell: Callable[[str], None]) -> Iterator[None]:
    """Pass huggingface_hub's logs and warnings to ``tell``; no progress bars without a terminal."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    logger = logging.getLogger("huggingface_hub")
    handlers, propagate = logger.handlers, logger.propagate
    hide = not sys.stderr.isatty() and not are_progress_bars_disabled()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        logger.handlers, logger.propagate = [_MessageHandler(tell)], False
        if hide:
            disable_progress_bars()
        try:
            yield
        finally:
            logger.handlers, logger.propagate = handlers, propagate
            if hide:
                enable_progress_bars()
            for warning in caught:
                tell(str(warning.message))
