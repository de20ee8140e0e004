"""A network of its own for the browser, with one way out: to the site under test.

Chromium drops its requests with ERR_NETWORK_CHANGED whenever the machine gets or loses an interface, and Docker makes
and removes one with every container that starts or stops. In a namespace that has only a loopback nothing ever changes.
(And a browser that can reach nothing else can't make a test pass or fail by what the internet does.)
"""

import ctypes
import errno
import fcntl
import os
import socket
import struct
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1

Started = TypeVar("Started")


def start_in_quiet_network(start: Callable[[], Started], port: int) -> Started:
    """Calls start(), whose processes then live in a network where 127.0.0.1:port is this machine's, and all there is.

    Without the right to make a namespace (root has it) it just calls start(), and says so.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # A namespace belongs to a thread: this one goes there, starts the children that stay, and comes back.
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    if libc.unshare(CLONE_NEWNET) != 0:
        assert ctypes.get_errno() == errno.EPERM, os.strerror(ctypes.get_errno())
        warnings.warn("Not root: a container that starts meanwhile may disturb the browser.", stacklevel=2)
        return start()
    try:
        listener = socket.create_server(("127.0.0.1", port))
        fcntl.ioctl(listener, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
        started = start()
    finally:
        assert libc.setns(home, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        os.close(home)
    threading.Thread(target=_serve, args=(listener, port), daemon=True).start()
    return started


def _serve(listener: socket.socket, port: int) -> None:
    while True:
        inside, _ = listener.accept()
        try:
            outside = socket.create_connection(("127.0.0.1", port))
        except OSError:
            inside.close()
            continue
        for source, sink in ((inside, outside), (outside, inside)):
            threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
