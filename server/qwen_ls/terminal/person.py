"""The person at the terminal: is shown a code, is asked for consent. Fits the port `Human`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import attrs

from qwen_ls.core.origin import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qwen_ls.core.oauth.device import DeviceAuthorization
    from qwen_ls.core.origin import ConsentNeeded
    from qwen_ls.core.outgoing import SecretInMessage
    from qwen_ls.terminal.output import Output

MOST_TRIES = 3  # at one question
Answer = TypeVar("Answer")


@attrs.frozen
class Person:
    """`read_line` blocks for one line of standard input, empty at its end; None: nobody can be asked.

    `read_secret` blocks for a secret, typed or piped in, empty if there is none.
    """

    output: Output
    read_line: Callable[[], str] | None
    read_secret: Callable[[], str] = str

    async def show_code(self, login_id: str, method: str, authorization: DeviceAuthorization) -> bool:  # noqa: ARG002 - the port's
        """Show where to go and what to enter; a terminal starts no browser."""
        minutes = max(1, round(authorization.expires_in / 60))
        self.output.ask(
            f"Open {authorization.verification_uri_complete}\n"
            f"and check that it shows the code {authorization.user_code}, "
            f"or enter it at {authorization.verification_uri}\n"
            f"Waiting for your approval, at most {minutes} min; Ctrl-C cancels.\n"
        )
        return True

    async def show_page(self, login_id: str, url: str) -> bool:  # noqa: ARG002 - the port's
        """Show where to go; a terminal starts no browser."""
        self.output.ask(f"Open {url}\nWaiting for the browser to come back, at most 5 min; Ctrl-C cancels.\n")
        return True

    async def consent(self, need: ConsentNeeded) -> Decision | None:
        """Ask once, with numbered answers; None when nobody answers."""
        choices = [(Decision.SEND, f"Send it to {need.key.base_url}"), (Decision.DENY, "No")]
        if need.file_has_pair:
            choices = [
                (Decision.FILE, "Use the file's key and URL"),
                (Decision.SEND, f"Send my key to {need.key.base_url}"),
                (Decision.DENY, "No"),
            ]
        return await self._choose(need.question, choices)

    async def may_send(self, found: SecretInMessage) -> bool:
        """Ask once whether a message may be sent although it holds secrets; False when nobody answers."""
        return await self._choose(found.question, [(True, "Send anyway"), (False, "Do not send")]) or False

    async def _choose(self, question: str, choices: Sequence[tuple[Answer, str]]) -> Answer | None:
        """Put a question with numbered answers; None when nobody answers."""
        if self.read_line is None:
            return None
        listed = "".join(f"  {number}  {text}\n" for number, (_, text) in enumerate(choices, 1))
        self.output.ask(f"{question}\n{listed}")
        for _ in range(MOST_TRIES):
            self.output.ask(f"Your choice (1-{len(choices)}): ")
            line = self.read_line()
            if not line:
                self.output.ask("\n")
                return None
            answer = line.strip()
            if answer in {str(number) for number in range(1, len(choices) + 1)}:
                return choices[int(answer) - 1][0]
        return None
