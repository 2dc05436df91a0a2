"""argv -> adapters -> a face. Nothing imports this module; it imports as little as the face needs."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qwen_ls.actions.ports import Ports

SERVE: tuple[list[str], ...] = ([], ["serve"], ["serve", "--stdio"], ["--stdio"])
DEMO = "demo"


def main() -> None:
    """The `qwen-ls` command."""
    argv = sys.argv[1:]
    if argv in SERVE and not (argv == [] and sys.stdin.isatty()):
        serve()
    elif argv[:1] == [DEMO]:
        demo(argv[1:])
    else:
        from qwen_ls.terminal.app import run  # noqa: PLC0415 - the other faces do not need it

        sys.exit(run(argv, compose))


def serve() -> None:
    """The language server over stdio."""
    gc.disable()  # nothing that importing makes is garbage; the server freezes it and turns gc on again
    from qwen_ls.lsp.server import run_server  # noqa: PLC0415 - after gc is off

    run_server(compose)


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

    from qwen_ls.actions.ports import Ports  # noqa: PLC0415
    from qwen_ls.adapters.env_files import EnvFileSystem  # noqa: PLC0415
    from qwen_ls.adapters.http import HttpAdapter  # noqa: PLC0415
    from qwen_ls.adapters.qwen_cache import QwenCache  # noqa: PLC0415
    from qwen_ls.adapters.settings import load_settings  # noqa: PLC0415
    from qwen_ls.adapters.state import StateFile  # noqa: PLC0415
    from qwen_ls.adapters.system import SystemClock, SystemEntropy, surroundings  # noqa: PLC0415

    around = surroundings()
    settings = load_settings(around.settings_file, user_settings)
    if around.issuer_problem is not None:
        settings = attrs.evolve(settings, problems=(around.issuer_problem, *settings.problems))
    return Ports(
        clock=SystemClock(),
        entropy=SystemEntropy(),
        http=HttpAdapter(settings, around.network),
        env_files=EnvFileSystem(around.home, around.qwen_home),
        oauth_cache=QwenCache(around.qwen_folder, around.state_folder),
        state=StateFile(around.state_folder / "state.json"),
        settings=settings,
        process=around.known,
        network=around.network,
        issuer=around.issuer,
    )


if __name__ == "__main__":
    main()
