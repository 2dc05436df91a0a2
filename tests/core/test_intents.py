"""qwen_ls.core.intents: what a flow asks of the world."""

from __future__ import annotations

import pytest

from qwen_ls.core.errors import Cause
from qwen_ls.core.intents import Cut, HttpRequest, NoReply, PostForm, Reply, Unreachable


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (204, True), (299, True), (199, False), (302, False)]
)
def test_ok(status: int, ok: bool) -> None:  # noqa: FBT001 - a table's column
    """2xx and nothing else (RFC 9110 section 15.3)."""
    assert Reply(status).ok is ok


def test_what_travels_is_mute() -> None:
    """Forms, headers and bodies hold secrets, so no repr shows them."""
    secret = "canary-0123456789"
    records = (
        PostForm("https://h", {"refresh_token": secret}, 1.0),
        HttpRequest("POST", "https://h", {"authorization": secret}, secret.encode()),
        Reply(200, {"access_token": secret}, {"set-cookie": secret}),
    )
    assert "canary" not in repr(records)
    assert repr(records).count("https://h") == 2


def test_no_reply_says_why() -> None:
    """A connection cut in the middle is a way of not answering, and carries the cause."""
    cut = Cut(NoReply(Cause.TIMEOUT, "no byte for 60 s"))
    assert isinstance(cut, Unreachable)
    assert (cut.reply.cause, str(cut)) == (Cause.TIMEOUT, "no byte for 60 s")
