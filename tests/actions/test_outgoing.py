"""qwen_ls.actions.outgoing: who is asked about a secret in a message, and for how long an answer holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from actions.fakes import FakeCache, Somebody, ports_of
from canary import canary
from qwen_ls.actions.outgoing import MOST_THREADS, Gate
from qwen_ls.actions.ports import Place
from qwen_ls.actions.resolve import stand
from qwen_ls.core.chat import Message, Role
from qwen_ls.core.outgoing import SecretInMessage

if TYPE_CHECKING:
    from qwen_ls.actions.resolve import Standing

KEY, OTHER = canary("actions/test_outgoing: a key"), canary("actions/test_outgoing: another")


@attrs.define
class Asked(Somebody):
    """Answers as told, and keeps the questions."""

    says: bool = True
    questions: list[str] = attrs.field(factory=list)

    async def may_send(self, found: SecretInMessage) -> bool:
        """The answer."""
        self.questions.append(found.question)
        return self.says


PORTS = ports_of(oauth_cache=FakeCache(), process={"OPENAI_API_KEY": KEY, "DASHSCOPE_API_KEY": OTHER})


async def standing(*, headless: bool = False) -> Standing:
    """A place with two keys."""
    return await stand(PORTS, Place(headless=headless))


def messages(text: str) -> list[Message]:
    """A conversation that ends with a text."""
    return [Message(Role.USER, "hello"), Message(Role.ASSISTANT, "hi"), Message(Role.USER, text)]


async def test_headless_nobody_is_asked() -> None:
    """Whoever would say yes: the message is not sent."""
    human = Asked()
    with pytest.raises(SecretInMessage):
        await Gate(PORTS).check(await standing(headless=True), messages(KEY), "one", human)
    assert human.questions == []


async def test_an_answer_is_for_a_secret_and_a_thread() -> None:
    """Another secret is asked about, and so is the same one in another thread; a no is not remembered."""
    human, gate, place = Asked(), Gate(PORTS), await standing()
    for text, thread, asked in (
        (KEY, "one", 1),
        (KEY, "one", 1),
        (f"{KEY} {OTHER}", "one", 2),
        (KEY, "two", 3),
    ):
        await gate.check(place, messages(text), thread, human)
        assert len(human.questions) == asked
    assert KEY[-4:] not in human.questions[1]
    human.says = False
    for asked in (4, 5):
        with pytest.raises(SecretInMessage):
            await gate.check(place, messages(OTHER), "three", human)
        assert len(human.questions) == asked


async def test_without_a_secret_nobody_is_asked() -> None:
    """Nor for a part of one."""
    await Gate(PORTS).check(await standing(), messages(KEY[:-1]), "one", Somebody())


async def test_old_answers_are_forgotten() -> None:
    """No more threads are remembered than conversations are."""
    human, gate, place = Asked(), Gate(PORTS), await standing()
    for number in range(MOST_THREADS + 1):
        await gate.check(place, messages(KEY), str(number), human)
    await gate.check(place, messages(KEY), str(MOST_THREADS), human)
    assert len(human.questions) == MOST_THREADS + 1
    await gate.check(place, messages(KEY), "0", human)
    assert len(human.questions) == MOST_THREADS + 2
