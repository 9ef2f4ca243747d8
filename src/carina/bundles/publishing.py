"""A bundle goes to a hub as it is: its card is the hub's page, and its files hold no code."""

import os
from pathlib import Path

from carina.bundles.bundle import open_bundle
from carina.bundles.hub_address import hub_repository
from carina.bundles.run_folder import KERAS_FILE
from carina.bundles.safety import require_without_code
from carina.errors import BundleError, ConfigurationError
from carina.extras import needed_for

SIGNATURE_FILE = "model.sig"


def push_bundle(folder: Path, address: str, *, signature: Path | None = None, private: bool = False) -> str:
    """Upload a bundle to a hub, and return the address with commit and hash by which it is fetched.

    Parameters
    ----------
    folder
        The bundle; every byte is checked first.
    address
        ``hf://owner/name@revision``; the repository is made if there is none. ``HF_ENDPOINT`` and ``HF_TOKEN`` name
        another hub and hold the access token.
    signature
        Of the bundle, to lie beside it as ``model.sig``.
    private
        Whether a repository that has to be made is for its owner alone.

    Raises
    ------
    BundleError
        If it is not as it was sealed, or the hub does not take it.
    ConfigurationError
        If the address is not one of a hub, the signature is missing, or the extra is not installed.
    """
    repository, revision = hub_repository(address)
    _, seal = open_bundle(folder)
    require_without_code(folder / KERAS_FILE)
    if signature is not None and not signature.is_file():
        msg = f"{signature} is missing: sign the bundle first (carina sign)."
        raise ConfigurationError(msg)
    with needed_for("carina push"):
        from huggingface_hub import CommitOperationAdd, HfApi  # noqa: PLC0415  # a second to import, and of an extra
    sent = {path.name: path for path in sorted(folder.iterdir())}
    if signature is not None:
        sent[SIGNATURE_FILE] = signature
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.create_commit(
            repository,
            [CommitOperationAdd(path_in_repo=name, path_or_fileobj=path) for name, path in sent.items()],
            commit_message=f"Carina bundle with the seal {seal.sha256}",
            revision=revision,
        )
    except (OSError, ValueError) as error:  # the library's errors are of both kinds; a text may hold the token's name
        status = getattr(getattr(error, "response", None), "status_code", None)
        reason = f"it answered {status}" if status else type(error).__name__
        msg = f"{address} did not take the bundle ({reason}). Check the address, the connection and HF_TOKEN."
        raise BundleError(msg) from None
    return f"hf://{repository}@{commit.oid}#sha256={seal.sha256}"
