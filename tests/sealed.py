"""Run a command in a network namespace that has loopback alone: `sealed.py COMMAND...`.

So a test that would contact anything else fails instead of contacting it. Where the kernel forbids
namespaces the command still runs on a developer's machine, but not in CI.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys

SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914  # linux/sockios.h
IFF_UP = 0x1
REFUSED = 3


def raise_loopback() -> None:
    """Set the interface `lo` up: a new network namespace has it down."""
    import fcntl
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH22x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(sock, SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | IFF_UP))


def main(command: list[str]) -> None:
    """Replace this process by the command, sealed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it, and so would children
    if os.environ.get("QWEN_LS_SEALED") == "inside":
        raise_loopback()
        os.environ["QWEN_LS_SEALED"] = "yes"
        os.execvp(command[0], command)  # noqa: S606 - the caller's own command
    unshare = ["unshare", "--user", "--map-root-user", "--net"]
    try:
        possible = subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        possible = False
    if possible:
        os.environ["QWEN_LS_SEALED"] = "inside"
        os.execvp(unshare[0], [*unshare, sys.executable, __file__, *command])  # noqa: S606
    sys.stderr.write("sealed.py: this kernel gives no network namespace (unshare --user --net)\n")
    if os.environ.get("CI"):
        sys.exit(REFUSED)
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
