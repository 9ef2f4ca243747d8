"""A DICOMweb server is searched by QIDO-RS until nothing new comes (PS3.18 8.3.4, 10.6).

Servers cap a page at what they like, refuse a page that is larger than they like, ignore `offset`, give one result
on two pages, and say in a warning, if at all, that there is more. dicomweb-client returns no headers and no status.
"""

import json
import re
from dataclasses import dataclass

import requests

from carina.dicom.transport.settings import Web
from carina.dicom.transport.web import TIMEOUT, Row, is_web_page, page_for_people, read_answer, refusal
from carina.errors import PeerError

# Azure's DICOM service refuses more.
PAGE = 200
# A server that makes up new results for ever is not asked for ever.
_MOST = 100_000
_LONGEST_PAGE = 64_000_000
# Source: RFC 7234 5.5; PS3.18 8.3.4.4: that results remain is said by a warning of code 299.
_MORE = re.compile(r"(^|,)\s*299\b")


@dataclass(frozen=True, slots=True)
class SearchResults:
    """What a search gave: each result once, and why there may be more; no doubt where these are all."""

    rows: tuple[Row, ...]
    doubt: str | None = None


def search(session: requests.Session, web: Web, path: str, keys: dict[str, str]) -> SearchResults:
    """Return what fits some keys, attributes and what they must be; `path` follows the address: ``series``.

    Raises
    ------
    PeerError
        If the server does not answer as one, or says no, before it named anything.
    requests.RequestException
        If there is no connection, before it named anything.
    """
    url, seen, offset = f"{web.url}/{path}", dict[str, Row](), 0
    warned_before = False
    while len(seen) < _MOST:
        try:
            rows, warned = _read_page(session, web, url, {**keys, "limit": str(PAGE), "offset": str(offset)})
        except (PeerError, requests.RequestException) as error:
            if not offset:
                raise
            doubt = str(error) if isinstance(error, PeerError) else f"{web.url} does not answer any more."
            return SearchResults(tuple(seen.values()), f"The search ended early: {doubt}")
        known = len(seen)
        seen.update((json.dumps(row, sort_keys=True), row) for row in rows)
        if len(seen) == known:
            # A full page that comes again: `offset` is ignored. One that is longer than a page: `limit` is, too.
            repeated = bool(rows) and (warned_before or len(rows) == PAGE)
            doubt = f"{web.url} says that there are more results, or repeats a full page. Ask for fewer days at a time."
            return SearchResults(tuple(seen.values()), doubt if warned or repeated else None)
        offset += len(rows)
        warned_before = warned
    return SearchResults(
        tuple(seen.values()), f"{web.url} named more than {_MOST:,} results. Ask for fewer days at a time."
    )


def _read_page(session: requests.Session, web: Web, url: str, keys: dict[str, str]) -> tuple[list[Row], bool]:
    """Return the results of a page, and whether the server says that there are more."""
    with session.get(
        url,
        params=keys,
        headers={"Accept": "application/dicom+json"},
        timeout=TIMEOUT,
        allow_redirects=False,
        stream=True,
    ) as answer:
        later = keys["offset"] != "0"
        # Some say so that there is nothing behind the last page.
        if answer.status_code == 204 or (later and answer.status_code == 404):
            return [], False
        if answer.status_code not in (200, 206):
            raise refusal(web, answer.status_code)
        content = read_answer(answer, _LONGEST_PAGE)
        kind = answer.headers.get("Content-Type", "")
        if is_web_page(kind, content):
            raise page_for_people(web)
        warned = answer.status_code == 206 or bool(_MORE.search(answer.headers.get("Warning", "")))
    rows = _parse(content)
    if rows is None:
        msg = (
            f"{web.url} gave an answer that is not understood: {len(content):,} bytes that are no list in JSON. Check "
            "its address."
        )
        raise PeerError(msg)
    return rows, warned


def _parse(content: bytes) -> list[Row] | None:
    """Return the results in an answer; none where it is not understood."""
    if not content.strip():
        return []
    try:
        said = json.loads(content)
    except UnicodeDecodeError:
        # JSON is UTF-8, and what is asked for here is ASCII; names in another encoding are of no concern.
        try:
            said = json.loads(content.decode("latin-1"))
        except ValueError:
            return None
    except ValueError:
        return None
    if not isinstance(said, list | dict):
        return None
    # What is no result stays one without attributes, so that it is told.
    return [row if isinstance(row, dict) else {} for row in (said if isinstance(said, list) else [said])]
