"""Which stages a build needs."""

import pytest

from cais.build import graph
from cais.build.dockerfile import parse
from cais.build.errors import DockerfileError
from cais.build.instructions import Label

TEXT = """\
ARG BASE=busybox
FROM $BASE AS one
RUN true
FROM scratch AS two
COPY --from=one / /
FROM busybox AS three
RUN exit 1
FROM one AS four
RUN --mount=type=bind,from=two,target=/x --mount=from=busybox,target=/y true
COPY --from=other/image a b
"""


def plan(text: str = TEXT, target: str = "") -> graph.Plan:
    return graph.plan(parse(text), target, {"BASE": "busybox"}, ())


def test_only_the_stages_that_are_needed_are_built() -> None:
    assert [item.stage.index for item in plan().stages] == [0, 1, 3]
    assert [item.stage.index for item in plan(target="two").stages] == [0, 1]
    assert [item.stage.index for item in plan(target="2").stages] == [2]


def test_steps_are_numbered_through() -> None:
    made = plan(target="two")
    assert made.planned.texts == (
        "ARG BASE=busybox", "FROM $BASE AS one", "RUN true", "FROM scratch AS two", "COPY --from=one / /"
    )  # fmt: skip
    assert made.planned.stages == ("", "one", "one", "two", "two")
    assert [item.first for item in made.stages] == [2, 4]
    assert [item.base_stage for item in plan().stages] == [None, None, 0]


def test_labels_are_the_last_step_of_the_target() -> None:
    label = Label(values=(("a", "b"),), original="LABEL a=b", keyword="LABEL")
    made = graph.plan(parse("FROM busybox AS x\nFROM x\n"), "", {}, (label,))
    assert made.planned.texts == ("FROM busybox AS x", "FROM x", "LABEL a=b")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("FROM busybox\nCOPY --from=0 a b", "refers to current or a later build stage"),
        ("FROM busybox\nCOPY --from=3 a b\nFROM busybox", "refers to current or a later build stage"),
        ("FROM busybox AS x\nCOPY --from=X a b", "circular dependency detected on stage"),
    ],
)
def test_stages_that_cannot_be_copied_from(text: str, error: str) -> None:
    with pytest.raises(DockerfileError, match=error):
        plan(text, "0")
