"""Connections that are carried over standard input and output of two processes."""

import inspect
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from checklist.relay import carry


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that answers "bye " and what it was sent, when its client has ended its direction."""

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.sendall(b"bye " + b"".join(iter(lambda: connection.recv(65536), b"")))

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]


def relay(to: int) -> tuple[int, list[subprocess.Popen[bytes]]]:
    """Both ends on this machine: the port that leads to `to`."""
    listen = free_port()
    to_far, from_near = os.pipe()
    to_near, from_far = os.pipe()
    program = f"from __future__ import annotations\n{inspect.getsource(carry)}\n"
    ends = [
        subprocess.Popen([sys.executable, "-c", f"{program}{what}"], stdin=stdin, stdout=stdout)
        for what, stdin, stdout in (
            (f"carry({listen}, '127.0.0.1', 0)", to_near, from_near),
            (f"carry(0, '127.0.0.1', {to})", to_far, from_far),
        )
    ]
    for end in (to_far, from_near, to_near, from_far):
        os.close(end)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", listen)).close()
            break
        except OSError:
            time.sleep(0.05)
    return listen, ends


def ask(port: int, text: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_many_connections_at_once_carry_their_own_bytes_whole(echo: int) -> None:
    port, ends = relay(echo)
    texts = [bytes([number]) * (number * 5000 + 1) for number in range(40)]
    answers: dict[int, bytes] = {}

    def one(number: int) -> None:
        answers[number] = ask(port, texts[number])

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers[number] for number in range(len(texts))] == [b"bye " + text for text in texts]
    for end in ends:
        end.kill()
        end.wait()


def test_a_destination_that_refuses_ends_the_connection() -> None:
    port, ends = relay(free_port())
    assert ask(port, b"hello") == b""
    assert [end.poll() for end in ends] == [None, None], "an end died"
    ends[0].kill()
    ends[0].wait()
    assert ends[1].wait(10) == 0, "the far end outlives the near one"
