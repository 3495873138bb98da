"""Run all tests, and name at the end the engines that were not available; on CI that is a failure.

Missing engines are fetched first, once for each machine: Debian packages, jars by Maven, the S3 gateway by Go. The
tests that need no engine run meanwhile. The engines are started once for all tests and stopped at the end. The tests of
engines that take long to build (selected by the engine's name in theirs) run last.
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
# Files in their own order: the longest journeys have few tests, and must not be the last to start.
WORKERS = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
NEED_NO_ENGINE = ("tests/unit", "tests/shape")


def main(arguments: list[str]) -> int:
    """Fetch and start the engines, run pytest, and report what was left out."""
    first = [name for name in ALL if name not in APART]
    with engines_folder() as folder, ThreadPoolExecutor(2) as pool:
        building, fetching = pool.submit(fetch, APART, report), pool.submit(fetch, first, report)
        early = NEED_NO_ENGINE if not arguments and absent(first) else ()
        code = pytest(folder, *early, *WORKERS) if early else 0
        missing = fetching.result()
        late = APART if not arguments and absent(APART) else ()
        if not late:
            missing |= building.result()
        if not arguments:
            start(folder, [name for name in ENGINES if name not in missing and name not in late])
        rest = arguments or [*WORKERS, *(f"--ignore={done}" for done in early)]
        code = pytest(folder, *rest, *exclude(late), absent=",".join(missing)) or code
        if late:
            missing |= building.result()
            start(folder, [name for name in late if name not in missing])
            code = pytest(folder, *rest, *select(late), absent=",".join(missing)) or code
    for reason in missing.values():
        report(f"  left out           {reason}")
    report(f"engines not run: {', '.join(missing) or 'none'}")
    return code or (1 if missing and os.environ.get("CI") else 0)


def select(names: Sequence[str]) -> tuple[str, ...]:
    """Return the pytest options for the tests with one of these names in theirs."""
    return ("-k", " or ".join(names))


def exclude(names: Sequence[str]) -> tuple[str, ...]:
    """Return the pytest options for all other tests."""
    return ("-k", " and ".join(f"not {name}" for name in names)) if names else ()


def start(folder: Path, names: list[str]) -> None:
    """Start the shared engines. If one fails to start, the tests that need it fail."""
    os.environ.update(QUICK)
    try:
        Fleet(folder).up(names, report)
    except EngineFailed as problem:
        report(f"  {problem}")


def pytest(folder: Path, *arguments: str, absent: str = "") -> int:
    """Run pytest with the engines of a folder and return its exit status."""
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "MATINEE_ENGINES": str(folder),
        "MATINEE_ENGINES_ABSENT": absent,
    }
    return subprocess.run([BIN / "pytest", *arguments], cwd=ROOT, env=environment, check=False).returncode


@contextlib.contextmanager
def engines_folder() -> Iterator[Path]:
    """Create a folder for engines, which are killed and removed with it at the end, even if this process is killed."""
    folder = tempfile.mkdtemp(prefix="matinee-engines-")
    command = [sys.executable, "-m", "matinee.lab.engines.sweep", folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):  # runs when its input closes
        yield Path(folder)


def report(line: str) -> None:
    """Print a line at once, in order with the output of other processes."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
