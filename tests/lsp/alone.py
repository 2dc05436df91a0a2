"""A session without a server: over fake ports, with what it tells its client kept in a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import attrs
from lsprotocol import types

from qwen_ls import contract
from qwen_ls.lsp.editor import Editor
from qwen_ls.lsp.session import Session

if TYPE_CHECKING:
    from qwen_ls.actions.ports import Ports

AnySession = TypeVar("AnySession", bound=Session)


@attrs.define
class Listener:
    """Takes notifications as the protocol does."""

    told: list[tuple[str, Any]] = attrs.field(factory=list)

    def notify(self, method: str, params: Any) -> None:
        """Keep one."""
        self.told.append((method, params))

    tell = notify

    def params(self, method: str) -> list[Any]:
        """The params of one method's."""
        return [params for name, params in self.told if name == method]


def alone(ports: Ports, cls: type[AnySession]) -> tuple[AnySession, Listener]:
    """A session without folders, and who listens to it."""
    listener: Any = Listener()
    handover: Any = None
    editor = Editor(listener, types.ClientCapabilities(), contract.ClientCapabilities())
    return cls(editor, contract.InitializationOptions(), list, lambda _: ports, handover), listener
