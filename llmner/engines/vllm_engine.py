"""The ``vllm`` engine: vLLM in process, which batches continuously and shares what prompts have in
common.

Prompts are turned into tokens as the ``transformers`` engine does, so that the same model is asked
the same. vLLM pins its own torch and transformers: it has an environment of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from llmner._mishaps import Mishap, attempt
from llmner.engines._decoding import Answer
from llmner.engines._model_files import check_model_folder, read_object
from llmner.engines._types import Capabilities, Engine, Reply, decoding, prompt_seed
from llmner.engines.adapters import Adapter, check_adapter, find_adapter, lora_settings, weights
from llmner.engines.embedded import EMBEDDED_MODEL, embedded_model
from llmner.engines.exaone import is_exaone3
from llmner.engines.grammars import continued, ended
from llmner.engines.transformers_engine import encode_prompt
from llmner.errors import GenerationError, InputError, MissingExtraError
from llmner.recipes.chat import Prompt

if TYPE_CHECKING:
    from vllm import LLM

__all__ = ["VllmGenerator"]

# The ranks that vLLM has room for.
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


class VllmGenerator(Engine):
    """Answers prompts with vLLM, in this process.

    Nothing is loaded before the first prompt. The defaults suit a model of 7.8B parameters in
    bfloat16, with an adapter, on one card of 24 GB.

    Args:
        model: Name on the Hub, a folder, or ``None`` for the embedded model.
        adapter: A PEFT adapter to serve on top of it, as the ``transformers`` engine takes it. vLLM
            keeps its factors apart; ``llmner merge`` writes a model that has them in its weights
            and is faster.
        max_new_tokens: Longest answer, in tokens.
        max_model_len: Longest question and answer together, in tokens; at most what the model can.
        max_num_seqs: Sentences answered at a time; a thousand are handed over at once and wait
            their turn.
        gpu_memory_utilization: Share of the card's memory to take, weights and cache together.
        temperature: 0 for the likeliest answer; above, answers are drawn, each sample of a prompt
            another one.
        seed: Of draws.
        trust_remote_code: Run Python code that comes with a model. Off unless asked for.
        options: Further arguments of ``vllm.LLM``.
        report: Told in a sentence what is being waited for.
    """

    capabilities = Capabilities(
        grammar=True,
        json_schema=True,
        logprobs=True,
        samples=True,
        adapters=True,
        in_process=True,
        batch_size=128,
        queue=8,
    )
    parameters: ClassVar[dict[str, str]] = {"batch_size": "max_num_seqs"}

    def __init__(
        self,
        model: str | None = None,
        *,
        adapter: str | Adapter | None = None,
        max_new_tokens: int = 256,
        max_model_len: int = 4096,
        max_num_seqs: int = 128,
        gpu_memory_utilization: float = 0.9,
        temperature: float = 0.0,
        seed: int = 0,
        trust_remote_code: bool = False,
        options: Mapping[str, Any] | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.model_name = model or EMBEDDED_MODEL
        self.adapter = adapter
        self.max_new_tokens = max_new_tokens
        self.max_model_len = max_model_len
        self.max_num_seqs = max_num_seqs
        self.gpu_memory_utilization = gpu_memory_utilization
        self.temperature = temperature
        self.seed = seed
        self.trust_remote_code = trust_remote_code
        self.options = dict(options or {})
        self.report = report
        self._loaded: tuple[LLM, Any, Any] | None = None

    def describe(self) -> dict[str, Any]:
        """Model, adapter and decoding settings."""
        adapter = self.adapter.name if isinstance(self.adapter, Adapter) else self.adapter
        return {
            "engine": "vllm",
            "model": self.model_name,
            "adapter": adapter,
            **weights(self.model_name, adapter),
            **decoding(self.temperature, self.seed),
            "max_new_tokens": self.max_new_tokens,
            # Decides what is asked about in windows.
            "max_model_len": self.max_model_len,
            **(
                {"options": {name: str(value) for name, value in self.options.items()}}
                if self.options
                else {}
            ),
        }

    def fits(self, prompt: Prompt) -> bool:
        """Whether a question and the longest answer fit into the model's context."""
        llm, tokenizer, _ = self._load()
        return len(encode_prompt(tokenizer, prompt)) + self.max_new_tokens <= _context(llm)

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answer the prompts; replies come in the prompts' order.

        Raises:
            MissingExtraError: vLLM is not installed.
            GenerationError: The model or the adapter cannot be loaded.
        """
        if not prompts:
            return []
        llm, tokenizer, lora = self._load()
        from vllm import TokensPrompt

        limit = _context(llm)
        questions = [encode_prompt(tokenizer, prompt) for prompt in prompts]
        asked = [
            at for at, tokens in enumerate(questions) if len(tokens) + self.max_new_tokens <= limit
        ]
        stops = [None if tokenizer.chat_template else prompt.stop for prompt in prompts]
        ends = _ends(llm, tokenizer)
        others = sorted(ends - {tokenizer.eos_token_id})
        outputs = attempt(
            llm.generate,
            [TokensPrompt(prompt_token_ids=questions[at]) for at in asked],
            [self._parameters(prompts[at], stops[at], others) for at in asked],
            lora_request=lora,
            use_tqdm=False,
        )
        if isinstance(outputs, Mishap):
            raise self._refused(outputs) from outputs.error
        answers = {
            at: _answer(output, questions[at], stops[at], ends)
            for at, output in zip(asked, outputs, strict=True)
        }
        return [
            answers[at].reply(tokenizer)
            if at in answers
            else self._over_long(prompt, questions[at], limit)
            for at, prompt in enumerate(prompts)
        ]

    def _over_long(self, prompt: Prompt, question: Sequence[int], limit: int) -> Reply:
        where = f" (id {prompt.id!r})" if prompt.id else ""
        problem = (
            f"a prompt of {len(question)} tokens{where} and an answer of {self.max_new_tokens} do "
            f"not fit into "
            f"the {limit} of this run; shorten the text or --max-new-tokens, or raise "
            f"--max-model-len"
        )
        return Reply("", "error", len(question), 0, problem)

    def _parameters(self, prompt: Prompt, stop: str | None, ends: Sequence[int]) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        grammar = prompt.grammar
        if grammar is not None and stop is not None:
            grammar = continued(grammar, stop)
        if grammar is not None and ends:
            grammar = ended(grammar, ends)
        return SamplingParams(
            temperature=self.temperature,
            max_tokens=self.max_new_tokens,
            stop=None if stop is None else [stop],
            logprobs=0,
            seed=prompt_seed(self.seed, prompt) if self.temperature > 0 else None,
            structured_outputs=None
            if grammar is None
            else StructuredOutputsParams(grammar=grammar),
        )

    def paths(self) -> tuple[str, ...]:
        """What vLLM's server is to be given: the model's path or name, context, an adapter's folder
        and rank.

        Raises:
            InputError: No such adapter.
            GenerationError: vLLM could not load them.
        """
        path, adapter = self._find()
        context = str(self._model_len(path))
        return (
            (path, context)
            if adapter is None
            else (path, context, str(adapter.folder), str(_rank(adapter)))
        )

    def _load(self) -> tuple[LLM, Any, Any]:
        """The engine, its tokenizer, and what asks for the adapter."""
        if self._loaded is not None:
            return self._loaded
        path, adapter = self._find()
        # Its progress is told by llmner; in a process of its own every script would need a __main__
        # guard.
        for name, value in (
            ("VLLM_LOGGING_LEVEL", "ERROR"),
            ("VLLM_NO_USAGE_STATS", "1"),
            ("VLLM_ENABLE_V1_MULTIPROCESSING", "0"),
        ):
            os.environ.setdefault(name, value)
        try:
            from vllm import LLM
            from vllm.lora.request import LoRARequest
        except ImportError:
            raise MissingExtraError("vllm", "the vllm engine") from None
        if self.report is not None:
            self.report(f"Loading {self.model_name} into vLLM")
        settings: dict[str, Any] = {
            "dtype": "bfloat16",
            "max_model_len": self._model_len(path),
            "max_num_seqs": self.max_num_seqs,
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "enable_prefix_caching": True,
            "structured_outputs_config": {"backend": "guidance"},
            "trust_remote_code": self.trust_remote_code,
            "disable_log_stats": True,
        }
        lora = None
        if adapter is not None:
            settings |= {"enable_lora": True, "max_lora_rank": _rank(adapter)}
            lora = LoRARequest(adapter.folder.name, 1, str(adapter.folder))
        llm = attempt(LLM, path, **(settings | self.options))
        if isinstance(llm, Mishap):
            raise self._refused(llm) from llm.error
        self._loaded = llm, llm.get_tokenizer(), lora
        return self._loaded

    def _find(self) -> tuple[str, Adapter | None]:
        """Where model and adapter lie; vLLM would ask the Hub for a folder that is not there."""
        name = self.model_name
        adapter = self.adapter
        if isinstance(adapter, str):
            adapter = find_adapter(adapter, self.report)
        if adapter is not None:
            check_adapter(adapter)
        if name == EMBEDDED_MODEL:
            return str(embedded_model(self.report)), adapter
        folder = Path(name)
        if not folder.is_dir() and (
            folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1
        ):
            raise GenerationError(f"{name} cannot be loaded: no such folder")
        if is_exaone3(folder) and not self.trust_remote_code:
            raise GenerationError(
                f"{name} is an EXAONE 3 checkpoint, which needs code of its own; write it in "
                f"Llama's layout "
                f"with python scripts/convert_exaone.py {name} {name}-llama"
            )
        if _quantised(folder) == "bitsandbytes":
            raise GenerationError(f"{name} is quantised by bitsandbytes, {_NO_BITSANDBYTES}")
        try:
            check_model_folder(folder)
        except InputError as error:
            raise GenerationError(f"{name} cannot be loaded: {error}") from None
        return name, adapter

    def _model_len(self, path: str) -> int:
        """The context asked for, or the model's own where that is shorter."""
        from transformers import AutoConfig

        config = attempt(AutoConfig.from_pretrained, path, trust_remote_code=self.trust_remote_code)
        if isinstance(config, Mishap):
            raise self._refused(config) from config.error
        own = getattr(config.get_text_config(), "max_position_embeddings", None)
        return min(self.max_model_len, own) if isinstance(own, int) else self.max_model_len

    def _refused(self, mishap: Mishap) -> GenerationError:
        """What vLLM raises, of whatever kind, in one line."""
        told = mishap.message
        if "bitsandbytes" in told:
            return GenerationError(f"{self.model_name} asks for bitsandbytes, {_NO_BITSANDBYTES}")
        return GenerationError(f"vLLM cannot answer with {self.model_name}: {told}")


_NO_BITSANDBYTES = (
    "which vLLM no longer loads; serve the unquantised model with --adapter, or write one model "
    "of both with "
    "llmner merge"
)


def _quantised(folder: Path) -> str | None:
    """How a model's folder says that it is quantised."""
    try:
        held = read_object(folder / "config.json", "a model's configuration").get(
            "quantization_config"
        )
    except InputError:
        return None
    method = held.get("quant_method") if isinstance(held, dict) else None
    return method if isinstance(method, str) else None


def _rank(adapter: Adapter) -> int:
    """The least room that holds the adapter's rank.

    Raises:
        InputError: The adapter's configuration is none.
        GenerationError: vLLM has none.
    """
    rank = max(lora_settings(adapter).ranks)
    for room in _RANKS:
        if rank <= room:
            return room
    raise GenerationError(
        f"{adapter.name} has rank {rank}, and vLLM takes {_RANKS[-1]} at most; use llmner merge"
    )


def _context(llm: LLM) -> int:
    return int(llm.llm_engine.model_config.max_model_len)


def _ends(llm: LLM, tokenizer: Any) -> set[int]:
    """The tokens that end an answer; vLLM lists the one that did."""
    ends = llm.llm_engine.model_config.try_get_generation_config().get("eos_token_id")
    held = set(ends) if isinstance(ends, list) else set() if ends is None else {ends}
    return held | {tokenizer.eos_token_id}


def _answer(output: Any, question: list[int], stop: str | None, ends: set[int]) -> Answer:
    """vLLM's answer, token by token, as the other engine has it."""
    (given,) = output.outputs
    tokens = list(given.token_ids)
    logprobs = [
        held[token].logprob for token, held in zip(tokens, given.logprobs or (), strict=True)
    ]
    end = None
    if tokens and tokens[-1] in ends:
        end = logprobs.pop()
        del tokens[-1]
    return Answer(
        question,
        stop,
        tokens,
        logprobs,
        end,
        "length" if given.finish_reason == "length" else "stop",
    )


ENGINE = VllmGenerator
