"""Settings are refused where they are unknown or impossible, and the message names them."""

from pathlib import Path
from typing import Any

import pytest

from carina.dicom.transport.settings import Retries, client_tls, listen_settings, peer_at, read_toml, web_at
from carina.errors import ConfigurationError

LEAST: dict[str, Any] = {"folder": "/tmp/x", "allow": ["MODALITY"]}  # noqa: S108  # nothing is written


def test_loopback_unless_told() -> None:
    settings = listen_settings(LEAST)
    assert (settings.bind, settings.port, settings.aet) == ("127.0.0.1", 11112, "CARINA")
    assert settings.destination is None
    assert settings.limits.object_bytes == 128_000_000


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"allow": []}, r"Setting allow: it must have at least 1 entry\."),
        ({"allow": ["A" * 17]}, r"Setting allow\.0: .*1 to 16 letters.*Received: 'A{17}'"),
        ({"aet": " CARINA"}, r"Setting aet: .*1 to 16 letters"),
        ({"aet": "A\\B"}, r"Setting aet: "),
        ({"port": 70_000}, r"Setting port: it must be 65535 or less\. Received: 70000"),
        ({"colour": 1}, r"^There is no setting colour\."),
        ({"limits": {"workers": 0}}, r"Setting limits\.workers: it must be 1 or more\. Received: 0\."),
        ({"limits": {"workers": "many"}}, r"Setting limits\.workers: it must be a whole number\."),
        ({"allow": "A"}, r"Setting allow: it must be a list, as in \['ORTHANC'\]\."),
        ({"prevalence": 2}, r"Setting prevalence: it must be 1(\.0)? or less\."),
        ({"destination": {}}, r"Setting destination: .*either dicom or web"),
        (
            {"destination": {"web": {"url": "ftp://x"}}},
            r"Setting destination\.web\.url: .*begins with http:// or https://",
        ),
        ({"destination": {"web": {"url": "https://u:p@x"}}}, r"a password does not belong in an address[^@]*$"),
        ({"destination": {"dicom": {"host": "x"}}}, r"^Setting destination\.dicom\.port is missing\."),
    ],
)
def test_what_is_wrong_is_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        listen_settings({**LEAST, **changed})


def test_who_may_call_must_be_said() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^Setting allow is missing\. Give it in the settings' file or as an option\.$"
    ):
        listen_settings({"folder": "/tmp/x"})  # noqa: S108


def test_addresses() -> None:
    peer = peer_at("pacs.example:104", called="PACS")
    assert (peer.host, peer.port, peer.called, peer.calling) == ("pacs.example", 104, "PACS", "CARINA")
    assert peer_at("[::1]:104").host == "::1"
    for wrong in ("pacs.example", "pacs.example:", ":104", "http://x:80", "a:b:104", "x:0", "x:70000"):
        with pytest.raises(ConfigurationError, match=r"is no address|Setting port"):
            peer_at(wrong)
    assert web_at("https://pacs.example/dicom-web/").url == "https://pacs.example/dicom-web"
    for wrong in (
        "pacs.example/dicom-web",
        "localhost:8042",
        "ftp://x",
        "http://",
        "http://x:99999",
        "http://x/a?b",
        "",
    ):
        with pytest.raises(
            ConfigurationError, match=r"^'.*' cannot be used: an address of DICOMweb begins with http://"
        ):
            web_at(wrong)
    # A password is not shown again.
    with pytest.raises(ConfigurationError, match=r"^The address of the server cannot be used: a password [^@]*$"):
        web_at("https://user:secret@x")
    with pytest.raises(ConfigurationError, match=r"^Certificate and key go together\.$"):
        client_tls(None, Path("cert.pem"), None)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "listen.toml"
    with pytest.raises(ConfigurationError, match=r"listen.toml cannot be read: No such file"):
        read_toml(path)
    path.write_text("folder = ")
    with pytest.raises(ConfigurationError, match=r"listen.toml are not valid TOML"):
        read_toml(path)
    path.write_text('folder = "/tmp/x"\nallow = ["A"]\n[retries]\nfirst_s = 2\n')
    assert listen_settings(read_toml(path)).retries.first_s == 2


def test_pauses_double_up_to_the_longest_with_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    retries = Retries(first_s=2, longest_s=15)
    assert len({retries.pause_s(1) for _ in range(20)}) > 1
    monkeypatch.setattr("random.uniform", lambda least, most: most)
    assert [retries.pause_s(failed) for failed in (1, 2, 3, 4, 5, 10_000)] == [2, 4, 8, 15, 15, 15]
    monkeypatch.setattr("random.uniform", lambda least, most: least)
    assert [retries.pause_s(failed) for failed in range(1, 6)] == [1, 2, 4, 7.5, 7.5]
