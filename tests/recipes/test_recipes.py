from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from llmner import _yaml
from llmner.cli import app
from llmner.engines.adapters import find_adapter
from llmner.errors import InputError, LlmnerError, RecipeError, UnknownNameError
from llmner.recipes import Recipe, Windows, builtin_recipes
from llmner.recipes.chat import build_prompt, chat_row, completion_row
from llmner.replies import REPLY_FORMATS, read_reply
from llmner.spans import Sentence, Span

MINIMAL = """\
name: tiny
labels:
  - code: PS
    name: 사람
system: Find {% for label in labels %}{{ label.code }}{% endfor %}.
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", builtin_recipes())
def test_every_built_in_recipe_loads_and_reads_its_own_examples(name: str) -> None:
    recipe = Recipe.load(name)
    assert recipe.name == name
    if name.startswith("klue"):
        assert recipe.schema_.codes == ("PS", "LC", "OG", "DT", "TI", "QT")
    for sentence, (_, answer) in zip(
        recipe.example_sentences(), recipe._worked_examples(), strict=True
    ):
        read = read_reply(answer, recipe.schema_, recipe.reply_format)
        assert read.status == "ok"
        assert {(m.label, m.text) for m in read.mentions} == {
            (span.label, sentence.surface(span)) for span in sentence.spans
        }
    assert not recipe.examples or any(not sentence.spans for sentence in recipe.example_sentences())


def test_the_strict_recipe_carries_its_examples_in_the_system_prompt() -> None:
    recipe = Recipe.load("klue-strict")
    assert recipe.turns == ()
    for sentence in recipe.example_sentences():
        assert sentence.text in recipe.system_prompt
    assert "{}" in recipe.system_prompt


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    recipe = Recipe.load(write(tmp_path, MINIMAL))
    assert recipe.system_prompt == "Find PS."


def test_the_hash_changes_with_what_the_recipe_says(tmp_path: Path) -> None:
    one = Recipe.load(write(tmp_path, MINIMAL))
    other = Recipe.load(write(tmp_path, MINIMAL.replace("Find", "Seek")))
    assert one.hash != other.hash
    assert one.hash == Recipe.load(write(tmp_path, MINIMAL)).hash


WINDOWS = "windows:\n  window: 150\n  overlap: 0\n  core: 60\n"


def test_windows_are_no_part_of_what_is_asked(tmp_path: Path) -> None:
    plain = Recipe.load(write(tmp_path, MINIMAL))
    assert (plain.windows, "windows" in plain.to_yaml()) == (Windows(), False)
    recipe = Recipe.load(write(tmp_path, MINIMAL + WINDOWS))
    assert recipe.windows == Windows(window=150, overlap=0, core=60)
    assert recipe.hash == plain.hash
    assert recipe.with_reply_format("lines").windows == recipe.windows
    # Written out, as with an adapter, and extended, they stay.
    assert recipe.to_yaml().endswith(WINDOWS)
    (tmp_path / "child.yaml").write_text("extends: mine.yaml\nname: child\n", encoding="utf-8")
    assert Recipe.load(tmp_path / "child.yaml").windows == recipe.windows


def test_another_reply_format_changes_every_answer(klue: Recipe) -> None:
    lines = klue.with_reply_format("lines")
    assert lines.turns[0][1].startswith("PS\t")
    assert klue.turns[0][1].startswith("{")
    assert lines.hash != klue.hash
    with pytest.raises(UnknownNameError, match="expected one of json-by-type"):
        klue.with_reply_format("xml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "exmaples: []\n", r"mine.yaml:6: unknown key 'exmaples'; did you mean 'examples'\?"),
        (MINIMAL.replace("    name: 사람", "    nmae: 사람"), r"mine.yaml:4: unknown key 'labels.0.nmae'; did you mean 'name'"),
        (MINIMAL.replace("name: tiny\n", ""), r"mine.yaml: key 'name' is missing"),
        ("name: a\nlabels: 5\n", r"mine.yaml:2: labels: expected a list"),
        ("name: a\nlabels: [{name: p}]\n", r"mine.yaml:2: key 'labels.0.code' is missing"),
        ("name: a\nlabels: [null]\n", r"mine.yaml:2: labels.0: expected keys with values"),
        (MINIMAL.replace("code: PS", "code: P S"), r"mine.yaml:3: labels.0.code: .*pattern"),
        (MINIMAL + "reply_format: xml\n", r"mine.yaml:6: reply_format: expected one of json-by-type"),
        (MINIMAL + "examples: ['<손흥민:PER>']\n", r"'PER' is not among the labels PS"),
        (MINIMAL + "examples: ['<손흥민']\n", r"examples\[0\]: '<' at character 0"),
        (MINIMAL.replace("{{ label.code }}", "{{ lable.code }}"), r"system: 'lable' is undefined"),
        (MINIMAL.replace("{% endfor %}", ""), r"system: line 1 of the template"),
        (MINIMAL + "user: '{{ txet }}'\n", r"user: 'txet' is undefined"),
        (MINIMAL.replace("system:", "sytem:"), r"mine.yaml:5: unknown key 'sytem'; did you mean 'system'"),
        (MINIMAL + "name: other\n", r"mine.yaml:6: duplicate key 'name'"),
        (MINIMAL + "user: no text here\n", r"mine.yaml:6: user: the template does not use"),
        (MINIMAL + "examples:\n  - '<손:PS>'\n  - '<손:PER>'\n", r"mine.yaml:8: examples\[1\]: 'PER'"),
        (MINIMAL + "user: '{{ 1/0 }}{{ text }}'\n", r"mine.yaml:6: user: the template fails"),
        (MINIMAL + "windows: {core: 0}\n", r"mine.yaml:6: windows.core: Input should be greater than or equal to 1$"),
        (MINIMAL + "windows: {window: 9.5}\n", r"mine.yaml:6: windows.window: Input should be a valid integer"),
        (MINIMAL + "windows: {window: true}\n", r"mine.yaml:6: windows.window: Input should be a valid integer"),
        (MINIMAL + "windows: {overlap: -1}\n", r"mine.yaml:6: windows.overlap: Input should be greater than or equal to 0$"),
        (MINIMAL + "windows: {overlap: 400}\n", r"mine.yaml:6: windows: overlap must be less than the window of 400 characters, got 400$"),
        (MINIMAL + "windows: {window: 60, core: 61}\n", r"mine.yaml:6: windows: core must be at most the window of 60 characters, got 61$"),
        (MINIMAL + "windows: {size: 60}\n", r"mine.yaml:6: unknown key 'windows.size'; expected one of window, overlap, core$"),
        (MINIMAL + "windows: 60\n", r"mine.yaml:6: windows: expected keys with values$"),
        (MINIMAL + "window: 60\n", r"mine.yaml:6: unknown key 'window'; did you mean 'windows'\?"),
        (MINIMAL + "description: 2024-13-45\n", "not YAML"),
        ("a: " + "[" * 3000, "not YAML"),
        ("name: [", r"mine.yaml:2?1?: ?not YAML|mine.yaml:\d+: not YAML"),
        ("- a\n- b\n", "not a recipe"),
        ("", "not a recipe"),
    ],
)  # fmt: skip
def test_a_mistake_names_file_line_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        Recipe.load(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_template_cannot_reach_into_python(tmp_path: Path) -> None:
    text = MINIMAL + "user: \"{{ ''.__class__.__mro__ }}\"\n"
    with pytest.raises(RecipeError, match="user:"):
        Recipe.load(write(tmp_path, text))


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownNameError,
        match=r"did you mean klue\? expected one of gmb, klue, klue-mini, klue-sft, klue-strict",
    ):
        Recipe.load("kleu")
    with pytest.raises(RecipeError, match="no such file"):
        Recipe.load(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="is a directory"):
        Recipe.load(tmp_path)
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: tiny\nsystem: caf\xe9".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        Recipe.load(path)


SENTENCE = Sentence("손흥민은 춘천에서", (Span(0, 3, "PS"), Span(5, 7, "LC")), "s1")


def test_a_prompt_ends_with_the_question_and_does_not_look_at_gold(klue: Recipe) -> None:
    prompt = build_prompt(klue, SENTENCE)
    assert prompt.messages[0]["role"] == "system"
    assert prompt.messages[-1] == {"role": "user", "content": SENTENCE.text}
    assert [m["role"] for m in prompt.messages[1:-1]] == ["user", "assistant"] * len(klue.examples)
    assert prompt.completion.endswith("문장: 손흥민은 춘천에서\n개체명:")
    assert prompt == build_prompt(klue, Sentence(SENTENCE.text, (), "s1"))


@pytest.mark.parametrize("format", sorted(REPLY_FORMATS))
def test_training_rows(klue: Recipe, format: str) -> None:
    recipe = klue.with_reply_format(format)
    row = chat_row(recipe, SENTENCE)
    assert list(row) == ["id", "messages"]
    assert [m["role"] for m in row["messages"]] == ["system", "user", "assistant"]  # type: ignore[attr-defined]
    split = completion_row(recipe, SENTENCE)
    assert split["prompt"] + split["completion"] == row["messages"]  # type: ignore[operator]
    assert len(split["completion"]) == 1  # type: ignore[arg-type]


def test_a_recipe_says_only_what_differs_from_the_one_it_extends(tmp_path: Path) -> None:
    klue, mini = Recipe.load("klue"), Recipe.load("klue-mini")
    assert mini.labels == klue.labels
    assert (mini.system_prompt, mini.turns, mini.reply_format) == ("", (), "pairs")
    (tmp_path / "mine.yaml").write_text("extends: klue\nname: mine\n", encoding="utf-8")
    (tmp_path / "grandchild.yaml").write_text(
        "extends: mine.yaml\nname: g\nsystem: 답하라.\n", encoding="utf-8"
    )
    mine, grandchild = (
        Recipe.load(tmp_path / "mine.yaml"),
        Recipe.load(tmp_path / "grandchild.yaml"),
    )
    assert mine == klue.model_copy(update={"name": "mine"})
    assert (grandchild.labels, grandchild.system_prompt) == (klue.labels, "답하라.")


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("extends: nobody\n", r"r\.yaml: extends: no recipe is called 'nobody'"),
        ("extends: [klue]\n", r"r\.yaml: extends: expected the name or path"),
        ("extends: r.yaml\n", r"r\.yaml: extends: r\.yaml itself extends this recipe"),
        ("extends: s.yaml\n", r"s\.yaml: extends: r\.yaml itself extends this recipe"),
        ("extends: klue\nsytem: x\n", r"unknown key 'sytem'; did you mean 'system'"),
    ],
)
def test_a_recipe_that_cannot_be_extended_is_named(
    tmp_path: Path, said: str, complaint: str
) -> None:
    (tmp_path / "s.yaml").write_text("extends: r.yaml\nname: s\n", encoding="utf-8")
    path = tmp_path / "r.yaml"
    path.write_text(said + "name: r\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=complaint):
        Recipe.load(path)


@pytest.mark.parametrize("name", builtin_recipes())
def test_a_recipe_written_out_is_the_same_recipe(name: str, tmp_path: Path) -> None:
    path = tmp_path / "again.yaml"
    recipe = Recipe.load(name)
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    assert Recipe.load(path) == recipe
    assert Recipe.load(path).hash == recipe.hash


EVIL = """\
name: evil
labels: [{code: PS}]
system: "{{ labels[0].parse_raw(\\"cposix\\\\nsystem\\\\n(S'echo owned > pwned'\\\\ntR.\\", proto='pickle', allow_pickle=True) }}"
"""


def test_a_recipe_runs_no_code_wherever_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, EVIL)
    loads: list[Callable[[], object]] = [lambda: Recipe.load(path)]
    (tmp_path / "extending.yaml").write_text("extends: mine.yaml\nname: x\n", encoding="utf-8")
    loads.append(lambda: Recipe.load(tmp_path / "extending.yaml"))
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(
        '{"peft_type": "LORA", "base_model_name_or_path": "x"}'
    )
    (adapter / "adapter_model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    path.rename(adapter / "recipe.yaml")
    loads.append(lambda: find_adapter(str(adapter)).recipe)
    for load in loads:
        with pytest.raises(LlmnerError):
            load()
    for option in (["--adapter", str(adapter)], ["--recipe", str(adapter / "recipe.yaml")]):
        told = CliRunner().invoke(app, ["extract", *option, "손흥민은"])
        assert told.exit_code == 2
        assert "recipe.yaml" in told.stderr
    assert not list(tmp_path.rglob("pwned"))


def bomb(levels: int) -> str:
    """Each level is a list of nine aliases of the one before."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (bomb(9), "its aliases stand for more than 200,000 values"),
        (bomb(60), "its aliases stand for more than 200,000 values"),
        ("a0: &a0 {x: 1, y: 2}\n" + "\n".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)), "its aliases stand"),
        ("name: &a [*a]", "a value contains an alias of itself"),
        ("name: &a {b: {c: *a}}", "a value contains an alias of itself"),
        ("? [a, b]\n: c", "a key must be a string"),
        ("name: " + "9" * 5000, "not YAML|name: "),
        ("name: !!python/object/apply:os.system ['true']", "not YAML"),
        ("name: \x00", "not YAML"),
        ("x" * 1_000_001, "at most 1,000,000 characters"),
        ("x" * 4_000_001, "too long for a recipe"),
    ],
    ids=range(11),
)  # fmt: skip
def test_yaml_stays_small_whatever_its_aliases_stand_for(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(RecipeError, match=problem):
        Recipe.load(write(tmp_path, text))


def test_looking_at_aliases_takes_one_look_at_each_node(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    children = _yaml._children

    def counted(node: Any) -> Any:
        nonlocal looks
        looks += 1
        return children(node)

    monkeypatch.setattr(_yaml, "_children", counted)
    for levels in (4, 8):
        looks = 0
        with contextlib.suppress(InputError):
            _yaml.parse_yaml(bomb(levels))
        assert looks <= 2 * (20 * levels + 1)


def test_aliases_that_people_write_are_fine(tmp_path: Path) -> None:
    text = MINIMAL + "units: {km: &k [킬로미터], m: [미터]}\nexamples: []\n"
    assert Recipe.load(write(tmp_path, text)).units["km"] == ("킬로미터",)
    labels = "name: tiny\nlabels: [{code: PS, aliases: &words [a, b]}, {code: LC, followed_by: *words}]\nsystem: x\n"
    assert Recipe.load(write(tmp_path, labels)).labels[1].followed_by == ("a", "b")


@pytest.mark.parametrize("name", ["loop.yaml", "a\\0b", "pipe", "/dev/zero", "\\ud800", "x" * 300])
def test_a_recipe_does_not_wait_for_what_it_extends(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RecipeError, match=r"mine\.yaml"):
        Recipe.load(write(tmp_path, f'extends: "{name}"\nname: x\n'))


def test_a_template_that_fails_on_one_text_names_the_recipe(tmp_path: Path) -> None:
    text = MINIMAL + 'user: "{% if text | length > 9 %}{{ 1 // 0 }}{% endif %}{{ text }}"\n'
    recipe = Recipe.load(write(tmp_path, text))
    assert recipe.question("짧다") == "짧다"
    with pytest.raises(RecipeError, match=r"^recipe tiny: user: the template fails \("):
        recipe.question("이 글은 열 글자가 넘는다")


@settings(max_examples=300)
@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=3))
def test_labels_of_ones_own_make_a_recipe_or_are_refused(labels: list[str]) -> None:
    # Whatever else is raised is an error here.
    with contextlib.suppress(InputError):
        assert len(Recipe.of(labels).schema_.codes) == len(labels)


def test_a_character_that_no_label_can_have_is_told() -> None:
    with pytest.raises(InputError, match="no label can have"):
        Recipe.of({"\x1cR": "a name", "P": ""})
