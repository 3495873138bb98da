"""Make the environment: Python packages from the lock, Node.js from its wheel, the web client built.

Runs on a bare Python, so it uses the standard library alone and words that old Pythons understand. Each step is
skipped when what it depends on has not changed since it last succeeded.
"""

import hashlib
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
STAMPS = VENV / "stamps"
OLDEST = (3, 11)
WEB_INPUTS = ("package.json", "package-lock.json", "openapi.json", "index.html", "vite.config.ts", "tsconfig.json")


def main(goal):
    """Bring the environment up for a goal: `run`, `develop` or `lock`."""
    if sys.version_info < OLDEST and not VENV.exists():
        fail(
            "Matinee needs Python {}.{} or newer; this is {}.".format(*OLDEST, sys.version.split()[0]),
            "Install a newer Python, or name one: make up PYTHON=python3.12",
        )
    started = time.monotonic()
    create_environment()
    if goal == "lock":
        lock()
        return
    step("python packages", [lock_of(goal)], lambda: sync(goal))
    step("matinee itself", [ROOT / "pyproject.toml"], install_self)
    step("web packages", [ROOT / "web" / "package-lock.json"], install_web)
    step("web client", web_sources(), build_web)
    if time.monotonic() - started > 2:
        say("ready", "set up in {:.0f} s".format(time.monotonic() - started))


def create_environment():
    """A virtual environment with uv in it."""
    if not (BIN / "python").exists():
        made = subprocess.run(
            [sys.executable, "-m", "venv", str(VENV)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        if made.returncode:
            fail(
                "Python could not make a virtual environment: " + made.stdout.decode().strip().split("\n")[0],
                "On Debian and Ubuntu: apt install python3-venv",
            )
    STAMPS.mkdir(exist_ok=True)
    step(
        "installer",
        [ROOT / "setup.lock"],
        lambda: run(
            [
                BIN / "python",
                "-m",
                "pip",
                "install",
                "-q",
                "--disable-pip-version-check",
                "--require-hashes",
                "-r",
                ROOT / "setup.lock",
            ]
        ),
    )


def lock_of(goal):
    """The lock file for a goal."""
    return ROOT / (
        "requirements-dev.lock" if goal == "develop" or (STAMPS / "develop").exists() else "requirements.lock"
    )


def sync(goal):
    """Install exactly what the lock says."""
    uv = [BIN / "uv", "pip", "sync", "-q", "--system-certs", "--python", BIN / "python"]
    run([*uv, "--require-hashes", lock_of(goal)])
    if goal == "develop":
        (STAMPS / "develop").touch()
    for name in ("matinee-itself", "web-packages"):
        (STAMPS / name).unlink(missing_ok=True)


def install_self():
    """Put this checkout on the environment's path."""
    site = (
        subprocess.run(
            [str(BIN / "python"), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            stdout=subprocess.PIPE,
            check=True,
        )
        .stdout.decode()
        .strip()
    )
    pathlib.Path(site, "matinee.pth").write_text(str(ROOT / "src") + "\n")
    script = BIN / "matinee"
    guard = 'if __name__ == "__main__":\n    sys.exit(main())\n'  # processes that are spawned import this script
    script.write_text("#!{}\nimport sys\n\nfrom matinee.cli import main\n\n{}".format(BIN / "python", guard))
    script.chmod(0o755)


def install_web():
    """The web client's packages, from its lock."""
    run([BIN / "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=ROOT / "web")


def build_web():
    """The web client."""
    run([BIN / "npm", "run", "--silent", "build"], cwd=ROOT / "web")


def web_sources():
    """Every file that the built web client depends on."""
    web = ROOT / "web"
    files = [web / name for name in WEB_INPUTS] + sorted((web / "src").rglob("*")) + sorted((web / "public").rglob("*"))
    return [file for file in files if file.is_file()]


def lock():
    """Write the three locks anew; none names an index host."""
    common = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate", "-q"]
    uv = [BIN / "uv", "pip", "compile"]
    run([*uv, "setup.in", *common, "-o", "setup.lock"])
    run([*uv, "pyproject.toml", *common, "-o", "requirements.lock"])
    run([*uv, "pyproject.toml", "--group", "dev", *common, "-c", "requirements.lock", "-o", "requirements-dev.lock"])


def step(name, inputs, work):
    """Do a piece of work unless it was done for these very inputs."""
    digest = hashlib.sha256()
    for path in inputs:
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    stamp = STAMPS / name.replace(" ", "-")
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    say(name, "…")
    started = time.monotonic()
    work()
    stamp.write_text(digest.hexdigest())
    say(name, "{:.1f} s".format(time.monotonic() - started))


def run(command, cwd=ROOT):
    """Run a command quietly; when it fails, show what it said and stop."""
    environment = {
        "NODE_USE_SYSTEM_CA": "1",  # whoever this machine trusts, npm trusts too
        **os.environ,
        "PATH": "{}{}{}".format(BIN, os.pathsep, os.environ.get("PATH", "")),
    }
    result = subprocess.run(
        [str(part) for part in command],
        cwd=str(cwd),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if result.returncode:
        sys.stderr.write(result.stdout.decode(errors="replace")[-4000:])
        fail(
            "{} failed (exit status {}).".format(" ".join(str(p) for p in command[:3]), result.returncode),
            "The words above say why; then run the same command again: finished steps are kept.",
        )


def say(name, state):
    """One line of progress."""
    sys.stdout.write("  {:<18} {}\n".format(name, state))
    sys.stdout.flush()


def fail(what, remedy):
    """Say what is wrong and what to do, and stop."""
    sys.stderr.write("{}\n{}\n".format(what, remedy))
    raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "run")
