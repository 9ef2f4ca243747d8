"""ZIP archives: what they hold is read, and what they claim is not believed."""

import io
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest

from carina.errors import InputError
from carina.radiographs import archive as archive_module
from carina.radiographs import read
from carina.radiographs.archive import BadMember, Member, list_archive

CONTENT = bytes(range(256)) * 40


def packed(path: Path, *files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return path


def refusal(path: Path) -> InputError:
    with pytest.raises(InputError) as refused:
        list_archive(path)
    assert path.name not in str(refused.value)
    return refused.value


def only(path: Path) -> Member:
    (member,) = list_archive(path)
    assert isinstance(member, Member)
    return member


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_is_packed_is_read(tmp_path: Path, method: int) -> None:
    path = packed(tmp_path / "a.zip", ("study/", b""), ("study/1", CONTENT), ("__MACOSX/._1", b"x"), method=method)
    # What macOS adds is listed, too: whoever reads the archive tells what was left out.
    member, of_macos = list_archive(path)
    assert of_macos.name == "__MACOSX/._1"
    assert member.name == "study/1"
    assert member.read() == CONTENT
    assert member.head(100) == CONTENT[:100]
    assert member.head(10**9) == CONTENT


def test_an_archive_behind_other_bytes_or_with_64_bit_sizes_is_read(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", ("1", CONTENT))
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    assert only(path).read() == CONTENT
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive, archive.open("1", "w", force_zip64=True) as stream:
        stream.write(CONTENT)
    assert only(tmp_path / "b.zip").read() == CONTENT


def test_a_stream_of_unknown_length_is_read(tmp_path: Path) -> None:
    """Sizes then stand behind the bytes, and in the list."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: object) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1", CONTENT)
    (tmp_path / "a.zip").write_bytes(pipe.getvalue())
    assert only(tmp_path / "a.zip").read() == CONTENT


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/x", "//server/x", "C:/x", "..\\x", "a\\..\\..\\x", "\\x", "a//x", "x\0.png"]
)
def test_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    placeholder = "Q" * len(name)
    path = packed(tmp_path / "a.zip", ("first", b"1"), (placeholder, CONTENT))
    path.write_bytes(path.read_bytes().replace(placeholder.encode(), name.encode()))
    first, second = list_archive(path)
    assert isinstance(first, Member)
    assert isinstance(second, BadMember)
    assert (second.number, second.error.code) == (2, "unsafe-path")
    assert name not in str(second.error)
    assert list(tmp_path.iterdir()) == [path]


def test_links_and_rare_methods(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("rare", CONTENT, zipfile.ZIP_LZMA)
    codes = [each.error.code for each in list_archive(path) if isinstance(each, BadMember)]
    assert codes == ["unsafe-path", "unsupported-format"]


def changed_list(path: Path, offset: int, layout: str, value: int) -> Path:
    """The archive with a number in its list of files that is another, in every entry."""
    content = bytearray(path.read_bytes())
    start = content.find(b"PK\1\2")
    while start >= 0:
        struct.pack_into(layout, content, start + offset, value)
        start = content.find(b"PK\1\2", start + 4)
    path.write_bytes(content)
    return path


def test_encrypted_archives(tmp_path: Path) -> None:
    path = changed_list(packed(tmp_path / "a.zip", ("1", CONTENT)), 8, "<H", 1)
    error = refusal(path)
    assert error.code == "unsupported-format"
    assert "encrypted" in str(error)


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "a.zip", *((f"{number:05}", b"") for number in range(30)))
    monkeypatch.setattr(archive_module, "MAX_MEMBERS", 30)
    assert len(list_archive(path)) == 30
    monkeypatch.setattr(archive_module, "MAX_MEMBERS", 29)
    assert refusal(path).code == "too-large"


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is not told")
def test_a_list_that_is_too_long_is_not_even_read(tmp_path: Path) -> None:
    entry = b"PK\1\2" + bytes(24) + struct.pack("<H", 20) + bytes(16) + b"n" * 20
    count = 9 * archive_module.MAX_LIST_BYTES // len(entry)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 7, 7, count * len(entry), 0, 0)
    path = tmp_path / "a.zip"
    path.write_bytes(entry * count + end)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from carina.errors import InputError\n"
        "from carina.radiographs.archive import list_archive\n"
        "def peak():\n"
        "    lines = Path('/proc/self/status').read_text().splitlines()\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM'))\n"
        "before = peak()\n"
        "try:\n"
        "    list_archive(Path(sys.argv[1]))\n"
        "except InputError as error:\n"
        "    print(error.code, peak() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    code, kilobytes = done.stdout.split()
    assert code == "too-large"
    # 37 MB of entries would become several hundred MB of objects.
    assert int(kilobytes) < 12_000


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "a.zip", ("zeros", bytes(3_000_000)), ("form", bytes(1_000_000)))
    zeros, form = list_archive(path)
    assert isinstance(zeros, BadMember)
    assert zeros.error.code == "too-large"
    assert isinstance(form, Member)
    monkeypatch.setattr(archive_module, "MAX_TOTAL_BYTES", 3_999_999)
    assert refusal(path).code == "too-large"
    monkeypatch.setattr(archive_module, "MAX_TOTAL_BYTES", 4_000_000)
    assert len(list_archive(path)) == 2
    monkeypatch.setattr(read, "MAX_FILE_BYTES", 999_999)
    assert all(isinstance(each, BadMember) and each.error.code == "too-large" for each in list_archive(path))


def test_no_more_is_inflated_than_is_listed(tmp_path: Path) -> None:
    """Of a bomb that calls itself small."""
    path = changed_list(packed(tmp_path / "a.zip", ("zeros", bytes(50_000_000))), 24, "<I", 1000)
    member = only(path)
    assert len(member._inflated(10**6)) == 10**6
    with pytest.raises(InputError) as refused:
        member.read()
    assert refused.value.code == "unreadable-file"
    assert len(member.head(5000)) == 1000


def test_files_that_lie_over_each_other(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", *((str(number), CONTENT) for number in range(5)), method=zipfile.ZIP_STORED)
    changed_list(path, 42, "<I", 0)  # where each begins
    changed_list(path, 20, "<I", len(CONTENT) * 2)  # and how long it is
    error = refusal(path)
    assert error.code == "unreadable-file"
    assert "over each other" in str(error)


@pytest.mark.parametrize(("offset", "layout", "value"), [(42, "<I", 2**31), (16, "<I", 5), (24, "<I", 9000)])
def test_a_file_that_is_not_what_is_listed(tmp_path: Path, offset: int, layout: str, value: int) -> None:
    path = changed_list(packed(tmp_path / "a.zip", ("1", CONTENT)), offset, layout, value)
    with pytest.raises(InputError, match=r"damaged within the ZIP archive"):
        only(path).read()


def test_any_damage_is_a_named_error(tmp_path: Path) -> None:
    sound = packed(tmp_path / "a.zip", ("1", CONTENT), ("2", CONTENT)).read_bytes()
    path = tmp_path / "b.zip"
    for place in range(len(sound)):
        for value in {0, 0xFF, sound[place] ^ 1}:
            path.write_bytes(sound[:place] + bytes([value]) + sound[place + 1 :])
            try:
                for each in list_archive(path):
                    if isinstance(each, Member):
                        each.head(512)
                        assert zlib.crc32(each.read()) == each.crc
            except InputError as error:
                assert str(error).isprintable()  # noqa: PT017  # either way is right
    for length in range(0, len(sound), 7):
        path.write_bytes(sound[:length])
        assert refusal(path).code == "unreadable-file"


def test_what_is_no_archive_or_gone(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\3\4")
    assert refusal(tmp_path / "a.zip").code == "unreadable-file"
    path = packed(tmp_path / "b.zip", ("1", CONTENT), ("empty", b""))
    member, empty = list_archive(path)
    assert isinstance(member, Member)
    assert isinstance(empty, Member)
    with pytest.raises(InputError) as refused:
        empty.read()
    assert refused.value.code == "empty-file"
    path.unlink()
    with pytest.raises(InputError, match=r"damaged within the ZIP archive"):
        member.read()
