"""Files written whole, by living and dead writers; paths that are none; JSON that is none."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmner import _whole
from llmner.errors import CorpusError, InputError
from llmner.files import (
    beside,
    check_output,
    clear_dead,
    kind_of,
    open_lines,
    parse_json,
    read_json,
    read_text,
    regular_file,
    target_of,
    too_deep,
    whole_file,
)


def write(path: Path, data: bytes, like: Path | None = None) -> None:
    with whole_file(path, like=like) as stream:
        stream.write(data)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


HOLDING = """
import sys, time
from pathlib import Path
from llmner.files import whole_file
with whole_file(Path(sys.argv[1])) as stream:
    stream.write(sys.argv[2].encode())
    stream.flush()
    print("writing", flush=True)
    sys.stdin.readline()
"""


def writer(path: Path, data: str) -> subprocess.Popen[str]:
    """Another process, in the middle of writing a file; a line on its standard input lets it
    end.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(path), data],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGKILL")
@pytest.mark.parametrize("name", ["out.jsonl", "가" * 85])
def test_what_a_killed_writer_left_is_cleared_and_a_living_one_is_left_alone(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    alive, dead = writer(path, "alive"), writer(path, "dead")
    os.kill(dead.pid, signal.SIGKILL)
    dead.communicate()
    # Files that look alike and are none of ours stay.
    for other in (
        f".{name[:10]}.chapter1.part",
        f".{name[:10]}x.0a1b2c3d.llmner-part",
        ".0a1b2c3d.llmner-part",
    ):
        (tmp_path / other).write_text("")
    assert len(names(tmp_path)) == 5
    write(path, b"mine")
    left = [held for held in tmp_path.iterdir() if held.stat().st_size == len("alive")]
    assert len(left) == 1
    assert path.read_bytes() == b"mine"
    alive.communicate("\n")
    assert alive.returncode == 0
    assert path.read_bytes() == b"alive"
    assert len(names(tmp_path)) == 4


def test_many_writers_of_one_file_all_end_well(tmp_path: Path) -> None:
    """Each clears what the dead left while the others make, lock and move their own."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom llmner.files import whole_file\n"
        "for n in range(150):\n    with whole_file(Path(sys.argv[1])) as stream:\n        "
        "stream.write(b'x' * 10)\n"
    )
    path = tmp_path / "out"
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert names(tmp_path) == ["out"]
    assert path.read_bytes() == b"x" * 10


def test_a_file_seen_between_being_made_and_being_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, seen = _whole.locked, []

    def swept(handle: int) -> bool | None:
        if not seen:
            seen.append(names(tmp_path))
            monkeypatch.setattr(_whole, "locked", lock)
            clear_dead(tmp_path / "out")
            assert names(tmp_path) == []
        return lock(handle)

    monkeypatch.setattr(_whole, "locked", swept)
    write(tmp_path / "out", b"x")
    assert len(seen[0]) == 1
    assert names(tmp_path) == ["out"]


def test_without_locks_nothing_is_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / ".out.0a1b2c3d.llmner-part"
    left.write_text("")
    monkeypatch.setattr(_whole, "locked", lambda handle: None)
    write(tmp_path / "out", b"x")
    assert names(tmp_path) == [left.name, "out"]


def test_without_fcntl_what_is_open_keeps_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".out.0a1b2c3d.llmner-part").write_text("")
    monkeypatch.setattr(_whole, "fcntl", None)
    write(tmp_path / "out", b"x")
    assert names(tmp_path) == ["out"]


@pytest.mark.usefixtures("umask")
def test_a_file_keeps_its_mode_and_a_new_one_has_that_of_open(tmp_path: Path) -> None:
    path = tmp_path / "out"
    write(path, b"1")
    assert mode(path) == 0o644
    for held in (0o600, 0o640, 0o666, 0o755, 0o400):
        path.chmod(held)
        write(path, b"2")
        assert mode(path) == held
    os.umask(0o077)
    write(tmp_path / "other", b"1")
    assert mode(tmp_path / "other") == 0o600


@pytest.mark.usefixtures("umask")
def test_a_side_file_is_never_more_open_than_what_it_belongs_to(tmp_path: Path) -> None:
    path, side = tmp_path / "out", tmp_path / "out.bad.jsonl"
    write(side, b"1", like=path)
    assert mode(side) == 0o644
    write(path, b"1")
    path.chmod(0o600)
    write(side, b"2", like=path)
    assert mode(side) == 0o600
    path.chmod(0o644)
    write(side, b"3", like=path)
    assert mode(side) == 0o600
    side.unlink()
    path.chmod(0o640)
    write(side, b"4", like=path)
    assert mode(side) == 0o640


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_owner_and_group_stay_and_a_group_that_cannot_stay_gets_no_more_than_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"1")
    os.chown(path, 12345, 54321)
    path.chmod(0o664)
    write(path, b"2")
    assert (path.stat().st_uid, path.stat().st_gid, mode(path)) == (12345, 54321, 0o664)

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refused)
    write(path, b"3")
    assert (path.read_bytes(), path.stat().st_uid, mode(path)) == (b"3", os.geteuid(), 0o644)


def test_while_it_is_written_a_private_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"1")
    path.chmod(0o600)
    with whole_file(path) as stream:
        stream.write(b"2")
        assert [mode(tmp_path / name) for name in names(tmp_path)] == [0o600, 0o600]


def test_links_are_followed_to_where_they_lead(tmp_path: Path) -> None:
    target, link, again = tmp_path / "folder" / "target", tmp_path / "link", tmp_path / "again"
    link.symlink_to("folder/target")
    again.symlink_to("link")
    with pytest.raises(InputError, match="again: its folder does not exist"):
        write(again, b"1")
    target.parent.mkdir()
    write(again, b"1")  # Dangling.
    assert target.read_bytes() == b"1"
    write(link, b"2")
    assert target.read_bytes() == b"2"
    assert link.is_symlink()
    assert again.is_symlink()
    assert beside(again, ".partial") == target_of(target).with_name("target.partial")
    assert names(target.parent) == ["target"]


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "loop/x", "loop", "가" * 90, "x/" * 3000])
def test_a_path_that_is_none_is_an_error_of_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    path = tmp_path / name
    for act in (kind_of, check_output, target_of, lambda path: write(path, b"")):
        with pytest.raises(InputError, match="cannot be looked up") as told:
            act(path)
        assert len(str(told.value)) < 600
    for read in (read_text, read_json, lambda path: list(open_lines(path))):
        with pytest.raises(CorpusError, match=r"cannot be read \("):
            read(path)
    with regular_file(path) as same:
        assert same == path


def test_devices_that_never_end_are_not_read(tmp_path: Path) -> None:
    for read in (
        read_text,
        lambda path: list(open_lines(path)),
        lambda path: regular_file(path).__enter__(),
    ):
        with pytest.raises(CorpusError, match="zero: is a device"):
            read(Path("/dev/zero"))
    assert list(open_lines(Path(os.devnull))) == []


def test_a_pipe_is_copied_and_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_output(pipe)
    feeder = subprocess.Popen(["bash", "-c", f"printf 'a\\nb\\n' > {pipe}"])
    with regular_file(pipe) as copy:
        assert [line for _, line in open_lines(copy)] == ["a", "b"]
    feeder.wait()
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    write(pipe, b"x")
    assert reader.communicate()[0] == b"x"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_what_cannot_be_read_or_written_says_so_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CorpusError, match="is a directory"):
        read_text(tmp_path)
    with pytest.raises(CorpusError, match="none: no such file"):
        read_text(tmp_path / "none")
    (tmp_path / "latin").write_bytes(b"\xff\xe9")
    with pytest.raises(CorpusError, match=r"latin: not UTF-8 \(byte 0\)"):
        read_text(tmp_path / "latin")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="x: its folder cannot be written to"):
        check_output(tmp_path / "x")
    with pytest.raises(InputError, match="a/x: its folder does not exist"):
        check_output(tmp_path / "latin" / "a" / "x")


def test_json_that_is_none_says_why(tmp_path: Path) -> None:
    for text, told in (
        ("{", "not JSON (Expecting property name enclosed in double quotes)"),
        ("[" * 100_000, "JSON nested too deeply"),
        (f'{{"start": {"9" * 5000}}}', "a number of 5,000 digits is too long"),
        (f"[-{'9' * 400}]", "a number of 400 digits is too long"),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
            parse_json(text)
        path = tmp_path / "x.json"
        path.write_text(text, encoding="utf-8-sig")
        with pytest.raises(CorpusError) as error:
            read_json(path, hint="expected a run")
        assert str(error.value) == f"{path}: {told}; expected a run"
    for before in range(330):
        with pytest.raises(ValueError, match="a number of 309 digits"):
            parse_json(" " * before + "9" * 309)
    # Digits of a text, of a fraction, and as many as a float takes.
    long = "9" * 400
    assert parse_json(f'["{long}", 0.{long}, {"9" * 308}]') == [long, 1.0, int("9" * 308)]
    assert float(json.loads("9" * 308)) < float("inf")


def test_how_deep_a_value_is() -> None:
    deep: object = None
    for _ in range(49):
        deep = {"a": 1, "b": deep}
    assert not too_deep(deep)
    assert too_deep([deep])
    assert not too_deep({"wide": [[number] for number in range(1000)]})


def test_a_file_that_vanishes_while_it_is_written_leaves_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()

    def write_and_lose() -> None:
        with whole_file(folder / "out") as stream:
            stream.write(b"x")
            for held in folder.iterdir():
                held.unlink()
            folder.rmdir()

    with pytest.raises(InputError, match=r"out: cannot be written \(No such file"):
        write_and_lose()
