"""A bundle is signed, and a signature is checked: the seal tells what was damaged, a signature tells who made it.

The signature is a file beside the bundle, in the form of OpenSSF's model signing, whose program ``model_signing``
reads it, too: a hash of every file of the folder, signed by an elliptic-curve key.

Source: OpenSSF Model Signing (OMS) specification, version 1.0.
"""

from pathlib import Path

from carina.bundles.bundle import open_bundle
from carina.errors import BundleError, ConfigurationError
from carina.extras import needed_for
from carina.storage.atomic import require_absent, whole_file


def sign_bundle(folder: Path, key: Path, out: Path) -> None:
    """Sign a bundle that is as it was sealed.

    Parameters
    ----------
    folder
        The bundle. Nothing is written into it.
    key
        A private key on an elliptic curve, PEM without a password.
    out
        The signature to write; it must not exist.

    Raises
    ------
    BundleError
        If it is no bundle, or not as it was sealed: what is damaged is not signed.
    ConfigurationError
        If the key cannot be used, the signature exists or lies in the bundle, or the extra is not installed.
    """
    open_bundle(folder)
    require_absent(out, what="signature")
    if out.resolve().parent == folder.resolve():
        msg = f"{out} lies in the bundle, which holds what is sealed and nothing else. Write the signature beside it."
        raise ConfigurationError(msg)
    with needed_for("Signing", "hub"):
        from model_signing import signing  # noqa: PLC0415  # half a second, and of an extra
    try:
        config = signing.Config().use_elliptic_key_signer(private_key=key)
    except (OSError, TypeError, ValueError):
        msg = f"{key} is no private key on an elliptic curve without a password. Make one with: {_MAKE_KEY}"
        raise ConfigurationError(msg) from None
    with whole_file(out) as temporary:
        config.sign(folder, temporary)


def check_signature(folder: Path, signature: Path, key: Path) -> None:
    """Check that a bundle was signed by who has a key.

    Parameters
    ----------
    folder, signature
        The bundle and its signature.
    key
        The signer's public key, PEM. It must come from the signer by another way than the bundle.

    Raises
    ------
    BundleError
        If the signature is of another key or of other files.
    ConfigurationError
        If the key cannot be used, a file is missing, or the extra is not installed.
    """
    with needed_for("Checking a signature", "hub"):
        from model_signing import verifying  # noqa: PLC0415  # as above
    if not signature.is_file():
        msg = f"{signature} is missing: it is the signature that carina sign wrote."
        raise ConfigurationError(msg)
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except (OSError, TypeError, ValueError):
        msg = f"{key} is no public key on an elliptic curve. Ask the signer for it."
        raise ConfigurationError(msg) from None
    try:
        config.verify(folder, signature)
    except Exception:  # noqa: BLE001  # its errors share no base class but Exception
        msg = (
            f"{signature} is no signature of {folder} by {key}: it is of other files or by another key, or it is "
            "damaged. Do not use the bundle before you know why."
        )
        raise BundleError(msg) from None


_MAKE_KEY = "openssl ecparam -name prime256v1 -genkey -noout -out key.pem"
