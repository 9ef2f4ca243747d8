"""What the pages about DICOM's network say is what the program does."""

import re
import tomllib
from pathlib import Path

import pytest

from carina.dicom.transport import accepted_syntaxes as syntaxes
from carina.dicom.transport.bounded import OFFERED_PDU
from carina.dicom.transport.settings import ListenSettings, listen_settings

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "dicom").glob("*.md"))
ORTHANC = ROOT / "docs" / "how-to" / "orthanc.md"
NETWORK = (ROOT / "docs" / "dicom" / "network.md").read_text("utf-8")
CONFORMANCE = (ROOT / "docs" / "dicom" / "conformance.md").read_text("utf-8")


@pytest.mark.parametrize("page", [*PAGES, ORTHANC], ids=lambda page: page.stem)
def test_commands_and_options_exist(page: Path) -> None:
    reference = (ROOT / "docs" / "reference.md").read_text("utf-8")
    text = page.read_text("utf-8")
    found = re.findall(r"`?(carina (?:(?:data|lungs|dicom) )?[a-z]+)((?: [^\n`#]*)?)", text)
    assert found
    for command, words in found:
        parts = reference.split(f"## {command}\n")
        assert len(parts) == 2, command
        options = parts[1].split("\n## ")[0]
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", words):
            assert f"`{option}`" in options, (command, option)


def test_every_file_of_settings_is_one_and_the_last_holds_the_defaults() -> None:
    pages = ORTHANC.read_text("utf-8") + NETWORK
    files = [tomllib.loads(text) for text in re.findall(r"```toml\n(.*?)```", pages, flags=re.S)]
    settings = [listen_settings(values) for values in files]
    assert settings[1].tls is not None
    assert settings[1].destination is not None
    assert settings[-1] == ListenSettings(folder=settings[-1].folder, allow=settings[-1].allow)
    # Each by its name: what is not written there would go unseen.
    written = files[-1]
    for name in ("limits", "retries"):
        assert set(written[name]) == set(type(getattr(settings[-1], name)).model_fields)
    elsewhere = {"bundle", "prevalence", "tls", "destination"}
    assert set(written) | elsewhere == set(ListenSettings.model_fields)


def test_the_statement_names_what_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syntaxes, "find_spec", lambda _: object())
    tables = [
        dict(re.findall(r"^\| ([^|]+?)(?: \([^|]*only\))? \| (1\.2\.840\.[\d.]+) \|$", part, flags=re.M))
        for part in CONFORMANCE.split("**Storage SCP**")[1].split("| status |")[0].split("| transfer syntax |")
    ]
    assert tables[0] == {uid.name: uid for uid in syntaxes.STORAGE_CLASSES}
    # The order counts: it is that of preference.
    assert list(tables[1].values()) == syntaxes.transfer_syntaxes()
    assert f"{OFFERED_PDU:,} bytes" in CONFORMANCE
