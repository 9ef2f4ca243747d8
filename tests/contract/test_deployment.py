"""The files that containers are built and started from name what there is: paths, extras, commands, settings, ports."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from carina.service.site_settings import read_settings

ROOT = Path(__file__).parents[2]
CONTAINERFILE = (ROOT / "deploy" / "Containerfile").read_text("utf-8").replace("\\\n", " ")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]


def stages() -> dict[str, list[str]]:
    """Return the instructions of each stage by its name."""
    found: dict[str, list[str]] = {}
    for line in CONTAINERFILE.splitlines():
        begun = re.fullmatch(r"FROM (\S+) AS (\S+)", line)
        if begun is not None:
            found[begun[2]] = [line]
        elif line.strip() and not line.startswith("#"):
            found[[*found][-1]].append(line.strip())
    return found


def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text("utf-8"))
    return content


def test_what_is_copied_is_there() -> None:
    known = stages()
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
    for instructions in known.values():
        for line in instructions:
            parts = line.split()
            if parts[0] == "FROM" and "/" not in parts[1]:
                assert parts[1] in known
            if parts[0] != "COPY":
                continue
            if parts[1].startswith("--from="):
                assert parts[1].removeprefix("--from=") in known
                continue
            for path in parts[1:-1]:
                assert (ROOT / path).exists(), path
                assert not any(Path(path).is_relative_to(each) for each in ignored), path
    # What the package is built from.
    for path in ("src", "models", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        assert (ROOT / path).exists()
        assert path not in ignored


def test_the_extras_that_are_installed_are_there() -> None:
    installed = re.findall(r"/source\[([a-z0-9,-]+)\]", CONTAINERFILE)
    assert installed
    assert {extra for each in installed for extra in each.split(",")} <= set(EXTRAS)


def test_the_worklist_runs_as_nobody_special_and_is_watched() -> None:
    serve = "\n".join(stages()["serve"])
    assert re.search(r"^USER 10001:10001$", serve, re.MULTILINE)
    assert "/healthz" in serve
    assert "COPY . " not in serve
    entry = json.loads(re.search(r"^ENTRYPOINT (.+)$", serve, re.MULTILINE)[1])
    assert entry == ["carina", "serve", "--folder", "/site"]
    # Whatever is written goes where a read-only root lets it.
    assert "HOME=/tmp" in serve
    assert "CARINA_CACHE=/tmp/carina" in serve


def test_compose_names_what_there_is(tmp_path: Path) -> None:
    services = compose()["services"]
    carina = services["worklist"]
    assert carina["build"]["target"] in stages()
    assert (ROOT / "deploy" / carina["build"]["context"] / carina["build"]["dockerfile"]).is_file()
    assert carina["read_only"] is True
    assert carina["cap_drop"] == ["ALL"]
    assert "ports" not in carina
    for service in services.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in compose()["volumes"] or (ROOT / "deploy" / source).is_file(), source
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), port
    settings = tmp_path / "site.toml"
    settings.write_text((ROOT / "deploy" / "serve" / "site.toml").read_text("utf-8"))
    site = read_settings(tmp_path)
    assert site.behind_proxy
    # Else all browsers have the proxy's address, and whoever fails to log in locks out all others.
    assert "172.16.0.0/12" in site.proxies
    assert site.listener is not None
    assert site.destination is not None
    environment = services["orthanc"]["environment"]
    known = json.loads(environment["ORTHANC__DICOM_MODALITIES"])["carina"]
    assert known == {"AET": site.listener.aet, "Host": "worklist", "Port": site.listener.port}
    assert environment["ORTHANC__DICOM_AET"] in site.listener.allow
    assert site.destination.dicom is not None
    assert site.destination.dicom.host in services
    assert f"worklist:{site.port}" in services["proxy"]["command"]
    scripts = json.loads(environment["ORTHANC__LUA_SCRIPTS"])
    assert any(volume.split(":")[1] in scripts for volume in services["orthanc"]["volumes"])
    # Stopped by force, what is under way would be judged again.
    assert int(carina["stop_grace_period"].removesuffix("s")) > site.limits.stop_s + 5


@pytest.mark.parametrize("page", ["docs/tutorials/silent-site.md", "docs/how-to/serve.md"])
def test_the_documents_name_the_files(page: str) -> None:
    assert "deploy/compose.yaml" in (ROOT / page).read_text("utf-8")
