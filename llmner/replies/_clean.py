"""Taking the wrapping off a reply: reasoning, markdown fences, end-of-turn tokens.

Everything here is linear in the reply and total. What is inside is for the readers.
"""

from __future__ import annotations

import re

__all__ = ["drop_reasoning", "split_fences"]

_THINK_OPEN = re.compile(r"<\s*(think|thinking|thought|reasoning)\s*>", re.IGNORECASE)
_THINK_CLOSE = re.compile(r"<\s*/\s*(?:think|thinking|thought|reasoning)\s*>", re.IGNORECASE)
# Tokens that a server may leave at the end of a reply: <|im_end|>, <end_of_turn>, [|endofturn|],
# </s>.
_END_OF_TURN = re.compile(
    r"(?:<\|[A-Za-z_]{1,30}\|>|\[\|[A-Za-z_]{1,30}\|\]|<end_of_turn>|</s>|<eos>|\s)+\Z"
)
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*(?:[\w+.-]+[ \t]*)?$", re.MULTILINE)
_INLINE_FENCE = re.compile(r"(`{3,})(?:json|JSON|python|xml|text)?")


def drop_reasoning(reply: str, repairs: list[str]) -> str:
    """The reply without ``<think>`` blocks.

    An unclosed block swallows the rest (the model never came to its answer); a closing tag with no
    opening one, as templates that open the block themselves produce, swallows everything before it.
    """
    if "<" not in reply:
        return reply
    kept: list[str] = []
    at = 0
    closers = [match.span() for match in _THINK_CLOSE.finditer(reply)]
    next_closer = 0
    for opener in _THINK_OPEN.finditer(reply):
        if opener.start() < at:
            continue
        while next_closer < len(closers) and closers[next_closer][0] < at:
            next_closer += 1
        if next_closer < len(closers) and closers[next_closer][0] < opener.start():
            # A closer that no opener owns: everything before it was reasoning.
            kept.clear()
            while next_closer < len(closers) and closers[next_closer][0] < opener.start():
                at = closers[next_closer][1]
                next_closer += 1
        kept.append(reply[at : opener.start()])
        if next_closer >= len(closers):
            repairs.append("unclosed-think")
            at = len(reply)
            break
        at = closers[next_closer][1]
        next_closer += 1
        repairs.append("think")
    rest = [end for start, end in closers if start >= at]
    if rest:
        kept.clear()
        at = rest[-1]
        repairs.append("think")
    kept.append(reply[at:])
    return "".join(kept)


def drop_end_of_turn(text: str, repairs: list[str]) -> str:
    """The reply without end-of-turn tokens and trailing white space."""
    tail = len(text) - len(text.rstrip())
    # Only the last stretch can hold such tokens; a search over megabytes of spaces would not be
    # linear.
    head, last = text[: len(text) - tail][:-200], text[: len(text) - tail][-200:]
    match = _END_OF_TURN.search(last)
    if match is not None:
        repairs.append("end-of-turn")
        last = last[: match.start()]
    return head + last


def split_fences(text: str, repairs: list[str]) -> tuple[list[str], str]:
    """The contents of fenced blocks, in order, and the text outside them.

    A fence that is never closed holds everything to the end. Fences opened and closed on one line
    (```` ```{"PS": []}``` ````) count too.
    """
    if "```" not in text and "~~~" not in text:
        return [], text
    blocks: list[str] = []
    outside: list[str] = []
    at = 0
    opened: int | None = None
    marks = [(m.start(), m.end()) for m in _FENCE.finditer(text)]
    if not marks:
        marks = [(m.start(), m.end()) for m in _INLINE_FENCE.finditer(text)]
    if not marks:
        # ~~~ in running text is a Korean sigh, no fence.
        return [], text
    for start, end in marks:
        if opened is None:
            outside.append(text[at:start])
            opened = end
        else:
            blocks.append(text[opened:start])
            opened = None
            at = end
    if opened is not None:
        blocks.append(text[opened:])
    else:
        outside.append(text[at:])
    repairs.append("fence")
    # A line-anchored opener with a closer glued to the last line of its block.
    return [block.rstrip().rstrip("`") if "```" in block else block for block in blocks], "\n".join(
        outside
    )
