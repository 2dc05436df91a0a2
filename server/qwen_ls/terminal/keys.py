"""`qwen-ls keys` and `qwen-ls trust`: storing keys, and what may go where."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from qwen_ls import payloads
from qwen_ls.actions import trust
from qwen_ls.actions.keys import NewKey, remove_key, set_key
from qwen_ls.actions.logout import as_target
from qwen_ls.actions.resolve import stand
from qwen_ls.actions.switch import overruled, remember
from qwen_ls.core.credentials import API_KEY
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.origin import Decision
from qwen_ls.core.secret import Secret

if TYPE_CHECKING:
    from qwen_ls.terminal.verbs import Run


def read_key(run: Run) -> Secret:
    """The key: typed unseen at a terminal, else from standard input; never an argument, which others see."""
    nobody_types = run.place.headless and sys.stdin.isatty()
    text = "" if nobody_types else run.person.read_secret()
    if not text.strip():
        remedy = "Type it at the question, or pipe it in: qwen-ls keys set < FILE"
        raise Problem(Kind.KEY_REJECTED, "No key was given", remedy=remedy)
    run.output.ask("")
    return Secret(text.strip())


async def keys_set(run: Run) -> int:
    """Check a key and store it."""
    options = run.options
    target = as_target(run.target)
    new = NewKey(read_key(run), target, options.provider, options.base_url, options.model)
    stored = await set_key(run.ports, run.place, new, client_keeps=False)
    if stored.entry.kept_in == "session":
        # A session in a terminal ends here: a key that nobody keeps has not been stored.
        why = stored.message.partition(". ")[2] or "no keyring keeps it"
        remedy = "Start a keyring, set allowPlaintextKeys in your settings, or use OPENAI_API_KEY"
        raise Problem(Kind.KEYRING_UNAVAILABLE, f"The key was not stored: {why.rstrip('.')}", remedy=remedy)
    run.output.line(stored.message)
    return 0


async def login_by_key(run: Run) -> int:
    """Check a key, store it, and make `api-key` the method in force."""
    await keys_set(run)
    await remember(run.ports, run.place, API_KEY, run.target)
    if stays := await overruled(run.ports, run.place, API_KEY):
        run.output.line(stays)
    return 0


async def keys_list(run: Run) -> int:
    """The stored keys by fingerprint, the one in force starred."""
    entries = await run.ports.keys.entries()
    found = payloads.stored_keys(entries.values(), await stand(run.ports, run.place))
    lines = [
        f"{'*' if k.active else ' '} {k.fingerprint}  {k.provider}  {k.base_url}  "
        f"{k.folder or 'for the user'}  ({k.kept_in})"
        for k in found.keys
    ]
    return run.show(found, lambda: "\n".join(lines) or "No key is stored")


async def keys_remove(run: Run) -> int:
    """Forget a key."""
    entry = await remove_key(run.ports, run.place, as_target(run.target), run.options.provider)
    if entry is None:
        raise Problem(Kind.NOT_SUPPORTED, "There is no such key", remedy="See `qwen-ls keys list`")
    run.output.line(f"Forgot the {entry}")
    return 0


async def trust_list(run: Run) -> int:
    """The remembered answers."""
    found = await trust.answers(run.ports)
    shown = payloads.consents(found, f"{len(found)} answers are remembered")
    lines = [f"{c.decision:<5} {c.base_url}  {c.file}  (folder {c.folder or 'none'})" for c in shown.consents]
    return run.show(shown, lambda: "\n".join(lines) or "No answer is remembered")


async def trust_allow(run: Run) -> int:
    """Let the key go where the file says."""
    run.output.line(await trust.decide(run.ports, run.place, Decision.SEND))
    return 0


async def trust_forget(run: Run) -> int:
    """Forget the answers for this folder."""
    count = await trust.forget(run.ports, run.place, None)
    run.output.line(f"Answers forgotten: {count}")
    return 0
