"""Adapters and models of which something is broken: one clean line, whatever it is."""

from __future__ import annotations

import json
import shutil
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmner.engines import _model_files, adapters
from llmner.engines.adapters import check_adapter, find_adapter, weights
from llmner.engines.merging import merge_adapter
from llmner.engines.transformers_engine import TransformersGenerator
from llmner.engines.vllm_engine import VllmGenerator
from llmner.errors import GenerationError, InputError
from llmner.recipes.chat import Prompt
from tests.corruption import breaks, outcomes
from tests.tiny import tiny_model

torch = pytest.importorskip("torch", reason='needs pip install "llmner[local]"')
peft = pytest.importorskip("peft", reason='needs pip install "llmner[local]"')

PROMPT = Prompt(({"role": "user", "content": "가"},), "가", "\n", "가")
# Rust tells of its panics, and libraries of what they make of odd settings.
others_warnings = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_model(tmp_path_factory.mktemp("model") / "base")
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "eos_token": "</s>",
                "model_max_length": 99,
            }
        )
    )
    return folder


@pytest.fixture(scope="module")
def adapter(base: Path) -> Path:
    import transformers

    folder = base.with_name("adapter")
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(1)
    config = peft.LoraConfig(
        r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft.get_peft_model(model, config).save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    (folder / "recipe.yaml").write_text("extends: klue-mini\nname: mine\n", "utf-8")
    return folder


def untold(error: Exception) -> str | None:
    """What is wrong with how an error is told."""
    line = str(error)
    if not isinstance(error, InputError | GenerationError):
        return f"a {type(error).__name__}"
    if not line.isprintable() or len(line) > 700:
        return "no line"
    return None if "broken" in line else "does not say where"


@others_warnings
@pytest.mark.slow
def test_an_adapter_however_broken_is_one_line_that_names_it(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    def use(folder: Path) -> Any:
        found = find_adapter(str(folder))
        engine = TransformersGenerator(str(base), adapter=found, max_new_tokens=2)
        engine.describe()
        engine.load()
        return engine

    count: Counter[str] = Counter()
    for name, result in outcomes(adapter, tmp_path, use):
        if isinstance(result, Exception):
            assert untold(result) is None, (name, result)
            count["refused"] += 1
            # Files that are cut, missing or none at all are told by name.
            if any(
                what in name
                for what in ("-cut-", "-directory", "-loop", "-pipe", "-zeros", "-bytes", "-deep")
            ):
                file = next(path.name for path in adapter.iterdir() if name.startswith(path.name))
                assert file in str(result), (name, result)
        else:
            count["loaded"] += 1
    assert count["refused"] > 300


@others_warnings
@pytest.mark.parametrize(
    "name",
    ["adapter_model.safetensors-header-nan", "adapter_model.safetensors-header-shape-turned",
     "adapter_model.safetensors-header-dtype", "adapter_model.safetensors-header-exabytes",
     "adapter_model.safetensors-cut-0.5", "adapter_model.safetensors-missing", "adapter_config.json-r-4",
     "adapter_config.json-r-8", "adapter_config.json-r-5", "adapter_config.json-target_modules-2",
     "adapter_config.json-base_model_name_or_path-2", "adapter_config.json-base_model_name_or_path-10",
     "adapter_config.json--10", "adapter_config.json-bytes", "adapter_config.json-eva_config-2",
     "recipe.yaml-pipe", "recipe.yaml-loop"],
)  # fmt: skip
@pytest.mark.parametrize("way", ["transformers", "vllm", "merge"])
def test_it_is_told_before_a_base_model_is_loaded(
    adapter: Path, tmp_path: Path, name: str, way: str
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(adapter, broken)
    dict(breaks(adapter))[name](broken)
    # A base model that cannot be loaded would be told instead.
    base = "no-such-user/no-such-model"
    if way == "vllm" and name == "adapter_config.json-eva_config-2":
        pytest.skip("vLLM reads settings by itself")
    ways: dict[str, Callable[[], Any]] = {
        "merge": lambda: merge_adapter(str(broken), tmp_path / "out", model=base),
        "vllm": lambda: VllmGenerator(base, adapter=str(broken)).paths(),
        "transformers": lambda: TransformersGenerator(base, adapter=str(broken)).generate([PROMPT]),
    }
    with pytest.raises(InputError, match="broken"):
        ways[way]()
    assert not (tmp_path / "out").exists()


@others_warnings
def test_an_adapter_of_another_model_is_told(base: Path, adapter: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other", width=64)
    with pytest.raises(
        GenerationError, match="adapter does not belong to this model, or is broken"
    ):
        TransformersGenerator(str(other), adapter=str(adapter)).load()


@others_warnings
def test_weights_that_nothing_asks_for_are_told(base: Path, adapter: Path, tmp_path: Path) -> None:
    """PEFT leaves them out, and the model would answer as if it had been trained otherwise."""
    copy = tmp_path / "copy"
    shutil.copytree(adapter, copy)
    config = json.loads((copy / "adapter_config.json").read_text())
    for modules, told in (
        (["q_proj"], "leaves out .*v_proj"),
        (["q_proj", "v_proj", "k_proj"], "k_proj"),
    ):
        (copy / "adapter_config.json").write_text(json.dumps(config | {"target_modules": modules}))
        with pytest.raises(GenerationError, match=told):
            TransformersGenerator(str(base), adapter=str(copy)).load()


@others_warnings
@pytest.mark.slow
def test_a_model_however_broken_is_one_line_that_names_it(base: Path, tmp_path: Path) -> None:
    def use(folder: Path) -> Any:
        engine = TransformersGenerator(str(folder), max_new_tokens=2)
        engine.describe()
        return engine.generate([PROMPT])

    count: Counter[str] = Counter()
    for name, result in outcomes(base, tmp_path, use, one_in=7):
        if isinstance(result, Exception):
            assert untold(result) is None, (name, result)
            count["refused"] += 1
        else:
            assert len(result) == 1
            count["answered"] += 1
    assert count["refused"] > 150


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("way", ["cut-0.5", "zeros", "deep", "bytes"])
@others_warnings
def test_the_file_that_is_broken_is_named(base: Path, tmp_path: Path, name: str, way: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    dict(breaks(base))[f"{name}-{way}"](broken)
    with pytest.raises(GenerationError, match=name.replace(".", r"\.")):
        TransformersGenerator(str(broken)).load()


def test_weights_that_are_lacking_are_not_made_up(base: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    dict(breaks(base))["model.safetensors-header-renamed"](broken)
    with pytest.raises(GenerationError, match="its weights lack"):
        TransformersGenerator(str(broken)).load()


@pytest.mark.parametrize(
    "shard", ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "x.bin", "", 5, None]
)
def test_an_index_names_files_beside_it_only(base: Path, tmp_path: Path, shard: Any) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(base, copy)
    (copy / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"lm_head.weight": shard}})
    )
    with pytest.raises(GenerationError, match=r"model\.safetensors\.index\.json"):
        TransformersGenerator(str(copy)).load()


@pytest.mark.parametrize(
    "template", ["{{ messages[0] }", "{{ 1 // 0 }}", "{{ raise_exception('no') }}"]
)
def test_a_chat_template_that_fails_is_told_before_anything_is_asked(
    base: Path, tmp_path: Path, template: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(base, copy)
    (copy / "chat_template.jinja").write_text(template)
    with pytest.raises(GenerationError, match="its tokenizer or chat template fails"):
        TransformersGenerator(str(copy)).load()


def test_weights_tell_nothing_of_what_is_no_file(tmp_path: Path) -> None:
    """Signatures are made before anything is loaded, and neither wait for a pipe nor fall over a
    folder.
    """
    import os

    (tmp_path / "a.safetensors").mkdir()
    (tmp_path / "config.json").symlink_to("config.json")
    (tmp_path / "x-config.json").symlink_to("nowhere")
    os.mkfifo(tmp_path / "b.safetensors")
    before = weights(str(tmp_path))
    (tmp_path / "c.safetensors").write_bytes(b"a")
    assert weights(str(tmp_path)) != before


@pytest.mark.parametrize(
    "name", ["a\0b", "x" * 5000, "USER/..", "../x", "~/x", "a/b/c", "USER/", "/NAME", "a\\b/c"]
)
def test_names_that_are_none_are_told(name: str) -> None:
    with pytest.raises(InputError) as caught:
        find_adapter(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 6000


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, adapter: Path) -> list[dict[str, Any]]:
    """A Hub that has the adapter, and keeps what it was asked for."""
    import huggingface_hub

    asked: list[dict[str, Any]] = []

    def snapshot(name: str, **options: Any) -> str:
        asked.append({"name": name, **options})
        return str(adapter)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    return asked


def test_a_recipe_from_the_hub_is_told_by_name(hub: list[dict[str, Any]], adapter: Path) -> None:
    told: list[str] = []
    found = find_adapter("USER/NAME", told.append, model="m")
    assert told == [
        "Fetching USER/NAME from the Hub",
        f"recipe mine (from USER/NAME, sha256 {found.recipe.hash}) decides what is asked, unless "
        f"another is named",
    ]
    # Nothing that could be run or unpickled is fetched: three names, no patterns.
    assert [asked["allow_patterns"] for asked in hub] == [
        ["adapter_config.json", "adapter_model.safetensors", "recipe.yaml"]
    ]
    told.clear()
    find_adapter(str(adapter), told.append)
    assert told == []


@pytest.mark.parametrize(
    "named", ["/data/models/llama", "../../secret", "~/model", "./model", "a/b/c", "..", "a\\b"]
)
def test_a_base_model_of_another_machine_is_not_looked_for_here(
    monkeypatch: pytest.MonkeyPatch,
    hub: list[dict[str, Any]],
    adapter: Path,
    tmp_path: Path,
    named: str,
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(adapter, copy)
    config = json.loads((copy / "adapter_config.json").read_text())
    (copy / "adapter_config.json").write_text(
        json.dumps(config | {"base_model_name_or_path": named})
    )
    monkeypatch.setattr(adapters, "fetch", lambda *_, **__: copy)
    with pytest.raises(
        InputError, match=r"a path of the machine that it was trained on; name .* --model"
    ):
        find_adapter("USER/NAME")
    assert find_adapter("USER/NAME", model="gpt2").model == named
    # In a folder of one's own it is one's own path.
    assert find_adapter(str(copy)).model == named


def test_what_a_hub_raises_of_whatever_kind_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    for error in (RuntimeError("away\nand more"), ConnectionError("away"), TypeError("away")):

        def away(*_: Any, error: Exception = error, **__: Any) -> str:
            raise error

        monkeypatch.setattr(huggingface_hub, "snapshot_download", away)
        with pytest.raises(GenerationError, match=r"^USER/NAME is neither a folder nor .*: away$"):
            find_adapter("USER/NAME")


def test_pickled_weights_are_not_loaded(adapter: Path, base: Path, tmp_path: Path) -> None:
    """PEFT would fall back on them."""
    copy = tmp_path / "copy"
    shutil.copytree(adapter, copy)
    (copy / "adapter_model.safetensors").rename(copy / "adapter_model.bin")
    with pytest.raises(
        InputError, match=r"adapter_model\.safetensors: is missing; expected .* safetensors"
    ):
        TransformersGenerator(str(base), adapter=str(copy)).load()


def test_a_good_adapter_is_read_a_tensor_at_a_time(adapter: Path) -> None:
    settings = check_adapter(find_adapter(str(adapter)))
    assert settings.ranks == {4}
    read = _model_files.read_tensors(adapter / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in read.values()} == {"F32"}
    assert len(read) == 8
