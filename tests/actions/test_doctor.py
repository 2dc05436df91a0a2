"""qwen_ls.actions.doctor: the report, also where nothing can be resolved."""

from __future__ import annotations

from actions.fakes import FakeCache, ports_of
from qwen_ls.actions.doctor import doctor
from qwen_ls.actions.ports import Place


class Silent:
    """A disk that does not answer."""

    async def find(self, *_: object) -> None:
        """Nothing."""
        raise TimeoutError(110, "the disk did not answer within 10 s")


class Ring:
    """A keyring with a name."""

    async def backend(self) -> str:
        """Its name."""
        return "a keyring"


async def test_a_home_that_does_not_answer_is_in_the_report() -> None:
    """Which is when it is wanted most: what can be said without the home is said."""
    ports = ports_of(oauth_cache=FakeCache(), env_files=Silent(), keyring=Ring())
    report = await doctor(ports, Place("/ws"), {"client": "a test"})
    assert "the disk did not answer" in report["problem"]
    assert (report["client"], report["folder"], report["keyring"]) == ("a test", "/ws", "a keyring")
