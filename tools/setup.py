"""Set up the environment: Python packages from a lock, Node.js from its wheel, the built web client.

This runs on a bare Python of any version, so it uses the standard library and old syntax only. A step is skipped while
its inputs are the same as when it last succeeded.
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
# Each lock contains the packages of those before it.
LOCKS = {
    "run": "requirements.lock",
    "distributed": "requirements-distributed.lock",
    "develop": "requirements-dev.lock",
}
WEB_INPUTS = ("package.json", "package-lock.json", "openapi.json", "index.html", "vite.config.ts", "tsconfig.json")
# Written by the build from `openapi.json`: as an input it would cause a second build.
WEB_GENERATED = "schema.d.ts"


def main(goal, arguments):
    """Set up for a goal: one of LOCKS, or `lock`. The `arguments` are those of the `matinee up` that follows."""
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
    if goal == "run" and "distributed" in " ".join(arguments):
        goal = "distributed"
    goal = max([goal, *(name for name in LOCKS if (STAMPS / name).exists())], key=list(LOCKS).index)
    step("python packages", [ROOT / LOCKS[goal]], lambda: sync(goal))
    step("matinee itself", [ROOT / "pyproject.toml"], install_self)
    step("web packages", [ROOT / "web" / "package-lock.json"], install_web)
    step("web client", web_sources(), build_web)
    if goal == "develop":
        step("players for tests", [ROOT / "web" / "players" / "package-lock.json"], lambda: install_web("players"))
    if time.monotonic() - started > 2:
        report("ready", "set up in {:.0f} s".format(time.monotonic() - started))


def create_environment():
    """Create a virtual environment with uv in it."""
    if not (BIN / "python").exists():
        done = subprocess.run(
            [sys.executable, "-m", "venv", str(VENV)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        if done.returncode:
            fail(
                "Python could not create a virtual environment: " + done.stdout.decode().strip().split("\n")[0],
                "On Debian and Ubuntu: apt install python3-venv",
            )
    STAMPS.mkdir(exist_ok=True)
    pip = [BIN / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes"]
    step("installer", [ROOT / "setup.lock"], lambda: run([*pip, "-r", ROOT / "setup.lock"]))


def sync(goal):
    """Install exactly the packages of a goal's lock."""
    uv = [BIN / "uv", "pip", "sync", "-q", "--system-certs", "--python", BIN / "python"]
    run([*uv, "--require-hashes", ROOT / LOCKS[goal]])
    (STAMPS / goal).touch()
    for name in ("matinee-itself", "web-packages"):
        if (STAMPS / name).exists():
            (STAMPS / name).unlink()


def install_self():
    """Put this checkout on the environment's path."""
    command = [str(BIN / "python"), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    pathlib.Path(site, "matinee.pth").write_text(str(ROOT / "src") + "\n")
    script = BIN / "matinee"
    guard = 'if __name__ == "__main__":\n    sys.exit(main())\n'  # processes that are spawned import this script
    script.write_text("#!{}\nimport sys\n\nfrom matinee.cli import main\n\n{}".format(BIN / "python", guard))
    script.chmod(0o755)


def install_web(folder="."):
    """Install the packages of the web client, or of a folder in it, from the lock there."""
    run([BIN / "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=ROOT / "web" / folder)


def build_web():
    """Build the web client."""
    run([BIN / "npm", "run", "--silent", "build"], cwd=ROOT / "web")


def web_sources():
    """Return every file that the built web client depends on."""
    web = ROOT / "web"
    files = [web / name for name in WEB_INPUTS] + sorted((web / "src").rglob("*")) + sorted((web / "public").rglob("*"))
    return [file for file in files if file.is_file() and file.name != WEB_GENERATED]


def lock():
    """Update the locks. None names an index host."""
    common = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate", "-q"]
    uv = [BIN / "uv", "pip", "compile", *common, "--system-certs"]
    run([*uv, "setup.in", "-o", "setup.lock"])
    run([*uv, "pyproject.toml", "--extra", "web", "-o", LOCKS["run"]])
    for extra, name, base in (("distributed", "distributed", "run"), ("dev", "develop", "distributed")):
        extras = ["--extra", "web", "--extra", extra]
        run([*uv, "pyproject.toml", *extras, "-c", LOCKS[base], "-o", LOCKS[name]])


def step(name, inputs, work):
    """Run a step unless it was done for the same inputs."""
    digest = hashlib.sha256()
    for path in inputs:
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    stamp = STAMPS / name.replace(" ", "-")
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    report(name, "…")
    started = time.monotonic()
    work()
    stamp.write_text(digest.hexdigest())
    report(name, "{:.1f} s".format(time.monotonic() - started))


def run(command, cwd=ROOT):
    """Run a command quietly; when it fails, show its output and exit."""
    environment = {
        "NODE_USE_SYSTEM_CA": "1",  # npm trusts the certificate authorities of this machine
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
            "The output above has the reason; then run the same command again: finished steps are kept.",
        )


def report(name, state):
    """Print one line of progress."""
    sys.stdout.write("  {:<18} {}\n".format(name, state))
    sys.stdout.flush()


def fail(reason, remedy):
    """Print the reason of a failure and the remedy, and exit."""
    sys.stderr.write("{}\n{}\n".format(reason, remedy))
    raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "run", sys.argv[2:])
