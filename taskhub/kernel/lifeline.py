"""The child's tie to its parent: no child process outlives the process that started it.

The child says on it once that it is ready: a death right after that must not look like one before.

Two ropes, because each has a case that the other misses: the kernel's PR_SET_PDEATHSIG (also
kills a stopped child) and a socketpair that ends with the parent (also seen when the parent
died before the first was set). The parent sends the child's snapshot through the latter.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import threading
from contextlib import suppress

PR_SET_PDEATHSIG = 1
EXIT_ORPHANED = 76
LENGTH = struct.Struct("!I")
READY = b"R"
PEER = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid


class Orphaned(Exception):
    """The parent has gone before this child was set up."""


def attach(fd: int) -> bytes:
    """Tie this process to its parent through the inherited `fd`; return the parent's snapshot.

    Call it once, early, in the main thread. From then on the process dies with its parent.
    Raises Orphaned when the parent is gone already.
    """
    os.set_inheritable(fd, False)
    line = socket.socket(fileno=fd)
    line.setblocking(True)
    die_with(PEER.unpack(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))[0])
    (length,) = LENGTH.unpack(_read(line, LENGTH.size))
    snapshot = _read(line, length)
    threading.Thread(target=_guard, args=(line,), name="lifeline", daemon=True).start()
    return snapshot


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent's starting thread ends."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the line above
        raise Orphaned(f"the parent {parent} has gone")


def say_ready(fd: int) -> None:
    """Tell the parent, after `attach`, that this process can serve; it is read even after death."""
    with suppress(OSError):  # the parent has gone, and we go too
        os.write(fd, READY)


def frame(snapshot: bytes) -> bytes:
    """What the parent writes: the snapshot with its length before it."""
    return LENGTH.pack(len(snapshot)) + snapshot


def _read(line: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = line.recv(size - len(data))
        if not part:
            raise Orphaned("the lifeline ended")
        data += part
    return bytes(data)


def _guard(line: socket.socket) -> None:
    """Wait for the end of the line, then end this process and what it started in its group."""
    try:
        while line.recv(64):
            pass
    except OSError:
        pass
    if os.getpgrp() == os.getpid():  # our own session: nobody else is in it
        os.killpg(0, signal.SIGKILL)
    os._exit(EXIT_ORPHANED)
