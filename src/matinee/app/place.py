"""Where things are: files below the data directory, groups of targets, addresses."""

from __future__ import annotations

import fcntl
import socket
from pathlib import Path

import msgspec

from matinee.app.settings import BadSettings, Settings
from matinee.app.targets import TARGETS
from matinee.drivers.authority import CertificateAuthority, ServerCertificate
from matinee.drivers.http import ConnectFailed, ConnectionBroken, HttpClient
from matinee.kit.clock import Clock, SystemClock

EDGE = "edge"


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Targets that one process serves."""

    name: str
    targets: tuple[str, ...]


def groups(settings: Settings) -> list[Group]:
    """The processes that `deployment.groups` asks for: `a,b;c` is one process for a and b, and one for c.

    Raises BadSettings for a target that is not known, named twice or left out, and for less than one instance.
    """
    if settings.deployment.instances < 1:
        raise BadSettings(detail="deployment.instances must be at least 1.")
    made = [
        tuple(name.strip() for name in part.split(",") if name.strip())
        for part in settings.deployment.groups.split(";")
    ]
    named = [name for group in made for name in group]
    wanted = set(TARGETS) - {EDGE}
    if problem := sorted(wanted.symmetric_difference(named)) or sorted({n for n in named if named.count(n) > 1}):
        raise BadSettings(
            detail=f"deployment.groups must name each target once (not edge); look at: {', '.join(problem)}."
        )
    return [
        Group(name="services" if len(group) > 1 and "gateway" in group else group[0], targets=group) for group in made
    ]


def is_held(settings: Settings) -> bool:
    """Whether some `up` runs on this data directory: it holds the lock for as long as it lives."""
    try:
        with (settings.data / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def processes(settings: Settings) -> Path:
    """The supervisor's record of what runs."""
    return settings.data / "run" / "processes.json"


def remember(settings: Settings) -> None:
    """Keep the address that this deployment was started with, for commands that were not told its ports."""
    file = settings.data / "run" / "address"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(front_url(settings))


def address(settings: Settings) -> str:
    """The address of the deployment that runs on this data directory."""
    file = settings.data / "run" / "address"
    return file.read_text() if file.exists() else front_url(settings)


def envoy(settings: Settings) -> Path:
    """The folder of Envoy's configuration."""
    return settings.data / "envoy"


def host(settings: Settings) -> str:
    """The name or address by which devices reach this machine."""
    if settings.deployment.host:
        return settings.deployment.host
    return own_address() if settings.deployment.lan else "127.0.0.1"


def scheme(settings: Settings) -> str:
    """How devices speak to gateway and edges."""
    return "https" if settings.deployment.lan else "http"


def front_url(settings: Settings) -> str:
    """The address that viewers open."""
    return f"{scheme(settings)}://{host(settings)}:{settings.gateway.port}"


def edge_url(settings: Settings, port: int) -> str:
    """The address at which players reach an edge."""
    return f"{scheme(settings)}://{host(settings)}:{port}"


def authority(settings: Settings, clock: Clock) -> CertificateAuthority:
    """This deployment's own certificate authority, made at its first use."""
    return CertificateAuthority.open(settings.secrets / "authority", clock.now(), hosts=_hosts(settings))


def leaf(settings: Settings, clock: Clock) -> ServerCertificate:
    """The certificate of this machine, renewed before it runs out."""
    return authority(settings, clock).issue("deployment", _hosts(settings), clock.now())


def _hosts(settings: Settings) -> list[str]:
    return list(dict.fromkeys([host(settings), socket.gethostname(), "localhost", "127.0.0.1"]))


def trust_url(settings: Settings) -> str:
    """The page that says how a device comes to trust this deployment."""
    return f"http://{host(settings)}:{settings.gateway.trust_port}/"


def own_address() -> str:
    """The address this machine has on its network; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


async def front_answers(settings: Settings) -> bool:
    """Whether the way in answers from end to end: Envoy, and the gateway behind it."""
    trusted = authority(settings, SystemClock()).certificate_pem if settings.deployment.lan else ""
    async with HttpClient(ca_pem=trusted) as http:
        try:
            answer = await http.request("GET", f"{front_url(settings)}/.well-known/jwks.json", timeout_s=2)
        except (ConnectFailed, ConnectionBroken, TimeoutError):
            return False
        return answer.status == 200
