"""qwen_ls.actions.resolve: a standing lasts as long as all that it was made of, and no longer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from actions.fakes import FakeCache, FakeState, NoEnvFiles, ports_of, token
from qwen_ls.actions.ports import Place
from qwen_ls.actions.resolve import MOST_PLACES, stand
from qwen_ls.core.credentials import API_KEY, QWEN_OAUTH
from qwen_ls.core.envchain import Candidate, EnvChain, Look, Presence, find
from qwen_ls.core.envfile import parse_env
from qwen_ls.core.origin import WorkspaceTrust

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qwen_ls.actions.ports import Ports
    from qwen_ls.core.qwen_settings import QwenKey

PLACE = Place("/w")


@attrs.define
class OneFile(NoEnvFiles):
    """One `.env`, with this text."""

    text: str = "OPENAI_API_KEY=one\n"

    async def find(self, folder: str | None, excluded: Sequence[str]) -> tuple[EnvChain, EnvChain]:
        """It."""
        home = (await super().find(folder, excluded))[1]
        look = Look(Presence.FILE, parse_env(self.text, ()))
        return find((Candidate(Path("/w/.env")),), lambda _: look), home


@attrs.define
class Settings:
    """Qwen Code's settings, without a key until one is put in."""

    path = "/h/.qwen/settings.json"
    key: QwenKey | str | None = None

    async def read(self) -> QwenKey | str | None:
        """It."""
        return self.key


@pytest.fixture
def ports() -> Ports:
    """A file, a state and a cache that can be changed."""
    return ports_of(env_files=OneFile(), state=FakeState(), oauth_cache=FakeCache(), qwen_settings=Settings())


async def test_it_is_the_same_as_long_as_nothing_has_changed(ports: Ports) -> None:
    """Equal is enough: what is read each time is another object each time."""
    assert await stand(ports, PLACE) is await stand(ports, PLACE)


def write(ports: Any) -> None:
    """Another key in the file."""
    ports.env_files.text = "OPENAI_API_KEY=two\n"


def choose(ports: Any) -> None:
    """Another method."""
    ports.state.choices["/w"] = QWEN_OAUTH


def sign_in(ports: Any) -> None:
    """A token in the cache."""
    ports.sign_ins[QWEN_OAUTH].cache.token = token()


def offer(ports: Any) -> None:
    """A reason why Qwen Code's key cannot be used."""
    ports.qwen_settings.key = "the file cannot be read"


@pytest.mark.parametrize("change", [write, choose, sign_in, offer])
async def test_it_is_another_after_a_change(ports: Ports, change: Callable[[Any], None]) -> None:
    """Whatever has changed, it is seen at once."""
    before = await stand(ports, PLACE)
    change(ports)
    after = await stand(ports, PLACE)
    assert after is not before
    assert after.facts != before.facts


async def test_a_failure_is_not_kept() -> None:
    """It is raised anew each time: one that is raised again and again holds on to all it has passed."""
    ports = ports_of(oauth_cache=FakeCache())
    problems = [(await stand(ports, PLACE)).resolution.problem for _ in range(2)]
    assert None not in problems
    assert problems[0] is not problems[1]
    assert ports.standings == {}


async def test_each_place_has_its_own(ports: Ports) -> None:
    """Trust among what makes a place."""
    trusted = attrs.evolve(PLACE, trust=WorkspaceTrust.TRUSTED)
    assert (await stand(ports, PLACE)).policy != (await stand(ports, trusted)).policy


async def test_only_so_many_are_kept(ports: Ports) -> None:
    """The oldest goes first."""
    for number in range(MOST_PLACES + 3):
        assert (await stand(ports, Place(f"/{number}"))).resolution.method == API_KEY
    assert len(ports.standings) == MOST_PLACES
    assert Place("/2") not in ports.standings
