"""Which findings of a source are one under several spellings, which one is Normal, and which one is flagged."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import combinations

import polars as pl

from carina.datasets.folder_words import names_a_finding
from carina.errors import ConfigurationError
from carina.findings import (
    COVID_19,
    KNOWN_FINDINGS,
    NORMAL,
    canonical_finding,
    finding_key,
    flag_candidates,
    may_be_normal,
    order_findings,
)
from carina.wording import counted

NO_NORMAL = "none"
_KNOWN = frozenset(finding.name for finding in KNOWN_FINDINGS)
_PAIRS_TOLD = 5
_NAMES_TOLD = 4
# Shorter names are near to each other by chance.
_SHORTEST_ALIKE = 5
_ALIKE = 0.88
# "infected" and "uninfected" are nearly the same letters and opposites.
_NEGATIONS = ("no", "non", "not", "un", "in", "a", "ab", "an", "anti", "im")


def unify_spellings(images: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the images with one name for each finding, and a note for each that has several, or is another for Normal.

    Known findings get the name by which Carina knows them. Spellings of another finding that differ only in case,
    spaces, ``_``, ``-`` or Unicode form get the commonest of them.
    """
    count: dict[str, int] = dict(images.group_by("finding").len().iter_rows())
    spellings: dict[str, list[str]] = {}
    for written in sorted(count, key=lambda name: (-count[name], name)):
        spellings.setdefault(finding_key(canonical_finding(written)), []).append(written)
    name_of = {written: canonical_finding(same[0]) for same in spellings.values() for written in same}
    notes = []
    for name in order_findings(name_of.values()):
        # Letters that look the same differ in bytes alone: shown to a person they are one spelling.
        same = [written for written in name_of if name_of[written] == name]
        if len(same) > 1 or (name == NORMAL and finding_key(same[0]) != finding_key(NORMAL)):
            told = ", ".join(f"{_shown(written, same)} ({count[written]})" for written in same)
            notes.append(f"Taken as the finding {name}: {told}.")
    return images.with_columns(pl.col("finding").replace(name_of)), tuple(notes)


def _shown(written: str, same: Sequence[str]) -> str:
    """Return a spelling for a note, with its characters where it looks like another one."""
    looks_like_another = sum(canonical_finding(other) == canonical_finding(written) for other in same) > 1
    if not looks_like_another or written.isascii():
        return repr(written) if written != written.strip() else written
    return ascii(written)


def resolve_finding(name: str, present: Iterable[str]) -> str:
    """Return the finding of a data set that is meant by a name, whatever its spelling; else the name as it is known."""
    known = canonical_finding(name)
    return next((finding for finding in present if finding_key(finding) == finding_key(known)), known)


def name_normal(images: pl.DataFrame, normal: Sequence[str] | None) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the images with the findings that a person calls normal renamed Normal, and a note for each.

    Each finding has one name already. ``normal`` names findings, or is ``none`` where no image is normal.

    Raises
    ------
    ConfigurationError
        If a name is not there, or ``none`` is said beside a name, or of a source that has normal images.
    """
    if normal is None:
        return images, ()
    count: dict[str, int] = dict(images.group_by("finding").len().iter_rows())
    if says_none(normal):
        if len(normal) > 1:
            msg = f"--normal {NO_NORMAL} says that no image is normal, and --normal names a finding, too. Choose one."
            raise ConfigurationError(msg)
        here = next((name for name in count if name == NORMAL or finding_key(name) == NO_NORMAL), None)
        if here is not None:
            instead = f"leave out --normal {NO_NORMAL}" if here == NORMAL else f"say {_option_for(here)} instead"
            msg = (
                f"--normal {NO_NORMAL} says that no image is normal, but there is the finding {here} "
                f"({counted(count[here], 'image')}). If it is normal, {instead}. Otherwise give it another name: "
                f"--rename {shlex.quote(f'{here}=NAME')}"
            )
            raise ConfigurationError(msg)
        return images, ()
    notes = []
    renames = {}
    for name in normal:
        found = resolve_finding(name, count)
        if found not in count:
            msg = f"There is no finding {name!r} to be taken as {NORMAL}. The findings are: {tell_counts(count)}."
            raise ConfigurationError(msg)
        if found != NORMAL:
            renames[found] = NORMAL
            notes.append(f"Taken as {NORMAL}, as you say: {found} ({count[found]}).")
    return images.with_columns(pl.col("finding").replace(renames)), tuple(notes)


def says_none(normal: Sequence[str] | None) -> bool:
    """Return whether a person says that no image is normal."""
    return normal is not None and any(name.strip().casefold() == NO_NORMAL for name in normal)


def choose_flag(
    count: Mapping[str, int],
    *,
    asked: str | None,
    normal: Sequence[str] | None,
    has_normal: bool,
    test_only: bool,
    where: str,
) -> tuple[str | None, str]:
    """Return the finding of a data set that is flagged, or none, and why.

    What is not certain is asked, not guessed: which finding is normal, and which of several is flagged. Of a data set
    that is only for tests the model that judges it says what is flagged.

    Parameters
    ----------
    count
        Images of each finding.
    asked, normal
        The finding that a person wants flagged, and those that a person calls normal, or ``none``.
    has_normal
        Whether the source has normal images, even if they are not taken.
    where
        The source, for messages.

    Raises
    ------
    ConfigurationError
        If a person has to say which finding is normal or flagged, or asks for what is not there.
    """
    findings = order_findings(count)
    if test_only:
        if asked is not None:
            msg = "--flag is for a data set to train on. In a test set the model flags what it was trained to flag."
            raise ConfigurationError(msg)
        return None, ""
    if len(findings) > 1 and not has_normal and not says_none(normal):
        msg = f"{where} has no finding that is surely normal. It has: {tell_counts(count)}. {_ask_for_normal(count)}"
        raise ConfigurationError(msg)
    if asked is None and len(findings) == 1:
        return None, ""
    return _flag_of(findings, asked, count, where, said_normal=normal is not None)


def tell_flag(
    flag: str | None, why: str, count: Mapping[str, int], *, test_only: bool, knows_normal: bool
) -> tuple[str, ...]:
    """Return notes on what is flagged, what is normal, and what may be normal under another name.

    ``flag`` and ``why`` are as from `choose_flag`, ``count`` has the images that could be read, and ``knows_normal``
    is whether the source has normal images, or a person said that it has none.
    """
    findings = order_findings(count)
    if flag is None and not test_only:
        return (f"There is one finding only ({findings[0]}): nothing is flagged.", *_doubts(count))
    if flag is None:
        asks = not knows_normal and any(name not in _KNOWN for name in findings)
        missing = f"No finding here is known to be normal: {tell_counts(count)}. {_ask_for_normal(count)}"
        return (*_doubts(count), *((missing,) if asks else ()))
    others = [name for name in findings if name not in (NORMAL, flag)]
    also = f" Also not normal, and not flagged: {', '.join(others)}." if others else ""
    if strange := [name for name in others if not names_a_finding(name)]:
        also += f" Carina does not know: {', '.join(strange)}. What is not a finding can be left out with --findings."
    normal = f"Normal: {counted(count[NORMAL], 'image')}." if NORMAL in count else "No image is normal."
    return (f"Flagged finding: {flag} ({why}). {normal}{also}", *_doubts(count))


def _flag_of(
    findings: Sequence[str], asked: str | None, count: Mapping[str, int], where: str, *, said_normal: bool
) -> tuple[str, str]:
    """Return the flagged finding and why it is that."""
    if asked is not None:
        flag = resolve_finding(asked, findings)
        if flag not in count:
            msg = f"{where} has no finding {asked!r} to be flagged. It has: {tell_counts(count)}."
            raise ConfigurationError(msg)
        if flag == NORMAL:
            msg = f"--flag {shlex.quote(asked)} names the normal finding. Name the finding that is to be read first."
            raise ConfigurationError(msg)
        return flag, "as you say"
    candidates = flag_candidates(findings)
    if len(candidates) > 1:
        alike = tell_alike({name: count[name] for name in candidates})
        options = " or ".join(f"--flag {shlex.quote(name)}" for name in candidates)
        strange = [name for name in candidates if not names_a_finding(name)]
        known = shlex.quote(",".join(name for name in findings if name not in strange))
        leave = f"Carina does not know: {', '.join(strange)}. To leave that out: --findings {known}."
        words = [
            f"{where} has several findings that could be flagged, which means read first:",
            f"{tell_counts(count, candidates)}.",
            *(f"{said}." for said in alike),
            *((leave,) if 0 < len(strange) < len(candidates) else ()),
            f"Say which one is flagged: {options}.",
        ]
        msg = " ".join(words)
        raise ConfigurationError(msg)
    (flag,) = candidates
    others = [name for name in findings if name != flag]
    doubtful = flag not in _KNOWN and _may_be_normal(flag, others)
    if doubtful or not (names_a_finding(flag) or said_normal):
        may_be = f"it may be another word for {NORMAL}" if doubtful else "Carina does not know this name"
        leave = f" If it is not a finding, leave it out: --findings {shlex.quote(','.join(others))}."
        msg = (
            f"{where}: only {flag} ({counted(count[flag], 'image')}) could be flagged, which means read first, and "
            f"{may_be}. If it is a finding, add: --flag {shlex.quote(flag)}. If it is normal, add: {_option_for(flag)}."
            f"{'' if doubtful else leave}"
        )
        raise ConfigurationError(msg)
    abnormal = [name for name in findings if name != NORMAL]
    if flag == COVID_19 and len(abnormal) > 1:
        return flag, "the default if it is there; --flag names another one"
    return flag, "the only one that is not normal" if len(abnormal) == 1 else "the only one that is named"


def _ask_for_normal(count: Mapping[str, int]) -> str:
    """Return a question for a person, with the words to answer it."""
    likely = [name for name in order_findings(count) if _may_be_normal(name, count)]
    said = [f"If {name} is normal, add: {_option_for(name)}." for name in likely]
    if not likely:
        options = [_option_for(name) for name in order_findings(count)[:_NAMES_TOLD]]
        said = [f"If one of them means that a radiograph is normal, say so: {' or '.join(options)}."]
    return " ".join([*said, f"If no image is normal, add: --normal {NO_NORMAL}."])


def _option_for(name: str) -> str:
    """Return the option that calls a finding normal; ``--normal none`` would say that no image is."""
    if finding_key(name) == NO_NORMAL:
        return f"--rename {shlex.quote(f'{name}={NORMAL}')}"
    return f"--normal {shlex.quote(name)}"


def _doubts(count: Mapping[str, int]) -> tuple[str, ...]:
    """Return a note for each finding beside Normal that may be another word for it."""
    if NORMAL not in count:
        return ()
    return tuple(
        f"{name} ({counted(count[name], 'image')}) is taken as a finding that is not normal. If it is normal, import "
        f"again with {_option_for(name)}."
        for name in order_findings(count)
        if _may_be_normal(name, count)
    )


def _may_be_normal(name: str, findings: Iterable[str]) -> bool:
    """Return whether a finding may be a word for Normal, or Normal misspelt."""
    return may_be_normal(name, [other for other in findings if other != name]) or (
        name not in _KNOWN and _alike(name, NORMAL)
    )


def tell_alike(count: Mapping[str, int]) -> tuple[str, ...]:
    """Return a note for each pair of findings that may be one under two names; they are not merged."""
    pairs = [
        sorted(pair, key=lambda name: (count[name], name))
        for pair in combinations(sorted(name for name in count if name != NORMAL), 2)
        if _alike(*pair)
    ]
    notes = [
        f"{rarer} ({count[rarer]}) and {commoner} ({count[commoner]}) may be one finding under two names. To make "
        f"them one: --rename {shlex.quote(f'{rarer}={commoner}')}"
        for rarer, commoner in pairs[:_PAIRS_TOLD]
    ]
    if len(pairs) > _PAIRS_TOLD:
        notes.append(f"{len(pairs) - _PAIRS_TOLD} more pairs of findings have names that are alike.")
    return tuple(notes)


def _alike(one: str, other: str) -> bool:
    shorter, longer = sorted((finding_key(one), finding_key(other)), key=len)
    if _other_than_letters(shorter) != _other_than_letters(longer):
        return False  # grade 1 and grade 2, TB+ and TB-
    if _abbreviates(one, other) or _abbreviates(other, one):
        return True
    opposite = any(longer == negation + shorter for negation in _NEGATIONS)
    if len(shorter) < _SHORTEST_ALIKE or opposite:
        return False
    if sorted(shorter) == sorted(longer):
        return True  # letters changed places
    matcher = SequenceMatcher(None, shorter, longer, autojunk=False)
    return matcher.real_quick_ratio() >= _ALIKE and matcher.quick_ratio() >= _ALIKE and matcher.ratio() >= _ALIKE


def _other_than_letters(key: str) -> str:
    return "".join(c for c in key if not c.isalpha())


def _abbreviates(short: str, long: str) -> bool:
    """Return whether a name of two to five letters may be short for a longer one.

    It may be the first letters of its words (PE), its beginning (pneu), or consonants of it in their order (TB).
    """
    letters, word = finding_key(short), finding_key(long)
    if not (2 <= len(letters) <= 5 and letters.isalpha() and len(word) >= 2 * len(letters) and letters[0] == word[0]):
        return False
    initials = "".join(part[0] for part in re.split(r"[\W_]+", long.casefold()) if part)
    rest = iter(word)
    consonants = not set(letters) & set("aeiou") and all(letter in rest for letter in letters)
    return letters == initials or (len(letters) >= 3 and word.startswith(letters)) or consonants


def tell_counts(count: Mapping[str, int], names: Iterable[str] | None = None) -> str:
    """Return findings with how many images each has: "COVID-19 (2), Normal (3)"; by default all in their order."""
    return ", ".join(f"{name} ({count[name]})" for name in (order_findings(count) if names is None else names))
