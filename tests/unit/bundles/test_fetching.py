"""A bundle is fetched once, from each kind of place, and nothing that differs from its hash is kept."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import carina
from carina.bundles.bundle import open_bundle
from carina.bundles.fetching import fetch_bundle
from carina.bundles.verification import Verification
from carina.errors import BundleError, ConfigurationError
from hub import Shelf, shelf


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARINA_CACHE", str(tmp_path / "cache"))
    for name in ("HF_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[Shelf]:
    with shelf() as held:
        yield held


@pytest.fixture
def pin(tiny_bundle: tuple[Path, Verification]) -> str:
    return f"#sha256={tiny_bundle[1].sha256}"


def test_a_hub_is_asked_once_and_its_bundle_predicts(
    server: Shelf, tiny_bundle: tuple[Path, Verification], pin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = tiny_bundle
    server.put("owner/mine/resolve/v1.0", folder)
    # As the real hub does, which keeps large files elsewhere.
    server.files["/elsewhere/model.onnx"] = server.files.pop("/owner/mine/resolve/v1.0/model.onnx")
    server.moved["/owner/mine/resolve/v1.0/model.onnx"] = f"{server.address}/elsewhere/model.onnx"
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_TOKEN", "secret")
    model = carina.load_bundle(f"hf://owner/mine@v1.0{pin}")
    assert model.description.name == "tiny-bundle"
    assert [path.read_bytes() for path in sorted(model.folder.iterdir())] == [
        path.read_bytes() for path in sorted(folder.iterdir())
    ]
    told = dict(server.asked)
    assert server.asked[0] == ("/owner/mine/resolve/v1.0/SHA256SUMS", "Bearer secret")
    assert told["/elsewhere/model.onnx"] is None, "the token goes to the hub alone"
    asked = len(server.asked)
    assert carina.load_bundle(f"hf://owner/mine@v1.0{pin}").folder == model.folder
    assert len(server.asked) == asked == len(list(folder.iterdir())) + 1


def test_a_web_server_and_a_bucket_give_the_same(
    server: Shelf,
    tiny_bundle: tuple[Path, Verification],
    pin: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.put("models/mine", tiny_bundle[0])
    folder = fetch_bundle(f"{server.address}/models/mine/{pin}")
    assert open_bundle(folder)[1].sha256 == tiny_bundle[1].sha256
    monkeypatch.setenv("CARINA_CACHE", str(tmp_path / "other"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert fetch_bundle(f"s3://models/mine{pin}") != folder
    # With an account the requests are signed.
    assert all(signed is None for path, signed in server.asked)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("CARINA_CACHE", str(tmp_path / "third"))
    with pytest.raises(BundleError, match=r"s3://models/theirs: SHA256SUMS could not be fetched \(Not Found\)"):
        fetch_bundle(f"s3://models/theirs{pin}")
    assert "AWS4-HMAC-SHA256" in str(server.asked[-1][1])


def test_without_a_hash_nothing_is_loaded_and_the_hash_is_told(
    server: Shelf, tiny_bundle: tuple[Path, Verification], pin: str, tmp_path: Path
) -> None:
    server.put("mine", tiny_bundle[0])
    with pytest.raises(ConfigurationError, match="names no hash") as caught:
        fetch_bundle(f"{server.address}/mine")
    assert str(caught.value).endswith(f"{server.address}/mine{pin}")
    assert [path for path, _ in server.asked] == ["/mine/SHA256SUMS"]
    assert not (tmp_path / "cache").exists()
    with pytest.raises(ConfigurationError, match="is not sha256= and 64"):
        fetch_bundle(f"{server.address}/mine#md5=12")


@pytest.mark.parametrize("name", ["SHA256SUMS", "model.onnx"])
def test_what_differs_is_not_kept(
    server: Shelf, tiny_bundle: tuple[Path, Verification], pin: str, tmp_path: Path, name: str
) -> None:
    server.put("mine", tiny_bundle[0])
    server.files[f"/mine/{name}"] += b"\n"
    with pytest.raises(BundleError, match="Nothing was kept"):
        fetch_bundle(f"{server.address}/mine{pin}")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_seal_that_names_other_places_is_refused_although_its_hash_is_right(server: Shelf, tmp_path: Path) -> None:
    sealed = f"{'0' * 64}  ../../outside\n".encode()
    server.files["/mine/SHA256SUMS"] = sealed
    with pytest.raises(BundleError, match="is damaged"):
        fetch_bundle(f"{server.address}/mine#sha256={hashlib.sha256(sealed).hexdigest()}")


def test_a_damaged_copy_in_the_cache_is_fetched_again(
    server: Shelf, tiny_bundle: tuple[Path, Verification], pin: str
) -> None:
    server.put("mine", tiny_bundle[0])
    folder = fetch_bundle(f"{server.address}/mine{pin}")
    (folder / "model.onnx").write_bytes(b"")
    open_bundle(fetch_bundle(f"{server.address}/mine{pin}"))
    assert len(server.asked) == 2 * len(list(folder.iterdir()))


def test_what_cannot_be_reached_is_named(server: Shelf, pin: str) -> None:
    with pytest.raises(BundleError, match=r"/gone: SHA256SUMS could not be fetched \(Not Found\)"):
        fetch_bundle(f"{server.address}/gone{pin}")
    server.files["/large/SHA256SUMS"] = b"0" * ((1 << 20) + 1)
    with pytest.raises(BundleError, match="larger than 1,048,576 bytes"):
        fetch_bundle(f"{server.address}/large{pin}")


def test_open_connections_and_passwords_are_refused(server: Shelf, pin: str) -> None:
    with pytest.raises(ConfigurationError, match=r"connection to example.org is not encrypted"):
        fetch_bundle(f"http://example.org/mine{pin}")
    server.moved["/mine/SHA256SUMS"] = "http://example.org/mine/SHA256SUMS"
    with pytest.raises(ConfigurationError, match=r"connection to example.org is not encrypted"):
        fetch_bundle(f"{server.address}/mine{pin}")
    with pytest.raises(ConfigurationError, match="no password") as caught:
        fetch_bundle(f"https://user:word@example.org/mine{pin}")
    assert "word@" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"hf://mine is no address of a hub. Write it like hf://owner/name@"):
        fetch_bundle(f"hf://mine{pin}")
