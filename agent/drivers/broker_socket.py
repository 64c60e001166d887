"""The TLS socket under paho, and why a connection could not be made, in words.

paho 2.2 hands the rest of a packet, copied, to each `send`, of which OpenSSL takes one 16 KiB
record. A subclass of SSLSocket (`SSLContext.sslsocket_class` is the public seam) writes on instead,
and reads on (see `broker_packets`).
"""

from __future__ import annotations

import socket
import ssl
import struct
from pathlib import Path
from typing import Any, cast

import msgspec

from agent.errors import BrokerError

_RECORD_BYTES = 16 * 1024
_PIECE_BYTES = 96 * 1024
_USER_TIMEOUT_MS = 30_000


class TlsFiles(msgspec.Struct, frozen=True, kw_only=True):
    """PEM files: whom we trust, who we are."""

    ca_file: Path
    cert_file: Path
    key_file: Path


class TlsSocket(ssl.SSLSocket):
    """A non-blocking TLS socket that fills and empties whole buffers, where SSLSocket stops after
    each record. `last_error` is what ended it, if it ended badly."""

    last_error: OSError | None = None

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """What is here, up to the size of `buffer`; 0 at the end of the stream."""
        view = memoryview(buffer)
        wanted = nbytes or len(view)
        filled = 0
        try:
            while filled < wanted:
                count = cast(int, self.read(wanted - filled, view[filled:wanted]))
                if count == 0:
                    break
                filled += count
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if filled == 0:
                raise
        except OSError as exc:
            self.last_error = exc
            raise
        return filled

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()  # paho drops the socket here without closing it
            raise

    def send(self, data: Any, flags: int = 0) -> int:
        view = memoryview(data)
        sent = 0
        try:
            while sent < len(view):
                sent += super().send(view[sent : sent + _RECORD_BYTES])
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if sent == 0:
                raise
        except OSError as exc:
            self.last_error = exc
            raise
        return sent


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """Mutual TLS 1.3 with host name check. Raises BrokerError naming the file and the remedy."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.sslsocket_class = TlsSocket
    for purpose, path in (
        ("broker's CA certificate", files.ca_file),
        ("TLS certificate", files.cert_file),
        ("TLS key", files.key_file),
    ):
        try:
            with path.open("rb"):
                pass
        except OSError as exc:
            raise BrokerError(
                f"{purpose}: {path} cannot be read ({exc.strerror})",
                remedy="provision this machine, or correct the path in the configuration",
            ) from exc
    try:
        context.load_verify_locations(cafile=str(files.ca_file))
    except (ssl.SSLError, OSError) as exc:
        raise BrokerError(
            f"broker's CA certificate: {files.ca_file} holds no PEM certificate",
            remedy="copy it from the collection server again",
        ) from exc
    try:
        # an encrypted key must not ask a person on the terminal
        context.load_cert_chain(str(files.cert_file), str(files.key_file), password=lambda: b"")
    except (ssl.SSLError, OSError, ValueError) as exc:
        raise BrokerError(
            f"TLS certificate {files.cert_file} and key {files.key_file} do not belong together or"
            " are no PEM files",
            remedy="provision this machine again",
        ) from exc
    return context


def tune_socket(sock: Any) -> None:
    """No Nagle delay (54 times slower with it at window 1 over TLS); a dead peer is noticed though
    bytes are unacknowledged."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    user_timeout = getattr(socket, "TCP_USER_TIMEOUT", None)
    if user_timeout is not None:
        sock.setsockopt(socket.IPPROTO_TCP, user_timeout, _USER_TIMEOUT_MS)


class Wakefulness:
    """How much must have arrived on `sock` before poll says so.

    A broker writes a packet record by record; woken for each, a reader spends more on waking than
    on reading. So in the middle of a packet it sleeps until a good piece of the rest is there.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._least_bytes = 1

    def expect(self, missing_bytes: int) -> None:
        """`missing_bytes` will come for certain (0: nobody knows)."""
        # a record that has come in part lies in OpenSSL, not in the socket any more
        least_bytes = max(1, min(_PIECE_BYTES, missing_bytes - 2 * _RECORD_BYTES))
        if least_bytes != self._least_bytes:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least_bytes)
            self._least_bytes = least_bytes


def forget_unsent(sock: Any) -> str:
    """Let a close end the connection with a reset and drop what the kernel still had to send. The
    reason for people is returned."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return "connection given up, so that nothing more is sent over it"


def connect_failure(exc: BaseException, host: str, port: int) -> str:
    """One line for a failed connection: what, and the remedy."""
    where = f"broker {host}:{port}"
    if isinstance(exc, ssl.SSLCertVerificationError):
        if exc.verify_code in (62, 63, 64):  # X509_V_ERR_HOSTNAME/EMAIL/IP_ADDRESS_MISMATCH
            return (
                f"{where}: its certificate is for another host name: use the name in the"
                " certificate as uplink.host, or give the broker a certificate for this one"
            )
        if exc.verify_code in (9, 10):  # X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED
            return (
                f"{where}: its certificate is not valid at this machine's time"
                f" ({exc.verify_message}): set the clock, or renew the certificate"
            )
        return (
            f"{where}: its certificate is not trusted ({exc.verify_message}): check uplink.ca_file,"
            " or that this is the right broker"
        )
    if isinstance(exc, ssl.SSLError):
        return f"{where}: TLS failed ({_ssl_reason(exc)}){_tls_remedy(exc)}"
    if isinstance(exc, socket.gaierror):
        return f"{where}: unknown host ({exc.strerror}): check uplink.host and the name server"
    if isinstance(exc, UnicodeError):
        return f"{where}: not a host name: correct uplink.host"
    if isinstance(exc, ConnectionRefusedError):
        return f"{where}: connection refused: is the broker running, and uplink.port right?"
    if isinstance(exc, TimeoutError):
        return f"{where}: no answer in time: check the network and the firewall"
    text = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return f"{where}: {text or type(exc).__name__}"


def _ssl_reason(exc: ssl.SSLError) -> str:
    return (exc.reason or str(exc)).lower().replace("_", " ")


def _tls_remedy(exc: ssl.SSLError) -> str:
    reason = _ssl_reason(exc)
    if "alert" in reason and ("certificate" in reason or "unknown ca" in reason):
        return (
            ": the broker refuses this machine's certificate: check uplink.cert_file, its validity,"
            " and that the broker trusts its issuer"
        )
    if "wrong version" in reason or "protocol version" in reason or "record layer" in reason:
        return ": is this the broker's TLS port, and does it speak TLS 1.3?"
    return ""
