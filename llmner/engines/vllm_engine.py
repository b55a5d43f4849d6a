"""The ``vllm`` engine: vLLM in this process, with continuous batching and shared prompt prefixes.

Prompts are turned into tokens as in the ``transformers`` engine, so a model reads the same tokens
in both. vLLM pins its own versions of torch and transformers and needs an environment of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from llmner._mishaps import Mishap, attempt
from llmner.engines._decoding import Answer
from llmner.engines._encoding import encode_prompt
from llmner.engines._in_process import (
    checked_adapter,
    describe_model,
    fitting_adapter,
    model_to_load,
    too_long,
)
from llmner.engines._loading import check_folder
from llmner.engines._model_files import check_model_folder, read_object
from llmner.engines._types import Capabilities, Engine, Reply, prompt_seed
from llmner.engines.adapters import Adapter, lora_settings
from llmner.engines.embedded import EMBEDDED_MODEL, embedded_model
from llmner.engines.grammars import continued, ended
from llmner.errors import GenerationError, InputError, MissingExtraError
from llmner.recipes.chat import Prompt

if TYPE_CHECKING:
    from vllm import LLM

__all__ = ["VllmGenerator"]

# The values that vLLM takes as the largest rank of adapters.
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


class VllmGenerator(Engine):
    """Answers prompts with vLLM, in this process.

    Nothing is loaded before the first prompt. The defaults suit a model of 7.8B parameters in
    bfloat16, with an adapter, on one card of 24 GB.

    >>> VllmGenerator("gpt2", temperature=0.7, seed=3).describe()["decoding"]
    't=0.7'

    Args:
        model: Name on the Hub, a folder, or ``None`` for the embedded model.
        adapter: A PEFT adapter to serve on top of the model, named as for the ``transformers``
            engine. vLLM does not merge it; ``llmner merge`` writes a merged model, which is faster.
        max_new_tokens: Longest answer, in tokens.
        max_model_len: Most tokens of a question and its answer together. The model's own limit is
            used if it is lower.
        max_num_seqs: Sentences answered at a time. A thousand are passed at once and wait in
            vLLM's queue.
        gpu_memory_utilization: Share of the card's memory for weights and cache together, 0 to 1.
        temperature: 0 gives the likeliest answer. Above 0, answers are drawn; each sample of a
            prompt is a different draw.
        seed: Seed of the draws.
        trust_remote_code: Run Python code that comes with a model. Off by default.
        options: Further arguments of ``vllm.LLM``.
        report: Called with a sentence before anything that takes long.
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
        """Engine, model, adapter, decoding settings, and what else decides the answers."""
        described = describe_model(
            "vllm",
            self.model_name,
            self.adapter,
            temperature=self.temperature,
            seed=self.seed,
            max_new_tokens=self.max_new_tokens,
        )
        # Decides which texts are split into windows.
        described["max_model_len"] = self.max_model_len
        if self.options:
            described["options"] = {name: str(value) for name, value in self.options.items()}
        return described

    def fits(self, prompt: Prompt) -> bool:
        """Whether the prompt and the longest answer fit into the model's context."""
        llm, tokenizer, _ = self._load()
        return len(encode_prompt(tokenizer, prompt)) + self.max_new_tokens <= _context_length(llm)

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answer the prompts. The replies are in the order of the prompts.

        Raises:
            MissingExtraError: vLLM is not installed.
            GenerationError: The model or the adapter cannot be loaded, or vLLM fails.
        """
        if not prompts:
            return []
        llm, tokenizer, lora = self._load()
        from vllm import TokensPrompt

        limit = _context_length(llm)
        questions = [encode_prompt(tokenizer, prompt) for prompt in prompts]
        fitting = [
            index
            for index, tokens in enumerate(questions)
            if len(tokens) + self.max_new_tokens <= limit
        ]
        stops = [None if tokenizer.chat_template else prompt.stop for prompt in prompts]
        ends = _end_tokens(llm, tokenizer)
        other_ends = sorted(ends - {tokenizer.eos_token_id})
        outputs = attempt(
            llm.generate,
            [TokensPrompt(prompt_token_ids=questions[index]) for index in fitting],
            [self._parameters(prompts[index], stops[index], other_ends) for index in fitting],
            lora_request=lora,
            use_tqdm=False,
        )
        if isinstance(outputs, Mishap):
            raise self._failure(outputs) from outputs.error
        answers = {
            index: _answer(output, questions[index], stops[index], ends)
            for index, output in zip(fitting, outputs, strict=True)
        }
        return [
            answers[index].reply(tokenizer)
            if index in answers
            else self._too_long(prompt, len(questions[index]), limit)
            for index, prompt in enumerate(prompts)
        ]

    def _too_long(self, prompt: Prompt, tokens: int, limit: int) -> Reply:
        error = too_long(
            prompt,
            tokens,
            self.max_new_tokens,
            f"the {limit} tokens of this run",
            "shorten the text, lower --max-new-tokens or raise --max-model-len",
        )
        return Reply("", "error", tokens, 0, error)

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
        """What vLLM's own server needs: the model, the context, and an adapter's folder and rank.

        Returns:
            The model's path or name and the context in tokens; with an adapter also its folder and
            the least ``max_lora_rank`` that holds it.

        Raises:
            InputError: There is no such adapter.
            GenerationError: vLLM could not load them.
        """
        path, adapter = self._find()
        context = str(self._model_len(path))
        return (
            (path, context)
            if adapter is None
            else (path, context, str(adapter.folder), str(_max_lora_rank(adapter)))
        )

    def _load(self) -> tuple[LLM, Any, Any]:
        """The engine, its tokenizer, and the request for the adapter. Loaded only once."""
        if self._loaded is not None:
            return self._loaded
        path, adapter = self._find()
        # llmner reports progress itself. In a process of its own vLLM would need a __main__ guard
        # in every script.
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
            settings |= {"enable_lora": True, "max_lora_rank": _max_lora_rank(adapter)}
            lora = LoRARequest(adapter.folder.name, 1, str(adapter.folder))
        llm = attempt(LLM, path, **(settings | self.options))
        if isinstance(llm, Mishap):
            raise self._failure(llm) from llm.error
        self._loaded = llm, llm.get_tokenizer(), lora
        return self._loaded

    def _find(self) -> tuple[str, Adapter | None]:
        """The model's path or name, and the adapter.

        A missing folder is an error here, since vLLM would ask the Hub for it.
        """
        name = self.model_name
        adapter = checked_adapter(self.adapter, self.report)
        if name == EMBEDDED_MODEL:
            return str(embedded_model(self.report)), adapter
        check_folder(name)
        path = model_to_load(name, trust_remote_code=self.trust_remote_code, report=self.report)
        folder = Path(path)
        if _quantisation(folder) == "bitsandbytes":
            raise GenerationError(f"{name} is quantised by bitsandbytes, {_NO_BITSANDBYTES}")
        try:
            check_model_folder(folder)
        except InputError as error:
            raise GenerationError(f"{name} cannot be loaded: {error}") from None
        if adapter is not None:
            adapter = fitting_adapter(adapter, self._config(path).model_type)
        return path, adapter

    def _config(self, path: str) -> Any:
        """The model's configuration."""
        from transformers import AutoConfig

        config = attempt(AutoConfig.from_pretrained, path, trust_remote_code=self.trust_remote_code)
        if isinstance(config, Mishap):
            raise self._failure(config) from config.error
        return config

    def _model_len(self, path: str) -> int:
        """The context asked for, or the model's own if that is shorter, in tokens."""
        config = self._config(path)
        own = getattr(config.get_text_config(), "max_position_embeddings", None)
        return min(self.max_model_len, own) if isinstance(own, int) else self.max_model_len

    def _failure(self, mishap: Mishap) -> GenerationError:
        """Whatever vLLM raised, as one line."""
        if "bitsandbytes" in mishap.message:
            return GenerationError(f"{self.model_name} needs bitsandbytes, {_NO_BITSANDBYTES}")
        return GenerationError(f"vLLM failed with {self.model_name}: {mishap.message}")


ENGINE = VllmGenerator


_NO_BITSANDBYTES = (
    "which vLLM no longer loads; serve the unquantised model with --adapter, or merge the two into "
    "one model with llmner merge"
)


def _quantisation(folder: Path) -> str | None:
    """The method by which a local model is quantised, if its configuration names one."""
    try:
        config = read_object(folder / "config.json", "a model's configuration")
    except InputError:
        return None
    quantisation = config.get("quantization_config")
    method = quantisation.get("quant_method") if isinstance(quantisation, dict) else None
    return method if isinstance(method, str) else None


def _max_lora_rank(adapter: Adapter) -> int:
    """The least ``max_lora_rank`` of vLLM that holds the adapter's rank.

    Raises:
        InputError: The adapter's configuration is broken.
        GenerationError: The rank is higher than vLLM allows.
    """
    rank = max(lora_settings(adapter).ranks)
    for allowed in _RANKS:
        if rank <= allowed:
            return allowed
    raise GenerationError(
        f"{adapter.name} has rank {rank}, and vLLM takes at most {_RANKS[-1]}; use llmner merge"
    )


def _context_length(llm: LLM) -> int:
    return int(llm.llm_engine.model_config.max_model_len)


def _end_tokens(llm: LLM, tokenizer: Any) -> set[int]:
    """The tokens that end an answer. vLLM includes the one that did in its output."""
    ends = llm.llm_engine.model_config.try_get_generation_config().get("eos_token_id")
    own = set(ends) if isinstance(ends, list) else set() if ends is None else {ends}
    return own | {tokenizer.eos_token_id}


def _answer(output: Any, question: list[int], stop: str | None, ends: set[int]) -> Answer:
    """vLLM's output as an answer, token by token, like that of the ``transformers`` engine."""
    (completion,) = output.outputs
    tokens = list(completion.token_ids)
    logprobs = [
        logprobs_by_token[token].logprob
        for token, logprobs_by_token in zip(tokens, completion.logprobs or (), strict=True)
    ]
    end_logprob = None
    if tokens and tokens[-1] in ends:
        end_logprob = logprobs.pop()
        del tokens[-1]
    return Answer(
        question,
        stop,
        tokens,
        logprobs,
        end_logprob,
        "length" if completion.finish_reason == "length" else "stop",
    )
