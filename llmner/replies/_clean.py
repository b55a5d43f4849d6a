"""Unwrapping a reply: reasoning, Markdown fences and end-of-turn tokens are taken off.

Every function takes any string and linear time. What is inside is for the readers.
"""

from __future__ import annotations

import re

__all__ = ["drop_end_of_turn", "drop_reasoning", "is_blank", "split_fences"]

_THOUGHTS = (
    r"think|thinking|thoughts?|reasoning|scratchpad|reflection|analysis|seed:think|antthinking"
)
_THINK_OPEN = re.compile(
    rf"<\s*(?:{_THOUGHTS})\s*>|\[(?:THINK|REASONING)\]|◁think▷"
    r"|<\|(?:begin_of_thought|begin_of_think|start_thinking|inner_prefix|thinking|think|thought)\|>",
    re.IGNORECASE,
)
_THINK_CLOSE = re.compile(
    rf"<\s*/\s*(?:{_THOUGHTS})\s*>|\[/(?:THINK|REASONING)\]|◁/think▷"
    r"|<\|(?:end_of_thought|end_of_think|end_thinking|inner_suffix|/thinking|/think|/thought)\|>",
    re.IGNORECASE,
)
# Harmony's channels: analysis and commentary come before what is meant for the user.
_CHANNEL = re.compile(
    r"(?:<\|start\|>[^<]{0,40})?<\|channel\|>\s*(?P<name>\w+)(?P<to>[^<]{0,120})"
    r"(?:<\|constrain\|>[^<]{0,40})?<\|message\|>"
)
_CHANNEL_END = re.compile(r"<\|(?:end|return|call|start)\|>")
# What all marks of reasoning and of turns begin with.
_may_have_marks = re.compile(r"<\s*+/?\s*+[a-zA-Z|]|\[/?(?:[TtRr]|INST)|◁").search
_USER_TURN = re.compile(r"<\|im_start\|>\s*user|<start_of_turn>\s*user|\[INST\]")
# Where a turn of the assistant begins; a reply of several turns ends with the answer.
_TURN = re.compile(
    r"<\|im_start\|>\s*assistant(?!/think)[^\n<]{0,20}\n|<\|START_RESPONSE\|>", re.IGNORECASE
)
# Reasoning under a title, and the title of the answer after it.
_TITLED_THOUGHTS = re.compile(
    r"[*_#\s]*+(?:here is my thought process|thinking(?: process)?|thoughts?|reasoning|chain of "
    r"thought|analysis|생각|추론|풀이|분석|思考|推理|思路|分析"
    r"|überlegung(?:en)?|gedanken(?:gang)?)[*_]*\s*[:：]",
    re.IGNORECASE,
)
_TITLED_ANSWER = re.compile(
    r"^[ \t*_#]*+(?:here is my response|final answer|answer|final output|output|result|최종 "
    r"답변?|정답|답변?|출력|결과|最終回答|回答|答え|出力|最终答案"
    r"|答案|输出|结果|antwort|ergebnis|ausgabe)[*_]*\s*[:：][*_]*",
    re.IGNORECASE | re.MULTILINE,
)
# Tokens that a server may leave at the end of a reply: <|im_end|>, <end_of_turn>, [|endofturn|],
# </s>.
_END_OF_TURN = re.compile(
    r"(?:<\|[A-Za-z_]{1,30}\|>|\[\|[A-Za-z_]{1,30}\|\]|<end_of_turn>|</s>|<eos>|\s)+\Z"
)
# Harmony whose marks a server has dropped, but not the names of its channels: "analysisWe need".
_BARE_ANALYSIS = re.compile(r"\s*(?:assistant)?(?:analysis|commentary)(?=[^\W\d_a-z]|[\[{\"'])")
_BARE_FINAL = re.compile(r"assistant\s*final\s*")
# End-of-turn tokens are only looked for among so many last characters: a search through megabytes
# of spaces would not be linear.
_END_OF_TURN_LENGTH = 200
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*(?:[\w+.-]+[ \t]*)?$", re.MULTILINE)
_INLINE_FENCE = re.compile(r"(`{3,})(?:json|JSON|python|xml|text)?")


def drop_reasoning(reply: str, repairs: list[str], text: str | None = None) -> str:
    """The reply without its reasoning: ``<think>`` blocks and the like, and Harmony's channels.

    A block that is never closed reaches to the end of the reply: the model never came to its
    answer. A closing tag without an opening one ends reasoning that began with the reply: some chat
    templates write the opening tag themselves.
    """
    titled = _TITLED_THOUGHTS.match(reply)
    if titled is not None:
        answers = list(_TITLED_ANSWER.finditer(reply, titled.end()))
        if answers:
            repairs.append("think")
            reply = reply[answers[-1].end() :]
    if _BARE_ANALYSIS.match(reply) is not None:
        finals = list(_BARE_FINAL.finditer(reply))
        repairs.append("prose" if finals else "unclosed-think")
        return reply[finals[-1].end() :] if finals else ""
    if _may_have_marks(reply) is None:
        return reply
    if text is not None and (_THINK_OPEN.search(text) or _THINK_CLOSE.search(text)):
        # The text itself has such marks.
        return reply
    user = _USER_TURN.search(reply)
    if user is not None:
        # The model went on to make up the next question.
        repairs.append("end-of-turn")
        reply = reply[: user.start()]
    turns = list(_TURN.finditer(reply))
    if turns:
        repairs.append("end-of-turn" if turns[-1].start() == 0 else "think")
        reply = reply[turns[-1].end() :]
    if _CHANNEL.search(reply) is not None:
        reply = _final_channel(reply, repairs)
    kept: list[str] = []
    position = 0
    closers = [match.span() for match in _THINK_CLOSE.finditer(reply)]
    next_closer = 0
    for opener in _THINK_OPEN.finditer(reply):
        if opener.start() < position:
            continue
        while next_closer < len(closers) and closers[next_closer][0] < position:
            next_closer += 1
        if next_closer < len(closers) and closers[next_closer][0] < opener.start():
            # A closing tag without an opening one: everything before it was reasoning.
            kept.clear()
            while next_closer < len(closers) and closers[next_closer][0] < opener.start():
                position = closers[next_closer][1]
                next_closer += 1
        kept.append(reply[position : opener.start()])
        if next_closer >= len(closers):
            repairs.append("unclosed-think")
            position = len(reply)
            break
        position = closers[next_closer][1]
        next_closer += 1
        repairs.append("think")
    ends = [end for start, end in closers if start >= position]
    if ends:
        kept.clear()
        position = ends[-1]
        repairs.append("think")
    kept.append(reply[position:])
    return "".join(kept)


def is_blank(reply: str) -> bool:
    """Whether a reply says nothing beside reasoning, not even that there is nothing to name.

    >>> is_blank("<think>Let me see"), is_blank("{}")
    (True, False)
    """
    return not drop_end_of_turn(drop_reasoning(reply, []), []).strip()


def _final_channel(reply: str, repairs: list[str]) -> str:
    """What stands in the last ``final`` channel; else in a call of a tool; else nothing."""
    repairs.append("think")
    channels = list(_CHANNEL.finditer(reply))
    final = [match for match in channels if match["name"].lower() == "final"]
    called = [match for match in channels if "to=" in match["to"] or "to=" in match[0]]
    if not final and not called:
        if channels:
            repairs.append("unclosed-think")
        return reply[: channels[0].start()]
    chosen = (final or called)[-1]
    end = _CHANNEL_END.search(reply, chosen.end())
    return reply[chosen.end() : len(reply) if end is None else end.start()]


def drop_end_of_turn(text: str, repairs: list[str]) -> str:
    """The reply without end-of-turn tokens and trailing white space."""
    stripped = text[: len(text.rstrip())]
    head, tail = stripped[:-_END_OF_TURN_LENGTH], stripped[-_END_OF_TURN_LENGTH:]
    match = _END_OF_TURN.search(tail)
    if match is not None:
        repairs.append("end-of-turn")
        tail = tail[: match.start()]
    return head + tail


def split_fences(text: str, repairs: list[str]) -> tuple[list[str], str]:
    """The contents of Markdown fences, in order, and the text outside them.

    A fence that is never closed reaches to the end of the reply. A fence may open and close on one
    line: ```` ```{"PS": []}``` ````.
    """
    if "```" not in text and "~~~" not in text:
        return [], text
    blocks: list[str] = []
    outside: list[str] = []
    position = 0
    block_start: int | None = None
    fences = [match.span() for match in _FENCE.finditer(text)]
    if not fences:
        fences = [match.span() for match in _INLINE_FENCE.finditer(text)]
    if not fences:
        # "~~~" in running text is a sigh in Korean, not a fence.
        return [], text
    for start, end in fences:
        if block_start is None:
            outside.append(text[position:start])
            block_start = end
        else:
            blocks.append(text[block_start:start])
            block_start = None
            position = end
    if block_start is not None:
        blocks.append(text[block_start:])
    else:
        outside.append(text[position:])
    repairs.append("fence")
    # The closing fence may stand at the end of the block's last line instead of on its own line.
    blocks = [block.rstrip().rstrip("`") if "```" in block else block for block in blocks]
    return blocks, "\n".join(outside)
