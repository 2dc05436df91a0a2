"""argv -> Options, or the reason why not, in one line."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

import attrs

from qwen_ls import __version__

PROGRAM = "qwen-ls"
TARGETS = ("user", "workspaceFolder")
EDITORS = ("neovim",)  # whose client comes with the server
ELSEWHERE = ("serve", "demo")  # taken care of before argv comes here; they stand in the usage alone
EPILOG = "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted."


class WrongUsage(Exception):  # noqa: N818 - what the user reads is the usage, not an error of ours
    """Arguments that make no sense; the text says why and never repeats a value, which may be a key."""


@attrs.frozen
class Options:
    """What was asked for. `folder` is as it was given; None means the current directory.

    `is_typed` says that the prompt is an argument, and so the user's own words.
    """

    command: str
    folder: str | None = None
    target: str | None = None
    method: str | None = None
    prompt: str | None = None
    is_typed: bool = False
    model: str | None = None
    editor: str | None = None
    provider: str | None = None
    base_url: str | None = None
    as_json: bool = False
    trust_project: bool = False


class Parser(argparse.ArgumentParser):
    """argparse with one-line complaints and no guessing of abbreviated options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["allow_abbrev"] = False
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise WrongUsage, with the values taken out of argparse's own words."""
        message = re.sub(r"(?s)invalid choice: .* \(choose from (.*)\)\Z", r"choose from \1", message)
        message = re.sub(r"(?s)ignored explicit argument .*\Z", "takes no value", message)
        raise WrongUsage(f"{message}; see {self.prog} --help")


def parse(argv: list[str]) -> Options:
    """Read the arguments. Raises WrongUsage; SystemExit(0) after --help and --version."""
    parser = build()
    found, extras = parser.parse_known_args(argv)
    if extras:
        raise WrongUsage(f"{unknown(extras[0])}; see {PROGRAM} {found.command} --help")
    if found.command in ELSEWHERE:
        raise WrongUsage(f"{found.command} takes no such arguments; see {PROGRAM} --help")
    given = {k: v for k, v in vars(found).items() if v is not None}
    action = given.pop("action", None)
    return Options(**{**given, **({"command": f"{found.command} {action}"} if action else {})})


def usage() -> str:
    """The usage, with every command."""
    return build().format_help()


def unknown(argument: str) -> str:
    """What is wrong with an argument that nothing takes: an option by its name, never by its value."""
    name = argument.partition("=")[0]
    if not argument.startswith("-"):
        return "one argument too many"
    return f"unknown option {name}" if re.fullmatch(r"--?[a-z-]{1,30}", name) else "unknown option"


def build() -> Parser:
    """The parser of all commands."""
    parser = Parser(
        PROGRAM,
        description="Sign-in, auth switching and streaming chat with Qwen and OpenAI-compatible models.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    place = Parser(add_help=False)
    place.add_argument(
        "--folder", metavar="DIR", help="the workspace folder (default: the current directory)"
    )
    report = Parser(add_help=False)
    report.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")
    trust = Parser(add_help=False)
    trust.add_argument(
        "--trust-project",
        action="store_true",
        help="let your key go to a base URL that a project's .env file names "
        "(QWEN_LS_TRUST_PROJECT=1 says the same)",
    )
    choice = Parser(add_help=False)
    choice.add_argument(
        "--target",
        choices=TARGETS,
        help="where the choice is kept (default: user; workspaceFolder with --folder)",
    )

    serve = commands.add_parser("serve", help="the language server, over standard input and output")
    serve.add_argument("--stdio", action="store_true", help="accepted, since clients pass it")
    chat = commands.add_parser("chat", parents=[place, report, trust], help="ask once and stream the answer")
    chat.add_argument("prompt", metavar="PROMPT", nargs="?", help="the message; -, or none: standard input")
    chat.add_argument("--model", metavar="M", help="instead of the configured one")
    for name, count, summary in (
        ("login", "?", "sign in (qwen-oauth)"),
        ("logout", "?", "forget a credential, the one in force if none is named"),
        ("switch", None, "choose the method in force: qwen-oauth or api-key"),
    ):
        command = commands.add_parser(name, parents=[place, choice], help=summary)
        command.add_argument("method", metavar="METHOD", nargs=count)
    commands.add_parser("status", parents=[place, report], help="who signs requests; exits 1 if nothing does")
    commands.add_parser("explain", parents=[place, report], help="why this credential and no other")
    commands.add_parser("models", parents=[place, report, trust], help="the provider's models")
    commands.add_parser("doctor", parents=[place, report], help="a report without secrets")
    add_keys(commands, place, report, choice)
    path = commands.add_parser("editor-path", help="the folder of the client for an editor (neovim)")
    path.add_argument("editor", metavar="EDITOR", choices=EDITORS)
    commands.add_parser("demo", help="a walk-through against an embedded provider", add_help=False)
    return parser


def add_keys(commands: Any, place: Parser, report: Parser, choice: Parser) -> None:
    """`keys` and `trust`, with their own commands below."""
    keys = commands.add_parser("keys", help="stored API keys: set, list, remove")
    below = keys.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = below.add_parser(
        "set", parents=[place, choice], help="check a key and store it; asked for, or piped in"
    )
    new.add_argument("--provider", metavar="ID", help="whose key it is (default: told from its form)")
    new.add_argument("--base-url", metavar="URL", help="where it goes (default: the provider's)")
    new.add_argument("--model", metavar="M", help="the model to ask for (default: the provider's)")
    below.add_parser("list", parents=[place, report], help="by fingerprint, the one in force starred")
    gone = below.add_parser("remove", parents=[place, choice], help="forget a key")
    gone.add_argument("--provider", metavar="ID", help="whose (default: the one stored last)")
    trust = commands.add_parser("trust", help="where keys may go: list, allow, forget")
    below = trust.add_subparsers(dest="action", metavar="ACTION", required=True)
    below.add_parser("list", parents=[place, report], help="the remembered answers")
    below.add_parser("allow", parents=[place], help="let the key go where this folder's .env says")
    below.add_parser("forget", parents=[place], help="forget the answers for this folder")
