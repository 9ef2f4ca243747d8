"""``carina push``: a bundle goes to a hub."""

from pathlib import Path
from typing import Annotated

from carina.bundles.publishing import push_bundle
from carina.cli.console import print_result
from carina.cli.options import argument, option, switch

EXAMPLE = "push bundles/mine hf://my-hospital/mine"


def push_command(
    bundle: Annotated[Path, argument("BUNDLE", "A bundle folder.")],
    address: Annotated[str, argument("ADDRESS", "hf://OWNER/NAME or hf://OWNER/NAME@BRANCH.")],
    signature: Annotated[Path | None, option("FILE", "Signature that carina sign wrote, to lie beside it.")] = None,
    private: Annotated[
        bool, switch("If the repository has to be made, make one that only its owner sees.", "--private")
    ] = False,
) -> None:
    """Upload a bundle to the Hugging Face Hub.

    It needs the extra hub. HF_TOKEN holds your access token, and HF_ENDPOINT the address of another hub. The files are
    checked first and uploaded as they are. The command prints the address by which others load exactly this bundle.
    """
    print_result(push_bundle(bundle, address, signature=signature, private=private))
