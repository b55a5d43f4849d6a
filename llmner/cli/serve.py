"""``llmner serve``: the HTTP server, with the page to try it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from llmner.asking import AskOptions, is_baseline, prepare
from llmner.asking.building import build_engine, extractor_options, load_recipe
from llmner.asking.options import OPTIONS
from llmner.cli._asking import given_options, with_ask_options
from llmner.cli._common import dashed, guarded, note
from llmner.errors import InputError
from llmner.serving._secrets import checked_keys

_KEYS = "LLMNER_API_KEYS"


@guarded
@with_ask_options(
    names=[name for name in OPTIONS if name != "replies"],
    help={
        "window": "Longest stretch of a text asked about at once, in characters; for the model in "
        "the box 60.",
        "overlap": "Context on either side of a window's core, in characters; for the model in "
        "the box 0.",
    },
)
def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 for all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port; 0 for any that is free.")
    ] = 8080,
    no_model: Annotated[
        bool,
        typer.Option("--no-model", help="Project replies of other models only; needs no engine."),
    ] = False,
    options: AskOptions = AskOptions(),
    queue: Annotated[
        int,
        typer.Option(
            min=1, help="Requests that are answered or wait at once; one more gets a 503."
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
    max_body: Annotated[
        float, typer.Option(min=0.001, help="Size of a request at most, in MiB.")
    ] = 4.0,
    api_keys: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help=f"A file with a key a line; requests must show one. Else {_KEYS}, commas between.",
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
        bool, typer.Option("--log-texts", help="Log texts and replies; otherwise they never are.")
    ] = False,
) -> None:
    """Serve extraction and projection over HTTP, with a page to try them at /.

    POST /infer, /v1/extract and /v1/project; /healthz, /readyz, /metrics and /openapi.json.
    """
    from llmner.engines._registry import engine_class
    from llmner.serving import Limits, Service, run_server
    from llmner.serving._safety import is_loopback

    engine = options.engine
    capabilities = None if is_baseline(engine.engine) else engine_class(engine.engine).capabilities
    if capabilities is None or capabilities.replays:
        raise InputError(
            f"--engine {engine.engine} cannot be served",
            hint="expected transformers, vllm or openai",
        )
    given_names = given_options(context, [*options.flat(), "batch_wait"])
    if no_model:
        for name in given_names:
            if name != "recipe":
                raise InputError(
                    f"{dashed(name)} has no effect with --no-model", hint="leave one of them out"
                )
    keys = _read_keys(api_keys)
    if not keys and not is_loopback(host):
        note(
            f"warning: anyone who reaches {host} can use the server; "
            f"--api-keys FILE or {_KEYS} makes it require a key"
        )
    if no_model:
        recipe, generator, extract_options = load_recipe(options.recipe), None, {}
    else:
        asking = prepare(options, note).by_sentences(given_names)
        recipe, extract_options = asking.recipe, extractor_options(asking)
        generator = build_engine(
            asking,
            report=note,
            # A client should learn quickly that the endpoint is down, and before its own timeout.
            more={"timeout": timeout, "attempts": 2, "deadline": 0.9 * timeout},
            spell=dashed,
        )
    service = Service(
        recipe,
        generator,
        options=extract_options,
        limits=Limits(
            queue=queue,
            timeout=timeout,
            body=int(max_body * (1 << 20)),
            # An endpoint makes its own batches from concurrent requests.
            batch_size=1
            if capabilities.concurrent
            else engine.batch_size or capabilities.batch_size,
            batch_wait=0.0 if capabilities.concurrent else batch_wait / 1000,
            lanes=engine.concurrency if capabilities.concurrent else 1,
        ),
        engine_loads=capabilities.in_process,
        log_texts=log_texts,
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
    """The keys in a file, or else in the environment; empty if there is neither.

    Blank lines and comments in the file are skipped. A variable without a key is an error, because
    whoever sets it expects the server to require a key.

    Raises:
        InputError: The file cannot be read, it or the variable has no key, or a key is not valid.
    """
    if path is None:
        value = os.environ.get(_KEYS)
        if value is None:
            return ()
        if not value.replace(",", "").strip():
            raise InputError(
                f"{_KEYS} is set but has no key", hint="unset it for a server without keys"
            )
        return checked_keys((key.strip() for key in value.split(",")), where=_KEYS)
    if not path.strip():
        raise InputError("--api-keys is empty", hint="leave it out for a server without keys")
    try:
        # Some editors write a byte-order mark first, which is not part of a key.
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError("no such file", path=path) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", path=path) from None
    keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not keys:
        raise InputError("has no keys", path=path, hint="write one per line")
    return checked_keys(keys, where=path)
