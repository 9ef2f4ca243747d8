"""``carina dicom listen``: objects come in over the network, are judged, and their answers go out."""

import sys
from pathlib import Path
from typing import Annotated, Any

from carina.cli.console import print_note
from carina.cli.dicom.peers import NETWORK, destination_of
from carina.cli.options import BundleOption, option, switch
from carina.dicom.answers.answering_judge import judge_factory
from carina.errors import ConfigurationError
from carina.extras import require_libraries


def listen_command(
    config: Annotated[
        Path | None,
        option(
            "FILE",
            "Settings file (TOML). Other options go before it. If it has a destination, --to and --stow are refused.",
        ),
    ] = None,
    folder: Annotated[
        Path | None, option("FOLDER", "Folder for objects, answers and the journal. It must be on a local disk.")
    ] = None,
    allow: Annotated[list[str] | None, option("AET", "AE title that is allowed to connect. Repeatable.")] = None,
    aet: Annotated[str | None, option("AET", "Carina's own AE title. Default: CARINA.")] = None,
    bind: Annotated[str | None, option("ADDRESS", "Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, option("NUMBER", "Port to listen on. Default: 11112.", min=0, max=65_535)] = None,
    to: Annotated[str | None, option("HOST:PORT", "Send answers to this archive by C-STORE.")] = None,
    called: Annotated[str | None, option("AET", "AE title of the archive that answers are sent to.")] = None,
    stow: Annotated[str | None, option("URL", "Send answers to this DICOMweb server by STOW-RS.")] = None,
    bundle: BundleOption = None,
    as_json: Annotated[bool, switch("Print events as JSON, one object per line.", "--json")] = False,
) -> None:
    """Receive radiographs over the network and answer them.

    They come by C-STORE, until SIGTERM or Ctrl-C. Nothing that was accepted is lost.
    """
    require_libraries("carina dicom listen", *NETWORK)
    from carina.dicom.listener.listener import listen  # noqa: PLC0415  # the network's libraries
    from carina.dicom.transport.log import EventLog  # noqa: PLC0415
    from carina.dicom.transport.settings import listen_settings, read_toml  # noqa: PLC0415

    values: dict[str, Any] = {} if config is None else read_toml(config)
    typed = {"folder": folder, "allow": allow, "aet": aet, "bind": bind, "port": port, "bundle": bundle}
    values |= {name: value for name, value in typed.items() if value is not None}
    if to is not None or stow is not None:
        if "destination" in values:
            option = "--stow" if to is None else "--to"
            msg = (
                f"{config} names a destination, and {option} would replace all its settings, such as its TLS. "
                f"Change the address in that file, or leave {option} out."
            )
            raise ConfigurationError(msg)
        values["destination"] = destination_of(to, stow, called=called, calling=str(values.get("aet", "CARINA")))
    elif called is not None:
        msg = "--called goes with --to."
        raise ConfigurationError(msg)
    settings = listen_settings(values)
    if settings.destination is None:
        print_note(f"No --to and no --stow: answers stay in {settings.folder / 'answers'}.")
    if settings.bind not in ("127.0.0.1", "::1", "localhost") and settings.tls is None:
        print_note(f"Listening on {settings.bind} without TLS: whoever shares the network can read what is sent.")
    judge = judge_factory(settings.bundle, settings.answers, settings.prevalence)
    listen(settings, judge, EventLog(sys.stdout, as_json=as_json))
