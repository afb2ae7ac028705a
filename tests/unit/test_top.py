import pytest

from cais.engine.top import parse
from cais.errors import Internal

OUTPUT = """\
UID          PID    PPID  C STIME TTY          TIME CMD
root           1       0  0 03:29 ?        00:00:05 /sbin/init
1000        4242       1 12 03:43 ?        00:00:00 sh -c sleep  1000
"""


def test_only_the_container_s_processes_are_shown() -> None:
    answer = parse(OUTPUT, {4242})
    assert answer.Titles == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert answer.Processes == [["1000", "4242", "1", "12", "03:43", "?", "00:00:00", "sh -c sleep  1000"]]


def test_without_pids_nothing_can_be_told_apart() -> None:
    with pytest.raises(Internal, match="PID"):
        parse("CMD\ninit\n", {1})
    with pytest.raises(Internal):
        parse("", {1})
