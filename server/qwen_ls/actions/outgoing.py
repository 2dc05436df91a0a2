"""What leaves for a provider is looked at first: a secret of one's own in it is asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from qwen_ls.core.outgoing import SecretInMessage, find_loaded, keys_of, loaded_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qwen_ls.actions.ports import Human, Ports
    from qwen_ls.actions.resolve import Standing
    from qwen_ls.core.chat import Message
    from qwen_ls.core.outgoing import Loaded

MOST_THREADS = 256  # whose answers are remembered


@attrs.define(eq=False)
class Gate:
    """Lets messages through, and remembers what the user has let through before.

    A yes holds for the same secret in the same thread, since its messages are sent again with the next.
    """

    ports: Ports
    _cleared: dict[str, frozenset[str]] = attrs.field(factory=dict)  # thread -> digests of secrets

    async def check(self, standing: Standing, messages: Sequence[Message], thread: str, human: Human) -> None:
        """Ask about messages that hold a secret that is loaded. Raises Problem if they may not go."""
        cleared = self._cleared.get(thread, frozenset())
        found = find_loaded((m.content for m in messages), self._loaded(standing), cleared)
        if not found:
            return
        credential = standing.resolution.credential
        host = credential.base_url if credential is not None else ""
        problem = SecretInMessage(found, host or "the provider")
        if standing.place.headless or not await human.may_send(problem):
            raise problem
        self._cleared[thread] = cleared | {one.secret.digest for one in found}
        while len(self._cleared) > MOST_THREADS:
            del self._cleared[next(iter(self._cleared))]

    def _loaded(self, standing: Standing) -> Iterator[Loaded]:
        """Every secret that is held: this place's first, then the keys of the files of other places."""
        yield from loaded_secrets(standing.facts, self.ports.steering, self.ports.keys.held())
        for _, other in self.ports.standings.values():
            if other is not standing:
                yield from keys_of(other.facts.environment)
