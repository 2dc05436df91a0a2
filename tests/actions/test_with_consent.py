"""qwen_ls.actions.provider.with_consent: whose answer counts, and for what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actions.fakes import FakeState, ports_of
from qwen_ls.actions.ports import Place
from qwen_ls.actions.provider import with_consent
from qwen_ls.core.errors import Problem
from qwen_ls.core.origin import ConsentKey, ConsentNeeded, Decision

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "/p/.env"


class Remembering(FakeState):
    """Keeps the answers."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[ConsentKey, Decision] = {}

    async def decide(self, answers: Mapping[ConsentKey, Decision]) -> None:
        """Keep them."""
        self.answers.update(answers)


def need(base_url: str, *, mixed: bool) -> ConsentNeeded:
    """A question about a file."""
    key = ConsentKey("/p", FILE, "mine" if mixed else "its", base_url)
    return ConsentNeeded(key, "?", "may not go", mixed=mixed, file_has_pair=mixed)


async def run(needs: list[ConsentNeeded], answers: list[Decision | None]) -> tuple[int, Remembering]:
    """How often the user was asked, and what was remembered."""
    state, asked = Remembering(), 0

    async def ask(_: ConsentNeeded) -> Decision | None:
        nonlocal asked
        asked += 1
        return answers.pop(0)

    async def attempt() -> None:
        if needs:
            raise needs.pop(0)

    await with_consent(ports_of(state=state), Place("/p"), ask, attempt)
    return asked, state


async def test_choosing_the_files_pair_answers_for_that_pair() -> None:
    """One question, and both answers are remembered."""
    asked, state = await run(
        [need("https://a/v1", mixed=True), need("https://a/v1", mixed=False)], [Decision.FILE]
    )
    assert asked == 1
    assert list(state.answers.values()) == [Decision.FILE, Decision.SEND]


async def test_it_does_not_answer_for_a_key_of_the_users_own() -> None:
    """The file named another host while the question stood: that is asked, and a No holds."""
    needs = [need("https://a/v1", mixed=True), need("https://b/v1", mixed=True)]
    with pytest.raises(Problem):
        await run(needs, [Decision.FILE, None])
