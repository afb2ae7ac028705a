import pytest

from cais.engine.security import SecurityOptions, parse_security_options
from cais.errors import InvalidArgument, Unsupported


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        ([], SecurityOptions()),
        (["no-new-privileges"], SecurityOptions(no_new_privileges=True)),
        (["no-new-privileges=true"], SecurityOptions(no_new_privileges=True)),
        (["no-new-privileges:false"], SecurityOptions()),
        (["seccomp=unconfined"], SecurityOptions(seccomp="unconfined")),
        (["seccomp=builtin"], SecurityOptions()),
        (['seccomp={"a":"b=c"}'], SecurityOptions(seccomp='{"a":"b=c"}')),
        (["apparmor=unconfined", "label=disable"], SecurityOptions(apparmor="unconfined")),
        (["apparmor:mine"], SecurityOptions(apparmor="mine")),
        (["label=type:x_t", "label:level:s0"], SecurityOptions(labels=("type:x_t", "level:s0"))),
    ],
)
def test_options(options: list[str], meant: SecurityOptions) -> None:
    assert parse_security_options(options) == meant


@pytest.mark.parametrize("option", ["foo", "foo=bar", "no-new-privileges=maybe", ""])
def test_what_is_no_option(option: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid --security-opt"):
        parse_security_options([option])


@pytest.mark.parametrize("option", ["writable-cgroups=true"])
def test_what_needs_more_than_there_is(option: str) -> None:
    with pytest.raises(Unsupported):
        parse_security_options([option])
