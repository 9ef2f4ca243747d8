"""``carina dicom query``: radiographs of a day are found in an archive, fetched and judged."""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carina._version import __version__
from carina.bundles.bundle import open_named_model, released_bundle
from carina.cli.console import print_note, print_result, running_count
from carina.cli.dicom.peers import CA, CERTIFICATE, KEY, NETWORK, tls_of
from carina.cli.options import BundleOption, KindsOption, option, switch
from carina.cli.predict import INTENDED_USE
from carina.cli.predict_table import PredictTable
from carina.dicom.answers.answering_judge import judge_factory
from carina.errors import ConfigurationError
from carina.extras import require_libraries
from carina.inference.prediction_list import FAILED, PASSED_OVER
from carina.storage.atomic import whole_file

if TYPE_CHECKING:
    from carina.dicom.fetching.query import Archive, Fetched, Found, Missing, Series
    from carina.dicom.fetching.wanted import Wanted
    from carina.dicom.transport.settings import ClientTls

_OBJECT_BYTES = 128_000_000
_JUDGING_S = 120.0
# What was found and not received, one JSON object a line, with the UIDs that no screen shows.
NOT_RECEIVED = "not_received.jsonl"
# Refusals with which nothing is wrong: of images, and of objects that only accompany images.
_NO_FAILURE = frozenset({"not-assessable", "no-kind-fits"})
_BESIDE = frozenset({"own-answer", "companion-object"})


def query_command(
    out: Annotated[Path, option("DIR", "Folder for objects and answers.")],
    source: Annotated[str | None, option("HOST:PORT", "Archive to ask by C-FIND.", "--from")] = None,
    called: Annotated[str | None, option("AET", "AE title of the archive. Default: ANY-SCP.")] = None,
    aet: Annotated[str, option("AET", "Carina's own AE title.")] = "CARINA",
    web: Annotated[str | None, option("URL", "DICOMweb server to ask by QIDO-RS.", "--dicomweb")] = None,
    dates: Annotated[
        str, option("DATES", "Dates of the studies, such as 20260102, 20260101-20260131, today or yesterday.", "--date")
    ] = "today",
    modality: Annotated[str, option("MODALITIES", "Modalities of the series, comma-separated.")] = "CR,DX",
    move: Annotated[
        str | None,
        option(
            "ADDRESS:PORT",
            "Fetch by C-MOVE and receive at this address, which the archive must know as that of --aet. It needs "
            "--called. Default: fetch by C-GET.",
        ),
    ] = None,
    tls: Annotated[bool, switch("Use TLS. A URL with https uses it by itself.", "--tls")] = False,
    ca: CA = None,
    certificate: CERTIFICATE = None,
    key: KEY = None,
    bundle: BundleOption = None,
    kinds: KindsOption = "sr,sc,seg",
    fetch_only: Annotated[bool, switch("Only fetch; judge nothing.", "--fetch-only")] = False,
    as_json: Annotated[bool, switch("Print one JSON object per line.", "--json")] = False,
) -> None:
    """Find radiographs in an archive, fetch and judge them.

    They are found by date and modality, and shown in a table as that of carina predict. What the archive found is
    compared with what arrived. Each object that is missing gets a line of its own, and not_received.jsonl in the folder
    holds its UIDs. The exit code is 1 if anything is missing or could not be judged.
    """
    require_libraries("carina dicom query", *NETWORK)
    from carina.dicom.fetching.query import Missing, query  # noqa: PLC0415
    from carina.dicom.fetching.wanted import Wanted, dates_of, modalities_of  # noqa: PLC0415
    from carina.dicom.listener.judging import JudgeProcess  # noqa: PLC0415  # the network's libraries
    from carina.dicom.listener.store import ObjectStore  # noqa: PLC0415
    from carina.dicom.transport.log import quiet_libraries  # noqa: PLC0415

    wanted = Wanted(dates_of(dates), modalities_of(modality))
    secured = tls_of(tls=tls, ca=ca, certificate=certificate, key=key)
    shown = _Shown(as_json=as_json)
    missing: list[Missing] = []
    with quiet_libraries(), ExitStack() as stack:
        archive = _archive(stack, source, web, called=called, calling=aet, move=move, tls=secured)
        store = ObjectStore(out)
        judge, judged_by = None, ""
        if not fetch_only:
            judge = JudgeProcess(judge_factory(bundle, kinds.split(","), keeps_predictions=True), _JUDGING_S)
            model, sha256 = open_named_model(bundle or released_bundle())
            # Answers of a version that kept no predictions are not taken.
            judged_by = " ".join(
                [__version__, sha256, "predictions", *sorted(kind.strip() for kind in kinds.split(","))]
            )
            if not as_json:
                shown.table = PredictTable(model.policy, None)
            judge.start()
            stack.callback(judge.stop)
        # The file of an earlier query says nothing about this one.
        (out / NOT_RECEIVED).unlink(missing_ok=True)
        found = archive.find(wanted)
        left = dict.fromkeys(found.series)
        stack.callback(lambda: _list(out / NOT_RECEIVED, missing, left))
        # What was judged before the command was broken off is shown, too.
        stack.callback(shown.end)
        tell = stack.enter_context(running_count("received", streamed=not shown.comes_last))
        for row in query(archive, found, store, judge, judged_by=judged_by, finished=left.pop):
            if isinstance(row, Missing):
                missing.append(row)
                shown.add_missing(row)
            else:
                shown.add(row)
            tell(shown.received)
    _tell(wanted, found, shown, missing, out)
    if shown.failed or missing:
        raise typer.Exit(1)


class _Shown:
    """What a query shows of each object: rows as they come, or a table.

    Attributes
    ----------
    table
        Of the images that were judged; none where rows are for a program or nothing is judged.
    received, failed, answers, repeated
        How many objects arrived, how many of them could not be judged, how many answers there are, and how many objects
        have the SOP Instance UID of another one.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.table: PredictTable | None = None
        self._counts: Counter[str] = Counter()
        self.received = self.failed = self.answers = self.repeated = 0

    @property
    def comes_last(self) -> bool:
        """Whether images are shown when all were judged."""
        return self.table is not None and self.table.comes_last

    def add(self, row: "Fetched") -> None:
        """Show an object."""
        self.received += 1
        self.answers += len(row.answers)
        self.repeated += row.repeated
        beside = row.state == "refused" and row.code in _BESIDE
        failed = not beside and (row.state == "failed" or (row.state == "refused" and row.code not in _NO_FAILURE))
        self.failed += failed
        error = None if row.code is None else {"code": row.code, "message": row.reason}
        if self._as_json:
            judged = {**(row.prediction or {}), "path": str(row.path), "state": row.state}
            told = judged | {"answers": [str(path) for path in row.answers]}
            print_result(json.dumps(told if error is None else told | {"error": error}, ensure_ascii=False))
        elif self.table is None:
            print_result(f"{row.state:<8}  {row.path}")
        elif beside:
            self._counts[PASSED_OVER] += 1
        elif row.prediction is not None:
            self._counts[row.prediction["triage"]["priority"]] += 1
            why = row.reason if row.code == "no-kind-fits" else None
            self.table.add_row(row.path, row.prediction, [] if why is None else [f"No answer was written: {why}."])
        elif error is not None:
            self._counts[FAILED] += 1
            self.table.add_row(row.path, {"error": error})

    def add_missing(self, row: "Missing") -> None:
        """Show what did not arrive."""
        if self._as_json:
            told = {"path": None, "state": "missing", "expected": row.expected, "received": row.received}
            print_result(json.dumps({**told, "answers": [], "error": {"code": row.code, "message": row.message}}))
        else:
            print_result(f"missing   {row.message}")

    def end(self) -> None:
        """Show what is left of the table, and what its words mean."""
        if self.table is not None:
            self.table.end(self._counts)


def _tell(wanted: "Wanted", found: "Found", shown: _Shown, missing: "Sequence[Missing]", out: Path) -> None:
    """Say in the end how much was found, and what was left out or is not sure."""
    images = f"{shown.received} image{'s' * (shown.received != 1)} received"
    print_note(f"{wanted.dates}, {' or '.join(wanted.modalities)}: {len(found.series)} series found; {images}.")
    if shown.table is not None:
        if shown.answers:
            print_note(f"Answers: {shown.answers} in {out / 'answers'}; --json names those of each image.")
        print_note(INTENDED_USE)
    if missing:
        print_note(f"Not everything was received (see the lines that say missing). UIDs: {out / NOT_RECEIVED}.")
    if shown.repeated:
        one = shown.repeated == 1
        print_note(
            f"{shown.repeated} of the images {'has' if one else 'have'} the SOP Instance UID of another one in the "
            "series and other contents, such as another transfer syntax. Each is judged."
        )
    if found.unfit:
        print_note(f"Left out: {found.unfit} series of another date or modality, which the archive named as well.")
    if unsure := sum(series.images is None for series in found.series):
        print_note(f"How many images {unsure} series should have is not known: what came counts as all.")


def _list(path: Path, missing: "Sequence[Missing]", left: "Collection[Series]") -> None:
    """Write what is missing, and what was left when the query was broken off, into a file for its owner alone."""
    from carina.dicom.fetching.query import Missing  # noqa: PLC0415  # the network's libraries

    told = {row.series for row in missing}
    untold = [one for one in left if one.series not in told]
    if untold:
        print_note(f"The query was broken off; {len(untold)} series may not be complete. UIDs: {path}.")
    message = "The query was broken off before this series was complete."
    rows = [*missing, *(Missing("not-fetched", message, one.study, one.series, one.images) for one in untold)]
    if not rows:
        return
    with whole_file(path) as temporary:
        temporary.chmod(0o600)
        temporary.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows), encoding="utf-8")


def _archive(
    stack: ExitStack,
    source: str | None,
    web: str | None,
    *,
    called: str | None,
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
        if called is not None:
            msg = "--called goes with --from: a DICOMweb server has no AE title. Leave it out."
            raise ConfigurationError(msg)
        from carina.dicom.fetching.dicomweb import WebArchive  # noqa: PLC0415

        return WebArchive(web_at(web, tls), _OBJECT_BYTES)
    from carina.dicom.fetching.dimse_archive import DimseArchive  # noqa: PLC0415

    named = {} if called is None else {"called": called}
    peer = peer_at(source or "", calling=calling, tls=tls, **named)
    if move is None:
        return DimseArchive(peer, _OBJECT_BYTES)
    here, own = peer_at(move), None
    if called is None:
        msg = (
            f"--move needs --called AET, the AE title of the archive at {source}: by C-MOVE objects are taken from "
            f"that title only. The archive must know {calling} (--aet) by the address {move}."
        )
        raise ConfigurationError(msg)
    if tls is not None:
        if tls.certificate is None or tls.key is None:
            msg = "--move with TLS needs --cert and --key: the archive connects to Carina then."
            raise ConfigurationError(msg)
        own = ServerTls(certificate=tls.certificate, key=tls.key, client_ca=tls.ca)
    archive = DimseArchive(peer, _OBJECT_BYTES, here=(here.host, here.port), tls=own)
    stack.callback(archive.close)
    return archive
