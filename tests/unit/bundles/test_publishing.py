"""A bundle goes to a hub byte by byte, and a signature tells who made it."""

import shutil
from pathlib import Path

import pytest

from carina.bundles.publishing import push_bundle
from carina.bundles.signing import check_signature, sign_bundle
from carina.bundles.verification import Verification
from carina.errors import BundleError, ConfigurationError
from hub import COMMIT, shelf


def test_a_bundle_is_uploaded_as_it_is_and_the_address_pins_it(
    tiny_bundle: tuple[Path, Verification], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    folder, verified = tiny_bundle
    (tmp_path / "mine.sig").write_text("{}")
    with shelf() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        address = push_bundle(folder, "hf://owner/mine", signature=tmp_path / "mine.sig")
        assert address == f"hf://owner/mine@{COMMIT}#sha256={verified.sha256}"
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert server.uploaded == files | {"model.sig": b"{}"}
        server.refuses = True
        with pytest.raises(BundleError, match=r"hf://owner/mine did not take the bundle \(it answered 403\)") as caught:
            push_bundle(folder, "hf://owner/mine")
        assert "secret" not in str(caught.value)


def test_only_a_whole_bundle_goes_and_only_to_a_hub(tiny_bundle: tuple[Path, Verification], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"s3://mine is no address of a hub"):
        push_bundle(tiny_bundle[0], "s3://mine")
    with pytest.raises(ConfigurationError, match=r"gone.sig is missing: sign the bundle first"):
        push_bundle(tiny_bundle[0], "hf://owner/mine", signature=tmp_path / "gone.sig")
    shutil.copytree(tiny_bundle[0], tmp_path / "damaged")
    (tmp_path / "damaged" / "README.md").write_text("more")
    with pytest.raises(BundleError, match="was changed after it was sealed"):
        push_bundle(tmp_path / "damaged", "hf://owner/mine")


def write_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a new private key and its public one, and return where."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def test_a_signature_tells_who_made_which_bundle(tiny_bundle: tuple[Path, Verification], tmp_path: Path) -> None:
    pytest.importorskip("model_signing")
    folder, signature = tiny_bundle[0], tmp_path / "mine.sig"
    private, public = write_keys(tmp_path, "mine")
    sign_bundle(folder, private, signature)
    check_signature(folder, signature, public)
    with pytest.raises(BundleError, match="by another key"):
        check_signature(folder, signature, write_keys(tmp_path, "theirs")[1])
    # Whoever changes a file can seal the folder again, and cannot sign it again.
    from carina.storage.seal import write_seal

    shutil.copytree(folder, tmp_path / "changed")
    (tmp_path / "changed" / "README.md").write_text("# Better\n")
    (tmp_path / "changed" / "SHA256SUMS").unlink()
    write_seal(tmp_path / "changed")
    with pytest.raises(BundleError, match="it is of other files"):
        check_signature(tmp_path / "changed", signature, public)
    with pytest.raises(ConfigurationError, match=r"theirs.pub is no private key on an elliptic curve"):
        sign_bundle(folder, tmp_path / "theirs.pub", tmp_path / "new.sig")
    with pytest.raises(ConfigurationError, match=r"mine.pem is no public key"):
        check_signature(folder, signature, private)
    with pytest.raises(ConfigurationError, match=r"gone.sig is missing"):
        check_signature(folder, tmp_path / "gone.sig", public)


def test_a_signature_does_not_lie_in_the_bundle(tiny_bundle: tuple[Path, Verification], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Write the signature beside it"):
        sign_bundle(tiny_bundle[0], tmp_path / "key.pem", tiny_bundle[0] / "mine.sig")
