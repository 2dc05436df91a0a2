"""Stored keys over fakes: who keeps one, when its keeper is asked again, what is forgotten."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs
import pytest

from actions.fakes import START, FakeCache, FakeClock, FakeState, ports_of
from canary import canary
from qwen_ls.actions.keys import TRY_AGAIN_AFTER, Keys
from qwen_ls.actions.ports import Place
from qwen_ls.actions.resolve import stand
from qwen_ls.core.credentials import QWEN_OAUTH
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.secret import Secret
from qwen_ls.core.stored import FOLDER, USER, StoredKey, encode_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qwen_ls.core.credentials import FoundKey
    from qwen_ls.core.ladder import Resolution

FIRST, SECOND = Secret(canary("test_keys: first")), Secret(canary("test_keys: second"))
HERE = "/projects/here"
LOCKED = Problem(Kind.KEYRING_LOCKED, "The keyring is locked", remedy="Unlock it", retryable=True)


@attrs.define
class Store:
    """A keyring, or a key file; `problem` is raised at every call while it is set."""

    values: dict[str, str] = attrs.field(factory=dict)
    problem: Problem | None = None
    is_full: bool = False
    reads: list[str] = attrs.field(factory=list)
    patience: set[tuple[str, bool | None]] = attrs.field(factory=set)

    def called(self, verb: str, *, patient: bool | None) -> None:
        """Note the call."""
        self.patience.add((verb, patient))
        if self.problem is not None:
            raise self.problem

    async def read(self, name: str, patient: bool | None = None) -> str | None:  # noqa: FBT001 - the port's shape
        """One value."""
        self.reads.append(name)
        await asyncio.sleep(0)  # others have their turn
        self.called("read", patient=patient)
        return self.values.get(name)

    async def write(self, name: str, value: str, patient: bool | None = None) -> None:  # noqa: FBT001
        """Put a value in."""
        self.called("write", patient=patient)
        if self.is_full:
            raise OSError(28, "No space left on device", "keys.json")
        self.values[name] = value

    async def remove(self, name: str, patient: bool | None = None) -> bool:  # noqa: FBT001
        """Take a value out."""
        self.called("remove", patient=patient)
        return self.values.pop(name, None) is not None

    async def backend(self) -> str:
        """Its name."""
        return "a store of the tests"


@attrs.define
class Index:
    """The part of the state that is about keys; a full disk takes none."""

    rows: dict[str, StoredKey] = attrs.field(factory=dict)
    is_full: bool = False

    async def keys(self) -> Mapping[str, StoredKey]:
        """All of it."""
        return dict(self.rows)

    async def keep_key(self, entry: StoredKey) -> None:
        """Put one in."""
        if self.is_full:
            raise OSError(28, "No space left on device", "state.json")
        self.rows[entry.name] = entry

    async def drop_key(self, name: str) -> None:
        """Take one out."""
        self.rows.pop(name, None)


@attrs.define
class Chosen(FakeState):
    """A state with choices and an index."""

    rows: dict[str, StoredKey] = attrs.field(factory=dict)

    async def keys(self) -> Mapping[str, StoredKey]:
        """The index."""
        return self.rows


@attrs.define
class Bench:
    """Keys over fakes."""

    ring: Store = attrs.field(factory=Store)
    index: Index = attrs.field(factory=Index)
    clock: FakeClock = attrs.field(factory=FakeClock)
    file: Store | None = None

    def process(self) -> Keys:
        """The keys of a new process: the same keepers, an empty memory."""
        return Keys(self.ring, self.index, self.clock, self.file)  # type: ignore[arg-type] # part of the state


@pytest.fixture
def bench() -> Bench:
    """A keyring that works, and no key file."""
    return Bench()


def entry(secret: Secret, *, provider: str | None = None, stored_at: float = START) -> StoredKey:
    """An entry for this folder, or for the user with a provider."""
    target, folder = (USER, None) if provider else (FOLDER, HERE)
    url = f"http://127.0.0.1:1/{provider or 'here'}"
    return StoredKey(target, folder, provider or "custom", url, None, secret.fingerprint, stored_at)


async def find(keys: Keys, folder: str | None) -> tuple[FoundKey | None, FoundKey | None]:
    """What is found by the index as it is now."""
    return await keys.find(folder, await keys.state.keys())


async def keep(keys: Keys, secret: Secret, *, client: bool = False, **more: object) -> StoredKey:
    """Store a key; its entry as it stands now."""
    new = entry(secret, **more)  # type: ignore[arg-type] # as `entry` takes them
    kept = await keys.store(new, secret, client_keeps=client)
    return attrs.evolve(new, kept_in=kept.keeper)


async def test_the_keyring_is_read_once_and_again_when_the_index_has_changed(bench: Bench) -> None:
    """A key stays in memory until another process stores a later one."""
    ours, theirs = bench.process(), bench.process()
    stored = await keep(theirs, FIRST)
    for _ in range(3):
        (found, _user) = await find(ours, HERE)
        assert found is not None
        assert found.secret == FIRST
    assert bench.ring.reads == [stored.name]
    await keep(theirs, SECOND, stored_at=START + 1)
    (found, _user) = await find(ours, HERE)
    assert found is not None
    assert (found.secret, found.entry.fingerprint) == (SECOND, SECOND.fingerprint)
    assert bench.ring.reads == [stored.name] * 2


async def test_a_keyring_that_is_stuck_over_one_key_holds_up_no_other(bench: Bench) -> None:
    """Each entry is waited for by those who need it."""
    mine, asked, go_on = await keep(bench.process(), FIRST), asyncio.Event(), asyncio.Event()
    await keep(bench.process(), SECOND, provider="openai")

    class Stuck(Store):
        """Over the folder's key."""

        async def read(self, name: str, patient: bool | None = None) -> str | None:  # noqa: FBT001
            """One value."""
            if name == mine.name:
                asked.set()
                await go_on.wait()
            return await super().read(name, patient)

    bench.ring = Stuck(bench.ring.values)
    keys = bench.process()
    stuck = asyncio.ensure_future(find(keys, HERE))
    await asked.wait()
    _, user = await asyncio.wait_for(find(keys, None), 5)
    assert user is not None
    assert user.secret == SECOND
    go_on.set()
    assert (await stuck)[0] is not None


@pytest.mark.parametrize("problem", [None, LOCKED])
async def test_who_comes_while_the_keyring_is_read_does_not_ask_again(
    bench: Bench, problem: Problem | None
) -> None:
    """As a first message does while the first status is looked up: all get what one has asked for."""
    stored, keys = await keep(bench.process(), FIRST), bench.process()
    bench.ring.problem = problem
    found = await asyncio.gather(*(find(keys, HERE) for _ in range(3)))
    secrets = [of_folder.secret for of_folder, _user in found if of_folder is not None]
    assert secrets == [None if problem else FIRST] * 3
    assert bench.ring.reads == [stored.name]


async def test_what_nobody_asked_for_is_impatient(bench: Bench) -> None:
    """Storing and removing wait for an unlock prompt; reading for a request does not."""
    keys = bench.process()
    stored = await keep(keys, FIRST)
    await find(keys, HERE)
    await keys.remove(stored)
    assert bench.ring.patience == {("write", True), ("read", False), ("remove", True)}


async def test_a_locked_keyring_is_asked_again_only_after_a_while(bench: Bench) -> None:
    """Its refusal is believed for 30 s, and then asked for once more; when it opens, its key is used."""
    keys, clock = bench.process(), bench.clock
    await keep(bench.process(), FIRST)
    bench.ring.problem = LOCKED
    found, _ = await find(keys, HERE)
    assert found is not None
    assert (found.secret, "locked" in (found.problem or "")) == (None, True)
    bench.ring.problem = None
    clock.time += TRY_AGAIN_AFTER - 1
    found, _ = await find(keys, HERE)
    assert found is not None
    assert (found.secret, len(bench.ring.reads)) == (None, 1)
    clock.time += 1
    found, _ = await find(keys, HERE)
    assert found is not None
    assert (found.secret, len(bench.ring.reads)) == (FIRST, 2)
    clock.time += TRY_AGAIN_AFTER * 100
    await find(keys, HERE)
    assert len(bench.ring.reads) == 2


async def test_storing_anew_forgets_a_refusal(bench: Bench) -> None:
    """A key that was just stored is found at once."""
    keys = bench.process()
    await keep(bench.process(), FIRST)
    bench.ring.problem = LOCKED
    await find(keys, HERE)
    bench.ring.problem = None
    await keep(keys, SECOND)
    found, _ = await find(keys, HERE)
    assert found is not None
    assert found.secret == SECOND


async def test_a_removed_key_is_gone_everywhere(bench: Bench) -> None:
    """From the keyring, the index, and the memory of every process."""
    keys, other = bench.process(), bench.process()
    stored = await keep(keys, FIRST)
    await find(other, HERE)
    await find(keys, HERE)
    await keys.remove(stored)
    assert (bench.ring.values, bench.index.rows) == ({}, {})
    for process in (keys, other):
        assert await find(process, HERE) == (None, None)
        assert await process.entries() == {}


async def test_a_keyring_that_is_locked_keeps_what_it_should_forget(bench: Bench) -> None:
    """Removing fails, and the index still leads to the key."""
    keys = bench.process()
    stored = await keep(keys, FIRST)
    bench.ring.problem = LOCKED
    with pytest.raises(Problem) as failed:
        await keys.remove(stored)
    assert failed.value.kind is Kind.KEYRING_LOCKED
    assert list(bench.index.rows) == [stored.name]


@pytest.mark.parametrize(("client", "keeper"), [(True, "client"), (False, "session")])
async def test_without_a_keyring_it_lives_as_long_as_the_process(
    bench: Bench,
    client: bool,  # noqa: FBT001 - a parameter
    keeper: str,
) -> None:
    """By the client, or by nobody; neither index nor keyring has it, and the reason is told."""
    keys = bench.process()
    bench.ring.problem = LOCKED
    kept = await keys.store(entry(FIRST), FIRST, client_keeps=client)
    assert (kept.keeper, kept.why) == (keeper, LOCKED.message)
    found, _ = await find(keys, HERE)
    assert found is not None
    assert (found.secret, found.entry.kept_in) == (FIRST, keeper)
    assert (bench.index.rows, bench.ring.values) == ({}, {})
    assert await find(bench.process(), HERE) == (None, None)
    await keys.remove(found.entry)
    assert await keys.entries() == {}


async def test_a_plain_file_only_where_it_is_allowed(bench: Bench) -> None:
    """It stands in for the keyring, not for the client, and another process reads it."""
    bench.ring.problem = LOCKED
    bench.file = Store()
    keys = bench.process()
    assert (await keep(keys, FIRST, client=True)).kept_in == "client"
    assert bench.file.values == {}
    stored = await keep(keys, SECOND)
    assert stored.kept_in == "file"
    found, _ = await find(bench.process(), HERE)
    assert found is not None
    assert found.secret == SECOND
    await keys.remove(stored)
    assert (bench.file.values, bench.index.rows) == ({}, {})


async def test_a_key_with_a_new_keeper_leaves_no_copy_with_the_old_one(bench: Bench) -> None:
    """From the plain file into the keyring, and from there to the client: one copy, each time."""
    bench.ring.problem, bench.file = LOCKED, Store()
    keys = bench.process()
    assert (await keep(keys, FIRST)).kept_in == "file"
    bench.ring.problem = None
    assert (await keep(keys, SECOND)).kept_in == "keyring"
    assert (len(bench.ring.values), bench.file.values) == (1, {})
    bench.file = None
    bench.ring = Giving(values=bench.ring.values)
    keys = bench.process()
    assert (await keep(keys, FIRST, client=True)).kept_in == "client"
    assert bench.ring.values == {}


@attrs.define
class Giving(Store):
    """A keyring that takes nothing more, though it still gives and forgets."""

    async def write(self, name: str, value: str, patient: bool | None = None) -> None:  # noqa: ARG002, FBT001
        """Refused."""
        raise LOCKED


async def test_the_users_key_is_the_one_stored_last(bench: Bench) -> None:
    """Each provider's has a place of its own; without the last, the one before."""
    keys = bench.process()
    await keep(keys, FIRST, provider="openai", stored_at=START + 1)
    last = await keep(keys, SECOND, provider="dashscope", stored_at=START + 2)
    _, found = await find(keys, HERE)
    assert found is not None
    assert found.secret == SECOND
    await keys.remove(last)
    _, found = await find(keys, None)
    assert found is not None
    assert found.secret == FIRST


async def test_the_values_own_base_url_counts(bench: Bench) -> None:
    """Whoever changes the index moves no key to another host."""
    stored = await keep(bench.process(), FIRST)
    bench.index.rows[stored.name] = attrs.evolve(stored, base_url="http://127.0.0.1:2/theirs")
    found, _ = await find(bench.process(), HERE)
    assert found is not None
    assert (found.entry.base_url, found.secret) == (stored.base_url, FIRST)


async def test_a_value_of_another_folder_is_refused(bench: Bench) -> None:
    """A value that was moved within the keyring opens nothing, and its key is not quoted."""
    stored = await keep(bench.process(), FIRST)
    elsewhere = attrs.evolve(stored, folder="/projects/elsewhere")
    bench.ring.values[stored.name] = encode_value(elsewhere, FIRST)
    found, _ = await find(bench.process(), HERE)
    assert found is not None
    assert (found.secret, found.problem) == (None, "the keyring entry belongs to another folder")


async def test_a_key_that_its_keeper_has_lost(bench: Bench) -> None:
    """The index alone is no key, and the way out is named."""
    await keep(bench.process(), FIRST)
    bench.ring.values.clear()
    found, _ = await find(bench.process(), HERE)
    assert found is not None
    assert (found.secret, found.problem) == (None, "its keeper no longer has it; set it again")


async def test_an_index_that_cannot_be_written_is_told(bench: Bench) -> None:
    """By a problem with the file and a remedy, without the key."""
    bench.index.is_full = True
    with pytest.raises(Problem) as failed:
        await keep(bench.process(), FIRST)
    assert "No space left on device" in failed.value.message
    assert FIRST.reveal() not in failed.value.message


async def test_a_key_file_that_cannot_be_written_is_told(bench: Bench) -> None:
    """As an index that cannot."""
    bench.ring.problem, bench.file = LOCKED, Store(is_full=True)
    with pytest.raises(Problem) as failed:
        await keep(bench.process(), FIRST)
    assert "No space left on device" in failed.value.message
    assert bench.index.rows == {}


async def test_a_key_for_this_session_leaves_what_is_stored(bench: Bench) -> None:
    """While the keyring is locked another key is used here; afterwards the stored one is there as before."""
    keys = bench.process()
    stored = await keep(keys, FIRST)
    bench.ring.problem = LOCKED
    assert (await keep(keys, SECOND, stored_at=START + 1)).kept_in == "session"
    found, _ = await find(keys, HERE)
    assert found is not None
    assert (found.secret, len(await keys.entries())) == (SECOND, 1)
    bench.ring.problem = None
    assert bench.index.rows == {stored.name: stored}
    found, _ = await find(bench.process(), HERE)
    assert found is not None
    assert found.secret == FIRST


async def test_the_clients_word_is_taken_back_at_start(bench: Bench) -> None:
    """A key that the client kept is in use again, in this process only."""
    keys = bench.process()
    keys.remember(entry(FIRST), FIRST)
    found, _ = await find(keys, HERE)
    assert found is not None
    assert (found.secret, found.entry.kept_in) == (FIRST, "client")
    assert (bench.ring.reads, bench.index.rows) == ([], {})


async def resolved(bench: Bench, chosen: str | None = None, **process: str) -> Resolution:
    """Where a new process stands, with a method chosen by the user and with variables."""
    state = Chosen(rows=bench.index.rows, choices={None: chosen})
    ports = ports_of(state=state, keys=bench.process(), process=process, oauth_cache=FakeCache())
    return (await stand(ports, Place(HERE))).resolution


@pytest.mark.parametrize("kind", [Kind.KEYRING_LOCKED, Kind.KEYRING_UNAVAILABLE])
async def test_a_keyring_that_will_not_open_is_what_the_status_names(bench: Bench, kind: Kind) -> None:
    """Where nothing else signs: its kind, its remedy, and whose key it keeps, in the one line."""
    await keep(bench.process(), FIRST)
    bench.ring.problem = Problem(kind, "It is shut", remedy="Open it", retryable=True)
    problem = (await resolved(bench)).problem
    assert problem is not None
    assert (problem.kind, problem.remedy, problem.retryable) == (kind, "Open it", True)
    assert problem.message == f"The key stored for {HERE} (keyring) cannot be read: It is shut. Open it"


async def test_a_keyring_that_will_not_open_lets_others_go_on(bench: Bench) -> None:
    """With a key in the environment that one signs, and the ladder says why the stored one does not."""
    await keep(bench.process(), FIRST)
    bench.ring.problem = LOCKED
    resolution = await resolved(bench, OPENAI_API_KEY=SECOND.reveal())
    assert resolution.require().claim.secret == SECOND
    assert "locked" in resolution.rungs[0].why


async def test_signed_out_by_choice_is_not_the_keyrings_fault(bench: Bench) -> None:
    """Who has chosen another method reads about that one."""
    await keep(bench.process(), FIRST)
    bench.ring.problem = LOCKED
    problem = (await resolved(bench, QWEN_OAUTH)).problem
    assert problem is not None
    assert problem.kind is Kind.SIGNED_OUT
