"""Keys of the server, and keys that no log shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmner._secrets import masked
from llmner.errors import InputError
from llmner.serving._secrets import checked_keys
from tests.pumping import growth

KEY = "sk-proj-8fJq2LmXw93kTzRb"


@pytest.mark.parametrize(
    "message",
    [
        f"Incorrect API key provided: {KEY}. You can find your API key at "
        f"https://platform.example.",
        "Incorrect API key provided: sk-pr**************zRb.",
        f"invalid key '{KEY}'",
        f'{{"api_key": "{KEY}"}}',
        f"Authorization: Bearer {KEY}",
        f"http://user:{KEY}@10.0.0.5/v1 refuses",
        f"http://10.0.0.5/v1?key={KEY}&x=1 refuses",
        "no such key: sk-proj-8f...",
        "the key that ends in zRb0 is not known: token=zRb0",
        "gsk_8fJq2LmXw93kTzRb is not valid",
        "8fJq2LmXw93kTzRb8fJq2LmXw93kTzRb is not valid",
    ],
)
def test_nothing_that_looks_like_a_key_is_left(message: str) -> None:
    told = masked(message)
    assert "***" in told
    for part in (KEY, "8fJq", "sk-pr*", "zRb0.", "=zRb0", "kTzRb"):
        assert part not in told, told


@given(key=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40))
def test_a_key_that_is_known_is_hidden_however_it_looks(key: str) -> None:
    assert key not in masked(f"refuses {key} today", [key])
    assert key[:6] not in masked(f"refuses {key[:6]} today", [key]).split()
    assert key[-4:] not in masked(f"refuses ...{key[-4:]} today", [key]).split("...")[-1].split()


@pytest.mark.parametrize(
    "message",
    [
        "no answer after 2 attempts (ConnectError: All connection attempts failed)",
        "http://127.0.0.1:8000/v1 has no 'EXAONE-3.5-7.8B-llama', or no such address; see --model",
        "a question and an answer of 256 tokens do not fit into the model's context",
        "손흥민은 춘천에서 3,000명을 만났다",
    ],
)
def test_all_else_is_told_as_it_is(message: str) -> None:
    assert masked(message, [KEY, ""]) == message


@pytest.mark.parametrize(
    "unit", ["a", "a.", "a*", "*", "key ", "//", "sk-", "api-key", "a1_", "//a", "bearer "]
)
def test_a_long_message_is_masked_in_linear_time(unit: str) -> None:
    """Endpoints say what they like."""
    assert (
        growth(
            lambda text: masked(text, [KEY]), lambda size: unit * (size // len(unit)), size=4_000
        )
        is None
    )


def test_a_message_is_one_line() -> None:
    assert masked("first\r\nERROR second\n") == "first ERROR second"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ([""], "key 1 of 1 is empty"),
        (["a", "\t "], "key 2 of 2 is empty"),
        ([" a"], "white space around it"),
        (["a\u00a0"], "white space around it"),
        (["a\r\nX-Evil: 1"], "HTTP header cannot carry"),
        (["a\x00b"], "HTTP header cannot carry"),
        (["\udcff"], "HTTP header cannot carry"),
    ],
)
def test_what_no_client_can_show_is_no_key(keys: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        checked_keys(keys, where="KEYS")
    assert str(refused.value).startswith("KEYS: key ")
    assert "Evil" not in str(refused.value)


def test_one_string_is_not_a_key_for_each_of_its_letters() -> None:
    with pytest.raises(InputError, match="one string") as refused:
        checked_keys("secret")
    assert "secret" not in str(refused.value)


def test_keys_may_hold_whatever_a_header_can() -> None:
    keys = ("a b", "하나", "naïve", "-._~+/=", "x" * 5000)
    assert checked_keys(keys) == keys
