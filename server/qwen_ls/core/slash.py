"""Slash commands: a message that is one is run here and never sent to a model.

A command is the whole message, a word on one line with at most the one argument that it takes. Anything
else is an ordinary message, `/usr/bin is what?` too; a single unknown `/word` is a mistyped command.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from qwen_ls.core.chat import Message, Role

if TYPE_CHECKING:
    from collections.abc import Sequence


@attrs.frozen
class Command:
    """A slash command: its name, the argument it may have, and what it does."""

    name: str
    argument: str
    summary: str

    @property
    def usage(self) -> str:
        """How it is written."""
        return f"/{self.name} [{self.argument}]" if self.argument else f"/{self.name}"


AUTH, MODEL, STATUS, CLEAR, HELP = "auth", "model", "status", "clear", "help"
COMMANDS = (
    Command(AUTH, "METHOD", "switch how requests are signed; without a method you are asked"),
    Command(MODEL, "NAME", "choose the model; without a name you see which there are"),
    Command(STATUS, "", "who signs requests, and where they go"),
    Command(CLEAR, "", "begin the conversation anew"),
    Command(HELP, "", "these commands"),
)
BY_NAME = {command.name: command for command in COMMANDS}
FORM = re.compile(r"/([A-Za-z][\w-]*)(?:[ \t]+(\S+))?")


@attrs.frozen
class Slash:
    """A slash command as it was written; `name` may be unknown."""

    name: str
    argument: str | None = None

    @property
    def is_known(self) -> bool:
        """Whether there is such a command."""
        return self.name in BY_NAME


def parse_slash(text: str) -> Slash | None:
    """The command that a message is; None for an ordinary message."""
    match = FORM.fullmatch(text.strip())
    if match is None:
        return None
    slash = Slash(match[1].lower(), match[2])
    command = BY_NAME.get(slash.name)
    takes_argument = command is not None and bool(command.argument)
    return slash if slash.argument is None or takes_argument else None


def help_text() -> str:
    """Every command, a line each, as Markdown."""
    return "\n".join(f"- `{command.usage}`: {command.summary}" for command in COMMANDS)


def help_line(name: str) -> str:
    """What a mistyped command is answered with."""
    return f"There is no command /{name}. There are {', '.join(f'`{c.usage}`' for c in COMMANDS)}."


def last_command(messages: Sequence[Message]) -> Slash | None:
    """The command that a conversation ends with, if it does."""
    last = messages[-1] if messages else None
    return parse_slash(last.content) if last is not None and last.role is Role.USER else None


def is_cleared(messages: Sequence[Message]) -> bool:
    """Whether a conversation has begun anew by a `/clear` in it."""
    slashes = (parse_slash(m.content) for m in messages if m.role is Role.USER)
    return any(slash is not None and slash.name == CLEAR for slash in slashes)


def without_commands(messages: Sequence[Message]) -> tuple[Message, ...]:
    """What of a conversation is sent: no command and no reply to one, and nothing from before a `/clear`."""
    kept: list[Message] = []
    is_reply = False
    for message in messages:
        slash = parse_slash(message.content) if message.role is Role.USER else None
        if slash is not None:
            is_reply = True
            if slash.name == CLEAR:
                kept = [m for m in kept if m.role is Role.SYSTEM]
        elif not (is_reply and message.role is Role.ASSISTANT):
            is_reply = is_reply and message.role is Role.SYSTEM
            kept.append(message)
    return tuple(kept)
