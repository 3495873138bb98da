"""Matinee's own certificate authority: TLS in a local network, without a public name or a public authority.

The authority may only sign for names and addresses of local networks (RFC 5280 §4.2.1.10), so that a device that
trusts it does so for this deployment and not for other sites.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from matinee.drivers.keyfile import KeyFileUnusable, create_once, replace_file, to_pem
from matinee.kit.problem import Problem

AUTHORITY_LIFE = timedelta(days=3650)
# Apple refuses server certificates of more than 825 days.
CERTIFICATE_LIFE = timedelta(days=397)
RENEW_BEFORE = timedelta(days=30)
# The clocks of televisions are often wrong.
BACKDATE = timedelta(days=1)
LOCAL_NAMES = ("localhost", "local", "lan", "home.arpa", "internal", "home")
LOCAL_NETWORKS = (
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "100.64.0.0/10",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
)


class HostNotCovered(Problem, status=409):
    """The local certificate authority may not sign for this host."""

    host: str


class ServerCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """A server's certificate chain and key in PEM; `path` is one file that holds both."""

    chain: str
    private_key: str
    path: Path
    expires_at: datetime


class CertificateAuthority:
    """Signs certificates for this deployment's names."""

    def __init__(self, folder: Path, certificate: x509.Certificate, key: EllipticCurvePrivateKey) -> None:
        self._folder = folder
        self._certificate = certificate
        self._key = key

    @classmethod
    def open(cls, folder: Path, now: datetime, *, hosts: Sequence[str] = ()) -> CertificateAuthority:
        """Open the authority in a folder, and create it where it is missing.

        It may also sign for `hosts` outside local networks. Raises KeyFileUnusable.
        """
        path = folder / "authority.pem"
        pem = create_once(path, lambda: _create_authority(hosts, now))
        try:
            key, certificate = load_pem_private_key(pem, None), x509.load_pem_x509_certificate(pem)
        except ValueError as error:
            raise _unusable(path) from error
        if not isinstance(key, EllipticCurvePrivateKey):
            raise _unusable(path)
        return cls(folder, certificate, key)

    @property
    def certificate_pem(self) -> str:
        """The authority's certificate, for devices to trust."""
        return self._certificate.public_bytes(Encoding.PEM).decode()

    @property
    def certificate_der(self) -> bytes:
        """The authority's certificate in DER, the form that phones install."""
        return self._certificate.public_bytes(Encoding.DER)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate, as devices show it: `AB:CD:…`."""
        return self._certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    def issue(self, name: str, hosts: Sequence[str], now: datetime) -> ServerCertificate:
        """Return the certificate `name` for hosts; issue a new one where it expires soon or the hosts have changed.

        Raises HostNotCovered, KeyFileUnusable.
        """
        path = self._folder / f"{name}.pem"
        if path.exists() and (found := _read(path)) is not None and self._is_current(found, hosts, now):
            return found
        replace_file(path, self._sign(hosts, now))
        if (issued := _read(path)) is None:
            raise _unusable(path)
        return issued

    def _is_current(self, found: ServerCertificate, hosts: Sequence[str], now: datetime) -> bool:
        certificate = x509.load_pem_x509_certificate(found.chain.encode())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        try:
            certificate.verify_directly_issued_by(self._certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return set(names) == set(_to_general_names(hosts)) and now < found.expires_at - RENEW_BEFORE

    def _sign(self, hosts: Sequence[str], now: datetime) -> bytes:
        for host in hosts:
            if not self._covers(host):
                raise HostNotCovered(
                    host=host,
                    detail=f"The local certificate authority does not cover {host}: remove "
                    f"{self._folder / 'authority.pem'} to create a new one, and let your devices trust it.",
                )
        key = generate_private_key(SECP256R1())
        certificate = (
            # Not a host name: without alternative names OpenSSL applies the name constraints to this one.
            _start_certificate("Matinee at home", now, CERTIFICATE_LIFE, key)
            .issuer_name(self._certificate.subject)
            .add_extension(x509.SubjectAlternativeName(_to_general_names(hosts)), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        chain = certificate.public_bytes(Encoding.PEM) + self._certificate.public_bytes(Encoding.PEM)
        return to_pem(key) + chain

    def _covers(self, host: str) -> bool:
        constraints = self._certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        return any(_is_within(host, permitted) for permitted in constraints.permitted_subtrees or [])


def _create_authority(hosts: Sequence[str], now: datetime) -> bytes:
    key = generate_private_key(SECP256R1())
    nets = [x509.IPAddress(ipaddress.ip_network(network)) for network in LOCAL_NETWORKS]
    names = [x509.DNSName(name) for name in LOCAL_NAMES]
    permitted = [*names, *nets, *(_to_subtree(host) for host in hosts)]
    usage = x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=True,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    name = f"Matinee local authority {now:%Y-%m-%d}"
    certificate = (
        _start_certificate(name, now, AUTHORITY_LIFE, key)
        .issuer_name(_to_x509_name(name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return to_pem(key) + certificate.public_bytes(Encoding.PEM)


def _start_certificate(
    name: str, now: datetime, life: timedelta, key: EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_to_x509_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + life)
    )


def _to_x509_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _to_general_names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    return [x509.DNSName(host) if (ip := _parse_address(host)) is None else x509.IPAddress(ip) for host in hosts]


def _to_subtree(host: str) -> x509.GeneralName:
    ip = _parse_address(host)
    return x509.DNSName(host) if ip is None else x509.IPAddress(ipaddress.ip_network(ip))


def _is_within(host: str, permitted: x509.GeneralName) -> bool:
    ip = _parse_address(host)
    if isinstance(permitted, x509.DNSName):
        return ip is None and (host == permitted.value or host.endswith(f".{permitted.value}"))
    network = permitted.value
    return ip is not None and isinstance(network, IPv4Network | IPv6Network) and ip in network


def _parse_address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _read(path: Path) -> ServerCertificate | None:
    """Read a certificate; return None if the file has none."""
    text = path.read_text()
    start = text.find("-----BEGIN CERTIFICATE-----")
    if start < 0:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(text[start:].encode())
    except ValueError:
        return None
    return ServerCertificate(
        chain=text[start:], private_key=text[:start], path=path, expires_at=certificate.not_valid_after_utc
    )


def _unusable(path: Path) -> KeyFileUnusable:
    return KeyFileUnusable(
        path=str(path), detail=f"{path} has no certificate authority: remove it to create a new one."
    )
