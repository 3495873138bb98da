"""The source tree keeps its shape: contracts, types, names, documents."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from matinee.app.extras import DISTRIBUTED

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
SOURCE = ROOT / "src" / "matinee"
FORBIDDEN_NAMES = re.compile(r"(Base|Abstract|Impl|Manager|Helper|Utils?)$|^(Base|Abstract)[A-Z]")


def run(*command: str | Path) -> None:
    done = subprocess.run([*command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def tracked_files(*patterns: str) -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def classes() -> Iterator[tuple[Path, ast.ClassDef]]:
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                yield file.relative_to(ROOT), node


def test_import_contracts_are_kept() -> None:
    run(BIN / "lint-imports")


@pytest.mark.timeout(600)
def test_types_are_strict_and_clean() -> None:
    run(BIN / "mypy")


def test_lint_and_format_are_clean() -> None:
    run(BIN / "ruff", "check", "src", "tests", "tools")
    run(BIN / "ruff", "format", "--check", "src", "tests", "tools")


def test_reference_pages_are_up_to_date() -> None:
    run(sys.executable, "tools/reference.py", "--check")


def test_no_class_is_named_after_a_pattern() -> None:
    assert [f"{file}: {node.name}" for file, node in classes() if FORBIDDEN_NAMES.search(node.name)] == []


def test_ports_have_at_most_seven_methods() -> None:
    wide = [
        f"{file}: {node.name} has {count}"
        for file, node in classes()
        if "ports" in file.parts or file.name == "ports.py"
        if (count := sum(isinstance(child, ast.AsyncFunctionDef | ast.FunctionDef) for child in node.body)) > 7
    ]
    assert wide == []


def test_make_help_lists_every_command_and_the_readme_names_up_and_test() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (.*)$", makefile, re.M)[0].split())
    assert phony == set(re.findall(r"^([a-z-]+):.*## ", makefile, re.M))
    readme = (ROOT / "README.md").read_text()
    assert "make up" in readme
    assert "make test" in readme


def test_extra_lists_the_modules_whose_absence_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[\[>=]", package)[0] for package in project["optional-dependencies"]["distributed"]]
    modules = {"opensearch-py": "opensearchpy"}
    assert tuple(modules.get(name, name.replace("-", "_")) for name in names) == DISTRIBUTED


def test_no_file_names_an_index_host_or_a_home_directory() -> None:
    # One letter of each is in brackets, so that the pattern does not match this file.
    host = re.compile(r'"resolve[d]": *"http|regist[r]y *= *"?http|--?(extra-)?index[-]url|/home[/][a-z]+/|/root[/]')
    matches = [
        f"{file.relative_to(ROOT)}: {line.strip()[:100]}"
        for file in tracked_files()
        if file.suffix not in {".png", ".woff2", ".ttf", ".webp", ".jpg"}
        for line in file.read_text(errors="replace").splitlines()
        if host.search(line)
    ]
    assert matches == []


def test_links_between_documents_lead_to_files() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in tracked_files("*.md")
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []
