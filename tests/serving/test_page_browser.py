"""The page in a real browser: extracting, projecting, copying; by keyboard, on a phone, in the
dark; markup stays text.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

pytest.importorskip("fastapi", reason='needs pip install "llmner[serve]"')

from llmner._colours import label_colours
from llmner.baselines import BaselineExtractor, LinearClassifierConfig, train_baseline
from llmner.engines import Reply, Token
from llmner.projection import AttributeKind, LabelOutcomeKind, OutcomeKind
from llmner.recipes import Recipe
from llmner.replies import REPAIRS
from llmner.serving import Service
from llmner.spans import Sentence, TextLabel
from tests.conftest import ROOT
from tests.serving.fakes import Model, eventually, named, running, service

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Open = Callable[..., "Page"]
TEXT = "😀 손흥민은 춘천에서 3,000명을 만났다."
EVIL = "<img src=x onerror=\"document.title='gone'\"><script>document.title='gone'</script>"


def sure(text: str) -> Reply:
    """A reply in a fence, with probabilities, and a name that is not in the text."""
    if text == ".":
        return Reply("{}")
    reply = "```json\n" + named(text)[:-1] + ', "OG": ["런던"]}\n```'
    return Reply(
        reply, "stop", 7, 3, None, tuple(Token(at, at + 1, -0.01) for at in range(len(reply)))
    )


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens a server's page; fails the test for what the page complains of or fetches from
    elsewhere.
    """
    complaints: list[str] = []
    with ExitStack() as stack:

        def opened(
            model: Model | None = None,
            *,
            app: dict[str, Any] | None = None,
            served: Service | None = None,
            **options: Any,
        ) -> Page:
            address = stack.enter_context(running(served or service(model), **(app or {})))
            context = browser.new_context(**options)
            stack.callback(context.close)
            context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
            page = context.new_page()
            page.set_default_timeout(10_000)

            def heard(message: Any) -> None:
                # The browser says so of every answer that is an error, which the page tells itself.
                if "Failed to load resource" not in message.text:
                    complaints.append(f"{message.type}: {message.text}")

            page.on("console", heard)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on(
                "dialog", lambda dialog: (complaints.append("a dialog opened"), dialog.dismiss())[1]
            )
            page.on(
                "request",
                lambda asked: (
                    None if asked.url.startswith(address) else complaints.append(asked.url)
                ),
            )
            page.goto(address)
            if not (app or {}).get("keys"):
                page.wait_for_selector("#extract-recipe option", state="attached")
            return page

        yield opened
    assert complaints == []


def extracted(page: Page, text: str = TEXT) -> None:
    page.fill("#extract-text", text)
    page.click("#extract button[type=submit]")
    page.wait_for_selector("#result:not([hidden])")


def told(page: Page, words: str) -> None:
    """Waits until the page says so."""
    page.wait_for_selector(f"#status:text-is('{words}')")


def rows(page: Page) -> list[list[str]]:
    return [
        row.locator("td").all_text_contents() for row in page.locator("#mentions tbody tr").all()
    ]


def test_a_text_is_extracted_and_shown_with_outcomes_reply_and_repairs(open_page: Open) -> None:
    page = open_page(Model(sure))
    extracted(page)
    assert page.locator("#shown mark").all_text_contents() == ["손흥민PS", "춘천LC", "3,000명QT"]
    assert page.locator("#shown").evaluate("node => node.firstChild.textContent") == "😀 "
    assert (
        len(
            set(
                page.locator("#shown mark").evaluate_all(
                    "all => all.map(m => getComputedStyle(m).backgroundColor)"
                )
            )
        )
        == 3
    )
    shown = rows(page)
    assert [row[:4] for row in shown] == [
        ["PS", "손흥민", "2", "5"],
        ["LC", "춘천", "7", "9"],
        ["QT", "3,000명", "12", "18"],
        ["OG", "", "", ""],
    ]
    assert all(0 < float(row[4]) < 1 for row in shown[:3])
    assert [row[5] for row in shown[:3]] == ["exact"] * 3
    assert shown[3][5].startswith("not found")
    assert page.text_content("#raw") == sure(TEXT).text
    assert page.locator("#repairs li").all_text_contents() == ["a Markdown fence was removed"]
    assert (page.text_content("#status") or "").startswith("3 entities in")


def test_a_tagger_is_shown_without_what_it_does_not_take(open_page: Open, tmp_path: Path) -> None:
    pytest.importorskip("sklearn_crfsuite", reason='needs pip install "llmner[baselines]"')
    from llmner.baselines import BaselineExtractor, CrfConfig, train_baseline
    from llmner.corpora import read_corpus

    sentences = list(read_corpus(ROOT / "data" / "sample.tsv"))
    train_baseline(sentences, CrfConfig(max_iterations=30), tmp_path / "crf", corpus="sample.tsv")
    tagger = BaselineExtractor(tmp_path / "crf")
    page = open_page(served=Service(Recipe.load("klue"), tagger=tagger))
    assert page.text_content("#extract-about") == f"A tagger. {', '.join(tagger.labels)}"
    for name in ("#extract-recipe", "#extract-format", "#extract-grounded"):
        assert not page.is_visible(name)
    assert page.is_visible("#extract-score")
    text = sentences[0].text
    extracted(page, text)
    (found,) = tagger.extract([text])
    assert found.spans
    assert page.locator("#shown mark").all_text_contents() == [
        text[span.start : span.end] + span.label for span in found.spans
    ]
    shown = rows(page)
    assert [row[1] for row in shown] == [text[span.start : span.end] for span in found.spans]
    assert all(0 < float(row[4]) <= 1 for row in shown)
    assert page.text_content("#reading") == "A tagger gives no reply."
    assert not page.is_visible("#raw")
    headings = page.locator("#mentions th").all()
    assert [each.is_visible() for each in headings] == [True] * 5 + [False] * 2


def test_what_was_chosen_is_what_is_asked(open_page: Open) -> None:
    page = open_page(Model(sure))
    assert page.input_value("#extract-recipe") == "klue"
    page.select_option("#extract-recipe", "klue-strict")
    page.select_option("#extract-format", "lines")
    page.fill("#extract-score", "0.999")
    with page.expect_request("**/v1/extract") as asked:
        extracted(page)
    body = json.loads(asked.value.post_data or "")
    assert body == {
        "texts": [TEXT],
        "recipe": "klue-strict",
        "reply_format": "lines",
        "min_score": 0.999,
    }
    # Every span had a lower score.
    assert page.locator("#shown mark").count() == 0
    assert {row[5].split(" ")[0] for row in rows(page)[:3]} == {"unsure"}
    # This engine knows no grammars: there is nothing to choose.
    assert page.is_disabled("#extract-grounded")
    assert page.is_enabled("#extract-text")


def test_results_are_copied_as_json_and_as_markup(open_page: Open) -> None:
    page = open_page(Model(sure))
    extracted(page)
    page.click("#copy-markup")
    told(page, "Copied as markup")
    assert (
        page.evaluate("navigator.clipboard.readText()")
        == "😀 <손흥민:PS>은 <춘천:LC>에서 <3,000명:QT>을 만났다."
    )
    page.click("#copy-json")
    told(page, "Copied as JSON")
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert [span["label"] for span in copied["spans"]] == ["PS", "LC", "QT"]


def test_a_reply_of_any_model_is_projected_without_one(open_page: Open) -> None:
    page = open_page(None)
    page.wait_for_selector("#panel-project:not([hidden])")
    assert page.is_visible("#tab-extract")
    page.click("#tab-extract")
    assert page.is_visible("#no-model")
    assert page.is_disabled("#extract-text")
    page.click("#tab-project")
    page.click("#project [data-example]")
    page.click("#project button[type=submit]")
    page.wait_for_selector("#result:not([hidden])")
    assert page.locator("#shown mark").all_text_contents() == [
        "손흥민PS",
        "7.2㎞QT",
        "손흥민PS",
        "춘천LC",
    ]
    assert [row[5].split(" ")[0] for row in rows(page)] == [
        "exact",
        "exact",
        "canonical",
        "trimmed",
        "not",
    ]
    assert rows(page)[2][6] == "7.2km"
    assert page.locator("#repairs li").count() == 4
    page.fill("#project-text", "Ada met Bob.")
    page.fill("#project-reply", '{"HUMAN": ["Ada", "Bob"]}')
    page.select_option("#project-recipe", "")
    page.click("#project button[type=submit]")
    page.wait_for_selector("#shown mark:nth-of-type(2):last-of-type")


def test_markup_in_texts_labels_and_replies_stays_text(open_page: Open) -> None:
    page = open_page(Model(lambda text: json.dumps({"PS": [EVIL], EVIL: [EVIL]})))
    extracted(page, f"앞 {EVIL} 뒤")
    assert EVIL in (page.text_content("#shown") or "")
    assert EVIL in rows(page)[0][1]
    page.click("#tab-project")
    page.fill("#project-text", f"앞 {EVIL} 뒤")
    page.fill("#project-reply", json.dumps({f"L{EVIL}": [EVIL, "없는 " + EVIL]}) + EVIL)
    page.select_option("#project-recipe", "")
    page.click("#project button[type=submit]")
    page.wait_for_selector("#raw:has-text('uc5c6')")
    assert EVIL in (page.text_content("#raw") or "")
    assert page.locator("#result img, #result script").count() == 0
    assert page.title() == "llmner"


def test_errors_are_told_and_nothing_old_stays(open_page: Open) -> None:
    answers = iter([sure("서울")])
    page = open_page(
        Model(
            lambda text: (
                sure(text) if text == "." else next(answers, Reply("", "error", error="too long"))
            )
        )
    )
    extracted(page, "서울")
    page.click("#extract button[type=submit]")
    page.wait_for_selector("#status.error")
    assert page.text_content("#status") == "the engine refuses this text"
    assert page.is_hidden("#result")


def test_a_key_is_asked_for_and_used(open_page: Open) -> None:
    page = open_page(Model(sure), app={"keys": ("비밀 naïve",)})
    page.wait_for_selector("#key-box:not([hidden])")
    page.fill("#key", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#status.error")
    page.fill("#key", "비밀 naïve")
    page.keyboard.press("Enter")
    page.wait_for_selector("#key-box[hidden]", state="attached")
    extracted(page)
    assert page.locator("#shown mark").count() == 3


def test_everything_can_be_done_by_keyboard_and_is_named(open_page: Open) -> None:
    page = open_page(Model(sure))
    page.focus("#tab-extract")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-project"
    assert page.get_attribute("#tab-project", "aria-selected") == "true"
    assert page.is_visible("#panel-project")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "extract-text"
    page.keyboard.type("서울에서")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#result:not([hidden])")
    # Who cannot see the page is taken to the result, and told.
    assert page.evaluate("document.activeElement.id") == "result-title"
    assert page.get_attribute("#status", "aria-live") == "polite"
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('input, select, textarea')].filter(e => !e.labels.length).map(e => e.id)"""
    )
    assert unnamed == []
    assert page.locator("#mentions th[scope=col]").count() == 7


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits_a_phone_and_a_desk_in_light_and_dark(
    open_page: Open, scheme: str, width: int
) -> None:
    page = open_page(Model(sure), viewport={"width": width, "height": 800}, color_scheme=scheme)
    extracted(page, TEXT * 10 + "가" * 300)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground, ink, marks = page.evaluate(
        """() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,
        [...document.querySelectorAll('#shown mark')].map(mark => getComputedStyle(mark).backgroundColor)]"""
    )
    assert (luminance(ground) > 0.5) == (scheme == "light")
    # WCAG asks for 4.5 to 1.
    assert all(contrast(ink, each) > 4.5 for each in {ground, *marks})


def luminance(colour: str) -> float:
    """WCAG's relative luminance of ``rgb(r, g, b)``, in [0, 1]."""
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").rstrip(")").split(",")]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_attributes_and_labels_of_texts_are_shown(open_page: Open) -> None:
    page = open_page(served=Service(Recipe.load("reviews-ko")))
    page.click("#tab-project")
    page.select_option("#project-recipe", "mams-terms")
    page.fill("#project-text", "Nice soup, slow waiter.")
    page.fill("#project-reply", f"soup: positive\nwaiter: purple\n{EVIL}: positive")
    page.click("#project button[type=submit]")
    page.wait_for_selector("#shown mark")
    assert "TERM · positive" in page.inner_text("#shown")
    mentions = page.inner_text("#mentions")
    assert "polarity: positive" in mentions
    page.select_option("#project-recipe", "reviews-ko")
    page.fill("#project-text", "정말 늦게 왔어요. 맛은 좋아요.")
    reply = [
        {"label": "배송", "sentiment": -2, "evidence": ["늦게 왔어요"]},
        {"label": EVIL, "sentiment": 1},
        {"label": "맛", "sentiment": "보라"},
    ]
    page.fill("#project-reply", json.dumps(reply, ensure_ascii=False))
    page.click("#project button[type=submit]")
    page.wait_for_selector("#text-labels li")
    labels = page.locator("#text-labels li").all_inner_texts()
    assert labels[0].split() == ["배송", "sentiment:", "-2", "늦게", "왔어요"]
    assert "unknown value" in labels[1]
    assert "unknown label" in labels[2]
    assert "2 labels in" in page.inner_text("#status")
    assert page.title() != "gone"


def test_the_words_a_label_rests_on_are_shown(open_page: Open, tmp_path: Path) -> None:
    sentences = [
        Sentence(f"{subject} {verdict}", labels=(TextLabel(label),))
        for label, subject in (("배송", "택배가"), ("맛", "국물이"), (EVIL, EVIL))
        for verdict in ("좋아요", "나빠요", "그래요")
    ]
    train_baseline(sentences, LinearClassifierConfig(buckets=1 << 12, folds=0), tmp_path / "model")
    tagger = BaselineExtractor(tmp_path / "model")
    page = open_page(served=Service(Recipe.load("klue"), tagger=tagger))
    for text, label, word in (
        ("택배가 좋아요", "배송", "택배가"),
        (f"{EVIL} 그래요", EVIL, "gone"),
    ):
        page.fill("#extract-text", text)
        page.click("#extract button[type=submit]")
        page.wait_for_selector("#text-labels li")
        assert page.locator("#why").is_hidden()
        page.click("#explain")
        page.wait_for_selector("#why mark")
        assert page.inner_text("#why b").strip() == label
        assert word in page.inner_text("#why mark")
        assert page.locator("#why [title]").count() >= 2
    assert page.title() != "gone"
    # A projected reply was asked of nobody.
    page.click("#tab-project")
    page.fill("#project-text", "손흥민")
    page.fill("#project-reply", "PS: 손흥민")
    page.click("#project button[type=submit]")
    page.wait_for_selector("#shown mark")
    assert page.locator("#explain").is_hidden()
    assert page.locator("#why").is_hidden()


def test_the_page_speaks_korean_and_remembers_it(open_page: Open) -> None:
    page = open_page(Model(sure), locale="ko-KR")
    assert page.get_attribute("html", "lang") == "ko"
    assert page.text_content("#extract button[type=submit]") == "개체명 찾기"
    assert (
        page.get_attribute("#extract-text", "placeholder")
        == "글을 붙여 넣으세요. 길이는 상관없습니다"
    )
    extracted(page)
    assert (page.text_content("#status") or "").startswith("개체명 3개")
    assert [row[5] for row in rows(page)][:3] == ["그대로"] * 3
    assert page.locator("#repairs li").all_text_contents() == ["마크다운 코드 블록 표시를 지움"]
    # What is shown follows the language, and what was typed and chosen stays.
    page.select_option("#extract-recipe", "klue-strict")
    page.select_option("#language", "en")
    assert page.text_content("#extract button[type=submit]") == "Extract"
    assert rows(page)[0][5] == "exact"
    assert page.input_value("#extract-text") == TEXT
    assert page.input_value("#extract-recipe") == "klue-strict"
    page.reload()
    page.wait_for_selector("#extract-recipe option", state="attached")
    assert page.get_attribute("html", "lang") == "en"


def test_every_sentence_of_the_page_has_a_korean_one(open_page: Open) -> None:
    page = open_page(Model(sure))
    said = set(page.evaluate("originals.map(([said]) => said)"))
    script = (ROOT / "llmner" / "serving" / "page" / "page.js").read_text(encoding="utf-8")
    said |= set(re.findall(r'(?:\bt|\bwait)\("([^"]+)"', script))
    said |= set(re.findall(r'"(\{count\} [^"]+)"', script)) | set(REPAIRS.values())
    said |= set(page.evaluate("Object.values(KINDS)")) | {"labels of your own"}
    kinds = (*get_args(OutcomeKind), *get_args(AttributeKind), *get_args(LabelOutcomeKind))
    said |= {kind.replace("_", " ") for kind in kinds}
    # Names, and the values of options.
    said -= {"llmner", "0"}
    assert {each for each in said if not page.evaluate("each => each in KOREAN", each)} == set()
    assert set(page.evaluate("Object.keys(KINDS)")) == set(get_args(OutcomeKind))


def test_labels_of_ones_own_are_asked_for(open_page: Open) -> None:
    page = open_page(Model(lambda text: '{"NAME": ["손흥민"], "PLACE": ["춘천"]}'))
    assert page.is_hidden("#extract-labels")
    page.select_option("#extract-recipe", label="labels of your own")
    assert page.is_hidden("#meanings")
    page.fill("#extract-text", TEXT)
    # Without labels there is no question.
    page.click("#extract button[type=submit]")
    assert page.evaluate("document.activeElement.id") == "extract-labels"
    page.fill("#extract-labels", "A, a")
    page.click("#extract button[type=submit]")
    assert (
        page.evaluate("document.activeElement.validationMessage") == "two labels are called alike"
    )
    page.fill("#extract-labels", "PLACE、NAME ＝ people, with = in it\n\nTIME，__proto__\nNAME")
    page.select_option("#extract-language", "en")
    with page.expect_request("**/v1/extract") as asked:
        extracted(page)
    body = json.loads(asked.value.post_data or "")
    assert body["labels"] == {
        "PLACE": "",
        "NAME": "people, with = in it",
        "TIME": "",
        "__proto__": "",
    }
    assert body["language"] == "en"
    assert "recipe" not in body
    assert page.locator("#shown mark").all_text_contents() == ["손흥민NAME", "춘천PLACE"]


def test_colours_are_those_of_the_reports(open_page: Open) -> None:
    page = open_page(Model(sure))
    for labels in (
        ["PS", "LC", "OG", "DT", "TI", "QT"],
        ["제품", "PERSON", "맛", "b", "a"],
        [f"label {number}" for number in range(20)],
        ["gpe", "LOC", "Place", "misc", "é", "😀"],
        ["constructor", "toString", "hasOwnProperty"],
    ):
        shown = page.evaluate("labels => Object.fromEntries(coloursOf(labels))", labels)
        assert shown == label_colours(labels)


def test_what_labels_mean_is_told(open_page: Open) -> None:
    page = open_page(Model(sure))
    page.click("#meanings summary")
    meant = page.inner_text("#meanings dl")
    for label in Recipe.load("klue").labels:
        assert f"{label.code} {label.name}" in meant
        assert label.description in meant


def test_seconds_pass_and_a_question_can_be_cancelled(open_page: Open) -> None:
    model = Model(sure)
    page = open_page(model)
    model.gate.clear()
    page.fill("#extract-text", TEXT)
    page.click("#extract button[type=submit]")
    page.wait_for_selector("#timer:text-matches('^0\\\\.[3-9] s$')")
    page.click("#cancel")
    told(page, "Cancelled")
    assert page.is_hidden("#cancel")
    assert page.text_content("#timer") == ""
    model.gate.set()
    extracted(page)
    assert page.locator("#shown mark").count() == 3


def test_outcomes_are_in_sight_on_a_phone(open_page: Open) -> None:
    page = open_page(Model(sure), viewport={"width": 390, "height": 844})
    extracted(page)
    for cell in page.locator("#mentions tbody td:nth-child(6)").all():
        box = cell.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    assert page.evaluate("document.querySelector('.scroll').scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_api_is_told_on_a_page_of_its_own(open_page: Open, scheme: str, width: int) -> None:
    served = service(Model(sure))
    page = open_page(served=served, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert eventually(lambda: served.state == "ready")
    page.click("footer a")
    page.wait_for_url("**/docs", wait_until="load")
    page.wait_for_selector("h2:text('POST /v1/extract')")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground, *inks = page.evaluate(
        """() => [getComputedStyle(document.body).backgroundColor,
        ...[...document.querySelectorAll('p, dt, dd, a, .note, code')].map(e => getComputedStyle(e).color)]"""
    )
    assert all(contrast(ink, ground) > 4.5 for ink in set(inks))
    # Each example is a command that does what it says.
    commands = [each for each in page.locator("pre").all_inner_texts() if each.startswith("curl")]
    assert len(commands) > 8
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command.replace("curl ", "curl -s ", 1)], capture_output=True, check=True
        )
        assert b'"error":{' not in done.stdout, command


def test_the_state_follows_the_language_and_the_focus_is_not_lost(open_page: Open) -> None:
    model = Model(sure)
    page = open_page(model)
    extracted(page)
    page.select_option("#language", "ko")
    assert (page.text_content("#status") or "").startswith("개체명 3개")
    model.gate.clear()
    page.click("#extract button[type=submit]")
    page.select_option("#language", "en")
    assert page.text_content("#status") == "Asking…"
    page.focus("#cancel")
    page.keyboard.press("Enter")
    told(page, "Cancelled")
    assert page.evaluate("document.activeElement.id") == "panel-extract"
    model.gate.set()


def test_a_long_label_stays_on_a_narrow_screen(open_page: Open) -> None:
    label = "PERSONALLY_IDENTIFIABLE_INFORMATION_OF_A_CUSTOMER_OF_OURS_X"
    page = open_page(
        Model(lambda text: json.dumps({label: ["손흥민"]})), viewport={"width": 320, "height": 700}
    )
    page.select_option("#extract-recipe", label="labels of your own")
    page.fill("#extract-labels", label)
    extracted(page)
    assert page.locator("#shown mark").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_a_classifier_says_how_many_labels_it_found(open_page: Open, tmp_path: Path) -> None:
    sentences = [
        Sentence(f"{subject} {verdict}", labels=(TextLabel(label),))
        for label, subject in (("배송", "택배가"), ("맛", "국물이"))
        for verdict in ("좋아요", "나빠요", "그래요")
    ]
    train_baseline(sentences, LinearClassifierConfig(buckets=1 << 12, folds=0), tmp_path / "model")
    tagger = BaselineExtractor(tmp_path / "model")
    page = open_page(served=Service(Recipe.load("klue"), tagger=tagger))
    page.fill("#extract-text", "택배가 좋아요")
    page.click("#extract button[type=submit]")
    page.wait_for_selector("#text-labels li")
    assert (page.text_content("#status") or "").startswith("1 label in")
    assert "배송 0." in page.inner_text("#text-labels")
    assert not page.is_visible("#mentions")
