"""Values of attributes are read in any spelling, and nothing is guessed beyond that."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llmner.attributes import Attribute
from llmner.schema import Label, LabelSchema

SCALE = Attribute(values=[-2, -1, 0, 1, 2])
POLARITY = Attribute(values=["positive", "neutral", "negative"])
NAMED = Attribute(values=[{"code": "tab", "name": "정제", "aliases": ["알약"]}, "syrup"])


@pytest.mark.parametrize(
    ("attribute", "said", "kind", "value"),
    [
        (SCALE, 1, "exact", 1),
        (SCALE, "+1", "normalized", 1),
        (SCALE, "−1", "normalized", -1),
        (SCALE, "－２", "normalized", -2),
        (SCALE, "2.0", "normalized", 2),
        (SCALE, "긍정", "normalized", 1),
        (SCALE, "매우 부정", "normalized", -2),
        (SCALE, "1 (긍정)", "normalized", 1),
        (SCALE, "3", "unknown", None),
        (SCALE, True, "unknown", None),
        (SCALE, "없음", "missing", None),
        (POLARITY, "positive", "exact", "positive"),
        (POLARITY, "Negative.", "normalized", "negative"),
        (POLARITY, "부정적", "normalized", "negative"),
        (POLARITY, "中性", "normalized", "neutral"),
        (POLARITY, {"value": "POS"}, "normalized", "positive"),
        (POLARITY, ["negative"], "normalized", "negative"),
        (POLARITY, ["negative", "positive"], "unknown", None),
        (POLARITY, "purple", "unknown", None),
        (POLARITY, None, "missing", None),
        (NAMED, "알약", "normalized", "tab"),
        (NAMED, "정제", "normalized", "tab"),
        (Attribute(type="number"), "1,200.5", "normalized", 1200.5),
        (Attribute(type="number"), 3, "exact", 3),
        (Attribute(type="integer"), "3.5", "unknown", None),
        (Attribute(type="integer"), "７", "normalized", 7),
        (Attribute(type="boolean"), "예", "normalized", True),
        (Attribute(type="boolean"), False, "exact", False),
        (Attribute(type="boolean"), "maybe", "unknown", None),
        (Attribute(), " 5 mg ", "normalized", "5 mg"),
        (Attribute(), ["a", "b"], "normalized", "a, b"),
        (Attribute(), "-", "missing", None),
        (Attribute(values=["a", "b"], several=True), ["b", "a"], "exact", ["b", "a"]),
        (Attribute(values=["a", "b"], several=True), "a, b", "normalized", ["a", "b"]),
        (Attribute(values=["a", "b"], several=True), "A", "normalized", ["a"]),
        (Attribute(values=["a", "b"], several=True), ["a", "c"], "unknown", None),
        (Attribute(values=["yes", "no"]), "예", "normalized", "yes"),
        (Attribute(values=["none", "some"]), "none", "exact", "none"),
    ],
)
def test_a_value_is_read_in_any_spelling(
    attribute: Attribute, said: Any, kind: str, value: Any
) -> None:
    read = attribute.read(said)
    assert (read.kind, read.value) == (kind, value)
    assert type(read.value) is type(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(json_values, st.sampled_from([SCALE, POLARITY, NAMED, Attribute(several=True), *[
    Attribute(type=kind) for kind in ("number", "integer", "boolean", "text")
]]))  # fmt: skip
def test_reading_a_value_never_raises_and_gives_only_values(
    said: Any, attribute: Attribute
) -> None:
    read = attribute.read(said)
    if read.kind in ("missing", "unknown"):
        assert read.value is None
    elif attribute.values:
        assert read.value in attribute.codes
        again = attribute.read(read.value)
        assert (again.kind, again.value) == ("exact", read.value)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"label": ["a"]}, "cannot be called 'label'"),
        ({"x": ["a", "A"]}, "names both a and A"),
        ({"x": {"values": [{"code": "a", "aliases": ["b"]}, "b"]}}, "'b' names both"),
        ({"x": {"aliases": ["y"]}, "y": {}}, "'y' names both x and y"),
        ({"x": [True, False]}, "write it in quotes"),
        ({"x": {"type": "colour"}}, "Input should be 'text'"),
        ({"a b": []}, "String should match"),
    ],
)
def test_a_schema_that_cannot_be_meant_is_refused(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Label.model_validate({"code": "A", "attributes": attributes})


def test_short_forms_are_the_long_ones() -> None:
    label = Label.model_validate(
        {"code": "A", "attributes": {"tone": ["good", "bad"], "size": "number"}}
    )
    assert label.attributes["tone"].codes == ("good", "bad")
    assert label.attributes["size"].type == "number"
    assert Label.model_validate({"code": "A", "attributes": ["tone"]}).attributes["tone"].type
    assert Label.model_validate(label.model_dump()) == label
    assert Label.model_validate(label.model_dump(exclude_defaults=True)) == label
    # What was written before there were attributes is still written so: hashes depend on it.
    assert Label(code="A").model_dump()["attributes"] == []


def test_a_schema_has_labels_of_one_kind_at_least() -> None:
    with pytest.raises(ValidationError, match="give at least one label"):
        LabelSchema()
    schema = LabelSchema(text_labels=(Label(code="a", name="가"),))
    assert schema.codes == ()
    assert schema.resolve_text_label("가") == "a"
    assert schema.resolve("가") is None
