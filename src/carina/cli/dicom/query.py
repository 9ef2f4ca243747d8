"""``carina dicom query``: radiographs of a day are found in an archive, fetched and judged."""

import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carina import __version__
from carina.bundle import open_named_model, released_bundle
from carina.cli.console import print_note, print_result
from carina.cli.dicom.listen import judge_factory
from carina.cli.dicom.peers import CA, CERTIFICATE, KEY, require_network, tls_of
from carina.cli.model_options import BundleOption
from carina.errors import ConfigurationError

if TYPE_CHECKING:
    from carina.dicom.network.query import Archive, Fetched
    from carina.dicom.network.settings import ClientTls

_OBJECT_BYTES = 128_000_000
_JUDGING_S = 120.0
# Refusals with which nothing is wrong.
_NO_FAILURE = frozenset({"not-assessable", "no-kind-fits", "own-answer"})


def query_command(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for objects and answers.")],
    source: Annotated[str | None, typer.Option("--from", metavar="HOST:PORT", help="Archive to ask by C-FIND.")] = None,
    called: Annotated[str, typer.Option("--called", metavar="AET", help="AE title of the archive.")] = "ANY-SCP",
    aet: Annotated[str, typer.Option("--aet", help="Carina's own AE title.")] = "CARINA",
    web: Annotated[
        str | None, typer.Option("--dicomweb", metavar="URL", help="DICOMweb server to ask by QIDO-RS.")
    ] = None,
    dates: Annotated[
        str,
        typer.Option("--date", help="Dates of the studies, such as 20260102, 20260101-20260131, today or yesterday."),
    ] = "today",
    modality: Annotated[str, typer.Option("--modality", help="Modalities of the series, comma-separated.")] = "CR,DX",
    move: Annotated[
        str | None,
        typer.Option(
            "--move",
            metavar="ADDRESS:PORT",
            help="Fetch by C-MOVE and receive at this address. Default: fetch by C-GET.",
        ),
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Use TLS. A URL with https uses it by itself.")] = False,
    ca: CA = None,
    certificate: CERTIFICATE = None,
    key: KEY = None,
    bundle: BundleOption = None,
    kinds: Annotated[
        str,
        typer.Option(
            "--kinds",
            help="Answers to write, comma-separated: sr (report), sc (picture), pr (marks).",
        ),
    ] = "sr,sc",
    fetch_only: Annotated[bool, typer.Option("--fetch-only", help="Only fetch; judge nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Find radiographs in an archive, fetch and judge them.

    They are found by date and modality. The exit code is 1 if one could not be fetched or judged.
    """
    require_network("query")
    from carina.dicom.network.judging import JudgeProcess  # noqa: PLC0415  # the network's libraries
    from carina.dicom.network.log import quiet_libraries  # noqa: PLC0415
    from carina.dicom.network.query import Wanted, dates_of, modalities_of, query  # noqa: PLC0415
    from carina.dicom.network.store import ObjectStore  # noqa: PLC0415

    wanted = Wanted(dates_of(dates), modalities_of(modality))
    secured = tls_of(tls=tls, ca=ca, certificate=certificate, key=key)
    counts: Counter[str] = Counter()
    failed = 0

    def missing(count: int) -> None:
        counts["not given"] += count

    with quiet_libraries(), ExitStack() as stack:
        archive = _archive(stack, source, web, called=called, calling=aet, move=move, tls=secured)
        store = ObjectStore(out)
        judge, judged_by = None, ""
        if not fetch_only:
            judge = JudgeProcess(judge_factory(bundle, kinds.split(",")), _JUDGING_S)
            judged_by = _identity(bundle, kinds)
            judge.start()
            stack.callback(judge.stop)
        for fetched in query(archive, wanted, store, judge, judged_by=judged_by, missing=missing):
            counts[fetched.state] += 1
            failed += fetched.state == "failed" or (fetched.state == "refused" and fetched.code not in _NO_FAILURE)
            _print(fetched, as_json=as_json)
    if not as_json:
        said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        print_note(f"{wanted.dates}, {' or '.join(wanted.modalities)}: {said or 'nothing'}.")
    if failed or counts["not given"]:
        raise typer.Exit(1)


def _identity(bundle: Path | None, kinds: str) -> str:
    """Return what makes other answers to the same object.

    Raises
    ------
    BundleError
        If there is no bundle, or it was altered.
    """
    sha256 = open_named_model(bundle or released_bundle())[1]
    return " ".join([__version__, sha256, *sorted(kind.strip() for kind in kinds.split(","))])


def _archive(
    stack: ExitStack,
    source: str | None,
    web: str | None,
    *,
    called: str,
    calling: str,
    move: str | None,
    tls: "ClientTls | None",
) -> "Archive":
    from carina.dicom.network.settings import ServerTls, peer_at, web_at  # noqa: PLC0415

    if (source is None) == (web is None):
        msg = "Say where to look: one of --from HOST:PORT and --dicomweb URL."
        raise ConfigurationError(msg)
    if web is not None:
        if move is not None:
            msg = "--move goes with --from; a DICOMweb server gives what it is asked for."
            raise ConfigurationError(msg)
        from carina.dicom.network.dicomweb import WebArchive  # noqa: PLC0415

        return WebArchive(web_at(web, tls), _OBJECT_BYTES)
    from carina.dicom.network.find_scu import DicomArchive  # noqa: PLC0415

    peer = peer_at(source or "", called=called, calling=calling, tls=tls)
    if move is None:
        return DicomArchive(peer, _OBJECT_BYTES)
    here, own = peer_at(move), None
    if tls is not None:
        if tls.certificate is None or tls.key is None:
            msg = "--move with TLS needs --cert and --key: the archive connects to Carina then."
            raise ConfigurationError(msg)
        own = ServerTls(certificate=tls.certificate, key=tls.key, client_ca=tls.ca)
    archive = DicomArchive(peer, _OBJECT_BYTES, by="move", bind=here.host, port=here.port, tls=own)
    stack.callback(archive.close)
    return archive


def _print(fetched: "Fetched", *, as_json: bool) -> None:
    answers = [str(path) for path in fetched.answers]
    if as_json:
        row: dict[str, object] = {"path": str(fetched.path), "state": fetched.state, "answers": answers}
        if fetched.code is not None:
            row["error"] = {"code": fetched.code, "message": fetched.reason or fetched.code}
        print_result(json.dumps(row))
        return
    print_result(f"{fetched.state:<8}  {fetched.path}")
    for answer in answers:
        print_result(f"          {answer}")
    if fetched.code is not None:
        print_result(f"          {fetched.reason or fetched.code}")
