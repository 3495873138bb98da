"""`matinee up`: the whole deployment on one machine."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec
from rich.console import Console
from rich.markup import escape

from matinee.app import layout
from matinee.app.clients import open_clients
from matinee.app.extras import check_distributed
from matinee.app.lifeline import Lifeline, wait_for_stop
from matinee.app.reaper import reap_orphans
from matinee.app.settings import environment_of
from matinee.app.supervisor import NotStarted, ProcessStatus, Program, Supervisor
from matinee.catalogue.api import Catalogue
from matinee.drivers import envoy
from matinee.drivers.keyfile import create_once
from matinee.edge.domain import EdgeSection
from matinee.gateway.domain import GatewaySection, envoy_folder, find_web_client
from matinee.identity.api import COMMAND_LINE, EmailTaken, Identity
from matinee.kit import log
from matinee.kit.clock import SystemClock
from matinee.kit.problem import DeadlineExceeded, Overloaded, Problem, Unreachable
from matinee.mesh.hosting import addresses
from matinee.mesh.hosting.settings import BadSettings, Deployment, Settings

DEMO_EMAIL = "demo@matinee.example"
FIRST_FILM_TIMEOUT_S = 240.0
FRONT_TIMEOUT_S = 180.0
POLL_S = 0.1
_log = log.get()


class PortTaken(Problem, status=409):
    """A port that Matinee needs cannot be used."""

    port: int


class DemoSignIn(msgspec.Struct, frozen=True, kw_only=True):
    """The credentials of the demo account, generated at the first start."""

    email: str
    password: str


class Steps:
    """Prints one line for each finished step, with its duration."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Run a step and print its line when it is done."""
        began = time.monotonic()
        with self._console.status(f"{name} …"):
            yield
        took, at = time.monotonic() - began, time.monotonic() - self._began
        self._console.print(f"  [green]✓[/] {name:<28} {took:6.1f} s   [dim]at {at:5.1f} s[/]", highlight=False)


class Profile(Protocol):
    """Provides the engines of the settings' profile."""

    def check(self, settings: Settings, report: Callable[[str], None]) -> None:
        """Check that the deployment can be started. Raises BadSettings or another Problem where it cannot."""

    async def start(self, settings: Settings, supervisor: Supervisor) -> Settings:
        """Start the engines of the distributed profile and return the settings that point to them."""


async def up(settings: Settings, console: Console, profile: Profile) -> None:
    """Start everything, print the address, and run until stopped.

    Raises AlreadyRunning, BadSettings, DataUnusable, PortTaken, NotStarted, and what `Profile.check` raises; then
    everything is stopped again.
    """
    if settings.deployment.profile == "distributed":
        check_distributed()
    await asyncio.to_thread(profile.check, settings, partial(console.print, highlight=False))
    find_web_client(settings.of(GatewaySection))
    with layout.lock(settings):
        if layout.protect_data(settings):
            console.print(f"  other users could read {settings.data}: now only its owner can", highlight=False)
        layout.make_folders(settings)
        _check_ports(settings)
        supervisor = Supervisor(
            logs=settings.data / "logs",
            record=layout.record_file(settings),
            on_waiting=lambda status: _print_waiting(status, console),
        )
        stopping = asyncio.create_task(wait_for_stop(Lifeline()))
        starting = asyncio.create_task(_start(settings, supervisor, console, profile))
        reaping = asyncio.create_task(_reap(supervisor))
        try:
            await asyncio.wait([stopping, starting], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopping
        finally:
            for task in (starting, reaping):
                task.cancel()
            await asyncio.gather(starting, reaping, return_exceptions=True)
            console.print("  stopping …")
            await supervisor.stop()


async def _reap(supervisor: Supervisor) -> None:
    if os.getpid() == 1:
        await reap_orphans(lambda: [status.pid for status in supervisor.statuses()])


def _print_waiting(status: ProcessStatus, console: Console) -> None:
    console.print(f"  [yellow]…[/] {status.name} waits: {escape(status.waiting)}", highlight=False)


async def _start(settings: Settings, supervisor: Supervisor, console: Console, profile: Profile) -> None:
    steps = Steps(console)
    if settings.deployment.profile == "distributed":
        with steps.step("engines"):
            settings = await profile.start(settings, supervisor)
    environment = environment_of(settings)
    shutil.rmtree(envoy_folder(settings.deployment), ignore_errors=True)  # it lists the instances of an earlier start
    layout.store_address(settings)
    with steps.step("services"):
        await asyncio.gather(*(supervisor.start(program) for program in _services(settings, environment)))
    with steps.step("edges"):
        await asyncio.gather(*(supervisor.start(program) for program in _edges(settings, environment)))
    with steps.step("gateway"):
        await _start_front(settings, supervisor)
    sign_in = None
    if settings.deployment.demo:
        sign_in = await _create_demo_account(settings)
        await supervisor.start(_program("demo", environment, "lab", "demo", once=True, lifeline=False))
        with steps.step("first film"):
            await _wait_for_first_film(settings)
    is_empty = sign_in is None and not await _has_account(settings)
    _print_welcome(settings, sign_in, console, is_empty=is_empty)


def _program(
    name: str, environment: Mapping[str, str], *arguments: str, once: bool = False, lifeline: bool = True
) -> Program:
    command = [sys.executable, "-m", "matinee", *arguments]
    return Program(name=name, command=command, environment=environment, once=once, lifeline=lifeline)


def _services(settings: Settings, environment: Mapping[str, str]) -> Iterator[Program]:
    for group in layout.list_groups(settings):
        for number in range(settings.deployment.instances):
            name = group.name if settings.deployment.instances == 1 else f"{group.name}-{number + 1}"
            yield _program(name, environment, "serve", "--name", name, *group.targets)


def _edges(settings: Settings, environment: Mapping[str, str]) -> Iterator[Program]:
    section = settings.of(EdgeSection)
    workers = section.workers if section.data_plane == "reactor" else 1  # nginx starts its own
    for number in range(section.count):
        edge = f"edge-{chr(ord('a') + number)}"
        arguments = ["serve", "edge", "--edge", edge, "--port", str(section.port + number)]
        for worker in range(workers):
            name = edge if workers == 1 else f"{edge}.{worker}"
            yield _program(name, environment, *arguments, "--name", name, "--worker", str(worker))


def _check_ports(settings: Settings) -> None:
    """Check that the public ports exist, differ and are free. Raises BadSettings, PortTaken."""
    gateway, edge = settings.of(GatewaySection), settings.of(EdgeSection)
    wanted = [(gateway.port, "--port"), *((edge.port + number, "--edge-port") for number in range(edge.count))]
    if settings.deployment.lan:
        wanted.append((gateway.trust_port, "MATINEE__GATEWAY__TRUST_PORT"))
    options: dict[int, str] = {}
    for port, option in wanted:
        if not 0 < port < 65_536:
            raise BadSettings(detail=f"There is no port {port}: choose another one with {option}.")
        if port in options:
            raise BadSettings(detail=f"Port {port} is used twice, by {options[port]} and {option}: choose two ports.")
        options[port] = option
        _check_port(addresses.listen_host(settings.deployment), port, option)


def _check_port(host: str, port: int, option: str) -> None:
    """Check that a process can listen on a port. Raises PortTaken; BadSettings where this machine has no such host."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise BadSettings(detail=f"This machine has no address {host} (deployment.listen).") from error
            denied = error.errno == errno.EACCES
            reason = "needs privileges that this user has not" if denied else "is taken by another program"
            raise PortTaken(port=port, detail=f"Port {port} {reason}: choose one with {option}.") from error


async def _start_front(settings: Settings, supervisor: Supervisor) -> None:
    """Start Envoy when the gateway has configured it, and wait until the gateway answers. Raises NotStarted."""
    configuration = envoy_folder(settings.deployment)
    if not await _wait_until(
        partial(asyncio.to_thread, (configuration / envoy.BOOTSTRAP).exists), limit_s=FRONT_TIMEOUT_S
    ):
        raise NotStarted(detail=f"the gateway did not configure Envoy (logs: {settings.data / 'logs'})")
    await supervisor.start(Program(name="envoy", command=envoy.build_command(configuration), lifeline=False))
    if not await _wait_until(partial(layout.front_answers, settings), limit_s=FRONT_TIMEOUT_S):
        raise NotStarted(detail=f"the gateway does not answer through Envoy (logs: {settings.data / 'logs'})")


async def _wait_until(condition: Callable[[], Awaitable[bool]], *, limit_s: float) -> bool:
    """Wait until a condition is met; return False if it is not within the limit."""
    end = time.monotonic() + limit_s
    while not await condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(POLL_S)
    return True


async def _create_demo_account(settings: Settings) -> DemoSignIn:
    fresh = DemoSignIn(email=DEMO_EMAIL, password=secrets.token_urlsafe(9))
    file = settings.deployment.secrets / "demo-sign-in.json"
    sign_in = msgspec.json.decode(create_once(file, lambda: msgspec.json.encode(fresh)), type=DemoSignIn)
    async with open_clients(settings) as clients:
        identity = clients.get(Identity)
        with contextlib.suppress(EmailTaken):
            await identity.create_account(
                by=COMMAND_LINE,
                email=sign_in.email,
                password=sign_in.password,
                name="Demo",
                roles=("operator",),
            )
    return sign_in


async def _has_account(settings: Settings) -> bool:
    async with open_clients(settings) as clients:
        return bool((await clients.get(Identity).list_accounts()).items)


async def _wait_for_first_film(settings: Settings) -> None:
    async with open_clients(settings) as clients:
        has_film = partial(_has_film, clients.get(Catalogue), settings.deployment.territory)
        if not await _wait_until(has_film, limit_s=FIRST_FILM_TIMEOUT_S):
            _log.warning("demo.slow", limit_s=FIRST_FILM_TIMEOUT_S)


async def _has_film(catalogue: Catalogue, territory: str) -> bool:
    with contextlib.suppress(DeadlineExceeded, Overloaded, Unreachable):  # a busy machine: the next try may succeed
        return bool((await catalogue.browse(territory=territory, limit=1)).items)
    return False


def _print_welcome(settings: Settings, sign_in: DemoSignIn | None, console: Console, *, is_empty: bool) -> None:
    deployment = settings.deployment
    console.print(f"\n  Matinee is at [bold]{layout.front_url(settings)}[/]")
    if sign_in is not None:
        console.print(
            f"  sign in with   [bold]{sign_in.email}[/]  password [bold]{sign_in.password}[/]", highlight=False
        )
    if is_empty:
        console.print("  there is no account; open the first one in another terminal:", highlight=False)
        create = f"{_get_command()} accounts create YOU@EXAMPLE.ORG --role operator{_get_data_option(settings)}"
        console.print(f"  {create}", highlight=False, soft_wrap=True)
    if deployment.lan:
        trust_url = f"http://{addresses.public_host(deployment)}:{settings.of(GatewaySection).trust_port}/"
        fingerprint = addresses.open_authority(deployment, SystemClock()).fingerprint
        trust = f"  on a phone or a TV, first open {trust_url}: it explains how to trust this deployment"
        console.print(trust, soft_wrap=True)
        console.print(f"  the SHA-256 fingerprint of the certificate is {fingerprint}", highlight=False, soft_wrap=True)
    console.print("  Ctrl-C stops it\n")


def _get_command() -> str:
    """Return how this command was called, so that it can be called again in another terminal."""
    return "matinee" if shutil.which("matinee") else shlex.quote(sys.argv[0])


def _get_data_option(settings: Settings) -> str:
    data = str(settings.data)
    return "" if data == str(Path(Deployment().data).absolute()) else f" --data {shlex.quote(data)}"
