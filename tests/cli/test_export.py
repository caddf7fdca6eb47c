"""Unpacking an export: plain files below the folder, or nothing. The server, or whoever answers for it, is not trusted."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from weighthouse.cli.audit import _unpack
from weighthouse.core.errors import Invalid


def archive(*members: tarfile.TarInfo) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return packed.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 3, to: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname = kind, size, to
    return made


def test_plain_files_are_written_where_they_belong(tmp_path: Path) -> None:
    _unpack(archive(member("./checkpoint"), member("./tile/entries/000.p/7")), tmp_path / "log")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"log/checkpoint", "log/tile/entries/000.p/7"}


@pytest.mark.parametrize(
    "bad",
    [
        member("../evil"),
        member("tile/../../evil"),
        member("/evil"),
        member("evil\nname"),
        member("evil\\name"),
        member("link", tarfile.SYMTYPE, 0, "/etc/passwd"),
        member("link", tarfile.LNKTYPE, 0, "checkpoint"),
        member("device", tarfile.CHRTYPE, 0),
        member("fifo", tarfile.FIFOTYPE, 0),
    ],
    ids=lambda one: f"{one.name!r} {one.type!r}",
)
def test_one_bad_member_refuses_the_whole(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    with pytest.raises(Invalid) as refused:
        _unpack(archive(member("checkpoint"), bad), tmp_path / "log")
    assert refused.value.code == "cli.bad_export"
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("bad", [b"", b"no archive", archive(member("a", size=5000))[:3000]])
def test_what_is_no_archive_is_refused(tmp_path: Path, bad: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        _unpack(bad, tmp_path / "log")
    assert refused.value.code == "cli.bad_export"
