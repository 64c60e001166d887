"""What a throw-away fleet is made of, checked with the library that will read it."""

from __future__ import annotations

import socket
import stat
from datetime import UTC, datetime
from pathlib import Path

import pyrage
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import verification
from cryptography.x509.oid import NameOID

from agent.crypto.keys import load_private_key, load_public_key, load_recipients, thumbprint
from agent.crypto.seal import Sealer
from agent.errors import KeyFileError
from firmware_tools import dev_fleet
from firmware_tools.dev_fleet import COLLECTOR_ID, Fleet, free_port, make_fleet, open_fleet


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _common_name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _verifier(fleet: Fleet) -> verification.PolicyBuilder:
    return verification.PolicyBuilder().store(verification.Store([_certificate(fleet.ca_file)]))


def test_server_certificate_is_valid_for_localhost_and_both_loopback_addresses(
    fleet: Fleet,
) -> None:
    server = _certificate(fleet.broker.cert_file)
    _verifier(fleet).build_server_verifier(x509.DNSName("localhost")).verify(server, [])
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert {str(address) for address in names.get_values_for_type(x509.IPAddress)} == {
        "127.0.0.1",
        "::1",
    }


def test_client_certificates_carry_the_id_as_common_name_on_p256(fleet: Fleet) -> None:
    clients = [(files.device_id, files.tls) for files in fleet.devices]
    clients.append((COLLECTOR_ID, fleet.collector.tls))
    for name, tls in clients:
        certificate = _certificate(tls.cert_file)
        assert _common_name(certificate) == name
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert isinstance(key.curve, ec.SECP256R1)
        certificate.verify_directly_issued_by(_certificate(tls.ca_file))
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [x509.ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_device_certificate_does_not_serve_as_a_server_certificate(fleet: Fleet) -> None:
    verifier = _verifier(fleet).build_server_verifier(x509.DNSName("localhost"))
    with pytest.raises(verification.VerificationError):
        verifier.verify(_certificate(fleet.device("cam01").tls.cert_file), [])


def test_certificates_begin_before_now_and_end_after_it(tmp_path: Path) -> None:
    moment = datetime(2031, 5, 17, 12, 0, tzinfo=UTC)
    fleet = make_fleet(tmp_path / "f", port=20_001, now=lambda: moment)
    for path in (fleet.ca_file, fleet.broker.cert_file, fleet.device("cam01").tls.cert_file):
        certificate = _certificate(path)
        assert certificate.not_valid_before_utc < moment < certificate.not_valid_after_utc


def test_collector_knows_each_device_custody_key_under_its_thumbprint(fleet: Fleet) -> None:
    for files in fleet.devices:
        private = load_private_key(files.custody_key_file, "custody key")
        assert files.custody_kid == thumbprint(private.public_key())
        known = fleet.collector.devices_dir / files.device_id / f"custody-{files.custody_kid}.pem"
        public = load_public_key(known, "custody key")
        assert public.public_bytes_raw() == private.public_key().public_bytes_raw()
        assert len(list(known.parent.iterdir())) == 1


def test_devices_hold_the_public_half_of_the_collectors_receipt_key(fleet: Fleet) -> None:
    private = load_private_key(fleet.collector.receipt_private_key_file, "receipt key")
    for path in (
        fleet.collector.receipt_public_key_file,
        fleet.device("cam01").receipt_key_file,
        fleet.device("cam02").receipt_key_file,
    ):
        held = load_public_key(path, "receipt key").public_bytes_raw()
        assert held == private.public_key().public_bytes_raw()


def test_collector_identity_opens_what_a_device_sealed(fleet: Fleet) -> None:
    sealed = Sealer(load_recipients(fleet.device("cam01").recipients_file)).seal(b"a picture")
    lines = fleet.collector.age_identity_file.read_text().splitlines()
    identity = pyrage.x25519.Identity.from_str(lines[-1])
    assert pyrage.decrypt(sealed.content, [identity]) == b"a picture"
    assert lines[0] == f"# public key: {identity.to_public()}"


def test_every_private_file_is_readable_by_its_owner_alone(fleet: Fleet) -> None:
    for path in fleet.directory.rglob("*"):
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes():
            assert path.suffix == ".key"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(fleet.collector.age_identity_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(fleet.broker.acl_file.stat().st_mode) == 0o600


def test_opening_a_fleet_gives_what_making_it_gave(fleet: Fleet) -> None:
    assert open_fleet(fleet.directory) == fleet


def test_opening_a_folder_without_a_fleet_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"holds no fleet.*dev_fleet"):
        open_fleet(tmp_path)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("mine")
    with pytest.raises(KeyFileError, match="is not empty"):
        make_fleet(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


@pytest.mark.parametrize(
    "names", [["cam 1"], ["cam/1"], ["+"], [""], ["x" * 41], [COLLECTOR_ID], ["cam01", "cam01"]]
)
def test_ids_that_could_reach_into_other_topics_are_refused(
    tmp_path: Path, names: list[str]
) -> None:
    with pytest.raises(KeyFileError, match="device id"):
        make_fleet(tmp_path / "f", names)
    assert not (tmp_path / "f").exists()


def test_a_port_in_use_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        busy = taken.getsockname()[1]
        offers = iter([busy, busy, free := free_port()])
        assert free_port(choose=lambda _range: next(offers)) == free


def test_command_line_makes_the_fleet_and_prints_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "f"
    assert dev_fleet.main([str(folder), "--device", "a", "--device", "b", "--port", "20123"]) == 0
    fleet = open_fleet(folder)
    assert ([files.device_id for files in fleet.devices], fleet.port) == (["a", "b"], 20123)
    assert str(folder) in capsys.readouterr().out


def test_command_line_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "note").write_text("mine")
    assert dev_fleet.main([str(tmp_path)]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
