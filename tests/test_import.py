"""``import llmner`` costs next to nothing; the public names are the ones promised."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time

import pytest

import llmner

HEAVY = ("torch", "transformers", "datasets", "vllm", "fastapi", "sklearn", "numpy", "pydantic")


def fresh(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_importing_loads_nothing_heavy() -> None:
    code = (
        f"import json, sys, llmner; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    assert json.loads(fresh(code)) == []


def test_projecting_loads_no_engine_and_no_scorer() -> None:
    code = (
        "import json, sys, llmner; llmner.project_reply('손흥민은', '{\"PS\": [\"손흥민\"]}');"
        f"print(json.dumps([m for m in {HEAVY[:-1]!r} if m in sys.modules]))"
    )
    assert json.loads(fresh(code)) == []


def test_importing_takes_under_a_fifth_of_a_second() -> None:
    code = "import time; s = time.perf_counter(); import llmner; print(time.perf_counter() - s)"
    assert min(float(fresh(code)) for _ in range(3)) < 0.2


def test_help_loads_nothing_heavy_and_answers_soon() -> None:
    def seconds(*arguments: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        return time.perf_counter() - started

    # A quarter of a second where a program of typer takes a tenth; in one run, since machines are
    # busy.
    typer = min(seconds("-c", "import typer, typer.main") for _ in range(5))
    assert min(seconds("-m", "llmner", "--help") for _ in range(5)) < 5 * typer
    code = f"import sys, llmner.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert fresh(code).strip() == "[]"


def test_public_names() -> None:
    assert set(llmner.__all__) == {
        "Extraction", "Extractor", "Label", "LabelSchema", "LlmnerError", "Mention", "Outcome", "Projection",
        "ReadReply", "Recipe", "Scores", "Sentence", "Span", "__version__", "aextract", "extract", "project", "project_reply",
        "read_corpus", "read_reply", "render_reply", "score", "write_corpus",
    }  # fmt: skip
    for name in llmner.__all__:
        assert getattr(llmner, name) is not None
    assert dir(llmner) == sorted(llmner.__all__)
    with pytest.raises(AttributeError, match="no attribute 'projekt'"):
        _ = llmner.projekt


@pytest.mark.parametrize(
    ("package", "names"),
    [
        (
            "corpora",
            "CORPUS_FORMATS BadRow CorpusComparison CorpusFormat CorpusStats LabelShift "
            "LabelStats Lengths Losses Overlap "
            "Place ReadOptions ReadStats SharedSentence ShiftTest compare_corpora corpus_formats "
            "corpus_stats guess_format read_corpus "
            "format_names from_words is_file_name read_dataset word_tags write_corpus",
        ),
        (
            "replies",
            "LABEL_FORMATS LabelFormat NOTHING REPAIRS REPLY_FORMATS Order Place ReadReply ReplyFormat "
            "Status find_places is_about_texts read_exact read_labels read_reply render_reply",
        ),
        (
            "projection",
            "AttributeKind AttributeOutcome LabelOutcome LabelOutcomeKind "
            "Budget Canonical Outcome OutcomeKind Policy PolicyFields Projection canonical_surface "
            "canonicalize is_particle project project_read project_reply",
        ),
        (
            "languages",
            "EVERY_LANGUAGE KINDS LANGUAGES Language Reason cues_after find_language "
            "answer_meaning find_languages is_no_answer is_particle "
            "main_language meaning_of merge scripts_of words_for",
        ),
        (
            "engines",
            "ENGINES Capabilities Engine Generator Reply Token create_generator engine_names",
        ),
        (
            "scoring",
            "ATTRIBUTE_CAUSES AttributeLoss CAUSES FIGURES KLUE_LABELS MODEL_COLUMNS PRF Breakdown Calibration CalibrationBin "
            "Ceilings Change check_replaceable_run Comparison "
            "Confusion Difference Evaluation Facts Fault Figure Interval KlueScores LabelScore "
            "Loss ModeScore "
            "Prediction Row Scores Source align compare corpus_signature corpus_source draw evaluate "
            "doubts evaluate_all evaluate_runs "
            "evaluate_sources find_faults from_extractor from_file headline label_rows model_rows "
            "quotes read_predictions "
            "read_run reliability render_report sample score signature_line write_run",
        ),
        (
            "baselines",
            "Baseline BaselineExtractor BilstmCrfConfig BilstmCrfTagger ComparedModel CrfConfig "
            "CrfTagger "
            "EncoderClassifier EncoderClassifierConfig EncoderConfig EncoderTagger Epoch "
            "LinearClassifier LinearClassifierConfig ModelEntry ModelsConfig Trained compare_models "
            "find_baseline load_baseline "
            "load_models_config push_baseline train_baseline",
        ),
        ("serving", "Asked Limits Service create_app run_server"),
    ],
)
def test_names_of_each_room(package: str, names: str) -> None:
    module = importlib.import_module(f"llmner.{package}")
    assert sorted(module.__all__) == sorted(names.split())
    for name in module.__all__:
        assert hasattr(module, name)


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("generation", "engines", "ENGINES Generator Reply Token create_generator"),
        ("windows", "extraction.windows", "Window check_windows halve_window split_windows"),
        ("confidence", "extraction.confidence", "Calibrator drop_unsure score_spans vote"),
        ("runs", "extraction.runs", "RunSummary retry_failed run_extraction run_record"),
        ("chat", "recipes.chat", "Message Prompt build_prompt chat_row completion_row write_chat"),
    ],
)
def test_rooms_of_0_1_are_found_under_their_old_names(old: str, new: str, names: str) -> None:
    sys.modules.pop(f"llmner.{old}", None)
    with pytest.warns(DeprecationWarning, match=rf"llmner\.{old} is llmner\.{new} now"):
        before = importlib.import_module(f"llmner.{old}")
    now = importlib.import_module(f"llmner.{new}")
    for name in names.split():
        assert getattr(before, name) is getattr(now, name)
    with pytest.raises(AttributeError):
        _ = before.none_such
    sys.modules.pop(f"llmner.{old}")
