"""TCP connections between containers of two hosts that can't reach each other, carried over two SSH connections.

A client beside the server reaches a pooler on another host so, with passwords that only the server's host has: TLS and
SCRAM are between these two, and no firewall is changed.
"""

import inspect
import os
import shlex
import subprocess
import tempfile
import time

from checklist.machines import Container, TargetError
from checklist.remote import call, probe

FIRST_PORT = 6432
ADDRESS = "127.0.64.32"  # of the client's loopback, and in no certificate


def carry(listen: int, host: str, port: int) -> None:
    """One end, in a container: frames of connections on standard input and output. The end that listens (at
    host:`listen`) accepts connections; the other (`listen` = 0) opens each to host:port when its first bytes arrive.

    A frame: number of the connection, length, bytes; without bytes that direction has ended."""
    import contextlib
    import itertools
    import socket
    import struct
    import sys
    import threading

    connections: dict[int, socket.socket] = {}
    half: set[int] = set()  # of which one direction has ended
    writing, closing = threading.Lock(), threading.Lock()

    def send(number: int, data: bytes) -> None:
        with writing:
            sys.stdout.buffer.write(struct.pack(">IH", number, len(data)) + data)
            sys.stdout.buffer.flush()

    def read_from(number: int, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := connection.recv(32768):
                send(number, data)
        send(number, b"")
        end_one_direction(number)

    def end_one_direction(number: int) -> None:
        with closing:
            if number in half:
                connections[number].close()
            half.add(number)

    def add(number: int, connection: socket.socket) -> None:
        connections[number] = connection
        threading.Thread(target=read_from, args=(number, connection), daemon=True).start()

    def accept(server: socket.socket) -> None:
        for number in itertools.count():
            add(number, server.accept()[0])

    if listen:
        server = socket.create_server((host, listen), backlog=256)
        threading.Thread(target=accept, args=(server,), daemon=True).start()
    read = sys.stdin.buffer.read
    while len(head := read(6)) == 6:
        number, length = struct.unpack(">IH", head)
        data = read(length)
        try:
            if data and number not in connections:
                add(number, socket.create_connection((host, port), 5))
                connections[number].settimeout(None)
            if data:
                connections[number].sendall(data)
            elif number in connections:
                connections[number].shutdown(socket.SHUT_WR)
        except OSError:
            if data and number not in connections:
                send(number, b"")
        if not data and number in connections:
            end_one_direction(number)


class Relay:
    """From ADDRESS:`listen` of a container to host:port as another machine's container reaches it."""

    def __init__(self, near: Container, listen: int, far: Container, host: str, port: int) -> None:
        self._errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115  (as long as the two run)
        to_far, from_near = os.pipe()
        to_near, from_far = os.pipe()
        self._ends = [
            self._start(near, f"carry({listen}, {ADDRESS!r}, 0)", to_near, from_near),
            self._start(far, f"carry(0, {host!r}, {port})", to_far, from_far),
        ]
        for end in (to_far, from_near, to_near, from_far):
            os.close(end)
        self._wait(near, listen)

    def _start(self, container: Container, what: str, stdin: int, stdout: int) -> subprocess.Popen[bytes]:
        program = f"from __future__ import annotations\n{inspect.getsource(carry)}\n{what}"
        inside = shlex.join(["docker", "exec", "--interactive", container.facts["Id"], "python3", "-c", program])
        return subprocess.Popen(
            [*container.machine.ssh, "sudo", "sh", "-c", shlex.quote(inside)],
            stdin=stdin,
            stdout=stdout,
            stderr=self._errors,
        )

    def _wait(self, near: Container, listen: int) -> None:
        ends = time.monotonic() + 20
        while call(near, probe, [[ADDRESS, listen]], 1)[f"{ADDRESS}:{listen}"] != "open":
            if time.monotonic() > ends or any(end.poll() is not None for end in self._ends):
                self._errors.seek(0)
                said = self._errors.read().strip()[-500:]
                self.close()
                raise TargetError(f"PgBouncer can't be reached over SSH: {said}", "run the checklist again")
            time.sleep(0.2)

    def close(self) -> None:
        for end in self._ends:
            end.kill()
            end.wait()
        self._errors.close()
