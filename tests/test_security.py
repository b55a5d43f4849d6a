"""Each sentence of ``SECURITY.md`` is held by tests, which are named here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llmner.cli import app
from tests.conftest import ROOT
from tests.tiny import tiny_model

CLAIMS = {
    # Recipes and adapters
    "Loading a recipe runs no code": ["recipes/test_recipes.py::test_a_recipe_runs_no_code_wherever_it_is_loaded"],
    "A recipe's templates see texts": [
        "recipes/test_templates.py::test_nothing_that_a_template_reaches_can_be_called_but_what_is_listed",
        "recipes/test_templates.py::test_what_a_template_cannot_do_is_one_line",
        "recipes/test_templates.py::test_everything_a_template_may_do_is_in_the_guide",
    ],
    "A template that loops": ["recipes/test_templates.py::test_what_a_template_does_is_counted"],
    "YAML keeps to plain data": ["recipes/test_recipes.py::test_yaml_stays_small_whatever_its_aliases_stand_for"],
    "A recipe that extends another": ["recipes/test_recipes.py::test_a_recipe_does_not_wait_for_what_it_extends"],
    "Weights are read from safetensors": ["engines/test_broken_models.py::test_pickled_weights_are_not_loaded"],
    "Code that comes with a model": ["test_security.py::test_no_command_runs_code_of_a_model_unasked"],
    "A recipe that comes with an adapter": ["engines/test_broken_models.py::test_a_recipe_from_the_hub_is_told_by_name"],
    "A broken adapter": [
        "engines/test_broken_models.py::test_an_adapter_however_broken_is_one_line_that_names_it",
        "engines/test_broken_models.py::test_it_is_told_before_a_base_model_is_loaded",
    ],
    # Replies, texts and rows
    "Reading and projecting never raise": [
        "test_pumping.py::test_no_pattern_takes_more_than_linear_time_or_raises",
        "test_pumping.py::test_backslashes_before_a_quote_do_not_recurse",
    ],
    "They take time that is linear": [
        "test_pumping.py::test_no_pattern_takes_more_than_linear_time_or_raises",
        "test_pumping.py::test_known_shapes_stay_linear_and_hide_no_mention",
        "test_pumping.py::test_steps_grow_with_the_mentions_and_are_counted",
    ],
    "A budget of steps ends them": ["test_pumping.py::test_work_can_be_ended_wherever_it_is"],
    "Half surrogates": ["cli/test_hostile.py::test_texts_ids_and_labels_of_any_characters_are_shown_plainly"],
    "One bad row ends no run": [
        "test_mishaps.py::test_a_stage_that_fails_at_one_sentence_is_a_row_with_its_error",
        "test_mishaps.py::test_extract_keeps_the_good_rows",
        "test_mishaps.py::test_project_keeps_the_good_rows",
        "test_mishaps.py::test_evaluate_counts_it_as_unanswered",
    ],
    "What a terminal would obey": ["test_shown.py::test_what_is_shown_steers_no_terminal_and_is_stable"],
    "Reports, model cards and the page": [
        "reports/test_report.py::test_nothing_from_a_corpus_or_a_model_becomes_markup",
        "hub/test_card.py::test_any_corpus_name_leaves_metadata_and_tables_whole",
        "serving/test_page_browser.py::test_markup_in_texts_labels_and_replies_stays_text",
    ],
    # Endpoints
    "Whatever an endpoint answers": [
        "engines/test_odd_answers.py::test_every_prompt_has_one_reply_in_order_whatever_the_endpoint_sends",
        "engines/test_odd_answers.py::test_what_is_no_answer_is_asked_for_again_and_then_a_row_with_its_error",
    ],
    "Keys stay out": [
        "engines/test_odd_answers.py::test_no_error_shows_a_key",
        "serving/test_secrets.py::test_nothing_that_looks_like_a_key_is_left",
    ],
    # The server
    "A request that is large": [
        "serving/test_apart.py::test_nothing_that_grows_with_a_request_is_done_in_the_loop",
        "serving/test_slow_clients.py::test_three_hundred_slow_bodies_keep_nobody_out",
    ],
    "Clients that do not read": [
        "serving/test_slow_clients.py::test_answers_that_are_not_read_take_up_no_room",
        "serving/test_slow_clients.py::test_a_blocked_connection_waits_whatever_is_being_answered",
        "serving/test_hostile_requests.py::test_whoever_sends_on_and_on_after_the_answer_is_cut_off",
    ],
    "`llmner serve` runs nothing": ["serving/test_server.py::test_nothing_that_lies_in_the_current_folder_is_run"],
    "A long projection ends": [
        "serving/test_apart.py::test_whoever_hangs_up_ends_the_process_that_worked_for_it",
        "serving/test_server.py::test_a_client_that_hangs_up_is_noticed_though_it_has_asked_again",
        "serving/test_apart.py::test_what_is_given_up_is_killed",
    ],
    "What an endpoint says in its errors": ["serving/test_app.py::test_no_client_hears_what_an_endpoint_says"],
    "A server that is given keys": ["serving/test_secrets.py::test_what_no_client_can_show_is_no_key"],
    "Texts and replies are logged": ["serving/test_app.py::test_texts_are_logged_only_when_asked"],
    "Memory stays bounded": [
        "serving/test_apart.py::test_work_has_so_much_memory",
        "serving/test_hostile_requests.py::test_what_comes_behind_a_body_has_an_end",
        "serving/test_hostile_requests.py::test_a_projection_that_would_be_too_large_is_refused",
        "test_kept.py::test_nothing_of_a_long_string_stays",
    ],
    # Files
    "A file is written whole": [
        "test_files.py::test_links_are_followed_to_where_they_lead",
        "test_files.py::test_a_file_keeps_its_mode_and_a_new_one_has_that_of_open",
        "test_files.py::test_many_writers_of_one_file_all_end_well",
    ],
    "What a killed run left": [
        "test_files.py::test_what_a_killed_writer_left_is_cleared_and_a_living_one_is_left_alone"
    ],
    "Texts kept in the cache": ["extraction/test_runs.py::test_the_cache_of_runs_is_its_owners"],
    # Dependencies
    "Every package that": ["test_constraints.py::test_make_installs_nothing_that_is_not_pinned"],
}  # fmt: skip


def test_every_sentence_is_in_the_list_and_every_test_exists() -> None:
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    sentences = [line.removeprefix("- ") for line in page.split("\n") if line.startswith("- ")]
    named = {
        sentence: [claim for claim in CLAIMS if sentence.startswith(claim)]
        for sentence in sentences
    }
    assert {sentence for sentence, claims in named.items() if len(claims) != 1} == set()
    assert len(sentences) == len(CLAIMS)
    for tests in CLAIMS.values():
        for test in tests:
            file, _, name = test.partition("::")
            source = (ROOT / "tests" / file).read_text(encoding="utf-8")
            assert f"\ndef {name}(" in source, test


@pytest.mark.parametrize("unknown", [True, False])
def test_no_command_runs_code_of_a_model_unasked(tmp_path: Path, unknown: bool) -> None:
    """Neither where the code is all there is to load it with, nor where transformers knows the
    kind itself.
    """
    pytest.importorskip("torch", reason='needs pip install "llmner[local]"')
    folder = tiny_model(tmp_path / "model")
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    told["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    told["model_type"] = "evil" if unknown else told["model_type"]
    (folder / "config.json").write_text(json.dumps(told), encoding="utf-8")
    owned = tmp_path / "owned"
    (folder / "evil.py").write_text(f"open({str(owned)!r}, 'w').close()\n", encoding="utf-8")
    arguments = [
        "extract",
        "손흥민은",
        "--model",
        str(folder),
        "--adapter",
        "none",
        "--max-new-tokens",
        "1",
    ]
    ended = CliRunner().invoke(app, arguments)
    assert not owned.exists()
    # It was asked, whatever it answered.
    assert bool(ended.stdout.strip()) == (not unknown)
    assert "Traceback" not in ended.output


def test_the_figure_is_the_measured_one() -> None:
    kept = json.loads(
        (ROOT / "benchmarks" / "results" / "pumping.json").read_text(encoding="utf-8")
    )
    assert f"Of {kept['figures']['all_patterns']:,} patterns" in (ROOT / "SECURITY.md").read_text(
        "utf-8"
    )
    assert kept["command"] in (ROOT / "SECURITY.md").read_text("utf-8")
    assert kept["figures"]["findings"] == []
