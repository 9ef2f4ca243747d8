"""A multipart message is read the same however it comes in pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina.dicom.transport.multipart import MultipartError, boundary_of, read_parts

BOUNDARY = b"a+b"


def message(*parts: bytes, head: bytes = b"Content-Type: application/dicom\r\n", preamble: bytes = b"") -> bytes:
    body = b"".join(b"\r\n--" + BOUNDARY + b"\r\n" + head + b"\r\n" + part for part in parts)
    return preamble + body.removeprefix(b"\r\n" if not preamble else b"") + b"\r\n--" + BOUNDARY + b"--\r\n"


def cut(content: bytes, every: int) -> list[bytes]:
    return [content[start : start + every] for start in range(0, len(content), every)]


@given(
    parts=st.lists(st.binary(max_size=60), min_size=1, max_size=4),
    every=st.integers(1, 50),
    head=st.sampled_from([b"", b"Content-Type: application/dicom\r\n", b"A: b\r\nC: d\r\n"]),
    preamble=st.sampled_from([b"", b"To whom it may concern"]),
)
def test_parts_come_out_as_they_went_in(parts: list[bytes], every: int, head: bytes, preamble: bytes) -> None:
    content = message(*parts, head=head, preamble=preamble)
    assert list(read_parts(cut(content, every), BOUNDARY, 100)) == parts


def test_what_looks_like_a_delimiter_is_none() -> None:
    part = b"x\r\n--a+" + b"\r\n-" + b"--a+b" + b"\r\n--A+B--"
    assert list(read_parts(cut(message(part, b"y"), 3), BOUNDARY, 100)) == [part, b"y"]


def test_a_message_begins_with_its_boundary() -> None:
    content = message(b"one")
    for kind in ("", "text/plain", "multipart/related", 'multipart/related; type="application/dicom"'):
        assert boundary_of(kind, content) == BOUNDARY
        assert boundary_of(kind, b"\r\n" + content) == BOUNDARY
    # What the head names goes before.
    assert boundary_of("multipart/related; boundary=x", content) == b"x"
    for nothing in (b"", b"--", b"--\r\n", b"--" + b"x" * 71 + b"\r\n", b"<html>", b"a+b\r\n"):
        with pytest.raises(MultipartError, match="no multipart message"):
            boundary_of("multipart/related", nothing)


@pytest.mark.parametrize("every", [1, 7, 1000])
def test_a_part_that_is_too_long_is_passed_over(every: int) -> None:
    content = message(b"one", b"x" * 500, b"three")
    assert list(read_parts(cut(content, every), BOUNDARY, 100)) == [b"one", None, b"three"]


@given(keep=st.integers(0, 90), every=st.integers(1, 20))
def test_a_message_that_ends_in_the_middle_is_an_error(keep: int, every: int) -> None:
    content = message(b"one", b"two")
    end = content.rindex(b"--a+b") + len(b"--a+b")
    taken = []
    with pytest.raises(MultipartError, match="ends in the middle"):
        taken.extend(read_parts(cut(content[: min(keep, end)], every), BOUNDARY, 100))
    assert taken in ([], [b"one"], [b"one", b"two"])


def test_headers_without_end_are_an_error() -> None:
    for head in (b"A" * 100_000 + b"\r\n", b"A: b\r\n" * 20_000):
        with pytest.raises(MultipartError, match=r"headers without end|a delimiter that is none"):
            list(read_parts(cut(message(b"x", head=head), 1000), BOUNDARY, 100))


def test_boundaries() -> None:
    assert boundary_of('multipart/related; type="application/dicom"; boundary="a b"') == b"a b"
    assert boundary_of("multipart/related;boundary=abc;type=x") == b"abc"
    for wrong in ("", "application/dicom", "multipart/related", 'multipart/related; boundary=""', "text/x; boundary=a"):
        with pytest.raises(MultipartError):
            boundary_of(wrong)
    with pytest.raises(MultipartError):
        boundary_of(f"multipart/related; boundary={'x' * 71}")
