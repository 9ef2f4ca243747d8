"""``carina sign``: a signature says who made a bundle."""

from pathlib import Path
from typing import Annotated

from carina.bundles.signing import sign_bundle
from carina.cli.console import print_result
from carina.cli.options import argument, option

EXAMPLE = "sign bundles/mine --key key.pem --out mine.sig"


def sign_command(
    bundle: Annotated[Path, argument("BUNDLE", "A bundle folder.")],
    key: Annotated[Path, option("FILE", "Your private key on an elliptic curve, PEM.")],
    out: Annotated[Path, option("FILE", "Signature to write, outside of the bundle; it must not exist.")],
) -> None:
    """Sign a bundle, so that others can check who made it.

    It needs the extra hub. The bundle does not change.
    """
    sign_bundle(bundle, key, out)
    print_result(f"{out}: signature of {bundle}.")
    print_result(f"Next: carina verify {bundle} --signature {out} --key YOUR-PUBLIC-KEY.pem")
