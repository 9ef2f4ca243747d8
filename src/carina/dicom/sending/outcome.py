"""What became of a file that was sent, its reason in a word, and what that word means for the person who sent it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from carina.dicom.transport.settings import Peer, Web


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file that was sent.

    Attributes
    ----------
    state
        ``taken`` and ``already there``: the other side has it, and said so. ``refused``: it does not want it, and would
        refuse it again. ``try again``: it, or the way to it, failed for a reason that may pass. ``not sent``: the file
        cannot be sent to anybody.
    reason
        Why, in a word or a status; of a file that was taken, what the other side remarked. See `meaning_of`.
    """

    state: Literal["taken", "already there", "refused", "try again", "not sent"]
    reason: str | None = None

    @property
    def sent(self) -> bool:
        """Whether the other side has it."""
        return self.state in ("taken", "already there")

    @property
    def lasting(self) -> bool:
        """Whether the same would happen again."""
        return self.state != "try again"


TAKEN = Outcome("taken")
NOT_DICOM = Outcome("not sent", "not-a-dicom-file")
# Source: PS3.7 C.4.2, duplicate SOP instance.
DUPLICATE = 0x0111
# Of Azure's DICOM service: the instance is there already; somebody else is writing it.
THERE, BEING_WRITTEN = 45070, 45071


def is_passing(status: int) -> bool:
    """Tell whether a status or failure reason of DICOM is one of the moment; the others judge the object.

    Source: PS3.7 C: 0xA7xx is a lack of resources, 0x0110 a failure while processing, 0x0213 a limit of resources.
    """
    return 0xA700 <= status <= 0xA7FF or status in (0x0110, 0x0213)


def not_read(error: OSError) -> Outcome:
    """Return what became of a file that cannot be read."""
    kinds = {FileNotFoundError: "not-found", PermissionError: "permission-denied"}
    return Outcome("not sent", kinds.get(type(error), "unreadable-file"))


def name_of(other: Peer | Web) -> str:
    """Return how a message names the other side."""
    return other.url if isinstance(other, Web) else f"{other.called} at {other.host}:{other.port}"


def meaning_of(reason: str, other: Peer | Web) -> str:
    """Return in sentences what the reason of an `Outcome` means and what can be done; `other` is who got the file."""
    there = name_of(other)
    if reason.startswith("http-"):
        from carina.dicom.transport.web import refusal  # noqa: PLC0415  # one of two libraries is needed

        return str(refusal(other, int(reason.removeprefix("http-")))) if isinstance(other, Web) else ""
    kind, _, number = reason.partition("-0x")
    if number:
        return f"{there} {_meaning_of_status(int(number, 16), is_warning=kind == 'warning')}"
    titles = {"called": other.called, "calling": other.calling} if isinstance(other, Peer) else {}
    return _MEANINGS[reason].format(there=there, **titles)


def _meaning_of_status(status: int, *, is_warning: bool) -> str:
    if status in _STATUSES:
        return _STATUSES[status]
    if is_warning:
        return "stored the file with a warning. Its documentation says what this status means."
    return next(
        (said for first, last, said in _RANGES if first <= status <= last),
        "refuses the file with a status that the DICOM standard does not know. Look into its log.",
    )


_MEANINGS: Mapping[str, str] = {
    "no-connection": "There is no connection to {there}. Check the address and the port, that the archive runs, "
    "and whether it wants TLS.",
    "no-answer": "{there} did not answer in time. Try again later, and look into its log.",
    "connection-lost": "{there} ended the connection before it had answered. Try again, and look into its log.",
    "tls-failed": "{there} and Carina cannot agree on TLS. Check --ca, --cert and --key, and that the certificate "
    "of the server holds the name that you typed.",
    "peer-is-busy": "{there} takes no more connections now. Try again later.",
    "calling-title-not-recognised": "{there} does not know the AE title {calling}. Have {calling} made known "
    "there, or give a title that it knows with --aet.",
    "called-title-not-recognised": "The archive at this address does not have the AE title {called}. Give its own "
    "AE title with --called.",
    "application-context-not-supported": "{there} does not use the DICOM protocol as Carina does. Check that this "
    "is the DICOM port of the archive.",
    "association-rejected": "{there} rejects the connection and does not say why. Check --called and --aet, and "
    "look into its log.",
    "no-kind-of-object-accepted": "{there} accepts none of the kinds of object (SOP class and transfer syntax) "
    "that were offered. Have them enabled there.",
    "kind-of-object-not-accepted": "{there} does not accept this kind of object (SOP class or transfer syntax). "
    "Have it enabled there, or store the file in another transfer syntax.",
    "not-a-dicom-file": "The file is not a DICOM file, or is damaged. Archives take DICOM files only.",
    "not-found": "There is no such file, or it is a link whose target is gone. Check the path.",
    "permission-denied": "This user may not read the file. Ask its owner for read permission.",
    "unreadable-file": "The file cannot be read. Check the disk, and copy the file again from where it came from.",
    "web-page-instead-of-answer": "{there} answers with a web page and not with data. Somebody may have to sign "
    "in: check the address, the password in ~/.netrc, and whether the token has expired.",
    "answer-says-nothing": "{there} answers with a success and does not say what became of the file, so it may "
    "not be stored. If the server never says so, send by C-STORE (--to).",
    "answer-not-understood": "{there} gives an answer that is not DICOMweb, so the file may not be stored. Check "
    "the address, and whether a proxy answers.",
    "under-another-uid": "{there} stored the file under another SOP Instance UID. Search for it there by patient "
    "or study.",
}
# Source: PS3.7 C, PS3.4 table B.2-1, PS3.18 10.5.3; Azure's documentation of its DICOM service.
_STATUSES: Mapping[int, str] = {
    0x0110: "failed while it stored the file. Try again later, and look into its log.",
    DUPLICATE: "has an object with this SOP Instance UID already, and keeps the one it has.",
    0x0117: "says that a UID in the file is not valid. Correct it where the file was made.",
    0x0122: "does not take this kind of object (SOP class). Have it enabled there.",
    0x0124: "does not allow Carina to store files. Ask whoever runs it for permission.",
    0x0213: "has reached a limit of its resources. Try again later.",
    0xB000: "stored the file, and changed some of its values.",
    0xB006: "stored the file, and left some of its values out.",
    0xB007: "stored the file, and says that its content does not fit its kind (SOP class).",
    0xC122: "does not take the transfer syntax of the file. Have it enabled there, or store the file in another.",
    THERE: "has an object with this SOP Instance UID already, and keeps the one it has.",
    BEING_WRITTEN: "is just storing this file for somebody else. Try again later.",
}
_RANGES = (
    (0xA700, 0xA7FF, "is out of resources, for example of disk space. Try again later, or tell whoever runs it."),
    (0xA900, 0xA9FF, "says that the content of the file does not fit its kind (SOP class). Look into its log."),
    (0xC000, 0xCFFF, "cannot understand the file. Look into its log for what it misses."),
    (0x0100, 0x02FF, "cannot carry out the request. Look into its log."),
)
