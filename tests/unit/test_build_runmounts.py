"""Mounts of a RUN."""

import pytest

from cais.build.errors import WordError
from cais.build.runmounts import Mount, check_mount, parse_mount


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("target=/a", Mount(target="/a")),
        ("type=bind,from=b,src=/c,dst=/a,rw", Mount(source_from="b", source="/c", target="/a", readonly=False)),
        ("type=bind,target=/a,ro=false", Mount(target="/a", readonly=False)),
        (
            "type=cache,target=/a,id=i,sharing=locked,mode=0755,uid=1,gid=2",
            Mount(type="cache", target="/a", id="i", sharing="locked", mode=0o755, uid=1, gid=2, readonly=False),
        ),
        ("type=cache,target=/a", Mount(type="cache", target="/a", sharing="shared", readonly=False)),
        ("type=tmpfs,target=/a,size=64m", Mount(type="tmpfs", target="/a", size_bytes=64 << 20, readonly=False)),
        ("type=secret,id=i,required,env=E", Mount(type="secret", id="i", required=True, env="E")),
        ("type=ssh", Mount(type="ssh")),
        ('"target=/a,b"', Mount(target="/a,b")),
    ],
)
def test_a_mount_has_defaults_by_its_type(text: str, mount: Mount) -> None:
    assert parse_mount(text) == mount


def test_values_are_expanded_before_they_are_checked() -> None:
    assert parse_mount("type=$t,target=$p", {"$t": "cache", "$p": "/x"}.__getitem__).type == "cache"


def test_a_secret_has_a_name_and_a_place() -> None:
    assert parse_mount("type=secret,id=a/b").secret_target == "/run/secrets/b"
    assert parse_mount("type=secret,target=/x/y").secret_id == "y"
    assert parse_mount("type=secret,id=a,env=E").secret_target == ""
    assert parse_mount("type=cache,target=/x").cache_id == "/x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "failed to parse csv mounts: EOF"),
        ("type=x", 'unsupported mount type "x"'),
        ("typ=bind", "unexpected key 'typ' in 'typ=bind' (did you mean type?)"),
        ("target", "invalid field 'target' must be a key=value pair"),
        ("sharing=x", 'unsupported sharing value "x"'),
        ("ro=maybe", "invalid value for ro: maybe"),
        ("size=1", "unexpected key 'size' for mount type 'bind'"),
        ("type=tmpfs,size=x", "invalid value for size: x"),
        ("required", "unexpected key 'required' for mount type 'bind'"),
        ("type=cache,mode=9", "invalid value 9 for mode"),
        ("type=cache,uid=-1", "invalid value -1 for uid"),
        ("type=cache,uid=4294967296", "invalid value 4294967296 for uid"),
        ("mode=1", 'mode not allowed for "bind" type mounts'),
        ("type=tmpfs,uid=1", 'uid not allowed for "tmpfs" type mounts'),
        ("type=secret", "invalid secret mount. one of source, target required"),
        ("type=secret,id=a,from=b", "secret mount should not have a from"),
        ("type=secret,id=a,source=b", "both source and id can't be set"),
        ("type=secret,id=a,sharing=private", "secret mount should not define sharing"),
        ("type=bind,sharing=private", "invalid cache sharing set for bind mount"),
        ("type=ssh,source=x", "ssh does not support source"),
        ("from=$x", "'from' doesn't support variable expansion, define alias stage instead"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, message: str) -> None:
    with pytest.raises(WordError) as caught:
        parse_mount(text)
    assert str(caught.value) == message


def test_what_depends_on_a_variable_is_not_checked_before_it_has_a_value() -> None:
    check_mount("type=$t,whatever=$x")
    with pytest.raises(WordError):
        check_mount("type=x")
    with pytest.raises(WordError, match="variable expansion"):
        check_mount("type=bind,from=${x}")
