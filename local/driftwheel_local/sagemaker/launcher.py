"""Starts one container's process: dies with its parent, memory and files bounded, network cut when isolated.

Run as `python -I -S launcher.py '<json>' program argument…`; the JSON holds `memory_bytes` and `file_bytes`
(or null), `isolate`, and `parent`: the pid to die with, or 0. Where the kernel refuses a network namespace
(no privilege, not Linux) isolation falls back to the missing credentials and endpoint, and says so on stderr.
"""

import ctypes
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import sys

_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000
_CLONE_NEWUSER = 0x10000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP_RUNNING = 0x41


def _die_with_parent(libc: ctypes.CDLL, parent: int) -> None:
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the request was in force
        os._exit(1)


def _cut_network(libc: ctypes.CDLL) -> bool:
    """Enter a network namespace that holds only a loopback interface; answer whether the kernel agreed."""
    user, group = os.getuid(), os.getgid()
    flags = _CLONE_NEWNET if user == 0 else _CLONE_NEWNET | _CLONE_NEWUSER
    if libc.unshare(flags) != 0:
        return False
    if flags & _CLONE_NEWUSER:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as stream:  # noqa: PTH123
                stream.write(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as loopback:
        fcntl.ioctl(loopback, _SIOCSIFFLAGS, struct.pack("16sh14s", b"lo", _IFF_UP_RUNNING, b""))
    return True


def main() -> None:
    """Apply the limits named in argv[1], then become the program in argv[2:]."""
    limits = json.loads(sys.argv[1])
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if limits["parent"]:
            _die_with_parent(libc, limits["parent"])
        if limits["isolate"] and not _cut_network(libc):
            sys.stderr.write("network isolation: no network namespace here; only credentials are withheld\n")
    if limits["memory_bytes"]:
        resource.setrlimit(resource.RLIMIT_DATA, (limits["memory_bytes"], limits["memory_bytes"]))
    if limits["file_bytes"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits["file_bytes"], limits["file_bytes"]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606


if __name__ == "__main__":
    main()
