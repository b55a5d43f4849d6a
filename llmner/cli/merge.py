"""``llmner merge``: merge an adapter into its base model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmner.cli._common import RemoteCodeOption, guarded, note


@guarded
def merge(
    adapter: Annotated[
        str, typer.Argument(help="A folder, USER/NAME on the Hub, or the packaged adapter's name.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.")],
    model: Annotated[
        str | None,
        typer.Option(help="The base model, where it is not the one that the adapter names."),
    ] = None,
    trust_remote_code: RemoteCodeOption = False,
) -> None:
    """Write a model in bfloat16 that has an adapter in its weights, with its tokenizer and recipe.

    vLLM serves it faster than the adapter beside its base model.
    """
    from llmner.engines.adapters import find_adapter
    from llmner.engines.merging import merge_adapter
    from llmner.files import target_of
    from llmner.hub.licences import check_name, terms_of

    peft_adapter = find_adapter(adapter, note, model=model)
    base = model or peft_adapter.model or ""
    terms = terms_of(base, (adapter,))
    check_name(f"USER/{target_of(output).name}", terms)
    merge_adapter(
        peft_adapter, output, model=model, trust_remote_code=trust_remote_code, report=note
    )
    note(f"{output} is the merged model; --model {output} asks it with the recipe that lies there")
    if terms is not None:
        note(f"it comes under the base model's terms: {terms.title}, {terms.link}")
