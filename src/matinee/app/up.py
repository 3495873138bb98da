"""`matinee up`: the whole deployment on one machine."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec
from rich.console import Console
from rich.markup import escape

from matinee.app import place
from matinee.app.settings import Settings, environment_of
from matinee.app.supervisor import Lifeline, ProcessStatus, Program, Supervisor, python_command, wait_for_stop
from matinee.app.wiring import clients
from matinee.drivers import envoy
from matinee.drivers.keyfile import create_once
from matinee.identity.api import DeviceInfo, EmailTaken
from matinee.kit import log
from matinee.kit.clock import SystemClock
from matinee.kit.problem import Problem

DEMO_EMAIL = "demo@matinee.example"
FIRST_FILM_S = 240.0
FRONT_S = 60.0
_log = log.get()


class PortTaken(Problem, status=409):
    """A port that Matinee needs is taken by another program."""

    port: int


class AlreadyRunning(Problem, status=409):
    """Matinee is running on this data directory already."""


class NotStarted(Problem, status=500):
    """Matinee could not start."""


class DemoSignIn(msgspec.Struct, frozen=True, kw_only=True):
    """The demo account, made at the first start, its password made on the spot."""

    email: str
    password: str


class Steps:
    """What is being done, said one line a step with how long it took."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A step; its line is written when it is done."""
        began = time.monotonic()
        with self._console.status(f"{name} …"):
            yield
        took, at = time.monotonic() - began, time.monotonic() - self._began
        self._console.print(f"  [green]✓[/] {name:<28} {took:6.1f} s   [dim]at {at:5.1f} s[/]", highlight=False)


class Profile(Protocol):
    """How the settings' profile gets its engines."""

    def check(self, settings: Settings, report: Callable[[str], None]) -> None:
        """Make sure that the deployment can be started. Raises BadSettings or another Problem where it cannot."""

    async def start(self, settings: Settings, supervisor: Supervisor) -> Settings:
        """Start the engines of the distributed profile and return the settings that point to them."""


async def up(settings: Settings, console: Console, profile: Profile) -> None:
    """Start everything, print the address, and run until stopped.

    Raises AlreadyRunning, PortTaken, NotStarted, and what `Profile.check` raises; whatever was started by then is
    stopped again.
    """
    await asyncio.to_thread(profile.check, settings, partial(console.print, highlight=False))
    with _held(settings.data):
        _free_ports(settings)
        supervisor = Supervisor(
            logs=settings.data / "logs",
            record=place.processes(settings),
            on_waiting=lambda status: _print_waiting(status, console),
        )
        steps = Steps(console)
        stopping = asyncio.create_task(wait_for_stop(Lifeline()))
        starting = asyncio.create_task(_start(settings, supervisor, steps, console, profile))
        try:
            await asyncio.wait([stopping, starting], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopping
        except RuntimeError as error:
            raise NotStarted(detail=f"{error} (logs: {settings.data / 'logs'})") from error
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            console.print("  stopping …")
            await supervisor.stop()


def _print_waiting(status: ProcessStatus, console: Console) -> None:
    console.print(f"  [yellow]…[/] {status.name} waits: {escape(status.waiting)}", highlight=False)


async def _start(settings: Settings, supervisor: Supervisor, steps: Steps, console: Console, profile: Profile) -> None:
    if settings.deployment.profile == "distributed":
        with steps.step("engines"):
            settings = await profile.start(settings, supervisor)
    environment = environment_of(settings)
    shutil.rmtree(place.envoy(settings), ignore_errors=True)  # what an earlier deployment said of its instances
    place.remember(settings)
    with steps.step("services"):
        await asyncio.gather(*(supervisor.start(program) for program in _services(settings, environment)))
    with steps.step("edges"):
        await asyncio.gather(*(supervisor.start(program) for program in _edges(settings, environment)))
    with steps.step("gateway"):
        await _until(lambda: _configured(settings), "the gateway wrote no configuration for Envoy")
        await supervisor.start(_envoy(settings))
        await _until(lambda: place.front_answers(settings), "the gateway does not answer through Envoy")
    sign_in = await _demo_account(settings) if settings.deployment.demo else None
    if settings.deployment.demo:
        await supervisor.start(
            Program(
                name="demo", command=python_command("lab", "demo"), environment=environment, once=True, lifeline=False
            )
        )
        with steps.step("first film"):
            await _first_film(settings)
    _welcome(settings, sign_in, console)


def _services(settings: Settings, environment: dict[str, str]) -> Iterator[Program]:
    for group in place.groups(settings):
        for number in range(settings.deployment.instances):
            name = group.name if settings.deployment.instances == 1 else f"{group.name}-{number + 1}"
            yield Program(
                name=name, command=python_command("serve", "--name", name, *group.targets), environment=environment
            )


def _edges(settings: Settings, environment: dict[str, str]) -> Iterator[Program]:
    for number in range(settings.edge.count):
        name = f"edge-{chr(ord('a') + number)}"
        words = ["serve", "edge", "--edge", name, "--port", str(settings.edge.port + number)]
        processes = settings.edge.workers if settings.edge.data_plane == "reactor" else 1  # nginx makes its own
        for worker in range(processes):
            title = name if processes == 1 else f"{name}.{worker}"
            yield Program(
                name=title,
                command=python_command(*words, "--name", title, "--worker", str(worker)),
                environment=environment,
            )


def _envoy(settings: Settings) -> Program:
    return Program(name="envoy", command=envoy.build_command(place.envoy(settings)), lifeline=False)


@contextlib.contextmanager
def _held(data: Path) -> Iterator[None]:
    data.mkdir(parents=True, exist_ok=True)
    with (data / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise AlreadyRunning(
                detail=f"Matinee is running on {data} already (process {file.read().strip() or 'unknown'}): "
                "stop that one, or name another directory with --data."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _free_ports(settings: Settings) -> None:
    host = "0.0.0.0" if settings.deployment.lan else "127.0.0.1"  # noqa: S104  # only tried, to see whether it is free
    wanted = {settings.gateway.port: "--port"}
    wanted |= {settings.edge.port + number: "--edge-port" for number in range(settings.edge.count)}
    if settings.deployment.lan:
        wanted[settings.gateway.trust_port] = "MATINEE__GATEWAY__TRUST_PORT"
    for port, option in wanted.items():
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, port))
            except OSError as error:
                raise PortTaken(
                    port=port, detail=f"Port {port} is taken by another program: choose one with {option}."
                ) from error


async def _configured(settings: Settings) -> bool:
    return (place.envoy(settings) / envoy.BOOTSTRAP).exists()


async def _until(true: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    end = time.monotonic() + FRONT_S
    while not await true():
        if time.monotonic() > end:
            raise RuntimeError(otherwise)
        await asyncio.sleep(0.1)


async def _demo_account(settings: Settings) -> DemoSignIn:
    made = DemoSignIn(email=DEMO_EMAIL, password=secrets.token_urlsafe(9))
    words = create_once(settings.secrets / "demo-sign-in.json", lambda: msgspec.json.encode(made))
    sign_in = msgspec.json.decode(words, type=DemoSignIn)
    async with clients(settings) as deployment:
        with contextlib.suppress(EmailTaken):
            await deployment.identity.sign_up(
                email=sign_in.email,
                password=sign_in.password,
                name="Demo",
                language="en",
                device=DeviceInfo(name="matinee up", kind="other"),
            )
        await deployment.identity.grant_role(email=sign_in.email, role="operator")
    return sign_in


async def _first_film(settings: Settings) -> None:
    end = time.monotonic() + FIRST_FILM_S
    async with clients(settings) as deployment:
        while time.monotonic() < end:
            if (await deployment.catalogue.browse(territory=settings.deployment.territory, limit=1)).items:
                return
            await asyncio.sleep(0.25)
    _log.warning("demo.slow", limit_s=FIRST_FILM_S)


def _welcome(settings: Settings, sign_in: DemoSignIn | None, console: Console) -> None:
    console.print(f"\n  Matinee is at [bold]{place.front_url(settings)}[/]")
    if sign_in is not None:
        console.print(
            f"  sign in with   [bold]{sign_in.email}[/]  password [bold]{sign_in.password}[/]", highlight=False
        )
    if settings.deployment.lan:
        fingerprint = place.authority(settings, SystemClock()).fingerprint
        console.print(
            f"  on a phone or a TV, first open {place.trust_url(settings)}: it says how to trust this deployment"
        )
        console.print(f"  its certificate's SHA-256 fingerprint is {fingerprint}", highlight=False)
    console.print("  Ctrl-C stops it\n")
