"""Run every test, and say at the end which engines could not be had; on CI that is a failure.

Chromium and nginx are the only things that the project's own packages do not bring. Where this machine lets us
(Debian or Ubuntu, as root) they are installed; elsewhere the tests that need them say so by name.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
ENGINES = {"chromium": ("chromium", "google-chrome", "chromium-browser"), "nginx": ("nginx",)}
PACKAGES = {"chromium": "chromium", "nginx": "nginx-light"}


def main(words: list[str]) -> int:
    """Install what may be installed, run pytest, name what was left out."""
    missing = [engine for engine in ENGINES if not present(engine)]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        install([PACKAGES[engine] for engine in missing])
        missing = [engine for engine in ENGINES if not present(engine)]
    absent = ",".join(missing)
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "MATINEE_ENGINES_ABSENT": absent}
    command = [BIN / "pytest", *(words or ["-n", "2", "--dist", "loadgroup"])]
    code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    print(f"engines not run: {absent or 'none'}")
    return code or (1 if missing and os.environ.get("CI") else 0)


def present(engine: str) -> bool:
    """Whether a program of this engine can be started here."""
    return any(shutil.which(name) or Path("/usr/sbin", name).exists() for name in ENGINES[engine])


def install(packages: list[str]) -> None:
    """Install Debian packages; a failure is not the end, the missing engine is named later."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "check": False}
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    print(f"  installing         {' '.join(packages)} …", flush=True)
    subprocess.run(["apt-get", "update"], **quiet)
    subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *packages], env=environment, **quiet)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
