"""What the names of a model's classes mean, whoever trained it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmner.errors import InputError
from llmner.tagging import OUTSIDE, Scheme, guess_scheme, usual_tags

__all__ = ["tag_names"]

# Classes of padding and of special tokens, in small letters and without brackets.
_NO_CLASSES = frozenset(
    ("", "x", "pad", "padding", "cls", "sep", "unk", "mask", "s", "/s", "bos", "eos")
)
# Names of what is no entity, where there is no O.
_OUTSIDE_NAMES = frozenset(("other", "outside", "none", "null", "no_entity", "background"))
_UNNAMED = re.compile(r"LABEL_\d+|\d+")


def tag_names(names: Sequence[str]) -> tuple[list[str], Scheme]:
    """The tags that a model's classes stand for, however these are spelt, and their scheme.

    They may be in IOB2, IOB1 or BIOES, or BILOU and the like; ``B_PER``, ``PER-B`` or ``b-per``; or
    labels alone, of which equal ones side by side are one entity. Classes of padding and of special
    tokens are outside.

    >>> tag_names(["O", "U-PER", "B-PER", "L-PER"])
    (['O', 'U-PER', 'B-PER', 'L-PER'], 'bioes')
    >>> tag_names(["PER-B", "O", "[CLS]"]), tag_names(["person", "O"])
    ((['B-PER', 'O', 'O'], 'iob2'), (['I-person', 'O'], 'iob2'))

    Raises:
        InputError: The classes have only numbers.
    """
    has_outside = any(name in ("O", "o") for name in names)
    outside = _NO_CLASSES if has_outside else _NO_CLASSES | _OUTSIDE_NAMES
    real = [name for name in names if name.strip("[]<>{}").lower() not in outside]
    unnamed = [name for name in real if _UNNAMED.fullmatch(name)]
    if unnamed:
        raise InputError(
            f"the model's classes have no names ({', '.join(unnamed[:3])})",
            hint="write the tags into id2label of its config.json",
        )
    usual = usual_tags({*real, OUTSIDE}, bare=True)
    if usual is None:
        # They are spelt in more than one way.
        usual = {name: (usual_tags([name]) or {}).get(name, f"I-{name}") for name in real}
    tags = [usual.get(name, OUTSIDE) for name in names]
    # IOB1 needs no reading of its own: an I-X that follows no X begins one.
    return tags, "bioes" if guess_scheme(tags) == "bioes" else "iob2"
