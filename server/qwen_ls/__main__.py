"""argv -> adapters -> a face. Nothing imports this module; it imports as little as the face needs."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qwen_ls.actions.ports import Ports

SERVE: tuple[list[str], ...] = ([], ["serve"], ["serve", "--stdio"], ["--stdio"])
CLIENT = "--clientProcessId="  # vscode-languageclient adds it; `initialize` says the same
DEMO = "demo"
IMPORTING = 20_000  # objects between two looks for garbage: attrs leaves one class behind for each it makes


def main() -> None:
    """The `qwen-ls` command."""
    argv = sys.argv[1:]
    if is_serving(argv):
        serve()
    elif argv[:1] == [DEMO]:
        demo(argv[1:])
    else:
        gc.disable()  # the terminal freezes what importing has made and turns gc on again, as the server does
        from qwen_ls.lean import compile_when_used  # noqa: PLC0415 - not for the demo

        with compile_when_used():
            from qwen_ls.terminal.app import run  # noqa: PLC0415 - the other faces do not need it

            sys.exit(run(argv, compose))


def is_serving(argv: list[str]) -> bool:
    """Whether an editor starts us: `serve`, or no command at all unless a person sits there."""
    if [a for a in argv if not a.startswith(CLIENT)] not in SERVE:
        return False
    return bool(argv) or (sys.stdin is not None and not sys.stdin.isatty())


def serve() -> None:
    """The language server over stdio."""
    gc.set_threshold(IMPORTING)  # the server freezes what importing makes, and sets it back
    from qwen_ls.lean import compile_when_used, load_wire  # noqa: PLC0415 - not for the demo

    load_wire()  # before anything else imports them
    with compile_when_used():
        from qwen_ls.adapters.handover import Handover  # noqa: PLC0415
        from qwen_ls.lsp.server import run_server  # noqa: PLC0415

    runtime = os.environ.get("XDG_RUNTIME_DIR")
    run_server(compose, Handover(state_folder, Path(runtime) if runtime else None))


def state_folder() -> Path:
    """Where state is kept; asked for at start only where there is no runtime folder."""
    import platformdirs  # noqa: PLC0415

    return platformdirs.user_state_path("qwen-ls", appauthor=False)


def demo(argv: list[str]) -> None:
    """The walk-through against an embedded provider."""
    try:
        from qwen_ls.demo.walk import run  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in {"starlette", "uvicorn"}:
            raise
        print("qwen-ls demo needs the demo extra: in the checkout, pip install '.[demo]'", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    sys.exit(run(argv))


def compose(user_settings: Mapping[str, Any] | None = None) -> Ports:
    """Build the adapters of this process. `user_settings` are a client's, laid over the file's."""
    import attrs  # noqa: PLC0415 - all of this only once a face asks for it

    from qwen_ls.actions.keys import Keys  # noqa: PLC0415
    from qwen_ls.actions.ports import Ports, SignInServer  # noqa: PLC0415
    from qwen_ls.adapters.chat_files import ChatFolder  # noqa: PLC0415
    from qwen_ls.adapters.context_files import WorkspaceFiles  # noqa: PLC0415
    from qwen_ls.adapters.env_disk import EnvDisk  # noqa: PLC0415
    from qwen_ls.adapters.env_files import EnvFileSystem  # noqa: PLC0415
    from qwen_ls.adapters.git import Git  # noqa: PLC0415
    from qwen_ls.adapters.http import HttpAdapter  # noqa: PLC0415
    from qwen_ls.adapters.key_file import PlainKeyFile  # noqa: PLC0415
    from qwen_ls.adapters.keyring import OsKeyring  # noqa: PLC0415
    from qwen_ls.adapters.qwen_cache import QwenCache  # noqa: PLC0415
    from qwen_ls.adapters.qwen_settings import QwenSettings  # noqa: PLC0415
    from qwen_ls.adapters.redirect import LoopbackRedirect  # noqa: PLC0415
    from qwen_ls.adapters.settings import load_settings  # noqa: PLC0415
    from qwen_ls.adapters.state import StateFile  # noqa: PLC0415
    from qwen_ls.adapters.system import SystemClock, SystemEntropy, surroundings  # noqa: PLC0415
    from qwen_ls.core.credentials import OAUTH_PREFIX, QWEN_OAUTH  # noqa: PLC0415
    from qwen_ls.core.limits import Ledger  # noqa: PLC0415
    from qwen_ls.core.oauth.code import CodeServer  # noqa: PLC0415
    from qwen_ls.core.oauth.token import Issuer  # noqa: PLC0415

    around = surroundings()
    settings = load_settings(around.settings_file, user_settings)
    if around.problems:
        settings = attrs.evolve(settings, problems=(*around.problems, *settings.problems))
    clock, keyring = SystemClock(), OsKeyring(allow_plaintext=settings.allow_plaintext_keys)
    state = StateFile(around.state_folder / "state.json")
    plain = PlainKeyFile(around.state_folder / "keys.json") if settings.allow_plaintext_keys else None
    qwen = QwenCache(around.qwen_folder, around.state_folder)
    sign_ins = {QWEN_OAUTH: SignInServer(Issuer(around.issuer), qwen)}
    for name, issuer in settings.oauth_servers.items():
        folder = around.state_folder / "oauth" / name
        sign_ins[f"{OAUTH_PREFIX}{name}"] = SignInServer(issuer, QwenCache(folder, folder))
    return Ports(
        clock=clock,
        entropy=SystemEntropy(),
        http=HttpAdapter(settings, around.network),
        env_files=EnvFileSystem(around.home, around.qwen_home),
        chat_files=ChatFolder(around.data_folder),
        env_disk=EnvDisk(),
        git=Git(around.all),
        sign_ins=sign_ins,
        code_server=CodeServer(around.openrouter),
        redirects=LoopbackRedirect,
        state=state,
        keys=Keys(keyring, state, clock, plain),
        keyring=keyring,
        qwen_settings=QwenSettings(around.qwen_folder / "settings.json", around.all),
        settings=settings,
        ledger=Ledger(),
        context_files=WorkspaceFiles((around.state_folder, around.qwen_folder / "settings.json")),
        process=around.known,
        network=around.network,
    )


if __name__ == "__main__":
    main()
