import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.trace import BLOCKS, FormatFault, Trace, TraceFormatError, parse_blocks, parse_trace, render_trace

GOOD = "<observation>I see a cup.</observation> <think>It is red.</think><answer>B</answer>"

# Texts made of the template's own pieces reach the parser's corners sooner than random characters do.
PIECES = [
    *(f"<{name}>" for name in BLOCKS),
    *(f"</{name}>" for name in BLOCKS),
    "<",
    "</",
    ">",
    "/",
    " ",
    "\n",
    "think",
]
PIECES += ["<answers>", "<Answer>", "< think>", "x < 5", "a", "\u4e2d", "\ud800", "\u00a0", "\x1c"]
pieces = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
anything = st.one_of(st.text(st.characters()), pieces)


def build_or_none(*texts: str) -> Trace | None:
    try:
        return Trace(*texts)
    except TraceFormatError:
        return None


def fault_of(text: str) -> FormatFault:
    with pytest.raises(TraceFormatError) as caught:
        parse_trace(text)
    return caught.value.fault


@given(anything, anything, anything)
def test_whatever_can_be_built_survives_the_round_trip(observation, think, answer):
    trace = build_or_none(observation, think, answer)
    if trace is not None:
        assert parse_trace(render_trace(trace)) == trace


@given(st.lists(st.text(st.characters(exclude_characters="<")).map(str.strip).filter(bool), min_size=3, max_size=3))
def test_every_plain_text_can_be_a_block(texts):
    assert parse_trace(render_trace(Trace(*texts))) == Trace(*texts)


@given(anything)
def test_no_text_raises_anything_but_a_format_error(text):
    try:
        trace = parse_trace(text)
    except TraceFormatError as error:
        assert str(error).startswith(f"{error.fault}: ")
        assert "\n" not in str(error)
    else:
        assert parse_trace(render_trace(trace)) == trace


blank_or_not = st.sampled_from(["", " ", "\n", " \t\r\n "])
body_text = st.text(st.characters(exclude_characters="<"), min_size=1).filter(lambda text: text.strip())


@given(st.tuples(body_text, body_text, body_text), st.tuples(*[blank_or_not] * 4))
def test_spans_point_at_the_text_of_their_block(bodies, gaps):
    blocks = [f"<{name}>{body}</{name}>" for name, body in zip(BLOCKS, bodies, strict=True)]
    text = gaps[0] + "".join(block + gap for block, gap in zip(blocks, gaps[1:], strict=True))
    spans = parse_blocks(text)
    assert [block.name for block in spans] == list(BLOCKS)
    assert [text[block.inner_start : block.inner_end] for block in spans] == list(bodies)
    assert [text[block.start : block.end] for block in spans] == blocks
    edges = [edge for block in spans for edge in (block.start, block.inner_start, block.inner_end, block.end)]
    assert edges == sorted(edges)
    assert parse_trace(text) == Trace(*(body.strip() for body in bodies))


def test_a_canonical_text_is_rendered_back_to_itself():
    assert render_trace(parse_trace(GOOD)) == GOOD


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", FormatFault.EMPTY),
        (" \n\t ", FormatFault.EMPTY),
        # The paper's own failure figures.
        (GOOD.replace("</observation>", "</<observation>"), FormatFault.MALFORMED_TAG),
        (GOOD.replace("</answer>", "<answer>"), FormatFault.UNCLOSED),
        (GOOD.replace("<answer>", "<Answer>"), FormatFault.MALFORMED_TAG),
        (GOOD.replace("think>", "THINK>"), FormatFault.MALFORMED_TAG),
        (GOOD.replace("<think>", "< think>"), FormatFault.MALFORMED_TAG),
        (GOOD.replace("<think>", "<think >"), FormatFault.MALFORMED_TAG),
        (GOOD.replace("</think>", "</ think>"), FormatFault.MALFORMED_TAG),
        (GOOD.replace("</think>", "<\n/think>"), FormatFault.MALFORMED_TAG),
        (GOOD.replace("<think>", '<think lang="en">'), FormatFault.MALFORMED_TAG),
        (GOOD.replace("</answer>", "</answer"), FormatFault.MALFORMED_TAG),
        (GOOD.replace("</answer>", "<answer/>"), FormatFault.MALFORMED_TAG),
        (GOOD.replace("</think>", "<</think>"), FormatFault.MALFORMED_TAG),
        (GOOD.replace("</answer>", ""), FormatFault.UNCLOSED),
        (GOOD.replace("</think>", ""), FormatFault.UNCLOSED),
        (GOOD.replace("</observation>", ""), FormatFault.UNCLOSED),
        (GOOD.replace("<think>", ""), FormatFault.UNOPENED),
        (GOOD.replace("<observation>", ""), FormatFault.UNOPENED),
        (GOOD.removesuffix("<answer>B</answer>"), FormatFault.MISSING),
        ("B", FormatFault.MISSING),
        ("<answer>B</answer>", FormatFault.MISSING),
        ("<think>It is red.</think><answer>B</answer>", FormatFault.MISSING),
        (GOOD + "<answer>B</answer>", FormatFault.DUPLICATED),
        (GOOD + GOOD, FormatFault.DUPLICATED),
        (GOOD.replace("It is", "<observation>again</observation> It is"), FormatFault.NESTED),
        (GOOD.replace("It is", "<think>It is</think>"), FormatFault.NESTED),
        (GOOD.replace("</think><answer>B</answer>", "<answer>B</answer></think>"), FormatFault.NESTED),
        (GOOD.replace("I see", "</answer>I see"), FormatFault.NESTED),
        (
            "<think>It is red.</think><observation>I see a cup.</observation><answer>B</answer>",
            FormatFault.REORDERED,
        ),
        (
            "<observation>I see a cup.</observation><answer>B</answer><think>It is red.</think>",
            FormatFault.REORDERED,
        ),
        ("Sure. " + GOOD, FormatFault.TEXT_OUTSIDE),
        (GOOD + " Done.", FormatFault.TEXT_OUTSIDE),
        (GOOD.replace("> <", "> so <"), FormatFault.TEXT_OUTSIDE),
        (f"```\n{GOOD}\n```", FormatFault.TEXT_OUTSIDE),
        (GOOD + "<|im_end|>", FormatFault.TEXT_OUTSIDE),
        (GOOD.replace("B<", "<"), FormatFault.EMPTY_BLOCK),
        (GOOD.replace("It is red.", " \n "), FormatFault.EMPTY_BLOCK),
    ],
)
def test_near_misses_are_named(text, fault):
    assert fault_of(text) is fault


@pytest.mark.parametrize(
    "plain",
    [
        "x < 5 and 7 > 6",
        "<answers> is a word",
        "<b>bold</b>",
        "a << b",
        "<think2>",
        "the think",
        "<>",
        "1 </ 2",
        "&lt;think&gt;",
    ],
)
def test_other_angle_brackets_are_plain_text(plain):
    trace = Trace(plain, plain, plain)
    assert parse_trace(render_trace(trace)) == trace


@pytest.mark.parametrize(
    "text", ["a <", "a </", "a < /", "<<", "has <think> in it", "</answer>", "< Answer", " padded", ""]
)
def test_a_text_that_would_not_be_parsed_back_is_no_trace(text):
    for texts in ((text, "t", "a"), ("o", text, "a"), ("o", "t", text)):
        with pytest.raises(TraceFormatError):
            Trace(*texts)


@pytest.mark.parametrize(
    ("piece", "repeats"),
    [
        ("<", 1_000_000),
        ("< ", 500_000),
        ("</", 500_000),
        ("<\n", 500_000),
        ("<think", 200_000),
        ("<think>", 150_000),
        ("</think>", 125_000),
        ("<answer ", 125_000),
        ("<a", 500_000),
        ("<think>a</think>", 60_000),
    ],
)
def test_a_hostile_megabyte_is_refused_in_linear_time(piece, repeats):
    """A quadratic scan would take hours here; the suite's own time-out would stop it."""
    fault_of(piece * repeats)
    fault_of(GOOD + piece * repeats)
    fault_of(GOOD.replace("I see", piece * repeats).replace("</answer>", ""))


def test_no_fault_detail_carries_a_whole_completion():
    with pytest.raises(TraceFormatError) as caught:
        parse_trace(GOOD + "x" * 100_000)
    assert len(str(caught.value)) < 200
    assert re.match(r"text_outside: ", str(caught.value))
