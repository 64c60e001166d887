"""A certificate authority for one throw-away fleet: EC P-256, short-lived, made where it is used.

Profiles follow RFC 5280 closely enough for OpenSSL's strict checks (Python 3.13 asks for them):
key identifiers, key usage and extended key usage are all there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 90
# A camera without a clock battery may start a little in the past.
_BACKDATED = timedelta(days=1)

Now = Callable[[], datetime]


class Issued(msgspec.Struct, frozen=True):
    """A certificate and its private key (PKCS#8), both PEM."""

    certificate: bytes
    private_key: bytes


def utc_now() -> datetime:
    return datetime.now(UTC)


class Authority:
    """Signs the certificates of one fleet; its key lives as long as this object or its file."""

    def __init__(self, name: str, *, now: Now = utc_now) -> None:
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name(name)
        usage = _key_usage(signs_certificates=True)
        self._certificate = (
            self._builder(self._subject, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def issued(self) -> Issued:
        return _pem(self._certificate, self._key)

    def server(self, name: str, dns_names: list[str], addresses: list[str]) -> Issued:
        """A TLS server certificate for `dns_names` and IP `addresses`."""
        alternatives: list[x509.GeneralName] = [x509.DNSName(entry) for entry in dns_names]
        alternatives += [x509.IPAddress(ipaddress.ip_address(entry)) for entry in addresses]
        return self._leaf(name, ExtendedKeyUsageOID.SERVER_AUTH, alternatives)

    def client(self, name: str) -> Issued:
        """A TLS client certificate; `name` becomes the CN, which the broker takes as username."""
        return self._leaf(name, ExtendedKeyUsageOID.CLIENT_AUTH, [])

    def _leaf(
        self, name: str, purpose: x509.ObjectIdentifier, alternatives: list[x509.GeneralName]
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            self._builder(_name(name), key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        )
        if alternatives:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        return _pem(builder.sign(self._key, hashes.SHA256()), key)

    def _builder(
        self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        start = self._now() - _BACKDATED
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=VALID_DAYS))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Issued:
    return Issued(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
