"""``carina verify``: whether a bundle is whole, and gives here what it must."""

import json
from pathlib import Path
from typing import Annotated

from carina.bundles.verification import verify_bundle
from carina.cli.console import print_result
from carina.cli.export import print_bundle
from carina.cli.options import BackendOption, PrecisionOption, ThreadsOption, argument, switch

EXAMPLE = "verify bundles/mine"


def verify_command(
    bundle: Annotated[Path, argument("BUNDLE", "A bundle folder.")],
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    as_json: Annotated[bool, switch("Print the result as JSON.", "--json")] = False,
) -> None:
    """Check that a bundle is whole and works on this machine.

    Every byte is compared with the seal. The golden examples must give the same results here: by default on every
    engine that is installed, in every precision that the processor and the bundle have.
    """
    verification = verify_bundle(bundle, backend=backend, precision=precision, threads=threads)
    if as_json:
        print_result(json.dumps(verification.to_json(), ensure_ascii=False))
    else:
        print_bundle(bundle, verification)
