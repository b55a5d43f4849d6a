"""``llmner serve``: the HTTP server, with a page to try it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from llmner.asking import AskOptions
from llmner.asking.building import load_recipe
from llmner.cli._asking import given_options, with_ask_options
from llmner.cli._common import dashed, guarded, note
from llmner.errors import InputError
from llmner.serving._secrets import checked_keys

_KEYS = "LLMNER_API_KEYS"


@guarded
@with_ask_options()
def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free port.")
    ] = 8080,
    no_model: Annotated[
        bool,
        typer.Option("--no-model", help="Only project replies of other models; needs no engine."),
    ] = False,
    options: AskOptions = AskOptions(),
    queue: Annotated[
        int,
        typer.Option(
            min=1, help="Requests in progress or waiting at the same time; further ones get a 503."
        ),
    ] = 64,
    batch_wait: Annotated[
        float,
        typer.Option(
            min=0, max=1000, help="Milliseconds that a request waits for others to share a batch."
        ),
    ] = 10.0,
    timeout: Annotated[
        float,
        typer.Option(min=0.1, help="Seconds that a request may take; when streamed, each text."),
    ] = 60.0,
    max_body: Annotated[float, typer.Option(min=0.001, help="Largest request, in MiB.")] = 4.0,
    api_keys: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help=f"File with one key per line; requests must show one of them. By default the keys "
            f"in {_KEYS}, separated by commas.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A host name that requests may use; repeatable.", show_default=False),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="An origin whose pages may read answers; repeatable.", show_default=False
        ),
    ] = None,
    access_log: Annotated[
        bool, typer.Option("--access-log", help="Log a line for each request.")
    ] = False,
    log_texts: Annotated[
        bool,
        typer.Option(
            "--log-texts", help="Log texts and replies, which are never logged otherwise."
        ),
    ] = False,
) -> None:
    """Serve extraction and projection over HTTP, with a page to try them at /.

    POST /infer, /v1/extract and /v1/project; /healthz, /readyz, /metrics and /openapi.json.
    """
    from llmner.serving import Limits, Service, run_server
    from llmner.serving._building import build_service
    from llmner.serving._safety import is_loopback

    given = given_options(context, [*options.flat(), "batch_wait"])
    if no_model:
        for name in given:
            if name != "recipe":
                raise InputError(
                    f"{dashed(name)} cannot be combined with --no-model",
                    hint="leave one of them out",
                )
    keys = _read_keys(api_keys)
    if not keys and not is_loopback(host):
        note(
            f"warning: anyone who can reach {host} can use this server; require a key with "
            f"--api-keys FILE or {_KEYS}"
        )
    limits = Limits(
        queue=queue,
        timeout=timeout,
        body=int(max_body * (1 << 20)),
        batch_wait=batch_wait / 1000,
    )
    if no_model:
        service = Service(load_recipe(options.recipe), limits=limits, log_texts=log_texts)
    else:
        service = build_service(
            options, limits, log_texts=log_texts, given=given, report=note, spell=dashed
        )
    run_server(
        service,
        host=host,
        port=port,
        keys=keys,
        names=tuple(allow_host or ()),
        cors=frozenset(origin.rstrip("/") for origin in cors_origin or ()),
        access_log=access_log,
    )


def _read_keys(path: str | None) -> tuple[str, ...]:
    """The keys in a file, or else in the environment.

    Blank lines and comments of the file are skipped. A variable that is set but contains no key is
    an error and not an open server, since whoever sets it wants a closed one.

    Raises:
        InputError: The file cannot be read, there is no key in it or in the variable, or a key
            cannot stand in a header.
    """
    if path is None:
        value = os.environ.get(_KEYS)
        if value is None:
            return ()
        if not value.replace(",", "").strip():
            raise InputError(
                f"{_KEYS} is set but contains no key", hint="unset it for a server without keys"
            )
        return checked_keys((key.strip() for key in value.split(",")), where=_KEYS)
    if not path.strip():
        raise InputError(
            "--api-keys needs the name of a file", hint="leave it out for a server without keys"
        )
    try:
        # utf-8-sig: some editors begin a file with a byte order mark, which is no part of a key.
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError("no such file", path=path) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", path=path) from None
    keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not keys:
        raise InputError("contains no key", path=path, hint="write one key per line")
    return checked_keys(keys, where=path)
