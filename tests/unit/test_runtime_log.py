"""The json-file log: exact bytes, long and unfinished lines, what is not text, rotation."""

import json
import os
import re
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.runtime.log import JsonFileLog
from cais.runtime.messages import LogTarget

PART = 16 * 1024
TIME = re.compile(rb'"time":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z)"')


def target(folder: Path, max_bytes: int = 0, max_files: int = 1) -> LogTarget:
    return LogTarget(str(folder / "log"), max_bytes, max_files)


def written(folder: Path, *chunks: tuple[str, bytes]) -> bytes:
    """The file after these writes, its times taken out."""
    log = JsonFileLog(target(folder))
    for stream, data in chunks:
        log.write(stream, data)
    log.close()
    content = (folder / "log").read_bytes()
    (folder / "log").unlink()
    return TIME.sub(b'"time":""', content)


def records(path: Path) -> list[dict[str, str]]:
    """The records of a file; each must be a line of its own."""
    content = path.read_bytes()
    assert not content or content.endswith(b"\n")
    return [json.loads(line) for line in content.splitlines()]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"hello\n", rb'{"log":"hello\n","stream":"stdout","time":""}'),
        (b"\n", rb'{"log":"\n","stream":"stdout","time":""}'),
        (b"no end", b'{"log":"no end","stream":"stdout","time":""}'),
        (b"tab\there\r\n", rb'{"log":"tab\there\r\n","stream":"stdout","time":""}'),
        (
            b'"quoted" \\ \x00\x1f\x7f\n',
            b'{"log":"\\"quoted\\" \\\\ \\u0000\\u001f\x7f\\n","stream":"stdout","time":""}',
        ),
        (b"\x1b[1mbold\n", rb'{"log":"\u001b[1mbold\n","stream":"stdout","time":""}'),
        ("naïve €\n".encode(), '{"log":"naïve €\\n","stream":"stdout","time":""}'.encode()),
        ("\U0001f600\n".encode(), '{"log":"\U0001f600\\n","stream":"stdout","time":""}'.encode()),
        (b"\xff\xfe\n", '{"log":"\ufffd\ufffd\\n","stream":"stdout","time":""}'.encode()),
        # As Docker, and unlike Python by itself: one mark for each byte that is not UTF-8
        (b"\xe2\x82a\n", '{"log":"\ufffd\ufffda\\n","stream":"stdout","time":""}'.encode()),
        (b"\xed\xa0\x80\n", '{"log":"\ufffd\ufffd\ufffd\\n","stream":"stdout","time":""}'.encode()),
    ],
)
def test_a_line_is_written_so(tmp_path: Path, data: bytes, expected: bytes) -> None:
    assert written(tmp_path, ("stdout", data)) == expected + b"\n"


def test_lines_that_come_together_are_records_of_their_own(tmp_path: Path) -> None:
    content = written(tmp_path, ("stdout", b"a\nb\n"), ("stderr", b'"c"\nd\n'))
    assert content == (
        b'{"log":"a\\n","stream":"stdout","time":""}\n'
        b'{"log":"b\\n","stream":"stdout","time":""}\n'
        b'{"log":"\\"c\\"\\n","stream":"stderr","time":""}\n'
        b'{"log":"d\\n","stream":"stderr","time":""}\n'
    )


def test_the_time_is_now_with_nanoseconds(tmp_path: Path) -> None:
    log = JsonFileLog(target(tmp_path))
    log.write("stdout", b"x\n")
    log.close()
    found = TIME.search((tmp_path / "log").read_bytes())
    assert found
    time = datetime.fromisoformat(found[1].decode())
    assert abs(datetime.now(time.tzinfo) - time).total_seconds() < 5


def test_a_line_waits_for_its_end_while_the_other_stream_goes_on(tmp_path: Path) -> None:
    content = written(tmp_path, ("stdout", b"be"), ("stderr", b"error\n"), ("stdout", b"gin\nre"), ("stdout", b"st"))
    assert content == (
        b'{"log":"error\\n","stream":"stderr","time":""}\n'
        b'{"log":"begin\\n","stream":"stdout","time":""}\n'
        b'{"log":"rest","stream":"stdout","time":""}\n'
    )


@pytest.mark.parametrize(
    ("length", "parts"),
    [
        (PART - 1, [PART - 1 + 1]),
        (PART, [PART + 1]),
        (PART + 1, [PART, 2]),
        (3 * PART, [PART, PART, PART + 1]),
        (3 * PART + 5, [PART, PART, PART, 6]),
    ],
)
def test_a_long_line_becomes_parts_of_16_kib_of_which_the_last_has_the_newline(
    tmp_path: Path, length: int, parts: list[int]
) -> None:
    log = JsonFileLog(target(tmp_path))
    log.write("stdout", b"x" * length + b"\n")
    log.close()
    texts = [record["log"] for record in records(tmp_path / "log")]
    assert list(map(len, texts)) == parts
    assert [text.endswith("\n") for text in texts] == [False] * (len(parts) - 1) + [True]


def test_16_kib_without_a_newline_are_written_at_once(tmp_path: Path) -> None:
    log = JsonFileLog(target(tmp_path))
    log.write("stdout", b"x" * (PART - 1))
    assert records(tmp_path / "log") == []
    log.write("stdout", b"xyz")
    assert [record["log"] for record in records(tmp_path / "log")] == ["x" * PART]
    log.close()
    assert [record["log"] for record in records(tmp_path / "log")] == ["x" * PART, "yz"]


@pytest.mark.parametrize("character", ["é", "€", "\U0001f600"])
@pytest.mark.parametrize("shift", range(4))
def test_a_character_is_not_cut_in_two(tmp_path: Path, character: str, shift: int) -> None:
    text = "x" * shift + character * (3 * PART // len(character.encode()))
    log = JsonFileLog(target(tmp_path))
    data = text.encode()
    for start in range(0, len(data), 7001):
        log.write("stdout", data[start : start + 7001])
    log.close()
    found = [record["log"] for record in records(tmp_path / "log")]
    assert "".join(found) == text
    assert all(PART - 3 <= len(part.encode()) <= PART for part in found[:-1])


@given(
    chunks=st.lists(
        st.tuples(
            st.sampled_from(["stdout", "stderr"]),
            st.one_of(
                st.binary(max_size=40),
                st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")),
                st.sampled_from([b"\n", b"x" * 9000, b"\xe2\x82\xac" * 5000, b"\n\n", b"\\\"'\x00\n"]),
            ),
        ),
        max_size=12,
    )
)
def test_what_is_read_back_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[tuple[str, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = JsonFileLog(target(folder))
    for stream, data in chunks:
        log.write(stream, data)
    log.close()
    found = records(folder / "log")
    for name in ("stdout", "stderr"):
        data = b"".join(data for stream, data in chunks if stream == name)
        parts = [record["log"] for record in found if record["stream"] == name]
        assert all(part and "\n" not in part[:-1] for part in parts)
        if data.isascii() or data.decode("utf-8", "ignore").encode() == data:
            assert "".join(parts).encode() == data
        else:
            assert sum(part.count("\n") for part in parts) == data.count(b"\n")


def test_files_are_rotated_and_no_line_is_lost_torn_or_in_two_files(tmp_path: Path) -> None:
    log = JsonFileLog(target(tmp_path, max_bytes=1000, max_files=50))
    lines = [f"line {number} " + "x" * (number % 200) for number in range(150)]
    data = "".join(f"{line}\n" for line in lines).encode()
    for start in range(0, len(data), 1777):
        log.write("stdout", data[start : start + 1777])
    log.close()
    files = [tmp_path / f"log.{number}" for number in range(49, 0, -1)] + [tmp_path / "log"]
    found = [record["log"] for path in files if path.exists() for record in records(path)]
    assert found == [f"{line}\n" for line in lines]
    for path in files:
        if path.exists() and path.name != "log":
            content = path.read_bytes()
            last = len(content) - content[:-1].rindex(b"\n") - 1
            assert content and 1000 <= len(content) < 1000 + last


def test_only_the_newest_files_are_kept(tmp_path: Path) -> None:
    log = JsonFileLog(target(tmp_path, max_bytes=200, max_files=3))
    for number in range(40):
        log.write("stdout", f"line {number}\n".encode())
    log.close()
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1", "log.2"]
    found = [record["log"] for name in ("log.2", "log.1", "log") for record in records(tmp_path / name)]
    assert found == [f"line {number}\n" for number in range(40 - len(found), 40)]
    assert len(found) >= 7


def test_a_single_file_begins_anew(tmp_path: Path) -> None:
    log = JsonFileLog(target(tmp_path, max_bytes=200, max_files=1))
    for number in range(40):
        log.write("stdout", f"line {number}\n".encode())
    log.close()
    assert os.listdir(tmp_path) == ["log"]
    assert 0 < (tmp_path / "log").stat().st_size < 400
    assert records(tmp_path / "log")[-1]["log"] == "line 39\n"


def test_one_large_write_respects_the_limit(tmp_path: Path) -> None:
    log = JsonFileLog(target(tmp_path, max_bytes=2000, max_files=100))
    log.write("stdout", b"0123456789\n" * 500)
    log.close()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) > 10
    assert max(sizes) < 2100


def test_a_file_that_is_there_is_continued(tmp_path: Path) -> None:
    for text in (b"first\n", b"second\n"):
        log = JsonFileLog(target(tmp_path))
        log.write("stdout", text)
        log.close()
    assert [record["log"] for record in records(tmp_path / "log")] == ["first\n", "second\n"]


@pytest.mark.parametrize("torn", [b'{"log":"fir', b'{"log":"first\\n","stream":"stdout","time":"x"}', b"x" * 300_000])
@pytest.mark.parametrize("whole", [b"", b'{"log":"whole\\n","stream":"stdout","time":"x"}\n'])
def test_a_record_that_was_not_finished_is_taken_back(tmp_path: Path, whole: bytes, torn: bytes) -> None:
    (tmp_path / "log").write_bytes(whole + torn)
    log = JsonFileLog(target(tmp_path))
    log.write("stdout", b"next\n")
    log.close()
    assert [record["log"] for record in records(tmp_path / "log")] == ["whole\n"] * bool(whole) + ["next\n"]


def test_a_folder_that_is_gone_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    log = JsonFileLog(LogTarget(str(tmp_path / "missing/log"), 100, 2))
    log.write("stdout", b"lost\n")
    assert not (tmp_path / "missing").exists()
    (tmp_path / "missing").mkdir()
    log.write("stdout", b"found\n")
    log.close()
    assert [record["log"] for record in records(tmp_path / "missing/log")] == ["found\n"]


def test_while_it_is_held_no_other_file_begins(tmp_path: Path) -> None:
    log = JsonFileLog(target(tmp_path, max_bytes=100, max_files=3))
    log.hold(True)
    for number in range(10):
        log.write("stdout", b"line %d\n" % number)
    assert log.size == (tmp_path / "log").stat().st_size > 100
    assert not (tmp_path / "log.1").exists()
    log.hold(False)
    log.write("stdout", b"another\nunfinished")
    assert log.unfinished("stdout") == b"unfinished"
    assert [record["log"] for record in records(tmp_path / "log")] == ["another\n"]
    assert len(records(tmp_path / "log.1")) == 10
    log.close()
