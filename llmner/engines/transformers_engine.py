"""The ``transformers`` engine: any causal language model, in process, in batches.

Greedy unless told otherwise, so the same call gives the same replies. Prompts are sorted by length,
padded on the left and answered batch by batch; models without a chat template get the conversation
as plain text.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from llmner._mishaps import Mishap, attempt, one_line
from llmner.engines._decoding import Answer, Grammars, choose, normalizers
from llmner.engines._denormals import denormals_flushed
from llmner.engines._loading import load_pretrained
from llmner.engines._model_files import read_tensors
from llmner.engines._processor import suit_processor
from llmner.engines._types import PLAIN_QUESTION, Capabilities, Engine, Reply, decoding, prompt_seed
from llmner.engines.adapters import (
    ADAPTER_FILE,
    CONFIG_FILE,
    Adapter,
    check_adapter,
    find_adapter,
    weights,
)
from llmner.engines.embedded import EMBEDDED_MODEL, embedded_model
from llmner.engines.exaone import is_exaone3
from llmner.engines.grammars import continued
from llmner.errors import GenerationError, InputError, MissingExtraError
from llmner.recipes.chat import Message, Prompt

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["TransformersGenerator", "encode_prompt", "load_model"]

# A batch stops once no more than one in so many of its answers goes on.
_FEW = 4


class TransformersGenerator(Engine):
    """Answers prompts with a ``transformers`` model.

    Nothing is loaded before the first prompt. A model computes in bfloat16, but in float32 on a
    processor that has no instructions for bfloat16; answers may then differ where two tokens are
    nearly as likely.

    Args:
        model: Name on the Hub, a folder, or ``None`` for the embedded model.
        adapter: A PEFT adapter to merge into it: a folder, ``USER/NAME`` on the Hub, the packaged
            one's name, or one that was found already.
        batch_size: Sentences answered together.
        max_new_tokens: Longest answer, in tokens.
        temperature: 0 for the likeliest answer; above, answers are drawn, each sample of a prompt
            another one.
        seed: Of draws; the same seed gives the same answers, whatever they are batched with.
        device: ``"auto"`` (CUDA where there is one), ``"cpu"``, ``"cuda:0"``, ...
        trust_remote_code: Run Python code that comes with a model. Off unless asked for.
        report: Told in a sentence what is being waited for.
    """

    capabilities = Capabilities(
        grammar=True,
        json_schema=True,
        logprobs=True,
        samples=True,
        adapters=True,
        in_process=True,
        sorts=True,
    )

    def __init__(
        self,
        model: str | None = None,
        *,
        adapter: str | Adapter | None = None,
        batch_size: int = 16,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
        device: str = "auto",
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
        self.trust_remote_code = trust_remote_code
        self.report = report
        self._loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None
        self._grammars: Grammars | None = None

    def describe(self) -> dict[str, Any]:
        """Model, adapter and decoding settings."""
        adapter = self.adapter.name if isinstance(self.adapter, Adapter) else self.adapter
        return {
            "engine": "transformers",
            "model": self.model_name,
            "adapter": adapter,
            **weights(self.model_name, adapter),
            **decoding(self.temperature, self.seed),
            "max_new_tokens": self.max_new_tokens,
        }

    def model_size(self) -> dict[str, int]:
        """Parameters and bytes of the model, the adapter in its weights."""
        weights = list(self.load()[0].parameters())
        return {
            "parameters": sum(weight.numel() for weight in weights),
            "bytes": sum(weight.numel() * weight.element_size() for weight in weights),
        }

    @classmethod
    def around(
        cls,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        batch_size: int = 16,
        max_new_tokens: int = 256,
    ) -> TransformersGenerator:
        """An engine around a model that is loaded already, one in training for instance.

        The tokenizer must pad on the left; the model's mode is the caller's to set.
        """
        engine = cls(name, batch_size=batch_size, max_new_tokens=max_new_tokens)
        engine._loaded = model, tokenizer
        return engine

    def load(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """The model, with the adapter in its weights, and its tokenizer; loaded when they are first
        asked for.

        Raises:
            MissingExtraError: The ``local`` extra is not installed.
            InputError: A file of the adapter is missing or broken.
            GenerationError: The model or the adapter cannot be loaded.
        """
        if self._loaded is not None:
            return self._loaded
        # The adapter first: that shows in a second. PEFT would ask the Hub for a folder that is not
        # there.
        found = (
            find_adapter(self.adapter, self.report)
            if isinstance(self.adapter, str)
            else self.adapter
        )
        if found is not None:
            check_adapter(found)
            _check_settings(found)
        model, tokenizer = load_model(
            self.model_name, trust_remote_code=self.trust_remote_code, report=self.report
        )
        import torch

        if found is not None:
            model = _with_adapter(model, found)
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        _check_questions(self.model_name, model, tokenizer)
        model.to(device)
        suit_processor(model)
        model.eval()
        self._loaded = model, tokenizer
        return self._loaded

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answer the prompts; replies come in the prompts' order.

        Raises:
            MissingExtraError: The ``local`` extra is not installed.
            GenerationError: The model cannot be loaded.
        """
        if not prompts:
            return []
        model, tokenizer = self.load()
        asked = [self._begin(model, tokenizer, prompt) for prompt in prompts]
        self._check_length(model, prompts, asked)
        left = [each for each in asked if not each.done]
        while left:
            # Longest first: running out of memory shows at once, and batches hold equals.
            left = sorted(left, key=lambda each: -len(each.question) - len(each.answer))
            for at in range(0, len(left), self.batch_size):
                self._go_on(model, tokenizer, left[at : at + self.batch_size])
            # The few of each batch whose answers are long are put together instead of holding up
            # the others.
            left = [each for each in left if not each.done]
        return [each.reply(tokenizer) for each in asked]

    def fits(self, prompt: Prompt) -> bool:
        """Whether a question and the longest answer fit into the model's context."""
        model, tokenizer = self.load()
        limit = _context(model)
        return limit is None or len(encode_prompt(tokenizer, prompt)) + self.max_new_tokens <= limit

    def _begin(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: Prompt
    ) -> Answer:
        stop = None if tokenizer.chat_template else prompt.stop
        answer = Answer(encode_prompt(tokenizer, prompt), stop)
        if prompt.grammar is not None:
            if self._grammars is None:
                words = model.get_output_embeddings().weight.shape[0]
                self._grammars = Grammars(tokenizer, words, _end_tokens(model, tokenizer))
            grammar = prompt.grammar if stop is None else continued(prompt.grammar, stop)
            matcher = attempt(self._grammars.matcher, grammar)
            if isinstance(matcher, Mishap):
                # Grammars are made of a sentence: that one holds up no other.
                answer.finish, answer.error = "error", matcher.message
            else:
                answer.matcher = matcher
        if self.temperature > 0:
            answer.dice = Random(prompt_seed(self.seed, prompt))
        return answer

    def _check_length(
        self, model: PreTrainedModel, prompts: Sequence[Prompt], asked: Sequence[Answer]
    ) -> None:
        """What does not fit into the model's context has no answer, and holds up no other."""
        limit = _context(model)
        for prompt, each in zip(prompts, asked, strict=True):
            if limit is not None and len(each.question) + self.max_new_tokens > limit:
                where = f" (id {prompt.id!r})" if prompt.id else ""
                each.finish = "error"
                each.error = (
                    f"a prompt of {len(each.question)} tokens{where} and an answer of "
                    f"{self.max_new_tokens} do "
                    f"not fit into {self.model_name}'s {limit}; shorten the text or "
                    f"--max-new-tokens"
                )

    def _go_on(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch: list[Answer]
    ) -> None:
        """Answer on, until all have ended or so few are left that they are better joined with
        others.
        """
        import torch
        from transformers import (
            LogitsProcessor,
            LogitsProcessorList,
            StoppingCriteria,
            StoppingCriteriaList,
        )

        ends = _end_tokens(model, tokenizer)
        few = len(batch) // _FEW
        limit, temperature = self.max_new_tokens, self.temperature
        free = temperature <= 0 and all(each.matcher is None for each in batch)

        class _Choice(LogitsProcessor):  # type: ignore[misc]
            """Keeps rows to their grammars, and remembers what probabilities are made of."""

            scores: torch.Tensor
            sums: torch.Tensor

            def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
                # scores: (batch, vocabulary)
                self.sums = normalizers(scores)
                self.scores = scores if free else choose(batch, scores, ends, temperature)
                return self.scores

        class _Enough(StoppingCriteria):  # type: ignore[misc]
            """Ends a row at its end token, its stop string or its limit, and all rows when few are
            left.
            """

            def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
                # input_ids: (batch, context + answered in this call)
                tokens = input_ids[:, -1]
                logprobs = choice.scores.gather(-1, tokens[:, None]).squeeze(-1) - choice.sums
                for each, token, logprob in zip(
                    batch, tokens.tolist(), logprobs.tolist(), strict=True
                ):
                    if not each.done:
                        each.take(token, logprob, ends, tokenizer, limit)
                going = sum(not each.done for each in batch)
                if going <= few:
                    return torch.ones(len(batch), dtype=torch.bool, device=input_ids.device)
                done = [each.done for each in batch]
                return torch.tensor(done, dtype=torch.bool, device=input_ids.device)

        choice = _Choice()
        contexts = [each.question + each.answer for each in batch]
        width = max(map(len, contexts))
        pad = tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (width - len(tokens)) + tokens for tokens in contexts])
        mask = torch.tensor(
            [[0] * (width - len(tokens)) + [1] * len(tokens) for tokens in contexts]
        )
        with (
            torch.inference_mode(),
            denormals_flushed(),
            _whole_states(model),
            _plain_greedy(model, ends),
        ):
            model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                max_new_tokens=max(limit - len(each.answer) for each in batch),
                do_sample=False,
                use_cache=True,
                pad_token_id=pad,
                logits_processor=LogitsProcessorList([choice]),
                stopping_criteria=StoppingCriteriaList([_Enough()]),
            )


def _check_questions(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make sure that the model can be asked anything at all, before it is asked thousands of
    questions.

    Raises:
        GenerationError: Its tokenizer, its chat template or its end tokens are none.
    """
    asked = attempt(encode_prompt, tokenizer, PLAIN_QUESTION)
    if isinstance(asked, Mishap):
        raise GenerationError(
            f"{name} cannot be asked: its tokenizer or chat template fails ({asked})"
        )
    words = model.get_output_embeddings().weight.shape[0]
    ends = attempt(_end_tokens, model, tokenizer)
    if isinstance(ends, Mishap) or not all(type(end) is int and 0 <= end < words for end in ends):
        raise GenerationError(
            f"{name} cannot be asked: 'eos_token_id' of its generation_config.json or config.json "
            f"is none of "
            f"its {words} tokens"
        )
    if not asked or not all(type(token) is int and 0 <= token < words for token in asked):
        raise GenerationError(
            f"{name} cannot be asked: its tokenizer makes no tokens that the model knows"
        )


def _check_settings(adapter: Adapter) -> None:
    """Make sure that PEFT takes an adapter's configuration, before a model is loaded for it.

    Raises:
        MissingExtraError: The ``local`` extra is not installed.
        InputError: It does not.
    """
    # Complains of a kernel that it can do without.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        from peft import PeftConfig
    except ImportError:
        raise MissingExtraError("local", "loading an adapter") from None
    with warnings.catch_warnings():
        # Of settings that it does not know, which the weights will tell of.
        warnings.simplefilter("ignore")
        read = attempt(PeftConfig.from_pretrained, str(adapter.folder))
    if isinstance(read, Mishap):
        hint = "expected what this release of PEFT writes"
        raise InputError(
            f"PEFT cannot read it ({read})", path=adapter.folder / CONFIG_FILE, hint=hint
        )


def _with_adapter(model: Any, adapter: Adapter) -> Any:
    """The model with the adapter in its weights.

    Raises:
        MissingExtraError: The ``local`` extra is not installed.
        GenerationError: The adapter is not one of this model.
    """
    try:
        from peft import PeftModel, get_peft_model_state_dict
    except ImportError:
        raise MissingExtraError("local", "loading an adapter") from None

    def merged() -> Any:
        with warnings.catch_warnings():
            # PEFT uses a name that transformers has given up; nothing a reader could do about.
            warnings.filterwarnings("ignore", ".*gradient_checkpointing.*", FutureWarning)
            # It goes on without them, as if there were no adapter.
            warnings.filterwarnings("error", "Found missing adapter keys")
            adapted = PeftModel.from_pretrained(model, str(adapter.folder))
            # It leaves out what no module asks for; then the configuration is not that of these
            # weights.
            used = get_peft_model_state_dict(adapted, save_embedding_layers=False)
            for name in read_tensors(adapter.folder / ADAPTER_FILE):
                if "lora_" in name and name not in used:
                    raise ValueError(f"the configuration leaves out {one_line(name, 120)}")
            # Merged into the weights it costs nothing; as separate factors it would cost every
            # answer.
            return adapted.merge_and_unload()

    made = attempt(merged)
    if isinstance(made, Mishap):
        raise GenerationError(
            f"{adapter.name} is no adapter of this model, or broken: {made}"
        ) from made.error
    return made


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    ends = model.generation_config.eos_token_id
    held = set(ends) if isinstance(ends, list) else {ends}
    return {end for end in (*held, tokenizer.eos_token_id) if end is not None}


@contextmanager
def _plain_greedy(model: PreTrainedModel, ends: set[int]) -> Iterator[None]:
    """Leave the model's own decoding settings out: penalties and the like would change the
    likeliest answer.
    """
    from transformers import GenerationConfig

    own = model.generation_config
    model.generation_config = GenerationConfig(eos_token_id=sorted(ends) or None)
    try:
        yield
    finally:
        model.generation_config = own


def _context(model: PreTrainedModel) -> int | None:
    """Tokens that question and answer may have together, where the model says."""
    limit = getattr(model.config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) else None


@contextmanager
def _whole_states(model: Any) -> Iterator[None]:
    """Hand the output head contiguous hidden states.

    The last position of every question is a slice, and torch multiplies a sliced batch with a
    frozen weight as a batch of multiplications, each with a copy of the weight: with 262,144 words
    a minute and ten gigabytes for what takes a tenth of a second. Adapters freeze the weights they
    are merged into.
    """
    head = model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, given: (given[0].contiguous(), *given[1:]))
    try:
        yield
    finally:
        hook.remove()


def load_model(
    name: str,
    *,
    trust_remote_code: bool = False,
    report: Callable[[str], None] | None = None,
    **options: Any,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model in bfloat16 and its tokenizer, which pads on the left.

    Args:
        name: Name on the Hub, a folder, or :data:`EMBEDDED_MODEL`.
        trust_remote_code: Run Python code that comes with the model.
        report: Told in a sentence what is being waited for.
        **options: Passed on to ``from_pretrained`` (``quantization_config``, ``device_map``, ...).

    Raises:
        MissingExtraError: The ``local`` extra is not installed.
        GenerationError: The model cannot be loaded; of a local one the file that is broken is
            named.
    """
    try:
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging
    except ImportError:
        raise MissingExtraError("local", "the transformers engine") from None
    logging.disable_progress_bar()
    path = name
    if name == EMBEDDED_MODEL:
        path = str(embedded_model(report))
    elif is_exaone3(Path(name)) and not trust_remote_code:
        raise GenerationError(
            f"{name} is an EXAONE 3 checkpoint, which needs code of its own; write it in Llama's "
            f"layout "
            f"with python scripts/convert_exaone.py {name} {name}-llama"
        )
    if report is not None:
        report(f"Loading {name}")
    with denormals_flushed():
        model, tokenizer = load_pretrained(
            AutoModelForCausalLM,
            name,
            path,
            dtype=torch.bfloat16,
            trust_remote_code=trust_remote_code,
            **options,
        )
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def encode_prompt(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> list[int]:
    """The tokens a model is asked: its chat template filled in, or the conversation as plain
    text.
    """
    if not tokenizer.chat_template:
        return list(tokenizer(prompt.completion)["input_ids"])
    import jinja2

    try:
        text = tokenizer.apply_chat_template(
            list(prompt.messages), tokenize=False, add_generation_prompt=True
        )
    except jinja2.TemplateError:
        # Some templates (Gemma's) know no system role: its text opens the first question.
        text = tokenizer.apply_chat_template(
            _without_system(prompt.messages), tokenize=False, add_generation_prompt=True
        )
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _without_system(messages: Sequence[Message]) -> list[Message]:
    if not messages or messages[0]["role"] != "system":
        return list(messages)
    first = messages[1]
    merged: Message = {
        "role": first["role"],
        "content": f"{messages[0]['content']}\n\n{first['content']}",
    }
    return [merged, *messages[2:]]


ENGINE = TransformersGenerator
