from __future__ import annotations

from pathlib import Path

import pytest

from llmner.chat import build_prompt, chat_row, completion_row
from llmner.errors import InputError, RecipeError, UnknownNameError
from llmner.recipes import Recipe, builtin_recipes
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
    for sentence, (_, answer) in zip(recipe.example_sentences(), recipe._worked(), strict=True):
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
        (MINIMAL.replace("code: PS", "code: P S"), r"mine.yaml:3: labels.0.code: .*pattern"),
        (MINIMAL + "reply_format: xml\n", r"mine.yaml:6: reply_format: expected one of json-by-type"),
        (MINIMAL + "examples: ['<손흥민:PER>']\n", r"'PER' is not among the labels PS"),
        (MINIMAL + "examples: ['<손흥민']\n", r"examples\[0\]: '<' at character 0"),
        (MINIMAL.replace("{{ label.code }}", "{{ lable.code }}"), r"system: 'lable' is undefined"),
        (MINIMAL.replace("{% endfor %}", ""), r"system: line 1 of the template"),
        (MINIMAL + "user: '{{ txet }}'\n", r"user: 'txet' is undefined"),
        (MINIMAL.replace("system:", "sytem:"), r"mine.yaml:5: unknown key 'sytem'; did you mean 'system'"),
        (MINIMAL + "name: other\n", r"mine.yaml:6: key 'name' stands twice"),
        (MINIMAL + "user: no text here\n", r"mine.yaml:6: user: the template never uses"),
        (MINIMAL + "examples:\n  - '<손:PS>'\n  - '<손:PER>'\n", r"mine.yaml:8: examples\[1\]: 'PER'"),
        (MINIMAL + "user: '{{ 1/0 }}{{ text }}'\n", r"mine.yaml:6: user: the template fails"),
        (MINIMAL + "description: 2024-13-45\n", "not YAML"),
        ("a: " + "[" * 3000, "not YAML"),
        ("name: [", r"mine.yaml:2?1?: ?not YAML|mine.yaml:\d+: not YAML"),
        ("- a\n- b\n", "holds no recipe"),
        ("", "holds no recipe"),
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
    with pytest.raises(UnknownNameError, match="built in are gmb, klue, klue-mini, klue-sft, klue-strict"):
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
    mine, grandchild = Recipe.load(tmp_path / "mine.yaml"), Recipe.load(tmp_path / "grandchild.yaml")
    assert mine == klue.model_copy(update={"name": "mine"})
    assert (grandchild.labels, grandchild.system_prompt) == (klue.labels, "답하라.")


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("extends: nobody\n", r"r\.yaml: extends: no recipe is called 'nobody'"),
        ("extends: [klue]\n", r"r\.yaml: extends: expected the name or path"),
        ("extends: r.yaml\n", r"r\.yaml: extends: r\.yaml extends this recipe in turn"),
        ("extends: s.yaml\n", r"s\.yaml: extends: r\.yaml extends this recipe in turn"),
        ("extends: klue\nsytem: x\n", r"unknown key 'sytem'; did you mean 'system'"),
    ],
)
def test_a_recipe_that_cannot_be_extended_is_named(tmp_path: Path, said: str, complaint: str) -> None:
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
