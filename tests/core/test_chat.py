"""qwen_ls.core.chat: a request's body, and an answer's bytes -> deltas, stop reason, usage."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_ls.core.chat import (
    Answer,
    Delta,
    ErrorInStream,
    Message,
    Role,
    StopReason,
    Usage,
    encode_request,
)
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.replies import MAX_ANSWER

if TYPE_CHECKING:
    from collections.abc import Iterable

DONE = b"data: [DONE]\n\n"


def event(fields: Any) -> bytes:
    """One server-sent event with JSON data."""
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def piece(text: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    """One chunk of a streamed answer."""
    delta = {} if text is None else {"content": text}
    return event(
        {"model": "m-served", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}
    )


STOP = piece(finish="stop")


def texts(deltas: list[Delta]) -> str:
    """The answer's text."""
    return "".join(d.text for d in deltas)


def read(*chunks: bytes) -> tuple[Answer, list[Delta]]:
    """A whole answer, ended."""
    answer = Answer()
    deltas = [d for chunk in chunks for d in answer.feed(chunk)]
    answer.end()
    return answer, deltas


def take(answer: Answer, chunks: Iterable[bytes], got: list[Delta]) -> None:
    """Feed an answer to its end, keeping what came."""
    for chunk in chunks:
        got += answer.feed(chunk)
    answer.end()


def problem_of(answer: Answer, *chunks: bytes) -> tuple[str, Problem]:
    """The text that came, and the problem after it."""
    got: list[Delta] = []
    with pytest.raises(Problem) as caught:
        take(answer, chunks, got)
    return texts(got), caught.value


def test_an_answer() -> None:
    """Deltas in order, the model that served, usage from the last event, the stop reason."""
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    answer, deltas = read(
        piece("", role="assistant"),
        piece("Hel"),
        piece("lo"),
        STOP,
        event({"choices": [], "usage": usage}),
        DONE,
    )
    assert deltas == [Delta("Hel"), Delta("lo")]
    assert (answer.model, answer.usage, answer.stop_reason) == (
        "m-served",
        Usage(3, 2, 5),
        StopReason.END_TURN,
    )
    assert answer.failure is None


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_comes_apart(name: str) -> None:
    """Either name of it, beside text or alone."""
    chunks = [
        event({"choices": [{"delta": {"content": None, name: "hm"}}]}),
        event({"choices": [{"delta": {"content": "a", name: "b"}}]}),
        STOP,
    ]
    assert read(*chunks)[1] == [Delta(reasoning="hm"), Delta("a", "b")]


def test_a_character_in_two_deltas() -> None:
    """JSON may spell it as two halves, and each come by itself; a half that stays alone is not waited for."""
    halves = ["a\ud83d", "", "\ude0b\ud83d", "\ude0b", "\ud83d", "b\ude0b", "\ud83d"]
    spelled = [json.dumps({"choices": [{"delta": {"content": h, "reasoning": h}}]}) for h in halves]
    _, deltas = read(*(f"data: {text}\n\n".encode() for text in spelled), STOP)
    for said in ("".join(d.text for d in deltas), "".join(d.reasoning for d in deltas)):
        assert said == "a\U0001f60b\U0001f60b\ud83db\ude0b"
    assert deltas[:2] == [Delta("a", "a"), Delta("\U0001f60b", "\U0001f60b")]


def test_a_refusal_in_a_field_of_its_own_is_text() -> None:
    """Shown as what was said, and the answer ends as refused, whatever the finish reason is."""
    chunks = [
        event({"choices": [{"delta": {"content": "", "refusal": None}}]}),
        event({"choices": [{"delta": {"refusal": "I can"}}]}),
        event({"choices": [{"delta": {"refusal": "not."}}]}),
        STOP,
    ]
    answer, deltas = read(*chunks)
    assert (deltas, answer.stop_reason) == ([Delta("I can"), Delta("not.")], StopReason.REFUSAL)
    whole = Answer()
    assert whole.whole({"choices": [{"message": {"content": None, "refusal": "No."}}]}) == [Delta("No.")]
    assert whole.stop_reason is StopReason.REFUSAL


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", StopReason.END_TURN),
        ("length", StopReason.MAX_TOKENS),
        ("content_filter", StopReason.REFUSAL),
        ("tool_calls", StopReason.END_TURN),
        ("something-new", StopReason.END_TURN),
    ],
)
def test_stop_reasons(finish: str, reason: StopReason) -> None:
    """The provider's word in ours; the last one counts, and [DONE] does not change it."""
    assert read(piece("a", finish))[0].stop_reason is reason
    assert read(piece("a"), piece(finish=finish), DONE)[0].stop_reason is reason


@pytest.mark.parametrize(
    ("chunks", "text"),
    [
        ([piece("a"), DONE], "a"),
        ([piece("a"), DONE, DONE], "a"),
        ([piece("a"), DONE, piece("b"), b"data: {nonsense\n\n"], "a"),
        ([piece("a"), STOP], "a"),
        ([piece("a"), STOP, piece("b"), DONE], "ab"),
        ([piece("a", "stop")], "a"),
        ([DONE], ""),
        ([STOP], ""),
        ([piece("a"), b"data:[DONE]\n\n"], "a"),
        ([piece("a"), b"data:  [DONE] \r\n\r\n"], "a"),
        (
            [
                b": keep-alive\n\n",
                b"data:\n\n",
                b"data: \n\n",
                piece("a"),
                b"event: ping\ndata: {}\n\n",
                DONE,
            ],
            "a",
        ),
    ],
)
def test_ways_to_end(chunks: list[bytes], text: str) -> None:
    """A finish reason or [DONE] completes the answer; what follows [DONE] is passed over."""
    assert texts(read(*chunks)[1]) == text
    assert texts(read(b"".join(chunks))[1]) == text


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [piece("a")],
        [piece("a"), STOP[:-1]],
        [piece("a"), b"data: [DONE]"],
        [piece("a"), b"data: [DO"],
        [b": keep-alive\n\n"],
        [event({"choices": []})],
        [piece("a", "")],
    ],
)
def test_a_truncated_answer(chunks: list[bytes]) -> None:
    """Bytes that end before the answer does: stream-truncated, the text is kept."""
    text, problem = problem_of(Answer(), *chunks)
    assert text == ("a" if chunks and chunks[0].find(b'"a"') > 0 else "")
    assert (problem.kind, problem.retryable) == (Kind.STREAM_TRUNCATED, True)


@pytest.mark.parametrize(
    "fields",
    [
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": None, "message": None}]},
        {"choices": [{}]},
        {"choices": []},
        {"choices": None},
        {"choices": "x"},
        {"choices": {}},
        {"choices": [None]},
        {"choices": ["x"]},
        {"choices": [{"delta": "x"}]},
        {"choices": [{"delta": {"content": None}}]},
        {"choices": [{"delta": {"content": 5, "reasoning_content": ["x"]}}]},
        {"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]},
        {"choices": [{"delta": {}, "finish_reason": 7}]},
        {"error": None, "usage": None, "model": None},
        {"model": 5, "usage": "x"},
        {},
        {"unknown": {"deep": [1]}},
    ],
)
def test_odd_events_are_passed_over(fields: Any) -> None:
    """An event that says nothing to us is no error, and the answer goes on."""
    answer, deltas = read(piece("a"), event(fields), piece("b"), STOP)
    assert texts(deltas) == "ab"
    assert answer.model == "m-served"
    assert answer.usage is None


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"nonsense",
        b"<html>",
        b"[1,",
        b'{"a":}',
        b"[" * 100_000,
        b"9" * 5000,
        b"[]",
        b'"x"',
        b"5",
        b"null",
    ],
)
def test_malformed_events(data: bytes) -> None:
    """Not JSON, or no object: bad-reply with the event's number, after the text that came before it."""
    for chunks in ([piece("a"), piece("b"), b"data: " + data + b"\n\n", STOP],):
        for parts in (chunks, [b"".join(chunks)]):
            text, problem = problem_of(Answer(), *parts)
            assert (text, problem.kind) == ("ab", Kind.BAD_REPLY)
            assert "Event 3" in str(problem)


@pytest.mark.parametrize("error", [{"message": "no", "code": "x"}, "no", {"code": 429}])
def test_an_error_in_the_stream(error: Any) -> None:
    """It is raised for whoever knows the credential; the text before it, in the same bytes, is not lost."""
    for chunks in ([piece("a"), event({"error": error})], [piece("a") + event({"error": error})]):
        answer = Answer()
        got: list[Delta] = []
        with pytest.raises(ErrorInStream) as caught:
            take(answer, chunks, got)
        assert caught.value.fields == error
        assert answer.failure is caught.value
        assert texts(got) == "a"
        with pytest.raises(ErrorInStream):
            answer.feed(piece("b"))


def test_an_error_alone_is_raised_at_once() -> None:
    """Without text before it there is nothing to wait for."""
    with pytest.raises(ErrorInStream):
        Answer().feed(event({"error": {"message": "no"}}))


def test_what_is_too_large() -> None:
    """An answer over 16 MiB, or an event over 1 MiB, is too-large; the text before it is kept."""
    comment = b": " + b"x" * 65_000 + b"\n\n"
    answer = Answer()
    text, problem = problem_of(answer, piece("a"), *([comment] * (MAX_ANSWER // len(comment) + 1)))
    assert (text, problem.kind) == ("a", Kind.TOO_LARGE)
    text, problem = problem_of(Answer(), piece("a") + piece("x" * 1024 * 1024))
    assert (text, problem.kind) == ("a", Kind.TOO_LARGE)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}, Usage(3, 2, 5)),
        ({"prompt_tokens": 3, "completion_tokens": 2}, Usage(3, 2, 5)),
        ({"prompt_tokens": 3, "completion_tokens": None, "total_tokens": "x"}, Usage(3, 0, 3)),
        ({"prompt_tokens": -1, "completion_tokens": True, "total_tokens": 1.5}, Usage(0, 0, 0)),
        ({}, Usage(0, 0, 0)),
        (None, None),
        ([1], None),
    ],
)
def test_usage(usage: Any, expected: Usage | None) -> None:
    """Token counts as far as they make sense; the total is added up where it is missing."""
    assert read(piece("a", "stop", usage=usage))[0].usage == expected


def test_later_usage_counts() -> None:
    """Some providers count along; the last word holds, and null does not erase it."""
    first, last = {"prompt_tokens": 1, "completion_tokens": 1}, {"prompt_tokens": 1, "completion_tokens": 9}
    assert read(piece("a", usage=first), piece("b", usage=last), piece(finish="stop", usage=None))[
        0
    ].usage == Usage(1, 9, 10)


WHOLE = {
    "model": "m-served",
    "choices": [
        {
            "message": {"role": "assistant", "content": "Hi", "reasoning_content": "hm"},
            "finish_reason": "length",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2},
}


def test_an_answer_that_came_at_once() -> None:
    """The JSON of a provider that does not stream is the same answer."""
    answer = Answer()
    assert answer.whole(WHOLE) == [Delta("Hi", "hm")]
    answer.end()
    assert (answer.model, answer.usage, answer.stop_reason) == (
        "m-served",
        Usage(1, 2, 3),
        StopReason.MAX_TOKENS,
    )
    empty = Answer()
    assert empty.whole({"choices": [{"message": {"content": ""}}]}) == []
    empty.end()


@pytest.mark.parametrize(
    "body", [{}, [], None, "x", 5, {"choices": []}, {"choices": None}, {"object": "list", "data": []}]
)
def test_json_that_is_no_answer(body: Any) -> None:
    """Something else than a chat completion is bad-reply."""
    with pytest.raises(Problem) as caught:
        Answer().whole(body)
    assert caught.value.kind is Kind.BAD_REPLY


def test_an_error_at_once() -> None:
    """An `error` object of status 200 is raised for whoever knows the credential."""
    with pytest.raises(ErrorInStream):
        Answer().whole({"error": {"message": "no"}})


@given(st.lists(st.text(max_size=8), max_size=8), st.lists(st.integers(0, 2000), max_size=12))
def test_any_cut_gives_the_same_text(pieces: list[str], cuts: list[int]) -> None:
    """However the bytes arrive, within a character too, the text is the one that was sent."""
    stream = b"".join(piece(text) for text in pieces) + STOP + DONE
    at = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    chunks = [stream[a:b] for a, b in pairwise(at)]
    assert texts(read(*chunks)[1]) == "".join(pieces)


def test_a_request() -> None:
    """Model, messages and what asks for usage in a stream."""
    messages = [Message(Role.SYSTEM, "s"), Message(Role.USER, 'é"\n☃')]
    assert json.loads(encode_request(messages, "m")) == {
        "model": "m",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": 'é"\n☃'}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert json.loads(encode_request(messages[:1], "m", stream=False, max_tokens=1)) == {
        "model": "m",
        "messages": [{"role": "system", "content": "s"}],
        "stream": False,
        "max_tokens": 1,
    }


def test_a_request_with_half_a_character() -> None:
    """A lone surrogate, which an editor may cut out of a pair, is replaced and not an exception."""
    body = encode_request([Message(Role.USER, "a\ud83db")], "m")
    assert json.loads(body)["messages"][0]["content"] == "a?b"
