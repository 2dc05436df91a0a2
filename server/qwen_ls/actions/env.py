"""A place to put a key without any help of the client: `.qwen/.env`, made from a template."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from qwen_ls.core.errors import Kind, Problem

if TYPE_CHECKING:
    from qwen_ls.actions.ports import Place, Ports


@attrs.frozen
class EnvPlace:
    """The file, whether it is new, and whether git ignores it (true outside a work tree)."""

    file: str
    created: bool
    ignored: bool


async def prepare_env(ports: Ports, place: Place) -> EnvPlace:
    """Create the folder's `.qwen/.env`, or the home's where there is no folder. Raises Problem.

    An existing file is left as it is; git is told to ignore a folder's one.
    """
    try:
        return EnvPlace(*await ports.env_files.prepare(place.folder))
    except OSError as error:
        raise Problem(
            Kind.ENV_UNREADABLE,
            f"The file could not be made: {error.strerror}",
            where=str(error.filename or ".qwen/.env"),
            remedy="Make the folder writable, or set the variables in the environment",
        ) from None
