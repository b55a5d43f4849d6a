"""``llmner serve``: the HTTP server, with the page to try it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from llmner.cli._baselines import is_baseline
from llmner.cli._common import (
    BATCH_SIZE,
    AdapterOption,
    BaseUrlOption,
    BatchSizeOption,
    CalibrationOption,
    ConcurrencyOption,
    DeviceOption,
    EngineOption,
    FuzzyOption,
    GpuMemoryOption,
    GroundedOption,
    JsonSchemaOption,
    MaxModelLenOption,
    MaxNewTokensOption,
    MinScoreOption,
    ModelOption,
    ParticlesOption,
    RecipeOption,
    RemoteCodeOption,
    RepeatsOption,
    ReplyFormatOption,
    SamplesOption,
    TemperatureOption,
    answering,
    choose_adapter,
    given,
    guarded,
    load_recipe,
    make_generator,
    note,
    policy,
    windows,
)
from llmner.errors import InputError
from llmner.serving._secrets import checked_keys

_KEYS = "LLMNER_API_KEYS"
# Window and overlap for the model in the box, which was trained on single sentences: benchmarks/windows.py.
_SENTENCE = (60, 0)


@guarded
def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 for all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any that is free.")] = 8080,
    no_model: Annotated[
        bool, typer.Option("--no-model", help="Project replies of other models only; needs no engine.")
    ] = False,
    recipe: RecipeOption = None,
    reply_format: ReplyFormatOption = None,
    engine: EngineOption = "transformers",
    model: ModelOption = None,
    adapter: AdapterOption = None,
    base_url: BaseUrlOption = None,
    concurrency: ConcurrencyOption = 32,
    grounded: GroundedOption = False,
    json_schema: JsonSchemaOption = False,
    samples: SamplesOption = 1,
    temperature: TemperatureOption = None,
    min_score: MinScoreOption = None,
    calibration: CalibrationOption = None,
    batch_size: BatchSizeOption = None,
    max_model_len: MaxModelLenOption = None,
    gpu_memory_utilization: GpuMemoryOption = None,
    max_new_tokens: MaxNewTokensOption = 256,
    window: Annotated[
        int,
        typer.Option(
            min=1,
            help="Longest stretch of a text asked about at once, in characters; for the model in the box 60.",
        ),
    ] = 400,
    overlap: Annotated[
        int,
        typer.Option(
            min=0,
            help="Context on either side of a window's core, in characters; for the model in the box 0.",
        ),
    ] = 80,
    device: DeviceOption = "auto",
    trust_remote_code: RemoteCodeOption = False,
    particles: ParticlesOption = "auto",
    fuzzy: FuzzyOption = 0.75,
    repeats: RepeatsOption = "listed",
    queue: Annotated[
        int, typer.Option(min=1, help="Requests that are answered or wait at once; one more gets a 503.")
    ] = 64,
    batch_wait: Annotated[
        float,
        typer.Option(min=0, max=1000, help="Milliseconds that a request waits for others to share a batch."),
    ] = 10.0,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds that a request may take; when streamed, each text.")
    ] = 60.0,
    max_body: Annotated[float, typer.Option(min=0.001, help="Size of a request at most, in MiB.")] = 4.0,
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
        typer.Option(help="An origin whose pages may read answers; repeatable.", show_default=False),
    ] = None,
    access_log: Annotated[bool, typer.Option("--access-log", help="Log a line for each request.")] = False,
    log_texts: Annotated[
        bool, typer.Option("--log-texts", help="Log texts and replies; otherwise they never are.")
    ] = False,
) -> None:
    """Serve extraction and projection over HTTP, with a page to try them at /.

    POST /infer, /v1/extract and /v1/project; /healthz, /readyz, /metrics and /openapi.json.
    """
    from llmner.engines.adapters import PACKAGED_ADAPTER
    from llmner.serving import Limits, Service, run_server
    from llmner.serving._safety import is_loopback

    if is_baseline(engine) or engine == "recorded":
        raise InputError(f"--engine {engine} cannot be served", hint="expected transformers, vllm or openai")
    if no_model:
        for name in _ASKS:
            if given(context, name):
                option = name.replace("_", "-")
                raise InputError(f"--{option} means nothing with --no-model", hint="leave one of them out")
    keys = _read_keys(api_keys)
    if not keys and not is_loopback(host):
        note(f"warning: anyone who reaches {host} can ask; --api-keys FILE or {_KEYS} asks for a key")
    found = choose_adapter(
        adapter,
        model=model,
        recipe=recipe,
        reply_format=reply_format,
        asks=not no_model and engine in ("transformers", "vllm"),
    )
    if (
        found is not None
        and found.name == PACKAGED_ADAPTER
        and not (given(context, "window") or given(context, "overlap"))
    ):
        window, overlap = _SENTENCE
    generator = None
    if not no_model:
        generator = make_generator(
            engine,
            model=model,
            adapter=found,
            replies=None,
            base_url=base_url,
            concurrency=concurrency,
            batch_size=batch_size,
            max_new_tokens=max_new_tokens,
            device=device,
            trust_remote_code=trust_remote_code,
            max_model_len=max_model_len,
            gpu_memory_utilization=gpu_memory_utilization,
            samples=samples,
            temperature=temperature,
            # Whoever waits would rather hear at once that the endpoint is away, and before the time is over.
            patience={"timeout": timeout, "attempts": 2, "deadline": 0.9 * timeout},
        )
    options: dict[str, Any] = {
        **answering(grounded, json_schema, samples, min_score, calibration),
        **windows(window, overlap),
        **policy(particles, fuzzy, repeats),
    }
    endpoint = engine == "openai"
    service = Service(
        load_recipe(recipe, reply_format, found, model),
        generator,
        options=options,
        limits=Limits(
            queue=queue,
            timeout=timeout,
            body=int(max_body * (1 << 20)),
            # An endpoint makes batches itself, of whatever is on its way.
            batch_size=1 if endpoint else batch_size or (128 if engine == "vllm" else BATCH_SIZE),
            batch_wait=0.0 if endpoint else batch_wait / 1000,
            lanes=concurrency if endpoint else 1,
        ),
        engine_loads=not endpoint,
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


# What is for a model alone.
_ASKS = (
    "reply_format engine model adapter base_url concurrency grounded json_schema samples temperature min_score "
    "calibration batch_size max_model_len gpu_memory_utilization max_new_tokens window overlap device "
    "trust_remote_code particles fuzzy repeats batch_wait"
).split()


def _read_keys(path: str | None) -> tuple[str, ...]:
    """The keys of a file, else of the environment; blank lines and comments of a file are no keys.

    A variable that is set and holds no key is no open server: whoever sets it wants one that is closed.

    Raises:
        InputError: The file cannot be read; either holds none, or one that is none.
    """
    if path is None:
        held = os.environ.get(_KEYS)
        if held is None:
            return ()
        if not held.replace(",", "").strip():
            raise InputError(f"{_KEYS} is set and holds no key", hint="unset it for a server without keys")
        return checked_keys((key.strip() for key in held.split(",")), where=_KEYS)
    if not path.strip():
        raise InputError("--api-keys names no file", hint="leave it out for a server without keys")
    try:
        # Some editors put a mark of the encoding first, which is no part of a key.
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError("no such file", path=path) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", path=path) from None
    keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not keys:
        raise InputError("holds no key", path=path, hint="write one a line")
    return checked_keys(keys, where=path)
