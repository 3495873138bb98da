"""Run every test, and say at the end which engines could not be had; on CI that is a failure.

What is missing is fetched first, once for each machine: Debian packages where it lets us, jars by Maven, the S3
gateway by Go; the tests that need no engine run meanwhile. Engines are started once for all tests, and end with them.
What takes long to build holds nobody up: the tests that have its name in theirs come last, when it is there.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from matinee.lab.engines import ENGINES, EngineFailed, Fleet
from matinee.lab.engines.fetch import TOOLS, absent, fetch
from matinee.lab.engines.jars import QUICK
from matinee.lab.engines.known import APART

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
ALL = (*ENGINES, *TOOLS)
# Not the files with the fewest tests last, which are the longest journeys: one worker would wait for the other's.
WORKERS = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
NEED_NO_ENGINE = ("tests/unit", "tests/shape")


def main(words: list[str]) -> int:
    """Fetch what may be had, start the engines, run pytest, name what was left out."""
    soon = [name for name in ALL if name not in APART]
    with swept() as folder, ThreadPoolExecutor(2) as aside:
        building, fetching = aside.submit(fetch, APART, say), aside.submit(fetch, soon, say)
        early = NEED_NO_ENGINE if not words and absent(soon) else ()
        code = pytest(folder, *early, *WORKERS) if early else 0
        lacking = fetching.result()
        late = APART if not words and absent(APART) else ()
        if not late:
            lacking |= building.result()
        if not words:
            start(folder, [name for name in ENGINES if name not in lacking and name not in late])
        rest = words or [*WORKERS, *(f"--ignore={done}" for done in early)]
        code = pytest(folder, *rest, *but(late), absent=",".join(lacking)) or code
        if late:
            lacking |= building.result()
            start(folder, [name for name in late if name not in lacking])
            code = pytest(folder, *rest, *only(late), absent=",".join(lacking)) or code
    for lack in lacking.values():
        say(f"  left out           {lack}")
    say(f"engines not run: {', '.join(lacking) or 'none'}")
    return code or (1 if lacking and os.environ.get("CI") else 0)


def only(names: Sequence[str]) -> tuple[str, ...]:
    """For pytest: the tests that have one of these in their names."""
    return ("-k", " or ".join(names))


def but(names: Sequence[str]) -> tuple[str, ...]:
    """For pytest: all others."""
    return ("-k", " and ".join(f"not {name}" for name in names)) if names else ()


def start(folder: Path, names: list[str]) -> None:
    """Start the shared engines; the tests that need one that does not start will say so themselves."""
    os.environ.update(QUICK)
    try:
        Fleet(folder).up(names, say)
    except EngineFailed as trouble:
        say(f"  {trouble}")


def pytest(folder: Path, *words: str, absent: str = "") -> int:
    """Run pytest, its engines in this folder; tells its exit status."""
    said = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "MATINEE_ENGINES": str(folder)}
    environment = {**os.environ, **said, "MATINEE_ENGINES_ABSENT": absent}
    return subprocess.run([BIN / "pytest", *words], cwd=ROOT, env=environment, check=False).returncode


@contextlib.contextmanager
def swept() -> Iterator[Path]:
    """A folder for engines, of which nothing is left at the end, even when this process is killed."""
    folder = tempfile.mkdtemp(prefix="matinee-engines-")
    command = [sys.executable, "-m", "matinee.lab.engines.sweep", folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):  # waits; its input ends with us
        yield Path(folder)


def say(words: str) -> None:
    """Tell at once, so that it stands in order with what others tell."""
    print(words, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
