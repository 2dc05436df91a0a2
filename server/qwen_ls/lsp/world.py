"""The ports, and what runs over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from qwen_ls.actions.chat import Chats
from qwen_ls.actions.login import Logins
from qwen_ls.actions.tokens import Accounts

if TYPE_CHECKING:
    from qwen_ls.actions.ports import Ports


@attrs.frozen(eq=False)
class World:
    """The ports, and what this process has going on over them."""

    ports: Ports
    accounts: Accounts
    logins: Logins
    chats: Chats

    @classmethod
    def over(cls, ports: Ports) -> World:
        """Everything over these ports."""
        accounts = Accounts(ports)
        return cls(ports, accounts, Logins(ports, accounts), Chats(ports, accounts))
