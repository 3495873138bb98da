"""Settings: their sources, and the errors for wrong ones."""

from pathlib import Path
from typing import get_type_hints

import pytest

from matinee.app import settings
from matinee.app.settings import default_settings, load, sections_of, show
from matinee.edge.domain import EdgeSection
from matinee.gateway.domain import GatewaySection
from matinee.identity.domain import IdentitySection
from matinee.mesh.hosting.settings import BadSettings


def test_default_paths_are_in_the_data_directory(tmp_path: Path) -> None:
    loaded = load(None, {}, {"deployment.data": str(tmp_path)})
    assert loaded.of(IdentitySection).store == f"sqlite:///{tmp_path}/identity.db"
    assert loaded.data == tmp_path


def test_command_line_overrides_environment_and_environment_overrides_file(tmp_path: Path) -> None:
    file = tmp_path / "matinee.toml"
    file.write_text("[gateway]\nport = 1\n[edge]\ncount = 3\n[deployment]\nlan = true\n")
    loaded = load(file, {"MATINEE__GATEWAY__PORT": "2", "MATINEE__DEPLOYMENT__LAN": "false"}, {"gateway.port": 3})
    assert (loaded.of(GatewaySection).port, loaded.of(EdgeSection).count, loaded.deployment.lan) == (3, 3, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[gateway]\nprot = 1\n", "Did you mean 'gateway.port'"),
        ("[gateway]\nport = 'many'\n", "'gateway.port' cannot be 'many'"),
        ("[telemetry]\nsampling = 2\n", "'telemetry.sampling' cannot be 2"),
        ("gateway = 3\n", "There is no setting 'gateway'"),
        ("[edge]\ncount = 0\n", "'edge.count' cannot be 0"),
        ("[edge]\nport = 70000\n", "'edge.port' cannot be 70000"),
        ("[identity]\nrefresh_token_s = 99999999999999\n", "'identity.refresh_token_s' cannot be 99999999999999"),
        ("[encoding]\npreset = 'quick'\n", "'encoding.preset' cannot be 'quick'"),
        ("[gateway\n", "is not TOML"),
    ],
)
def test_wrong_setting_is_named_with_its_remedy(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "matinee.toml"
    file.write_text(text)
    with pytest.raises(BadSettings) as caught:
        load(file, {})
    assert message in str(caught.value)


def test_only_settings_that_mean_something_empty_may_be_empty(tmp_path: Path) -> None:
    """An empty path would be the working directory; shells make one of an unset variable."""
    may_be_empty = {
        "deployment.groups", "deployment.host", "deployment.listen", "deployment.public_url", "edge.public_url",
        "gateway.hosts", "gateway.trusted_proxies", "gateway.web", "identity.sessions", "identity.throttle",
        "telemetry.otlp_url",
    }  # fmt: skip
    strings = [key for key, value in settings.flatten(default_settings()).items() if isinstance(value, str)]
    for key in strings:
        environment = {"MATINEE__DEPLOYMENT__DATA": str(tmp_path), settings.PREFIX + key.replace(".", "__").upper(): ""}
        if key in may_be_empty:
            load(None, environment)
        else:
            with pytest.raises(BadSettings, match=f"{key}' must not be empty"):
                load(None, environment)


@pytest.mark.parametrize("where", ["file", "environment", "command line"])
def test_an_empty_data_directory_is_refused(tmp_path: Path, where: str) -> None:
    file = tmp_path / "matinee.toml"
    file.write_text("[deployment]\ndata = ''\n" if where == "file" else "")
    environment = {"MATINEE__DEPLOYMENT__DATA": ""} if where == "environment" else {}
    with pytest.raises(BadSettings) as caught:
        load(file, environment, {"deployment.data": " "} if where == "command line" else {})
    assert caught.value.detail == f"The setting 'deployment.data' must not be empty ({where})."


def test_every_number_has_bounds() -> None:
    unbounded = [
        f"{name}.{field}"
        for name, section in sections_of(default_settings()).items()
        for field, kind in get_type_hints(type(section), include_extras=True).items()
        if kind in (int, float)
    ]
    assert unbounded == []


def test_show_includes_the_source_and_masks_passwords() -> None:
    shown = {s.key: s for s in show(None, {"MATINEE__IDENTITY__STORE": "mysql+asyncmy://m:secret@db/x"})}
    assert shown["identity.store"].source == "environment"
    assert "secret" not in shown["identity.store"].value
    assert shown["gateway.port"].source == "default"


def test_process_started_with_environment_of_settings_has_the_same_settings(tmp_path: Path) -> None:
    loaded = load(None, {}, {"deployment.data": str(tmp_path), "deployment.lan": True, "gateway.port": 9})
    assert load(None, settings.environment_of(loaded)) == loaded


def test_stored_values_replace_defaults_only(tmp_path: Path) -> None:
    settings.store_values(
        tmp_path, {"deployment.instances": 2, "identity.store": "mysql+asyncmy://m:s3cret@db/x", "edge.count": 4}
    )
    loaded = load(None, {"MATINEE__EDGE__COUNT": "3"}, {"deployment.data": str(tmp_path)})
    assert (loaded.deployment.instances, loaded.of(EdgeSection).count) == (2, 3)
    assert loaded.of(IdentitySection).store == "mysql+asyncmy://m:s3cret@db/x"
    assert {s.source for s in show(None, {}, {"deployment.data": str(tmp_path)}) if s.key == "identity.store"} == {
        "deployment"
    }
    assert (tmp_path / settings.STORED_FILE).stat().st_mode & 0o077 == 0
    assert settings.read_stored(tmp_path)["edge.count"] == 4
    assert "identity.store" not in settings.default_keys(loaded)
    assert "catalogue.store" in settings.default_keys(loaded)
