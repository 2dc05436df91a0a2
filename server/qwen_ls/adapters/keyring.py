"""The operating system's keyring: GNOME Keyring, KWallet, macOS Keychain, Windows Credential Manager.

Its backends block: an unlock prompt waits for a person, a D-Bus activation for two minutes. So calls run
on one daemon thread, each with a deadline; a thread that is held up past it is left behind, and neither
the event loop nor the end of the process waits for it. The `keyring` library is imported there, at the
first call.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from qwen_ls.adapters.keyring_backends import (
    ELSEWHERE,
    Backend,
    delete,
    explain,
    find,
    load,
    name_of,
    replace,
    unavailable,
    usable,
)
from qwen_ls.core.errors import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

BACKGROUND, PATIENT = 3.0, 60.0  # seconds, for what nobody asked for and for what the user asked for
MOST_STUCK = 3  # threads left behind before the keyring counts as dead
THREAD = "qwen-ls-keyring"
Result = TypeVar("Result")


def system_backend() -> Any:
    """The backend that the `keyring` library chooses by its own rules."""
    from keyring import get_keyring  # noqa: PLC0415 - takes 100 ms; only when a key is asked for

    return get_keyring()


@attrs.define(eq=False, repr=False)
class Job(Generic[Result]):
    """One call for the worker. What it came to stands here, where no repr of a future or handle shows it."""

    work: Callable[[Job[Result], tuple[Backend, ...]], Result]
    tell: Callable[[], None]
    result: Result | None = None
    problem: Problem | None = None
    is_done: bool = False
    is_given_up: bool = False

    def run(self, backends: Callable[[], tuple[Backend, ...]]) -> None:
        """Do it, on the worker thread. Never raises."""
        try:
            self.result = self.work(self, backends())
        except BaseException as error:  # noqa: BLE001 - a backend may do anything, even exit
            self.problem = explain(error)
        self.is_done = True
        self.tell()

    def given_up(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.is_given_up


@attrs.define(eq=False, repr=False)
class Worker:
    """A thread and what it is at. Once `is_left` it takes nothing new."""

    thread: threading.Thread | None = None
    job: Job[Any] | None = None
    is_left: bool = False


@attrs.define(eq=False)
class OsKeyring:
    """Entries of the service `qwen-ls`, by name.

    `patient` says that the user asked for it: an unlock prompt is then waited for, 60 s instead of 3.
    Every method but `backend` raises Problem, of the kinds `keyring-unavailable` and `keyring-locked`.
    """

    load: Callable[[], Any] = system_backend
    allow_plaintext: bool = False
    background_deadline: float = BACKGROUND
    patient_deadline: float = PATIENT
    _backends: tuple[Backend, ...] | None = attrs.field(default=None, init=False)
    _jobs: deque[Job[Any]] = attrs.field(factory=deque, init=False, repr=False)
    _worker: Worker | None = attrs.field(default=None, init=False, repr=False)
    _left: list[threading.Thread] = attrs.field(factory=list, init=False, repr=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    async def read(self, name: str, patient: bool) -> str | None:  # noqa: FBT001 - the port's shape
        """The value of an entry; None if there is none."""
        return await self._run(lambda _, backends: find(backends, name), patient=patient)

    async def write(self, name: str, value: str, patient: bool) -> None:  # noqa: FBT001 - the port's shape
        """Create or replace an entry and see that it can be read back; else it is what it was before.

        A write that was given up while the keyring was locked is not made when it is unlocked.
        """
        await self._run(lambda job, backends: replace(backends, name, value, job.given_up), patient=patient)

    async def remove(self, name: str, patient: bool) -> bool:  # noqa: FBT001 - the port's shape
        """Delete an entry; whether there was one."""
        return await self._run(lambda job, backends: delete(backends, name, job.given_up), patient=patient)

    async def backend(self) -> str:
        """The backend in use, as `SecretService`; `none: ` and the reason where there is none."""
        try:
            return await self._run(lambda _, backends: " + ".join(map(name_of, backends)), patient=False)
        except Problem as problem:
            return f"none: {problem.message}"

    async def _run(
        self, work: Callable[[Job[Result], tuple[Backend, ...]], Result], *, patient: bool
    ) -> Result:
        loop, told = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, nobody waits
                loop.call_soon_threadsafe(told.set)

        job = Job(work, tell)
        self._submit(job)
        deadline = self.patient_deadline if patient else self.background_deadline
        try:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(told.wait(), deadline)
        finally:
            self._give_up(job)
        if not job.is_done:
            raise self._too_late(deadline)
        if job.problem is not None:
            raise job.problem
        return job.result  # type: ignore[return-value] # no problem: it is what `work` returned

    def _submit(self, job: Job[Any]) -> None:
        with self._lock:
            self._left = [thread for thread in self._left if thread.is_alive()]
            if self._worker is None and len(self._left) == MOST_STUCK:
                raise unavailable(
                    f"The keyring does not answer: {MOST_STUCK} earlier calls still hang in it",
                    remedy=f"Restart its service and the editor, {ELSEWHERE}",
                )
            self._jobs.append(job)
            self._ensure_worker()

    def _ensure_worker(self) -> None:
        """Have a worker while there are jobs, unless too many hang already. Under the lock."""
        if self._jobs and self._worker is None and len(self._left) < MOST_STUCK:
            worker = self._worker = Worker()
            worker.thread = threading.Thread(target=self._serve, args=[worker], name=THREAD, daemon=True)
            worker.thread.start()

    def _serve(self, worker: Worker) -> None:
        while (job := self._next(worker)) is not None:
            job.run(self._choose)

    def _next(self, worker: Worker) -> Job[Any] | None:
        """What the worker is to do now; None to end, until a new one is needed."""
        with self._lock:
            worker.job = None
            if worker.is_left:
                return None
            if self._jobs:
                worker.job = self._jobs.popleft()
            else:
                self._worker = None
            return worker.job

    def _give_up(self, job: Job[Any]) -> None:
        """Wait no longer for a job; a thread that is held up by it is left behind."""
        with self._lock:
            if job.is_done:
                return
            job.is_given_up = True
            if job in self._jobs:
                self._jobs.remove(job)
            worker = self._worker
            if worker is not None and worker.thread is not None and worker.job is job:
                worker.is_left, self._worker = True, None
                self._left.append(worker.thread)
                self._ensure_worker()  # for those that stood behind it

    def _choose(self) -> tuple[Backend, ...]:
        if self._backends is None:
            self._backends = usable(load(self.load), allow_plaintext=self.allow_plaintext)
        return self._backends

    def _too_late(self, deadline: float) -> Problem:
        if self._backends is None:
            return unavailable(
                f"The keyring's service has not started within {deadline:g} s",
                remedy=f"Check the desktop session's D-Bus and try again, {ELSEWHERE}",
                retryable=True,
            )
        return Problem(
            Kind.KEYRING_LOCKED,
            f"The keyring did not answer within {deadline:g} s; it may be waiting to be unlocked",
            where=" + ".join(map(name_of, self._backends)),
            remedy=f"Look for its unlock prompt, perhaps behind another window, and try again, {ELSEWHERE}",
            retryable=True,
        )
