"""``llmner push`` against a Hub on loopback: what goes there, what is refused, and what survives
its troubles.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

pytest.importorskip("huggingface_hub")

from huggingface_hub import ModelCard, close_session, hf_hub_download, snapshot_download

from llmner.cli.push import push as push_command
from llmner.errors import HubError, InputError, RecipeError
from llmner.hub.adapters import PushResult, push_adapter
from llmner.recipes import Recipe
from tests.conftest import ROOT
from tests.hub.hub_server import TOKEN, HubServer, serving
from tests.training.folders import SETTINGS, adapter_folder, evaluation, weights, write

REPO = "someone/klue-ner-gemma"
ALWAYS = {
    "GEMMA_TERMS.txt", "NOTICE", "README.md", "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "curves.png",
    "recipe.yaml", "tokenizer.json", "tokenizer_config.json", "training.json", "training.yaml",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _own_session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Straight to loopback, over plain HTTP instead of Xet, and with no token but the test's
    own.
    """
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    close_session()
    yield
    close_session()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody waits between two tries; how long they would have is kept."""
    kept: list[float] = []
    for module in ("llmner.hub.client", "huggingface_hub.utils._http"):
        monkeypatch.setattr(f"{module}.time", SimpleNamespace(sleep=kept.append))
    return kept


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with serving(HubServer()) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return adapter_folder(tmp_path / "adapter")


Push = Callable[..., PushResult]


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def push(hub: HubServer, told: list[str]) -> Push:
    def pushed(folder: Path, repo: str = REPO, **options: Any) -> PushResult:
        options = {"token": TOKEN, "endpoint": hub.url, **options}
        return push_adapter(folder, repo, report=told.append, **options)

    return pushed


def file_of(hub: HubServer, name: str, repo: str = REPO) -> bytes:
    return hub.repos[repo].files[name][0]


# What goes there


def test_a_repository_is_made_and_everything_goes_in_one_commit(
    hub: HubServer, push: Push, folder: Path
) -> None:
    result = push(folder)
    held = hub.repos[REPO]
    assert set(held.files) == ALWAYS
    assert [name for name, _ in result.files] == sorted(ALWAYS)
    assert dict(result.files) == {name: len(data) for name, (data, _) in held.files.items()}
    assert len(held.summaries) == 1
    assert result.commit == held.commits[-1]
    assert result.url == f"{hub.url}/{REPO}"
    assert not held.private
    assert hub.tokens == {TOKEN}


def test_weights_go_through_lfs_and_arrive_byte_for_byte(
    hub: HubServer, push: Push, tmp_path: Path
) -> None:
    big = weights(tuple(f"layers.{n}.lora_A.weight" for n in range(64)))
    push(adapter_folder(tmp_path / "a", adapter_model=big))
    assert hub.repos[REPO].files["adapter_model.safetensors"] == (big, True)
    assert len(hub.asked("PUT", "/storage/")) == 1
    assert len(hub.asked("POST", "lfs/verify")) == 1
    assert hub.strayed == set()
    unchanged = (
        "recipe.yaml",
        "tokenizer.json",
        "chat_template.jinja",
        "curves.png",
        "adapter_config.json",
        "training.json",
    )
    for name in unchanged:
        assert file_of(hub, name) == (tmp_path / "a" / name).read_bytes()


def test_a_repository_that_exists_is_written_to(hub: HubServer, push: Push, folder: Path) -> None:
    push(folder)
    write(folder / "chat_template.jinja", "{{ other }}")
    second = push(folder)
    assert file_of(hub, "chat_template.jinja") == b"{{ other }}"
    assert second.commit == hub.repos[REPO].commits[-1]
    assert len(hub.repos[REPO].summaries) == 2
    changed = hub.asked("POST", "/commit/main")[1]
    assert [json.loads(line)["value"].get("path") for line in changed.splitlines()[1:]] == [
        "chat_template.jinja"
    ]
    assert len(hub.asked("PUT", "/storage/")) == 1


def test_pushing_the_same_again_makes_no_commit(hub: HubServer, push: Push, folder: Path) -> None:
    first = push(folder)
    assert push(folder).commit == first.commit
    assert len(hub.repos[REPO].summaries) == 1


def test_a_private_repository(hub: HubServer, push: Push, folder: Path) -> None:
    push(folder, private=True)
    assert hub.repos[REPO].private
    push(folder, private=True)


def test_private_does_not_publish_in_a_public_repository(
    hub: HubServer, push: Push, folder: Path
) -> None:
    push(folder)
    write(folder / "chat_template.jinja", "secret")
    with pytest.raises(InputError, match="exists and is public; make it private in its settings"):
        push(folder, private=True)
    assert file_of(hub, "chat_template.jinja") != b"secret"


def test_checkpoints_logs_links_and_unknown_files_stay(
    hub: HubServer, push: Push, folder: Path, told: list[str], tmp_path: Path
) -> None:
    for name in ("checkpoints/checkpoint-12/optimizer.pt", "runs/events.out", ".git/config"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write(folder / name, b"x")
    for name in (
        "optimizer.pt",
        "training_args.bin",
        "adapter_model.bin",
        ".env",
        "notes.txt",
        "model.safetensors",
        "odd\nname",
    ):
        write(folder / name, b"x")
    (folder / "LICENSE").symlink_to(write(tmp_path / "elsewhere", "private"))
    write(folder / "NOTICE.txt", "by us")
    result = push(folder)
    assert set(hub.repos[REPO].files) == {*ALWAYS, "NOTICE.txt"}
    assert dict(result.left) == {
        ".env": "not part of an adapter",
        ".git/": "a folder",
        "LICENSE": "a link",
        "adapter_model.bin": "not part of an adapter",
        "checkpoints/": "a folder",
        "model.safetensors": "not part of an adapter",
        "notes.txt": "not part of an adapter",
        "odd\nname": "not part of an adapter",
        "optimizer.pt": "not part of an adapter",
        "runs/": "a folder",
        "training_args.bin": "not part of an adapter",
    }
    assert any(
        line.startswith("not uploaded: .env (not part of an adapter), .git/ (a folder)")
        for line in told
    )
    assert not any("\n" in line for line in told)
    assert all(b"optimizer" not in path.encode() for _, path, _ in hub.requests)


def test_paths_of_the_machine_are_cut_down(hub: HubServer, push: Push, tmp_path: Path) -> None:
    folder = adapter_folder(
        tmp_path / "a",
        base="/home/someone/.cache/llmner/gemma-3-270m-bf16-a5fd3b62230a",
        tokenizer_config={
            "name_or_path": "/home/someone/models/gemma",
            "eos_token": "/s",
            "tokenizer_file": None,
        },
        record={"model": "/home/someone/gemma", "epochs": []},
    )
    write(folder / "evaluation-dev.json", evaluation("/home/someone/build/adapter"))
    push(folder)
    assert all(
        b"someone/" not in data.replace(REPO.encode(), b"")
        for data, _ in hub.repos[REPO].files.values()
    )
    training = yaml.safe_load(file_of(hub, "training.yaml"))
    assert training == {**SETTINGS, "train": "klue-ner-v1.1_train.tsv", "output": "adapter"}
    assert json.loads(file_of(hub, "tokenizer_config.json")) == {
        "name_or_path": "gemma",
        "eos_token": "/s",
        "tokenizer_file": None,
    }
    assert (
        json.loads(file_of(hub, "adapter_config.json"))["base_model_name_or_path"]
        == "google/gemma-3-270m"
    )
    # The folder itself is left as it is.
    assert "/home/someone" in (folder / "training.yaml").read_text()


@pytest.mark.parametrize(
    ("base", "model", "public"),
    [
        ("/tmp/cache/gemma-3-270m-bf16-a5fd3b62230a", "gemma-3-270m", "google/gemma-3-270m"),
        ("/tmp/cache/gemma-3-270m-bf16-a5fd3b62230a", None, "google/gemma-3-270m"),
        ("google/gemma-3-270m", "gemma-3-270m", "google/gemma-3-270m"),
        ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
        ("/models/mine", "Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
        ("/x/hub/models--Qwen--Qwen3-0.6B/snapshots/0123abc", None, "Qwen/Qwen3-0.6B"),
        ("/models/my-own/", "/models/my-own", "my-own"),
        ("C:\\models\\my-own", None, "my-own"),
        ("gpt2", None, "gpt2"),
    ],
)
def test_the_base_model_goes_by_its_public_name(
    tmp_path: Path, push: Push, base: str, model: str | None, public: str
) -> None:
    training = None if model is None else yaml.safe_dump({**SETTINGS, "model": model})
    folder = adapter_folder(tmp_path / "a", base=base, training=training, record=None)
    result = push(folder, dry_run=True)
    assert ("base_model" in ModelCard(result.card).data.to_dict()) == ("/" in public)
    assert public in result.card
    assert "/tmp" not in result.card


def test_an_adapter_of_peft_alone_needs_its_recipe(
    hub: HubServer, push: Push, tmp_path: Path, told: list[str]
) -> None:
    folder = adapter_folder(
        tmp_path / "a",
        base="Qwen/Qwen3-0.6B",
        recipe=None,
        training=None,
        record=None,
        tokenizer=None,
        curves=None,
        README=None,
    )
    with pytest.raises(InputError, match=r"has no recipe\.yaml.*--recipe NAME_OR_PATH"):
        push(folder)
    assert hub.requests == []
    push(folder, recipe="klue-strict")
    assert set(hub.repos[REPO].files) == {
        "README.md", "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "recipe.yaml",
        "tokenizer_config.json",
    }  # fmt: skip
    write(tmp_path / "back.yaml", file_of(hub, "recipe.yaml"))
    assert Recipe.load(tmp_path / "back.yaml") == Recipe.load("klue-strict")
    assert (
        "missing in the folder, so not uploaded: tokenizer.json, training.yaml, training.json, "
        "curves.png" in told
    )


def test_another_recipe_than_the_folders_own_is_refused(
    push: Push, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="differs from the recipe klue-strict; leave --recipe out"):
        push(folder, recipe="klue-strict")
    push(folder, recipe="klue", dry_run=True)
    write(folder / "recipe.yaml", "name: [")
    with pytest.raises(RecipeError, match="not YAML"):
        push(folder)


def test_a_given_recipe_asks_as_the_adapter_was_trained(
    hub: HubServer, push: Push, tmp_path: Path, told: list[str]
) -> None:
    folder = adapter_folder(
        tmp_path / "a", recipe=None, training=yaml.safe_dump({**SETTINGS, "reply_format": "lines"})
    )
    push(folder, recipe="klue")
    write(tmp_path / "back.yaml", file_of(hub, "recipe.yaml"))
    assert Recipe.load(tmp_path / "back.yaml").reply_format == "lines"
    assert "the recipe asks for lines, as training.yaml says the adapter was trained" in told


def test_evaluations_go_along_without_their_sentences(
    hub: HubServer, push: Push, folder: Path, tmp_path: Path
) -> None:
    write(folder / "evaluation-dev.json", evaluation(rows=[{"text": "비밀 문장"}]))
    given = write(tmp_path / "my results.json", evaluation(corpus="sample.tsv"))
    result = push(folder, evaluations=[given, folder / "evaluation-dev.json"])
    assert {"evaluation-dev.json", "evaluation-my-results.json"} <= {
        name for name, _ in result.files
    }
    assert "rows" not in json.loads(file_of(hub, "evaluation-dev.json"))
    assert "비밀" not in file_of(hub, "evaluation-dev.json").decode()
    names = {
        entry.dataset_name
        for entry in ModelCard(file_of(hub, "README.md").decode()).data.eval_results
    }
    assert names == {"KLUE-NER v1.1 (klue-ner-v1.1_dev.tsv)", "sample.tsv"}


def test_an_evaluation_of_another_adapter_is_told(
    push: Push, folder: Path, told: list[str]
) -> None:
    write(folder / "evaluation-dev.json", evaluation("build/other"))
    push(folder, dry_run=True)
    assert "evaluation-dev.json was answered by an adapter called build/other" in told


# Licences


@pytest.mark.parametrize(
    "base",
    [
        "LGAI-EXAONE/EXAONE-3.5-7.8B-Instruct",
        "/models/EXAONE-3.5-7.8B-Instruct-llama",
        "/x/models--LGAI-EXAONE--EXAONE-4.0-1.2B/snapshots/0123",
        "/models/my-exaone",
    ],
)
def test_a_model_made_from_exaone_is_called_exaone(
    hub: HubServer, push: Push, tmp_path: Path, base: str
) -> None:
    folder = adapter_folder(tmp_path / "a", base=base, training=None, record=None)
    for name in ("klue-ner", "exaone-ner", "my-EXAONE"):
        with pytest.raises(InputError, match=r'begins with "EXAONE", for example someone/EXAONE-'):
            push(folder, f"someone/{name}")
    assert hub.requests == []
    push(folder, "someone/EXAONE-klue-ner")
    notice = file_of(hub, "NOTICE", "someone/EXAONE-klue-ner").decode()
    assert "EXAONE AI Model License Agreement" in notice
    assert "https://huggingface.co/LGAI-EXAONE" in notice
    data = ModelCard(file_of(hub, "README.md", "someone/EXAONE-klue-ner").decode()).data
    assert (data.license, data.license_name) == ("other", "exaone")
    assert data.license_link.startswith("https://huggingface.co/LGAI-EXAONE")


def test_exaone_shows_in_the_training_configuration_too(push: Push, tmp_path: Path) -> None:
    training = yaml.safe_dump({**SETTINGS, "model": "/models/Exaone-3.5-2.4B"})
    with pytest.raises(InputError, match="EXAONE"):
        push(adapter_folder(tmp_path / "a", base="someone/else", training=training))


def test_the_licence_of_a_base_folder_goes_along(
    hub: HubServer, push: Push, tmp_path: Path
) -> None:
    base = tmp_path / "EXAONE-3.5-7.8B-Instruct-llama"
    base.mkdir()
    write(base / "LICENSE", "the agreement")
    write(base / "config.json", {})
    folder = adapter_folder(tmp_path / "a", base=str(base), training=None, record=None)
    push(folder, "someone/EXAONE-ner")
    assert file_of(hub, "LICENSE", "someone/EXAONE-ner") == b"the agreement"


@pytest.mark.parametrize(
    ("base", "wrong", "right", "licence"),
    [
        ("meta-llama/Llama-3.2-1B", "ner", "Llama-ner", "llama3.2"),
        ("meta-llama/Meta-Llama-3-8B", "Llama-ner", "Llama-3-ner", "llama3"),
    ],
)
def test_a_model_made_from_llama_3_is_called_llama(
    hub: HubServer, push: Push, tmp_path: Path, base: str, wrong: str, right: str, licence: str
) -> None:
    folder = adapter_folder(tmp_path / "a", base=base, training=None, record=None)
    with pytest.raises(InputError, match="may not be called"):
        push(folder, f"someone/{wrong}")
    push(folder, f"someone/{right}")
    assert ModelCard(file_of(hub, "README.md", f"someone/{right}").decode()).data.license == licence
    assert b"Built with" in file_of(hub, "NOTICE", f"someone/{right}")


def test_gemma_and_klue_are_given_their_notices(hub: HubServer, push: Push, folder: Path) -> None:
    write(folder / "NOTICE", "By us.\n")
    push(folder)
    # Gemma's terms ask that their text goes with every copy, not a link alone.
    assert (
        file_of(hub, "GEMMA_TERMS.txt") == (ROOT / "licenses" / "LicenseRef-Gemma.txt").read_bytes()
    )
    assert file_of(hub, "NOTICE").decode().split("\n\n") == [
        "By us.",
        "Gemma is provided under and subject to the Gemma Terms of Use found at "
        "ai.google.dev/gemma/terms",
        next(
            line for line in file_of(hub, "NOTICE").decode().splitlines() if "CC BY-SA 4.0" in line
        )
        + "\n",
    ]


def test_terms_that_lie_in_the_folder_go_as_they_are(
    hub: HubServer, push: Push, folder: Path
) -> None:
    write(folder / "GEMMA_TERMS.txt", "later terms")
    assert "GEMMA_TERMS.txt" not in dict(push(folder).left)
    assert file_of(hub, "GEMMA_TERMS.txt") == b"later terms"


def test_a_base_model_without_known_terms_needs_no_notice(
    hub: HubServer, push: Push, tmp_path: Path
) -> None:
    training = yaml.safe_dump({**SETTINGS, "model": "a/b", "train": "mine.tsv"})
    folder = adapter_folder(tmp_path / "a", base="a/b", training=training, record=None)
    push(folder)
    assert not {"NOTICE", "GEMMA_TERMS.txt"} & set(hub.repos[REPO].files)
    assert "licence is not known" in file_of(hub, "README.md").decode()
    assert "license" not in ModelCard(file_of(hub, "README.md").decode()).data.to_dict()


# What is refused


@pytest.mark.parametrize(
    "repo",
    ["name", "", "/name", "user/", "a/b/c", "user/na me", "user/../etc", "user/a--b", "user/x.git", "user/-x", "유저/ner", "user/x\n", "https://huggingface.co/a/b"],
)  # fmt: skip
def test_names_the_hub_does_not_allow(hub: HubServer, push: Push, folder: Path, repo: str) -> None:
    with pytest.raises(InputError, match="expected USER/NAME") as caught:
        push(folder, repo)
    assert "\n" not in str(caught.value)
    assert hub.requests == []


def test_what_is_no_adapter(push: Push, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        push(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"adapter_config\.json is missing"):
        push(tmp_path / "empty")
    with pytest.raises(InputError, match=r"adapter_model\.safetensors is missing, or a link"):
        push(adapter_folder(tmp_path / "weightless", adapter_model=None))
    with pytest.raises(InputError, match="names no base model"):
        push(
            adapter_folder(
                tmp_path / "baseless",
                adapter_config={"peft_type": "LORA"},
                training=None,
                record=None,
            )
        )


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "not a safetensors file"),
        (b"PK\x03\x04" + b"\0" * 100, "not a safetensors file"),
        (weights()[:-1], "cut short"),
        (weights(()), "has no tensors"),
        (b"\x0f" + b"\0" * 7 + b'{"a":{"b":"c"}}', "has no tensors"),
        (weights(("a.lora_A.weight", "optimizer.state.exp_avg")), "contains optimiser state"),
        (weights(("exp_avg_sq.0",)), "contains optimiser state"),
        (weights(owner=TOKEN), "looks like a token"),
    ],
)
def test_weights_that_are_none(
    hub: HubServer, push: Push, tmp_path: Path, data: bytes, why: str
) -> None:
    with pytest.raises(InputError, match=why):
        push(adapter_folder(tmp_path / "a", adapter_model=data))
    assert hub.requests == []


@pytest.mark.parametrize(
    "name",
    [
        "recipe.yaml",
        "training.yaml",
        "training.json",
        "chat_template.jinja",
        "NOTICE.txt",
        "curves.png",
    ],
)
def test_a_token_in_a_file_is_not_published(
    hub: HubServer, push: Push, folder: Path, name: str
) -> None:
    path = folder / name
    before = path.read_bytes() if path.exists() else b""
    if name == "training.json":
        write(path, {"note": TOKEN})
    else:
        write(path, before + f"\n{'note:' if name == 'training.yaml' else '#'} {TOKEN}\n".encode())
    with pytest.raises(InputError, match="looks like a token of the Hub") as caught:
        push(folder)
    if name in ("recipe.yaml", "training.yaml"):
        assert name in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "not JSON"),
        ([], "expected an object, got a list"),
        ({}, "not an evaluation"),
        ({"runs": {}}, "several runs"),
        ({**evaluation(), "micro": {"f1": 1.5}}, "must be a number from 0 to 1"),
        ({**evaluation(), "micro": {"f1": float("nan")}}, "must be a number from 0 to 1"),
        ({**evaluation(), "micro": None}, "has no micro F1"),
        ({**evaluation(), "sentences": "many"}, "must be a count"),
        ({**evaluation(), "intervals": {"micro.f1": [0.1]}}, "must be two numbers"),
        ({**evaluation(), "signature": {}}, "does not name its corpus"),
    ],
)
def test_evaluations_that_are_none(
    push: Push, folder: Path, tmp_path: Path, content: Any, why: str
) -> None:
    with pytest.raises(InputError, match=why) as caught:
        push(folder, evaluations=[write(tmp_path / "results.json", content)])
    assert "results.json" in str(caught.value)


def test_two_evaluations_of_one_name(push: Push, folder: Path, tmp_path: Path) -> None:
    write(folder / "evaluation-dev.json", evaluation())
    with pytest.raises(InputError, match=r"would be called evaluation-dev\.json"):
        push(folder, evaluations=[write(tmp_path / "dev.json", evaluation())])


# The Hub's troubles


ONCE = ("/api/repos/create", "/api/validate-yaml", "/commit/main")
REPEATED = ("/preupload/main", "lfs/objects/batch", "/storage/", "lfs/verify")


@pytest.mark.parametrize("path", [*ONCE, *REPEATED])
@pytest.mark.parametrize("status", [429, 500, 503, 0])
def test_trouble_that_passes_is_waited_for(
    hub: HubServer,
    push: Push,
    folder: Path,
    told: list[str],
    waits: list[float],
    path: str,
    status: int,
) -> None:
    method = "PUT" if path == "/storage/" else "POST"
    hub.fail(method, path, status, times=2)
    push(folder)
    assert set(hub.repos[REPO].files) == ALWAYS
    assert len(hub.asked(method, path)) == 3
    assert waits == [1, 2]
    assert any("rying" in line for line in told)
    assert not any("Signature" in line or TOKEN in line for line in told)


@pytest.mark.parametrize("path", [*ONCE, *REPEATED])
def test_trouble_that_stays_is_one_line(
    hub: HubServer, push: Push, folder: Path, waits: list[float], path: str
) -> None:
    method = "PUT" if path == "/storage/" else "POST"
    hub.fail(method, path, 503, times=100)
    with pytest.raises(
        HubError, match=r"the Hub cannot answer now \(503: out of order\); try again later"
    ) as caught:
        push(folder)
    assert "\n" not in str(caught.value)
    assert caught.value.retryable
    assert 5 <= len(hub.asked(method, path)) <= 6
    assert sum(waits) < 30


def test_the_hub_may_say_how_long_to_wait(
    hub: HubServer, push: Push, folder: Path, waits: list[float]
) -> None:
    hub.fail("POST", "/api/repos/create", 429, headers={"Retry-After": "7"})
    hub.fail("POST", "/commit/main", 429, headers={"Retry-After": "999999"})
    push(folder)
    assert waits == [7, 60]


def test_a_commit_whose_answer_was_lost_is_not_made_twice(
    hub: HubServer, push: Push, folder: Path, waits: list[float]
) -> None:
    hub.fail("POST", "/commit/main", 504, after=True)
    result = push(folder)
    assert len(hub.repos[REPO].summaries) == 1
    assert result.commit == hub.repos[REPO].commits[-1]


@pytest.mark.parametrize("token", ["hf_wrong", ""])
def test_a_token_that_is_not_accepted(hub: HubServer, push: Push, folder: Path, token: str) -> None:
    with pytest.raises(
        HubError, match=r"401.*write access at .*/settings/tokens.*hf auth login or set HF_TOKEN"
    ) as caught:
        push(folder, token=token or None)
    assert "\n" not in str(caught.value)
    assert "hf_wrong" not in str(caught.value)
    assert not caught.value.retryable
    assert hub.repos == {}


def test_a_token_that_may_not_write_there(push: Push, folder: Path) -> None:
    with pytest.raises(
        HubError,
        match=r"the token may not write to other/ner \(403: .*namespace other\).*repositories of other",
    ):
        push(folder, "other/ner")


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (404, "the Hub has no"),
        (400, "the Hub refused"),
        (413, "the Hub refused"),
        (402, "the Hub refused"),
    ],
)
def test_other_refusals_are_one_line_and_final(
    hub: HubServer, push: Push, folder: Path, status: int, says: str
) -> None:
    hub.fail("POST", "/preupload/", status, times=9, body=b'{"error": "line one\\nline two"}')
    with pytest.raises(HubError, match=rf"{says} {REPO} \({status}: .*line one line two") as caught:
        push(folder)
    assert "\n" not in str(caught.value)
    assert len(hub.asked("POST", "/preupload/")) == 1


def test_something_that_is_no_hub(
    hub: HubServer, push: Push, folder: Path, waits: list[float]
) -> None:
    hub.fail("POST", "/api/repos/create", 200, times=9, body=b"<html>welcome</html>")
    with pytest.raises(HubError, match=r"did not answer with JSON; is it a Hub\?"):
        push(folder)
    hub.failures.clear()
    hub.fail("POST", "/api/repos/create", 200, times=9, body=b"{}")
    with pytest.raises(HubError, match="could not be uploaded"):
        push(folder)
    with pytest.raises(InputError, match="is not a web address; correct HF_ENDPOINT"):
        push(folder, endpoint="huggingface.co")


def test_a_hub_that_is_down_is_one_line(push: Push, folder: Path, waits: list[float]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(
        HubError, match=rf"{endpoint} cannot be reached .*check the connection"
    ) as caught:
        push(folder, endpoint=endpoint)
    assert "\n" not in str(caught.value)
    assert waits == [1, 2, 4, 8]


def test_a_hub_that_is_silent_is_given_up(
    push: Push, folder: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmner.hub.client._READ_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(HubError, match="cannot be reached"):
            push(folder, endpoint=endpoint)
    assert len(waits) == 4


def test_a_hub_without_xet_is_told_as_that(
    hub: HubServer, push: Push, folder: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hf_xet")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    with pytest.raises(HubError, match="set HF_HUB_DISABLE_XET=1 for a Hub without Xet"):
        push(folder)
    assert hub.repos[REPO].summaries == []


def test_offline_mode_is_told(push: Push, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set; unset it to upload"):
        push(folder)


def test_a_token_that_no_header_can_hold_is_not_shown(
    push: Push, folder: Path, told: list[str]
) -> None:
    with pytest.raises(HubError) as caught:
        push(folder, token=f"{TOKEN}\n")
    assert TOKEN not in str(caught.value) + "".join(told)


# There and back


def test_what_was_pushed_comes_back(
    hub: HubServer, push: Push, folder: Path, tmp_path: Path
) -> None:
    push(folder)
    common: dict[str, Any] = {"cache_dir": tmp_path / "cache", "endpoint": hub.url, "token": False}
    for name in ("recipe.yaml", "adapter_model.safetensors"):
        assert (
            Path(hf_hub_download(REPO, name, **common)).read_bytes() == (folder / name).read_bytes()
        )
    whole = Path(snapshot_download(REPO, **common))
    assert {path.name for path in whole.iterdir()} == ALWAYS
    assert (whole / "adapter_model.safetensors").read_bytes() == (
        folder / "adapter_model.safetensors"
    ).read_bytes()
    assert Recipe.load(whole / "recipe.yaml") == Recipe.load("klue")


def test_a_snapshot_of_links_is_not_pushed_on(
    hub: HubServer, push: Push, folder: Path, tmp_path: Path
) -> None:
    push(folder)
    whole = snapshot_download(REPO, cache_dir=tmp_path / "cache", endpoint=hub.url, token=False)
    with pytest.raises(InputError, match=r"adapter_config\.json is missing"):
        push(Path(whole))


# Dry run and command line


def test_a_dry_run_asks_nothing(hub: HubServer, push: Push, folder: Path) -> None:
    result = push(folder, dry_run=True, token=None)
    assert hub.requests == []
    assert result.commit is None
    assert {name for name, _ in result.files} == ALWAYS
    assert result.card.startswith("---\n")


@pytest.fixture
def run() -> Callable[..., Result]:
    app = typer.Typer()
    app.command()(push_command)

    def invoke(*args: object) -> Result:
        return CliRunner().invoke(app, [str(arg) for arg in args])

    return invoke


def test_the_command_shows_files_and_card(run: Callable[..., Result], folder: Path) -> None:
    result = run(folder, "--repo", REPO, "--dry-run")
    assert result.exit_code == 0, result.output
    for part in (
        "adapter_model.safetensors",
        "4,2",
        "base_model: google/gemma-3-270m",
        "README.md, its first 30 of",
    ):
        assert part in result.stdout
    assert "nothing was uploaded" in result.stderr


def test_the_command_prints_json(run: Callable[..., Result], folder: Path) -> None:
    write(folder / "notes.txt", "x")
    result = run(folder, "--repo", REPO, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert {row["name"] for row in said["files"]} == ALWAYS
    assert (said["repo"], said["commit"], said["dry_run"]) == (REPO, None, True)
    assert said["left"] == [{"name": "notes.txt", "why": "not part of an adapter"}]


def test_bad_input_exits_with_2(run: Callable[..., Result], folder: Path) -> None:
    result = run(folder, "--repo", "nobody", "--dry-run")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: 'nobody' has no owner")
    assert len(result.stderr.splitlines()) == 1


def command(
    folder: Path, hub: HubServer, home: Path, *args: str, token: str = TOKEN
) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own, with the environment that huggingface_hub reads when
    it is imported.
    """
    code = "import typer; from llmner.cli.push import push; typer.run(push)"
    environment = {
        **os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": token, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(folder), "--repo", REPO, *args],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )


def test_the_command_uploads(hub: HubServer, folder: Path, tmp_path: Path) -> None:
    hub.fail("POST", "/api/repos/create", 500)
    done = command(folder, hub, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{hub.url}/{REPO}"
    assert f"commit {hub.repos[REPO].commits[-1]}" in done.stderr
    assert "trying again in 1 s" in done.stderr
    assert "%|" not in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert set(hub.repos[REPO].files) == ALWAYS


def test_a_refusal_exits_with_1_and_never_shows_the_token(
    hub: HubServer, folder: Path, tmp_path: Path
) -> None:
    wrong = "hf_" + "x" * 34
    done = command(folder, hub, tmp_path, token=wrong)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("error: the Hub does not accept the token")
    assert "Traceback" not in done.stderr
    assert wrong not in done.stderr
    assert hub.tokens == {wrong}
