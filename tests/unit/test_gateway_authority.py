"""The local certificate authority."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from matinee.drivers.authority import CertificateAuthority, HostNotCovered
from matinee.drivers.keyfile import KeyFileUnusable

NOW = datetime.now(UTC).replace(microsecond=0)
HOSTS = ("127.0.0.1", "localhost", "living-room.local", "192.168.1.20")


def test_authority_is_created_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    first, second = (
        CertificateAuthority.open(tmp_path, NOW),
        CertificateAuthority.open(tmp_path, NOW + timedelta(days=9)),
    )
    assert first.fingerprint == second.fingerprint
    assert (tmp_path / "authority.pem").stat().st_mode & 0o777 == 0o600
    leaf = first.issue("front", HOSTS, NOW)
    assert leaf.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("hosts", [HOSTS, ("127.0.0.1",), ("localhost",)])
async def test_client_trusts_issued_certificates(tmp_path: Path, hosts: tuple[str, ...]) -> None:
    authority = CertificateAuthority.open(tmp_path, NOW)
    leaf = authority.issue("front", hosts, NOW)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf.path)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    trusting = ssl.create_default_context(cadata=authority.certificate_pem)
    for name in hosts:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname=name)
        writer.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="films.example.org")
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", port, ssl=True, server_hostname="localhost")
    server.close()


def test_certificate_is_reissued_near_its_expiry_or_when_hosts_change(tmp_path: Path) -> None:
    authority = CertificateAuthority.open(tmp_path, NOW)
    leaf = authority.issue("front", HOSTS, NOW)
    assert authority.issue("front", HOSTS, NOW + timedelta(days=300)) == leaf
    renewed = authority.issue("front", HOSTS, NOW + timedelta(days=370))
    assert renewed.expires_at > leaf.expires_at
    assert authority.issue("front", HOSTS[:2], NOW + timedelta(days=370)) != renewed


def test_hosts_outside_the_name_constraints_are_refused(tmp_path: Path) -> None:
    authority = CertificateAuthority.open(tmp_path, NOW, hosts=("films.example.org", "203.0.113.7"))
    assert authority.issue("front", ("films.example.org", "203.0.113.7"), NOW)
    for host in ("bank.example.com", "example.org", "8.8.8.8"):
        with pytest.raises(HostNotCovered) as caught:
            authority.issue("other", (host,), NOW)
        assert host in caught.value.detail
    assert not (tmp_path / "other.pem").exists()


def test_invalid_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "authority.pem").write_text("nonsense")
    with pytest.raises(KeyFileUnusable) as caught:
        CertificateAuthority.open(tmp_path, NOW)
    assert str(tmp_path / "authority.pem") in caught.value.detail


def test_damaged_certificate_is_reissued(tmp_path: Path) -> None:
    authority = CertificateAuthority.open(tmp_path, NOW)
    leaf = authority.issue("front", HOSTS, NOW)
    leaf.path.write_text("half a fi")
    assert authority.issue("front", HOSTS, NOW).expires_at == leaf.expires_at
    other = CertificateAuthority.open(tmp_path / "other", NOW).issue("front", HOSTS, NOW)
    leaf.path.write_bytes(other.path.read_bytes())
    assert authority.issue("front", HOSTS, NOW) != other
