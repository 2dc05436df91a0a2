"""What can be done with an open `.env` file: check a key, move it to the keyring, move the file, ignore it.

Files are named, never their values. A file that is open in an editor is changed there, so that the editor's
text and the disk never part; any other is replaced on the disk in one step.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Protocol

import attrs

from qwen_ls.actions.keys import NewKey, entry_of, keep_key
from qwen_ls.actions.provider import Signed, check, with_consent
from qwen_ls.actions.resolve import stand
from qwen_ls.core.credentials import key_of_environment
from qwen_ls.core.envchain import EnvChain, Environment, effective
from qwen_ls.core.envedit import bindings_of, joined, take_out
from qwen_ls.core.envfile import parse_env, shown
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.origin import parse_base_url
from qwen_ls.core.provenance import USER, SourceKind, Tier
from qwen_ls.core.providers import KEY_VARIABLES, KNOWN_NAMES, OPENAI

if TYPE_CHECKING:
    from collections.abc import Collection

    from qwen_ls.actions.keys import KeySet
    from qwen_ls.actions.ports import Place, Ports
    from qwen_ls.actions.provider import Ask
    from qwen_ls.actions.resolve import Standing
    from qwen_ls.core.credentials import Credential
    from qwen_ls.core.envedit import Taken
    from qwen_ls.core.secret import Secret
    from qwen_ls.core.stored import Target

BESIDE = ("OPENAI_BASE_URL", "OPENAI_MODEL", "QWEN_MODEL")  # what goes with OPENAI_API_KEY, and with no other
NOBODY = EnvChain((), None, USER, {}, ())


class Buffers(Protocol):
    """The editor's open texts."""

    def require_saved(self, file: str, text: str) -> None:
        """Raise Problem if the file is open with another text than the disk's."""

    def is_open(self, file: str) -> bool:
        """Whether the editor has a text of a file."""

    async def take_out(self, file: str, was: str, taken: Taken) -> bool:
        """Take lines of the text `was` out of an open text; False: not open, or no edits are taken.

        Raises Problem if it is another text by now.
        """


@attrs.frozen
class Change:
    """What was done, in one line. `unsaved`: it is done in the editor, and the file waits to be saved."""

    message: str
    file: str
    unsaved: bool = False
    stored: KeySet | None = None


# --- reading ---------------------------------------------------------------------------------------


async def read_text(ports: Ports, file: str, buffers: Buffers) -> str:
    """The text of a `.env` file that may be changed. Raises Problem."""
    require_env_name(file)
    try:
        text = await ports.env_disk.read(file)
    except OSError as error:
        raise unusable(file, error) from None
    if text is None:
        raise Problem(
            Kind.ENV_UNREADABLE, "The file is not on the disk", where=file, remedy="Save the file first"
        )
    buffers.require_saved(file, text)
    return text


def require_env_name(file: str) -> None:
    """These commands are for `.env` files and no others."""
    if PurePath(file).name != ".env":
        remedy = "Name a file called .env"
        raise Problem(Kind.NOT_SUPPORTED, "This is no .env file", where=file, remedy=remedy)


def unusable(file: str, error: OSError) -> Problem:
    """A file that cannot be read or written."""
    what = f"The file cannot be used: {error.strerror}"
    return Problem(
        Kind.ENV_UNREADABLE, what, where=file, remedy="Make it a plain file of yours, or edit it by hand"
    )


def credential_in(
    standing: Standing, file: str, text: str, variable: str, *, is_home: bool
) -> Credential | None:
    """The credential that a key makes with what the same file names beside it, and nothing else."""
    names = {variable, *(BESIDE if variable == OPENAI.key_variable else ())}
    found = effective(parse_env(text), ())
    bindings = {name: binding for name, binding in found.items() if name in names}
    chain = EnvChain((), file, USER if is_home else Tier(file), bindings, ())
    facts = attrs.evolve(
        standing.facts,
        environment=Environment({}, chain),
        user_environment=Environment({}, chain if is_home else NOBODY),
        decisions={},
    )
    credential, _ = key_of_environment(facts)
    return credential if credential is not None and credential.claim.secret is not None else None


@attrs.frozen
class HeldKey:
    """A key of a file, ready to sign, and the secret itself for whoever is to keep it."""

    signed: Signed
    secret: Secret


async def held_key(ports: Ports, place: Place, file: str, text: str, variable: str) -> HeldKey:
    """Find a key in a file's text. Raises Problem."""
    standing = await stand(ports, place)
    homes = [c.path for c in standing.facts.user_environment.chain.candidates]
    (home_rank,) = (await ports.env_disk.inspect(file, [homes])).ranks
    credential = (
        credential_in(standing, file, text, variable, is_home=home_rank is not None)
        if variable in KEY_VARIABLES
        else None
    )
    if credential is None or credential.claim.secret is None:
        known = ", ".join(KEY_VARIABLES)
        what = f"The file has no key under the name {shown(variable)}"
        raise Problem(Kind.KEY_REJECTED, what, where=file, remedy=f"Name one of {known} that the file sets")
    url = credential.claim.base_url
    parse_base_url(url.text, str(url.source), ports.settings.insecure_origins)
    return HeldKey(Signed(credential, standing), credential.claim.secret)


async def checked(ports: Ports, place: Place, held: HeldKey, ask: Ask) -> bool:
    """Whether the provider accepts a key; False: it did not answer. Raises Problem when it was rejected."""

    async def attempt() -> bool:
        return await check(ports, attrs.evolve(held.signed, standing=await stand(ports, place)))

    return await with_consent(ports, place, ask, attempt)


# --- what can be asked -----------------------------------------------------------------------------


async def check_key(
    ports: Ports, place: Place, file: str, variable: str, *, buffers: Buffers, ask: Ask
) -> tuple[bool, str]:
    """Try a key of a file, with the base URL beside it: whether it was accepted, and a line that says so."""
    held = await held_key(ports, place, file, await read_text(ports, file, buffers), variable)
    accepted = await checked(ports, place, held, ask)
    credential = held.signed.credential
    if accepted:
        return True, f"{credential.base_url} accepts {variable} ({credential.fingerprint})"
    return False, f"{credential.base_url} did not answer, so {variable} could not be checked"


async def move_to_keyring(
    ports: Ports, place: Place, file: str, variable: str, target: Target | None, *, buffers: Buffers, ask: Ask
) -> Change:
    """Check a key of a file, store it, and only then take its line out of the file. Raises Problem."""
    text = await read_text(ports, file, buffers)
    bindings = bindings_of(text, {variable})
    if len({b.value for b in bindings}) > 1:
        lines = ", ".join(str(b.line) for b in bindings)
        what = f"The file sets {shown(variable)} to different keys on lines {lines}"
        raise Problem(Kind.NOT_SUPPORTED, what, where=file, remedy="Delete the ones that are not to be kept")
    held = await held_key(ports, place, file, text, variable)
    credential = held.signed.credential
    model = credential.model
    beside = model.text if model is not None and model.source.kind is SourceKind.DOTENV else None
    new = NewKey(held.secret, target, credential.provider.id, credential.base_url, beside)
    entry = entry_of(ports, place, new)
    accepted = await checked(ports, place, held, ask)
    # The client cannot keep it: it would have to be given the key.
    stored = await keep_key(ports, entry, held.secret, client_keeps=False, checked=accepted, for_good=True)
    taken = take_out(text, bindings)
    try:
        unsaved = await take_away(ports, file, text, taken, buffers)
    except Problem as problem:
        message = f"{stored.message}. Its line is still in the file: {problem.message}"
        return Change(message, file, stored=stored)
    left = [name for name in BESIDE if name in effective(parse_env(taken.rest), ())]
    words = [stored.message, f"it has left {file}" + to_be_done(file, buffers, unsaved=unsaved)]
    if variable == OPENAI.key_variable and left:
        words.append(f"{' and '.join(left)} went along; the file has it as before")
    return Change("; ".join(words), file, unsaved, stored)


async def take_away(ports: Ports, file: str, text: str, taken: Taken, buffers: Buffers) -> bool:
    """Take lines out, in the editor or else on the disk; whether it waits to be saved. Raises Problem."""
    if await buffers.take_out(file, text, taken):
        return True
    await replace(ports, file, text, taken.rest)
    return False


def to_be_done(file: str, buffers: Buffers, *, unsaved: bool) -> str:
    """What the user still has to do with an open file, so that text and disk are the same again."""
    if unsaved:
        return " once you save it"
    return ", which you have to reload in the editor" if buffers.is_open(file) else ""


async def replace(ports: Ports, file: str, before: str | None, after: str) -> None:
    """Replace a file on the disk. Raises Problem."""
    try:
        await ports.env_disk.replace(file, before, after)
    except OSError as error:
        raise unusable(file, error) from None


async def move_file(ports: Ports, file: str, *, buffers: Buffers) -> Change:
    """Move the known names of a `.env` into `.qwen/.env` beside it; everything else stays. Raises Problem."""
    text = await read_text(ports, file, buffers)
    bindings = bindings_of(text, KNOWN_NAMES)
    folder = PurePath(file).parent
    if folder.name == ".qwen":
        raise Problem(
            Kind.NOT_SUPPORTED, "The file is a .qwen/.env already", where=file, remedy="Leave it where it is"
        )
    if not bindings:
        remedy = f"Nothing is to be done: qwen-ls reads {KNOWN_NAMES[0]} and the like, and no others"
        raise Problem(Kind.NOT_SUPPORTED, "The file sets no name that is read", where=file, remedy=remedy)
    target = str(folder / ".qwen" / ".env")
    there = await text_there(ports, target, buffers)
    refuse_names_of_both({b.name for b in bindings}, there or "", target)
    taken = take_out(text, bindings)
    await replace(ports, target, there, joined(there or "", taken.lines))
    ignored = await is_kept_out(ports, target)
    names = ", ".join(dict.fromkeys(b.name for b in bindings))
    try:
        unsaved = await take_away(ports, file, text, taken, buffers)
    except Problem as problem:
        return Change(f"{names} stand in {target} now, and in {file} still: {problem.message}", target)
    words = [f"{names} moved to {target}, and left {file}" + to_be_done(file, buffers, unsaved=unsaved)]
    words += [] if ignored else ["git does not ignore it: add it to .gitignore"]
    return Change("; ".join(words), target, unsaved)


async def text_there(ports: Ports, file: str, buffers: Buffers) -> str | None:
    """The text of the file to move to; None: there is none yet. Raises Problem."""
    try:
        text = await ports.env_disk.read(file)
    except OSError as error:
        raise unusable(file, error) from None
    buffers.require_saved(file, text or "")
    return text


def refuse_names_of_both(names: Collection[str], text: str, file: str) -> None:
    """A name that both files set is the user's to decide about."""
    both = sorted({b.name for b in bindings_of(text, names)})
    if both:
        what = f"{', '.join(both)} is set there as well"
        raise Problem(
            Kind.NOT_SUPPORTED, what, where=file, remedy="Delete it in one of the two files, then move again"
        )


async def is_kept_out(ports: Ports, file: str) -> bool:
    """Whether git ignores a file now, after a rule was added if need be; true outside a work tree."""
    if (await ports.git.state(file)).ignored is not False:
        return True
    try:
        await ports.env_disk.ignore(file)
    except OSError:
        return False
    return (await ports.git.state(file)).ignored is True


async def ignore_file(ports: Ports, file: str) -> Change:
    """Add a `.env` file to the `.gitignore` of its folder. Raises Problem."""
    require_env_name(file)
    state = await ports.git.state(file)
    if state.tracked:
        what = "Git tracks this file, so that ignoring it changes nothing"
        raise Problem(Kind.NOT_SUPPORTED, what, where=file, remedy="Run git rm --cached on it first")
    if state.ignored is None:
        what = "The file is in no git work tree, or git cannot be asked"
        raise Problem(Kind.NOT_SUPPORTED, what, where=file, remedy="Install git, or add the rule by hand")
    if state.ignored:
        return Change("Git ignores this file already", file)
    try:
        rules = await ports.env_disk.ignore(file)
    except OSError as error:
        raise unusable(str(error.filename or file), error) from None
    if rules is None or not (await ports.git.state(file)).ignored:
        what = "Git still does not ignore this file: another rule takes it back, or .gitignore is a link"
        raise Problem(
            Kind.NOT_SUPPORTED, what, where=rules or file, remedy="See git check-ignore -v --no-index"
        )
    return Change(f"{rules} has the file now", rules)
