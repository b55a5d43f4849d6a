"""The ``transformers`` engine: any causal language model, in this process, in batches.

Decoding is greedy by default, so the same call gives the same replies. Prompts are sorted by
length, padded on the left and answered batch by batch. A model without a chat template gets the
conversation as plain text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from llmner._mishaps import Mishap, attempt
from llmner.engines._decoding import Answer, Grammars
from llmner.engines._encoding import encode_prompt
from llmner.engines._in_process import (
    checked_adapter,
    describe_model,
    fitting_adapter,
    too_long,
)
from llmner.engines._language_model import (
    check_answerable,
    context_length,
    end_tokens,
    load_model,
    vocabulary_size,
)
from llmner.engines._loading import collections_paused
from llmner.engines._peft import check_settings, merge_into
from llmner.engines._processor import check_device, check_dtype, convert, fits_in_float32
from llmner.engines._quantization import check_quantization, four_bits
from llmner.engines._types import Capabilities, Engine, Reply, prompt_seed
from llmner.engines.adapters import Adapter
from llmner.engines.embedded import EMBEDDED_MODEL
from llmner.engines.grammars import continued
from llmner.errors import GenerationError, MissingExtraError
from llmner.recipes.chat import Prompt

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["TransformersGenerator", "encode_prompt", "load_model"]

# Questions join a batch when one place in so many is free.
_SHARE = 4


class TransformersGenerator(Engine):
    """Answers prompts with a ``transformers`` model.

    Nothing is loaded before the first prompt. Answers in float32 and in bfloat16 may differ where
    two tokens are about equally likely.

    >>> engine = TransformersGenerator(adapter="gemma-3-270m-klue-ner", max_new_tokens=64)
    >>> engine.describe()["decoding"]
    'greedy'

    Args:
        model: Name on the Hub, a folder, or ``None`` for the embedded model.
        adapter: A PEFT adapter to merge into the model: a folder, ``USER/NAME`` on the Hub, the
            packaged adapter's name, or an adapter that was found already.
        batch_size: Sentences answered together.
        max_new_tokens: Longest answer, in tokens.
        temperature: 0 gives the likeliest answer. Above 0, answers are drawn; each sample of a
            prompt is a different draw.
        seed: Seed of the draws. The same seed gives the same answers, whatever is in the batch.
        device: ``"auto"`` (CUDA if there is one), ``"cpu"``, ``"cuda:0"``, ...
        dtype: ``"auto"``, ``"float32"``, ``"bfloat16"``, ``"float16"``, or ``"int8"``, in which a
            CPU computes linear layers, faster and less exactly. With ``"auto"`` a CPU computes in
            what is measured to be faster there, float32 or bfloat16.
        quantization: ``"nf4"`` loads the weights in 4 bits (QLoRA's: nf4 with double quantisation,
            computed with in bfloat16), as they were while an adapter was trained on them.
        trust_remote_code: Run Python code that comes with the model. Off by default.
        report: Called with a sentence before anything that takes long.
    """

    capabilities = Capabilities(
        grammar=True,
        json_schema=True,
        logprobs=True,
        samples=True,
        adapters=True,
        in_process=True,
        sorts=True,
        batch_size=32,
    )

    def __init__(
        self,
        model: str | None = None,
        *,
        adapter: str | Adapter | None = None,
        batch_size: int = 32,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
        device: str = "auto",
        dtype: str = "auto",
        quantization: str = "none",
        trust_remote_code: bool = False,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.model_name = model or EMBEDDED_MODEL
        self.adapter = adapter
        self.batch_size = batch_size
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.seed = seed
        self.device = device
        self.dtype = dtype
        self.quantization = quantization
        self.trust_remote_code = trust_remote_code
        self.report = report
        self._loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None
        self._grammars: Grammars | None = None

    def describe(self) -> dict[str, Any]:
        """Engine, model, adapter and decoding settings."""
        return describe_model(
            "transformers",
            self.model_name,
            self.adapter,
            temperature=self.temperature,
            seed=self.seed,
            max_new_tokens=self.max_new_tokens,
            # What is fast is left out: it decides few answers, and runs go on on other processors.
            **({} if self.dtype == "auto" else {"dtype": self.dtype}),
            **({} if self.quantization == "none" else {"quantization": self.quantization}),
        )

    def model_size(self) -> dict[str, int]:
        """``parameters`` and ``bytes`` of the model, with the adapter merged into it."""
        parameters = list(self.load()[0].parameters())
        return {
            "parameters": sum(parameter.numel() for parameter in parameters),
            "bytes": sum(parameter.numel() * parameter.element_size() for parameter in parameters),
        }

    @classmethod
    def around(
        cls,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        batch_size: int = 32,
        max_new_tokens: int = 256,
    ) -> TransformersGenerator:
        """An engine around a model that is loaded already, for example one in training.

        The tokenizer must pad on the left. Put the model into evaluation mode yourself.

        >>> engine = TransformersGenerator.around(model, tokenizer, name="mine")  # doctest: +SKIP
        """
        engine = cls(name, batch_size=batch_size, max_new_tokens=max_new_tokens)
        engine._loaded = model, tokenizer
        return engine

    def load(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """The model, with the adapter merged into it, and its tokenizer. Loaded only once.

        Raises:
            MissingExtraError: The ``local`` extra is not installed.
            InputError: A file of the adapter is missing or broken; there is no such device or
                number type here.
            GenerationError: The model or the adapter cannot be loaded.
        """
        if self._loaded is None:
            with collections_paused():
                self._loaded = self._load()
        return self._loaded

    def _load(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        # What may be wrong first: checking it takes a second, loading a model may take minutes.
        check_quantization(self.quantization, self.dtype)
        device = self._device()
        settings: dict[str, Any] = {}
        if self.quantization != "none":
            settings = {"quantization_config": four_bits(), "device_map": {"": device}}
        adapter = checked_adapter(self.adapter, self.report)
        if adapter is not None:
            check_settings(adapter)
        model, tokenizer = load_model(
            self.model_name,
            dtype=self.dtype,
            trust_remote_code=self.trust_remote_code,
            report=self.report,
            **settings,
        )
        if adapter is not None:
            model = merge_into(model, fitting_adapter(adapter, model.config.model_type))
        check_answerable(self.model_name, model, tokenizer)
        model.eval()
        if settings:
            return model, tokenizer
        model.to(device)
        if self.dtype == "int8":
            self._quantise(model, tokenizer)
        else:
            convert(model, self.dtype)
        return model, tokenizer

    def _device(self) -> torch.device:
        """The device, after a check that it exists and has the number type."""
        try:
            device = check_device(self.device)
        except ImportError:
            raise MissingExtraError("local", "the transformers engine") from None
        check_dtype(self.dtype, device)
        return device

    def _quantise(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        from llmner.engines._int8 import linear_layers, quantise

        if not any(linear_layers(model)):
            raise GenerationError(
                f"{self.model_name} has no linear layers that could be turned into int8; use "
                "--dtype auto"
            )
        if fits_in_float32(model):
            # Measuring inputs is faster in it.
            model.float()
        quantise(model, tokenizer)

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answer the prompts. The replies are in the order of the prompts.

        Raises:
            MissingExtraError: The ``local`` extra is not installed.
            GenerationError: The model cannot be loaded.
        """
        if not prompts:
            return []
        replies = dict(self.stream(prompts))
        return [replies[number] for number in range(len(prompts))]

    def stream(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Reply]]:
        """Answer the prompts, and yield each reply with its prompt's number once it is whole.

        Raises:
            MissingExtraError: The ``local`` extra is not installed.
            GenerationError: The model cannot be loaded.
        """
        if not prompts:
            return
        model, tokenizer = self.load()
        answers = [self._begin(model, tokenizer, prompt) for prompt in prompts]
        self._check_length(model, prompts, answers)
        numbers = {id(answer): number for number, answer in enumerate(answers)}
        for answer in self._finished(answers):
            yield numbers[id(answer)], answer.reply(tokenizer)

    def _finished(self, answers: Sequence[Answer]) -> Iterator[Answer]:
        """The answers in the order in which they end."""
        from llmner.engines._batch import Batch
        from llmner.engines._scores import LanguageModel

        model, tokenizer = self.load()
        yield from (answer for answer in answers if answer.done)
        # Longest first: running out of memory shows at once, and batches have equal lengths.
        waiting = sorted(
            (answer for answer in answers if not answer.done),
            key=lambda answer: len(answer.question),
        )
        batch = Batch(
            LanguageModel(model),
            tokenizer,
            ends=end_tokens(model, tokenizer),
            limit=self.max_new_tokens,
            temperature=self.temperature,
        )
        while waiting or batch.going:
            before = batch.going
            room = self.batch_size - len(before)
            # A few at a time: reading them one by one would take longer.
            if waiting and batch.is_open and room * _SHARE >= self.batch_size:
                joining = [waiting.pop() for _ in range(min(room, len(waiting)))]
                for answer in joining:
                    self._bind(answer)
                before = [*before, *joining]
                readable = [answer for answer in joining if not answer.done]
                if readable:
                    batch.read(readable)
            else:
                batch.step()
            yield from (answer for answer in before if answer.done)

    def fits(self, prompt: Prompt) -> bool:
        """Whether the prompt and the longest answer fit into the model's context."""
        model, tokenizer = self.load()
        limit = context_length(model)
        return limit is None or len(encode_prompt(tokenizer, prompt)) + self.max_new_tokens <= limit

    def _begin(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: Prompt
    ) -> Answer:
        stop = None if tokenizer.chat_template else prompt.stop
        answer = Answer(encode_prompt(tokenizer, prompt), stop)
        if prompt.grammar is not None:
            answer.grammar = prompt.grammar if stop is None else continued(prompt.grammar, stop)
        if self.temperature > 0:
            answer.dice = Random(prompt_seed(self.seed, prompt))
        return answer

    def _bind(self, answer: Answer) -> None:
        """Make an answer keep to its grammar. It is done late: grammars take memory."""
        if answer.grammar is None:
            return
        if self._grammars is None:
            model, tokenizer = self.load()
            self._grammars = Grammars(
                tokenizer, vocabulary_size(model), end_tokens(model, tokenizer)
            )
        matcher = attempt(self._grammars.matcher, answer.grammar)
        if isinstance(matcher, Mishap):
            # Each sentence has a grammar of its own; a broken one must not stop the others.
            answer.finish, answer.error = "error", matcher.message
        else:
            answer.matcher = matcher

    def _check_length(
        self, model: PreTrainedModel, prompts: Sequence[Prompt], answers: Sequence[Answer]
    ) -> None:
        """End the answers of prompts that do not fit into the model's context, and no others."""
        limit = context_length(model)
        for prompt, answer in zip(prompts, answers, strict=True):
            tokens = len(answer.question)
            if limit is not None and tokens + self.max_new_tokens > limit:
                answer.finish = "error"
                answer.error = too_long(
                    prompt,
                    tokens,
                    self.max_new_tokens,
                    f"the {limit} tokens of {self.model_name}",
                    "shorten the text or lower --max-new-tokens",
                )


ENGINE = TransformersGenerator
