"""Run all tests, and name the engines that were not available at the end; on CI that is a failure.

Missing engines are fetched first, once for each machine: Debian packages if permitted, jars with Maven, the S3 gateway
with Go; meanwhile the tests that need no engine run. Engines are started once for all tests, those that few tests use
by the first of them, and stopped at the end. Tests of an engine that takes long to build run last.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from matinee.lab.engines import ENGINES, EngineFailed, Fleet
from matinee.lab.engines.fetch import TOOLS, fetch, find_missing
from matinee.lab.engines.known import OPTIONAL
from matinee.lab.engines.programs import FAST_START

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
# One more than there are processors would not be faster: the processors are busy. Without reordering, which would run
# the files with the fewest tests last: those are the longest journeys.
WORKERS = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
MEMORY = Path("/dev/shm")  # on Linux
NEEDED_BYTES = 8 << 30
WITHOUT_ENGINES = ("tests/unit", "tests/shape")


def main(arguments: list[str]) -> int:
    """Fetch and start the engines, run pytest, name the engines that were not available."""
    quick = [name for name in (*ENGINES, *TOOLS) if name not in OPTIONAL]
    with temporary_folder() as folder, ThreadPoolExecutor(2) as executor:
        building, fetching = executor.submit(fetch, OPTIONAL, report), executor.submit(fetch, quick, report)
        early = WITHOUT_ENGINES if not arguments and find_missing(quick) else ()
        code = pytest(folder, *early, *WORKERS) if early else 0
        missing = fetching.result()
        late = OPTIONAL if not arguments and find_missing(OPTIONAL) else ()
        if not late:
            missing |= building.result()
        os.environ.update(FAST_START)
        if not arguments:  # a test that needs one waits for it
            executor.submit(start, folder, [name for name in quick if name in ENGINES and name not in missing])
        rest = arguments or [*WORKERS, *(f"--ignore={path}" for path in early)]
        code = pytest(folder, *rest, *exclude(late), missing=missing) or code
        if late:
            missing |= building.result()
            code = pytest(folder, *rest, *select(late), missing=missing) or code
    for reason in missing.values():
        report(f"  left out           {reason}")
    report(f"engines not run: {', '.join(missing) or 'none'}")
    return code or (1 if missing and os.environ.get("CI") else 0)


def select(names: Sequence[str]) -> tuple[str, ...]:
    """Return the options of pytest for tests with one of these words in their names."""
    return ("-k", " or ".join(names))


def exclude(names: Sequence[str]) -> tuple[str, ...]:
    """Return the options of pytest for all other tests."""
    return ("-k", " and ".join(f"not {name}" for name in names)) if names else ()


def start(folder: Path, names: list[str]) -> None:
    """Start the shared engines. A failure is reported; the tests of that engine then fail."""
    try:
        Fleet(folder).up(names, report)
    except EngineFailed as problem:
        report(f"  {problem}")


def pytest(folder: Path, *arguments: str, missing: Sequence[str] | dict[str, str] = ()) -> int:
    """Run pytest with the engines of a folder, and return its exit status."""
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        # Tests start hundreds of processes; each would compile all its modules where no bytecode may be written.
        "PYTHONDONTWRITEBYTECODE": "",
        "TMPDIR": str(folder / "tests"),
        "MATINEE_ENGINES": str(folder),
        "MATINEE_ENGINES_ABSENT": ",".join(missing),
    }
    return subprocess.run([BIN / "pytest", *arguments], cwd=ROOT, env=environment, check=False).returncode


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder for engines and tests that is removed at the end, even if this process is killed.

    It is in memory if there is enough, because the tests write many small files and wait for the disk after each.
    """
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    in_memory = memory_bytes >= 2 * NEEDED_BYTES and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= NEEDED_BYTES
    folder = Path(tempfile.mkdtemp(prefix="matinee-tests-", dir=MEMORY if in_memory else None))
    (folder / "tests").mkdir()
    command = [sys.executable, "-m", "matinee.lab.engines.sweep", folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):  # it waits for the end of its input
        yield folder


def report(line: str) -> None:
    """Print a line of progress at once, so that it is in order with the output of other processes."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
