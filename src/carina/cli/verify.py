"""``carina verify``: whether a bundle is whole, and gives here what it must."""

import json
from pathlib import Path
from typing import Annotated

from carina.bundles.signing import check_signature
from carina.bundles.verification import verify_bundle
from carina.cli.console import print_result
from carina.cli.export import print_bundle
from carina.cli.options import BackendOption, PrecisionOption, ThreadsOption, argument, option, switch
from carina.errors import ConfigurationError

_SIGNED = "Who made it"

EXAMPLE = "verify bundles/mine"


def verify_command(
    bundle: Annotated[Path, argument("BUNDLE", "A bundle folder.")],
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    signature: Annotated[
        Path | None, option("FILE", "Also check this signature, which carina sign wrote. Needs --key.", panel=_SIGNED)
    ] = None,
    key: Annotated[Path | None, option("FILE", "Public key of the signer, PEM.", panel=_SIGNED)] = None,
    as_json: Annotated[bool, switch("Print the result as JSON.", "--json")] = False,
) -> None:
    """Check that a bundle is whole and works on this machine.

    Every byte is compared with the seal. The golden examples must give the same results here: by default on every
    engine that is installed, in every precision that the processor and the bundle have.

    The seal shows damage. Only a signature shows who made the bundle.
    """
    if (signature is None) != (key is None):
        msg = "--signature and --key belong together: give both, or none."
        raise ConfigurationError(msg)
    if signature is not None and key is not None:
        check_signature(bundle, signature, key)
    verification = verify_bundle(bundle, backend=backend, precision=precision, threads=threads)
    if as_json:
        print_result(json.dumps(verification.to_json(), ensure_ascii=False))
    else:
        print_bundle(bundle, verification)
        if signature is not None:
            print_result(f"The signature {signature} is by the key {key}.")
