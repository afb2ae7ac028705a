"""A build's events as Docker's classic builder tells them."""

from cais.build.classic import ClassicStream
from cais.build.events import Event, Finished, Output, Planned, Pulling, Started, Warned
from cais.engine.progress import Progress

PLAN = Planned(("FROM a", "RUN x", "FROM b", "COPY c /"), ("one", "one", "two", "two"))
ID = "sha256:" + "0123456789abcdef" * 4


def told(*events: Event, removes: bool = True, failed: bool = False) -> tuple[str, list[Progress]]:
    texts: list[str] = []
    pulls: list[Progress] = []
    stream = ClassicStream(texts.append, pulls.append, removes=removes)
    for event in (PLAN, *events):
        stream.tell(event)
    if failed:
        stream.finish()
    return "".join(texts), pulls


def test_what_belongs_to_no_step_is_told_at_once() -> None:
    text, _ = told(Warned("first\n", source="stderr"), Warned("last\n"))
    assert text == "\x1b[91mfirst\n\x1b[0mlast\n"


def test_steps_are_told_in_their_order_however_they_come() -> None:
    text, pulls = told(
        Started(3),
        Pulling(3, Progress("Downloading")),
        Finished(3, ID, image=ID),
        Started(1),
        Finished(1, ID, cached=True, image=ID),
        Started(4),
        Finished(4, ID, cached=True),
        Started(2, "c" * 64),
        Output(2, "stdout", b"out\n"),
        Output(2, "stderr", b"err\n"),
        Finished(2, ID, container="c" * 64),
    )
    assert text == (
        "Step 1/4 : FROM a\n ---> 0123456789ab\n"
        "Step 2/4 : RUN x\n ---> Running in cccccccccccc\nout\n\x1b[91merr\n\x1b[0m"
        "Removing intermediate container cccccccccccc\n ---> 0123456789ab\n"
        "Step 3/4 : FROM b\n ---> 0123456789ab\n"
        "Step 4/4 : COPY c /\n ---> Using cache\n ---> 0123456789ab\n"
    )
    assert pulls == [Progress("Downloading")]


def test_what_runs_is_told_at_once() -> None:
    text, _ = told(Started(1), Finished(1, ID, image=ID), Started(2, "d" * 64), Output(2, "stdout", b"now"))
    assert text.endswith("Running in dddddddddddd\nnow")


def test_containers_that_are_not_removed() -> None:
    text, _ = told(Finished(1, ID, image=ID), Finished(2, ID, container="c" * 64), removes=False)
    assert "Removing" not in text


def test_a_failure_shows_what_the_step_has_told() -> None:
    events = (
        Started(1), Started(3), Finished(3, ID, image=ID), Started(4), Output(4, "note", b"last words\n"),
        Finished(4, error="failed"),
    )  # fmt: skip
    assert "last words" not in told(*events)[0]
    text, _ = told(*events, failed=True)
    assert text == "Step 1/4 : FROM a\nStep 4/4 : COPY c /\nlast words\n"


def test_nothing_is_told_behind_a_failure() -> None:
    events = (Finished(1, ID, image=ID), Finished(3, ID, image=ID), Started(2, "c" * 64), Finished(2, error="failed"))
    text, _ = told(*events, failed=True)
    assert text.endswith("Step 2/4 : RUN x\n ---> Running in cccccccccccc\n")
