"""What a bare TLS 1.3 socket moves on loopback: the ceiling of anything over TLS on this machine.

python -m tests.bench.raw_tls CA CERT KEY
"""

from __future__ import annotations

import multiprocessing
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Protocol

import msgspec

CHUNK_BYTES = 256 * 1024
DEADLINE_S = 60.0


class ServerFiles(Protocol):
    """PEM files of a server whose certificate names `localhost`."""

    @property
    def cert_file(self) -> Path: ...

    @property
    def key_file(self) -> Path: ...


class _Files(msgspec.Struct, frozen=True):
    cert_file: Path
    key_file: Path


def measure(ca_file: Path, server: ServerFiles, *, megabytes: int = 400) -> float:
    """MB/s (10^6 bytes) from a sending process to this one, from the first byte to the last.

    Raises OSError when the connection fails, RuntimeError when it ends early.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(server.cert_file, server.key_file)
    total = megabytes * 1_000_000
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE_S)
        sender = multiprocessing.get_context("spawn").Process(
            target=_send, args=(str(ca_file), listener.getsockname()[1], total)
        )
        sender.start()
        try:
            plain, _peer = listener.accept()
            plain.settimeout(DEADLINE_S)
            with context.wrap_socket(plain, server_side=True) as link:
                return _receive(link, total)
        finally:
            sender.terminate()
            sender.join()


def _receive(link: ssl.SSLSocket, total: int) -> float:
    space = bytearray(CHUNK_BYTES)
    got = link.recv_into(space)
    start_s = time.perf_counter()
    while got < total:
        count = link.recv_into(space)
        if count == 0:
            raise RuntimeError(f"raw TLS: the sender ended after {got} of {total} bytes")
        got += count
    return total / (time.perf_counter() - start_s) / 1e6


def _send(ca_file: str, port: int, total: int) -> None:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    chunk = bytes(CHUNK_BYTES)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as link,
    ):
        left = total
        while left > 0:
            link.sendall(chunk[:left])
            left -= len(chunk)
        link.recv(1)  # until the receiver has it all and closes


def main() -> None:
    ca_file, files = Path(sys.argv[1]), _Files(Path(sys.argv[2]), Path(sys.argv[3]))
    print(f"raw TLS socket: {measure(ca_file, files):.0f} MB/s")


if __name__ == "__main__":
    main()
