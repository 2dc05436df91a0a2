"""qwen_ls.core.slash: which message is a command, and what a model sees of a conversation with commands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_ls.core.chat import Message, Role
from qwen_ls.core.slash import (
    COMMANDS,
    Slash,
    help_line,
    help_text,
    is_cleared,
    last_command,
    parse_slash,
    without_commands,
)

USER, ASSISTANT, SYSTEM = Role.USER, Role.ASSISTANT, Role.SYSTEM


@pytest.mark.parametrize(
    ("text", "slash"),
    [
        ("/auth", Slash("auth")),
        ("/auth api-key", Slash("auth", "api-key")),
        ("/auth oauth:work", Slash("auth", "oauth:work")),
        ("\n  /model   qwen/qwen3-coder \n\n", Slash("model", "qwen/qwen3-coder")),
        ("/Status", Slash("status")),
        ("/clear", Slash("clear")),
        ("/help", Slash("help")),
        ("/halp", Slash("halp")),
        ("/usr", Slash("usr")),
    ],
)
def test_commands(text: str, slash: Slash) -> None:
    """A word with a slash is a command, the unknown one too; blanks around it and case do not matter."""
    assert parse_slash(text) == slash


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "//",
        "/usr/bin is what?",
        "/usr/bin",
        "/halp me",
        "/help me with this",
        "/status of the order",
        "/clear everything",
        "/auth api key",
        "/model\nname",
        "/help\n/status",
        "what does /help do?",
        "/1",
        "/*",
        "auth",
    ],
)
def test_ordinary_messages(text: str) -> None:
    """Anything more than the command and its one argument goes to the model."""
    assert parse_slash(text) is None


@given(st.text(st.sampled_from("/aeu th\nlp-é"), max_size=12))
def test_a_command_is_one_line(text: str) -> None:
    """What is a command is one line that begins with a slash, and reads the same with blanks around."""
    slash = parse_slash(text)
    stripped = text.strip()
    assert slash is None or (stripped.startswith("/") and "\n" not in stripped)
    assert parse_slash(f"\n {stripped}\t") == slash


def test_help_names_every_command() -> None:
    """The list and the line for a mistyped command have each of them, as it is written."""
    for command in COMMANDS:
        assert f"`{command.usage}`" in help_text()
        assert f"`{command.usage}`" in help_line("halp")
    assert help_line("halp").startswith("There is no command /halp.")


def said(*messages: tuple[Role, str]) -> list[tuple[Role, str]]:
    """What of some messages is sent."""
    return [(m.role, m.content) for m in without_commands([Message(*m) for m in messages])]


def test_commands_and_replies_are_not_sent() -> None:
    """Neither a command nor the reply to it reaches the model; the answers around them do."""
    assert said(
        (USER, "/status"),
        (ASSISTANT, "signed in"),
        (USER, "hello"),
        (ASSISTANT, "hi"),
        (USER, "/model x"),
        (USER, "again"),
        (ASSISTANT, "hi again"),
        (ASSISTANT, "and more"),
    ) == [
        (USER, "hello"),
        (ASSISTANT, "hi"),
        (USER, "again"),
        (ASSISTANT, "hi again"),
        (ASSISTANT, "and more"),
    ]


def test_clear_begins_anew() -> None:
    """Nothing from before the last /clear is sent, but what the system says stays."""
    before = [(SYSTEM, "be brief"), (USER, "a"), (ASSISTANT, "b")]
    assert said(*before, (USER, "/clear"), (ASSISTANT, "cleared"), (USER, "c")) == [
        (SYSTEM, "be brief"),
        (USER, "c"),
    ]


def test_a_conversation_that_was_cleared() -> None:
    """A /clear of the user's anywhere, but the word alone."""
    assert is_cleared([Message(USER, "a"), Message(USER, " /Clear\n"), Message(USER, "b")])
    assert not is_cleared([Message(USER, "/clear it"), Message(ASSISTANT, "/clear"), Message(USER, "/help")])


def test_the_last_command() -> None:
    """Only the user's last message is run."""
    assert last_command([Message(USER, "/status"), Message(USER, "/help")]) == Slash("help")
    assert last_command([Message(USER, "/help"), Message(ASSISTANT, "/help")]) is None
    assert last_command([Message(USER, "hello")]) is None
    assert last_command([]) is None


ROLES = st.sampled_from([USER, ASSISTANT, SYSTEM])


@given(st.lists(st.tuples(ROLES, st.sampled_from(["/status", "/clear", "/halp", "text", "/a b"]))))
def test_what_is_sent_has_no_command(messages: list[tuple[Role, str]]) -> None:
    """No user message that is sent is a command, the order stays, and a second look changes nothing."""
    sent = said(*messages)
    assert not any(role is USER and parse_slash(text) for role, text in sent)
    rest = iter(messages)
    assert all(message in rest for message in sent)
    assert said(*sent) == sent
