"""Outputs are whole or absent."""

import errno
import os
import stat
from pathlib import Path

import pytest

from pipeline.core.artifacts import sha256_of_folder, write_json, writing_file, writing_folder
from pipeline.core.errors import is_disk_full


def test_a_folder_appears_only_when_the_block_ends_well(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(RuntimeError), writing_folder(target) as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with writing_folder(target) as folder:
        (folder / "whole").write_text("x")
    assert [p.name for p in target.iterdir()] == ["whole"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_rewrite_keeps_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with writing_folder(target) as folder:
        (folder / "old").write_text("x")
    with pytest.raises(RuntimeError), writing_folder(target):
        raise RuntimeError
    assert [p.name for p in target.iterdir()] == ["old"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "stale").write_text("x")
    with writing_folder(tmp_path / "out") as folder:
        (folder / "new").write_text("x")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["new"]


def test_a_file_keeps_its_old_content_when_writing_fails(tmp_path: Path) -> None:
    target = tmp_path / "value.json"
    write_json(target, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(target, {"a": float("nan")})
    with pytest.raises(OSError, match="room"), writing_file(target) as partial:
        partial.write_text("half")
        raise OSError(errno.ENOSPC, "no room")
    assert target.read_text() == '{\n  "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_s_checksum_sees_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = sha256_of_folder(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    second = sha256_of_folder(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({first, second, sha256_of_folder(tmp_path)}) == 3


def test_a_full_disk_is_recognised_through_what_wraps_it() -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("could not save") from error
    except RuntimeError as error:
        assert is_disk_full(error)
    assert is_disk_full(RuntimeError("(sqlite3.OperationalError) database or disk is full"))
    assert is_disk_full(OSError("Not enough free space to write 54880000 bytes after offset 128"))
    assert not is_disk_full(OSError(errno.EACCES, "Permission denied"))


def test_a_file_and_its_new_name_are_on_disk_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, real = [], os.fsync

    def fsync(descriptor: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), (tmp_path / "file").exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with writing_file(tmp_path / "file") as partial:
        partial.write_text("whole")
    assert synced == [(False, False), (True, True)]
