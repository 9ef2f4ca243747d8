"""``carina dicom query``: radiographs of a day are found in an archive, fetched and judged."""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carina._version import __version__
from carina.bundles.bundle import open_named_model, released_bundle
from carina.cli.console import print_note, print_result
from carina.cli.dicom.listen import judge_factory
from carina.cli.dicom.peers import CA, CERTIFICATE, KEY, require_network, tls_of
from carina.cli.model_options import BundleOption
from carina.errors import ConfigurationError
from carina.storage.atomic import whole_file

if TYPE_CHECKING:
    from carina.dicom.fetching.query import Archive, Fetched, Found, Missing
    from carina.dicom.fetching.wanted import Wanted
    from carina.dicom.transport.settings import ClientTls

_OBJECT_BYTES = 128_000_000
_JUDGING_S = 120.0
# What was found and not received, one JSON object a line, with the UIDs that no screen shows.
NOT_RECEIVED = "not_received.jsonl"
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

    They are found by date and modality. What the archive found is compared with what arrived. Each object that is
    missing gets a line of its own, and not_received.jsonl in the folder holds its UIDs. The exit code is 1 if anything
    is missing or could not be judged.
    """
    require_network("query")
    from carina.dicom.fetching.query import Missing, query  # noqa: PLC0415
    from carina.dicom.fetching.wanted import Wanted, dates_of, modalities_of  # noqa: PLC0415
    from carina.dicom.listener.judging import JudgeProcess  # noqa: PLC0415  # the network's libraries
    from carina.dicom.listener.store import ObjectStore  # noqa: PLC0415
    from carina.dicom.transport.log import quiet_libraries  # noqa: PLC0415

    wanted = Wanted(dates_of(dates), modalities_of(modality))
    secured = tls_of(tls=tls, ca=ca, certificate=certificate, key=key)
    counts: Counter[str] = Counter()
    missing: list[Missing] = []
    failed = 0
    with quiet_libraries(), ExitStack() as stack:
        archive = _archive(stack, source, web, called=called, calling=aet, move=move, tls=secured)
        store = ObjectStore(out)
        judge, judged_by = None, ""
        if not fetch_only:
            judge = JudgeProcess(judge_factory(bundle, kinds.split(",")), _JUDGING_S)
            judged_by = _identity(bundle, kinds)
            judge.start()
            stack.callback(judge.stop)
        found = archive.find(wanted)
        stack.callback(lambda: _list(out / NOT_RECEIVED, missing))
        for row in query(archive, found, store, judge, judged_by=judged_by):
            if isinstance(row, Missing):
                missing.append(row)
            else:
                counts[row.state] += 1
                failed += row.state == "failed" or (row.state == "refused" and row.code not in _NO_FAILURE)
            _print(row, as_json=as_json)
    _tell(wanted, found, counts, missing, out)
    if failed or missing:
        raise typer.Exit(1)


def _tell(wanted: "Wanted", found: "Found", counts: "Counter[str]", missing: "Sequence[Missing]", out: Path) -> None:
    """Say in the end how much was found, and what was left out or is not sure."""
    images = ", ".join(f"{count} {state}" for state, count in counts.items()) or "no image"
    print_note(f"{wanted.dates}, {' or '.join(wanted.modalities)}: {_series(len(found.series))} found; {images}.")
    if missing:
        print_note(f"Not everything was received (see the lines that say missing). UIDs: {out / NOT_RECEIVED}.")
    if found.unfit:
        print_note(f"Left out: {_series(found.unfit)} of another date or modality, which the archive named as well.")
    if unsure := sum(series.images is None for series in found.series):
        print_note(f"How many images {_series(unsure)} should have is not known: what came counts as all.")


def _series(count: int) -> str:
    # One word for one and for many.
    return f"{count} series"


def _list(path: Path, missing: "Sequence[Missing]") -> None:
    """Write what is missing into a file that its owner alone may read, or delete the file of an earlier query."""
    if not missing:
        path.unlink(missing_ok=True)
        return
    with whole_file(path) as temporary:
        temporary.chmod(0o600)
        temporary.write_text("".join(json.dumps(asdict(row)) + "\n" for row in missing), encoding="utf-8")


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
    from carina.dicom.transport.settings import ServerTls, peer_at, web_at  # noqa: PLC0415

    if (source is None) == (web is None):
        msg = "Say where to look: one of --from HOST:PORT and --dicomweb URL."
        raise ConfigurationError(msg)
    if web is not None:
        if move is not None:
            msg = "--move goes with --from; a DICOMweb server gives what it is asked for."
            raise ConfigurationError(msg)
        from carina.dicom.fetching.dicomweb import WebArchive  # noqa: PLC0415

        return WebArchive(web_at(web, tls), _OBJECT_BYTES)
    from carina.dicom.fetching.dimse_archive import DimseArchive  # noqa: PLC0415

    peer = peer_at(source or "", called=called, calling=calling, tls=tls)
    if move is None:
        return DimseArchive(peer, _OBJECT_BYTES)
    here, own = peer_at(move), None
    if tls is not None:
        if tls.certificate is None or tls.key is None:
            msg = "--move with TLS needs --cert and --key: the archive connects to Carina then."
            raise ConfigurationError(msg)
        own = ServerTls(certificate=tls.certificate, key=tls.key, client_ca=tls.ca)
    archive = DimseArchive(peer, _OBJECT_BYTES, by="move", bind=here.host, port=here.port, tls=own)
    stack.callback(archive.close)
    return archive


def _print(row: "Fetched | Missing", *, as_json: bool) -> None:
    from carina.dicom.fetching.query import Missing  # noqa: PLC0415

    if isinstance(row, Missing):
        if as_json:
            told = {"path": None, "state": "missing", "expected": row.expected, "received": row.received}
            print_result(json.dumps({**told, "answers": [], "error": {"code": row.code, "message": row.message}}))
        else:
            print_result(f"missing   {row.message}")
        return
    answers = [str(path) for path in row.answers]
    if as_json:
        written: dict[str, object] = {"path": str(row.path), "state": row.state, "answers": answers}
        if row.code is not None:
            written["error"] = {"code": row.code, "message": row.reason or row.code}
        print_result(json.dumps(written))
        return
    print_result(f"{row.state:<8}  {row.path}")
    for answer in answers:
        print_result(f"          {answer}")
    if row.code is not None:
        print_result(f"          {row.reason or row.code}")
