"""What people look for in a project is there, is whole, and calls what exists."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from carina._version import __version__
from carina.bundles.bundle import open_bundle, released_bundle
from carina.cli import app

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def test_the_version_is_the_same_everywhere() -> None:
    assert read(ROOT / "CITATION.cff")["version"] == __version__
    for name in ("app", "pkg"):
        assert json.loads((ROOT / "deploy" / "monai" / f"{name}.json").read_text())["version"] == __version__


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_what_is_there_with_few_rights(path: Path) -> None:
    told = read(path)
    assert told["permissions"] == {"contents": "read"}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    steps = [step for job in told["jobs"].values() for step in job["steps"]]
    commands = "\n".join(step.get("run", "") for step in steps)
    assert set(re.findall(r"\bmake ([a-z-]+)", commands)) <= targets | {"test", "pytest", "test-long"}
    for script in re.findall(r"(\.(?:ci|github)/\S+)", commands):
        assert (ROOT / script).stat().st_mode & 0o100, script
    assert all(re.fullmatch(r"[\w-]+/[\w./-]+@\S+", step["uses"]) for step in steps if "uses" in step)


def test_each_python_and_system_is_tested() -> None:
    matrix = read(ROOT / ".github" / "workflows" / "test.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.11", "3.12", "3.13"]
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_for_no_patient_data(path: Path) -> None:
    form = read(path)
    assert {"name", "description", "body"} <= set(form)
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(ids) == len(set(ids))
    if path.stem != "idea":
        (box,) = [field for field in form["body"] if field["type"] == "checkboxes"]
        assert box["attributes"]["options"][0]["required"]


def test_the_hooks_are_the_programs_of_make_lint() -> None:
    lint = (ROOT / "Makefile").read_text().split("\nlint:")[1].split("\n\n")[0]
    for hook in read(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]:
        assert hook["entry"].split()[0].replace(".venv/bin", "$(BIN)") in lint, hook["id"]


def test_the_script_that_publishes_pages_is_sound() -> None:
    subprocess.run(["bash", "-n", ROOT / ".github" / "publish_docs.sh"], check=True)


@pytest.mark.long
def test_the_sbom_names_packages_and_every_file_of_the_model(tmp_path: Path) -> None:
    out = tmp_path / "carina.cdx.json"
    subprocess.run([sys.executable, ROOT / "deploy" / "sbom.py", out], check=True)
    told = json.loads(out.read_text())
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    model, *packages = told["components"]
    described, seal = open_bundle(released_bundle())
    assert (model["type"], model["name"], model["version"]) == (
        "machine-learning-model",
        described.name,
        described.version,
    )
    assert model["hashes"] == [{"alg": "SHA-256", "content": seal.sha256}]
    assert {each["name"]: each["hashes"][0]["content"] for each in model["components"]} == dict(seal.sums)
    scopes = {each["name"]: each["scope"] for each in packages}
    assert scopes["numpy"] == "required"
    assert scopes["highdicom"] == "optional"
    references = [each["bom-ref"] for each in told["components"]]
    assert len(set(references)) == len(references)
    assert told["dependencies"][0]["dependsOn"] == references
    validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(out.read_text()) is None


def test_the_files_of_a_cluster_call_what_exists() -> None:
    job, launcher = (read(ROOT / "deploy" / "ray" / f"{name}.yaml") for name in ("rayjob", "cluster"))
    cluster = job["spec"]["rayClusterSpec"]
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    containers = [each for pod in pods for each in pod["template"]["spec"]["containers"]]
    assert {each["image"] for each in containers} == {f"registry.example/carina-cluster:{__version__}"}
    assert all(each["securityContext"]["runAsNonRoot"] for each in containers)
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    assert f"carina-cxr[s3]=={__version__}" in launcher["setup_commands"][0]
    known = {option for parameter in _batch_command().params for option in parameter.opts}
    told = [job["spec"]["entrypoint"], (ROOT / "deploy" / "ray" / "cluster.yaml").read_text()]
    for text in told:
        (command,) = re.findall(r"carina batch ([^']+)'", text)
        assert set(re.findall(r"--[a-z-]+", command)) <= known
    file = (ROOT / "deploy" / "Containerfile").read_text()
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    for named in re.findall(r"/source\[([a-z0-9,]+)\]", file):
        assert set(named.split(",")) <= extras
    assert "AS cluster" in file


def _batch_command() -> Any:
    return get_command(app).commands["batch"]  # type: ignore[attr-defined]
