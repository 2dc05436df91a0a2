"""qwen_ls.core.secret: a secret is mute wherever text is made of it."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import traceback
from typing import TYPE_CHECKING, NoReturn

import attrs
import pytest

from qwen_ls.core.credentials import Credential
from qwen_ls.core.intents import PostForm, Reply
from qwen_ls.core.oauth.device import DeviceAuthorization
from qwen_ls.core.oauth.token import CachedToken, Token
from qwen_ls.core.origin import Claim
from qwen_ls.core.provenance import USER, Source, SourceKind, Value
from qwen_ls.core.providers import OPENAI
from qwen_ls.core.secret import MUTE, Secret

if TYPE_CHECKING:
    from collections.abc import Callable

CANARY = "sk-canary-7f3a9c5e1b2d4a6f8e0c9b1d"
SECRET = Secret(CANARY)
SOURCE = Source(SourceKind.ENVIRONMENT, "OPENAI_API_KEY")
CLAIM = Claim(SECRET, SOURCE, USER, "https://h/v1", Value("https://h/v1", SOURCE, USER))
TOKEN = Token(SECRET, SECRET, "Bearer", None, 1.0, {"id_token": CANARY})


@attrs.frozen
class Holder:
    """Any record that has a secret in it."""

    secret: Secret
    many: tuple[Secret, ...] = (SECRET,)


@pytest.mark.parametrize(
    "render",
    [
        repr,
        str,
        ascii,
        format,
        "{}".format,
        "{!r}".format,
        "{:>99}".format,
        lambda s: f"{s} {s!s} {s!r} {s!a} {s:40}",
        lambda s: "%s %r %a" % (s, s, s),  # noqa: UP031 - the old way is what is tested
        lambda s: str([s]) + str({s: s}) + str((s,)),
        lambda s: json.dumps(s, default=str),
        lambda s: repr(Holder(s)) + str(attrs.asdict(Holder(s))),
    ],
)
def test_a_secret_is_mute(render: Callable[[Secret], str]) -> None:
    """No way of turning it into text shows any of it."""
    text = render(SECRET)
    assert "canary" not in text
    assert MUTE in text


@pytest.mark.parametrize("fails", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, "".join, bytes, iter])
def test_what_would_copy_a_secret_out_fails_mutely(fails: Callable[[object], object]) -> None:
    """Pickling, copying and joining raise, and the error does not tell either."""
    with pytest.raises(TypeError) as caught:
        fails([SECRET] if fails in (json.dumps, "".join) else SECRET)
    assert "canary" not in str(caught.value)


def test_a_pickled_record_fails() -> None:
    """A record that holds a secret cannot be pickled either."""
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Holder(SECRET))


def test_logs_and_tracebacks_are_mute() -> None:
    """Neither a log record nor a traceback of a failing frame shows it."""
    stream = io.StringIO()
    logger = logging.Logger("a-test", logging.DEBUG)  # noqa: LOG001 - it must not join the real tree
    logger.addHandler(logging.StreamHandler(stream))

    def fail(secret: Secret) -> NoReturn:
        raise ValueError(secret)

    logger.info("plain %s %r", SECRET, Holder(SECRET))
    try:
        fail(SECRET)
    except ValueError as error:
        logger.exception("failed")
        captured = traceback.TracebackException.from_exception(error, capture_locals=True)
        stream.write("".join(captured.format()))
    assert "canary" not in stream.getvalue()
    assert MUTE in stream.getvalue()


@pytest.mark.parametrize(
    "record",
    [
        Value(CANARY, SOURCE, USER),
        CLAIM,
        Credential("api-key", OPENAI, CLAIM, Value("m", SOURCE, USER)),
        TOKEN,
        CachedToken("/p", TOKEN),
        PostForm("https://h", {"refresh_token": CANARY}, 1.0),
        Reply(200, {"access_token": CANARY}, {"set-cookie": CANARY}),
        DeviceAuthorization(CANARY, "CODE", "https://h", "https://h", 1.0, 1.0),
    ],
)
def test_records_with_secrets_are_mute(record: object) -> None:
    """Every record that carries a secret keeps it out of its repr."""
    assert "canary" not in repr(record) + str(record)


@pytest.mark.parametrize(
    ("text", "fingerprint"),
    [
        ("sk-0123456789a1b2", "sk-…a1b2"),
        ("sk-sp-0123456789a1b2", "sk-sp-…a1b2"),
        ("sk-or-0123456789a1b2", "sk-or-…a1b2"),
        ("0123456789a1b2", "…a1b2"),
        ("sk-12345678", "…"),
        ("short", "…"),
        ("", "…"),
        ("0123456789ab\x1b[2J", "…?[2J"),
        ("0123456789abcd☃\n", "…cd??"),
    ],
)
def test_fingerprints(text: str, fingerprint: str) -> None:
    """Prefix and last four characters, none of a short one, nothing that a terminal obeys."""
    assert Secret(text).fingerprint == fingerprint


def test_a_secret_can_be_compared_and_revealed() -> None:
    """Equality and hash go by the value; `reveal` is the one way out."""
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert hash(Secret("a")) != hash("a")
    assert SECRET.reveal() == CANARY
    assert Secret("x")
    assert not Secret("")


def test_digests_tell_secrets_apart_and_do_not_show_them() -> None:
    """16 hex digits, equal for equal secrets, also for bytes of the environment that are no UTF-8."""
    assert SECRET.digest == Secret(CANARY).digest != Secret(CANARY + "x").digest
    assert len(SECRET.digest) == len(Secret("\udcff").digest) == 16
    assert int(SECRET.digest, 16) >= 0


def test_whether_it_stands_in_a_text() -> None:
    """Plain and URL-encoded it is found; a short one is not looked for, whatever the text."""
    odd = Secret("a/b+c=0123456")
    assert SECRET.stands_in(f"key: {CANARY}.")
    assert not SECRET.stands_in(CANARY[:-1])
    assert odd.stands_in("?k=a%2Fb%2Bc%3D0123456&x")
    assert not Secret("elevenchars").stands_in("elevenchars")
    assert not Secret("").stands_in("any")
