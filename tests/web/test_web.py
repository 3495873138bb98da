"""The web client's own tests, run as a part of all tests."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from matinee.encoding.model.progress import SHARES

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@pytest.mark.timeout(300)
def test_the_web_client_passes_its_own_tests() -> None:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    command = [BIN / "npm", "test", "--silent"]
    done = subprocess.run(command, cwd=ROOT / "web", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.parametrize("language", ["en", "de"])
def test_what_the_server_names_is_translated(language: str) -> None:
    files = (ROOT / "web" / "src" / "i18n" / language).glob("*.ts")
    texts = "".join(file.read_text() for file in files)
    demo = (ROOT / "src" / "matinee" / "lab" / "data" / "demo.toml").read_text()
    roles = set(re.findall(r'role = "([a-z-]+)"', demo))
    assert roles
    keys = [f"step.{step}" for step in SHARES] + [f"role.{role}" for role in roles]
    assert [key for key in keys if f'"{key}":' not in texts] == []
