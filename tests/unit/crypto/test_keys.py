"""Key files: each fault is one line that names the purpose, the file and the remedy."""

from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.crypto.keys import load_private_key, load_public_key, load_recipients
from agent.errors import KeyFileError


def pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def test_a_missing_key_file_names_purpose_path_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"custody key: .*none\.pem.*provision"):
        load_private_key(tmp_path / "none.pem", "custody key")


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(KeyFileError, match="not an Ed25519 key"):
        load_private_key(tmp_path / "key", "custody key")


@pytest.mark.parametrize("load", [load_private_key, load_public_key])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, load) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "key").write_bytes(b"hello")
    with pytest.raises(KeyFileError, match="holds no PEM"):
        load(tmp_path / "key", "receipt key")


def test_a_huge_file_is_no_key_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(bytes(100_000))
    with pytest.raises(KeyFileError, match="too large"):
        load_private_key(tmp_path / "key", "custody key")


def test_recipients_are_read_past_comments(tmp_path: Path) -> None:
    key = str(pyrage.x25519.Identity.generate().to_public())
    (tmp_path / "recipients").write_text(f"# the server\n\n{key}\n")
    assert [str(one) for one in load_recipients(tmp_path / "recipients")] == [key]


def test_a_bad_recipient_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "recipients").write_text("# the server\nage1nonsense\n")
    with pytest.raises(KeyFileError, match="line 2"):
        load_recipients(tmp_path / "recipients")


def test_sealing_to_nobody_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipients").write_text("# empty\n")
    with pytest.raises(KeyFileError, match="names none"):
        load_recipients(tmp_path / "recipients")
