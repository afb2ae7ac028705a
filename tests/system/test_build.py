"""Dockerfiles become images: what each instruction does."""

import pytest

from tests.harness.archives import Archive
from tests.harness.build import Build, build, config, look
from tests.harness.engine import Daemon


@pytest.fixture
def daemon(build_daemon: Daemon) -> Daemon:
    return build_daemon


def test_every_instruction_about_the_configuration(daemon: Daemon) -> None:
    made = build(
        daemon,
        """
        FROM busybox
        MAINTAINER somebody
        ARG WHO=world
        ENV A=1 B="two words" C=$WHO
        ENV OLD form of it
        LABEL one=1 "two"="x y"
        EXPOSE 80 53/udp 8000-8001
        VOLUME /data ["/not json"
        VOLUME ["/more"]
        WORKDIR /srv
        WORKDIR app
        USER 1000:50
        SHELL ["/bin/sh", "-ec"]
        STOPSIGNAL SIGINT
        HEALTHCHECK --interval=5s --timeout=1m --start-period=2s --retries=4 CMD true
        ONBUILD RUN echo later
        ENTRYPOINT echo entry
        CMD ["a", "b"]
        """.replace('VOLUME /data ["/not json"', "VOLUME /data /other"),
    ).image
    found = config(daemon, made)
    assert found["Env"].value == [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=1", "B=two words", "C=world",
        "OLD=form of it",
    ]  # fmt: skip
    assert found["Labels"].value == {"one": "1", "two": "x y"}
    assert set(found["ExposedPorts"].value) == {"80/tcp", "53/udp", "8000/tcp", "8001/tcp"}  # type: ignore[call-overload]
    assert found["Volumes"].value == {"/data": {}, "/other": {}, "/more": {}}
    assert found["WorkingDir"].text == "/srv/app"
    assert found["User"].text == "1000:50"
    assert found["Shell"].value == ["/bin/sh", "-ec"]
    assert found["StopSignal"].text == "SIGINT"
    assert found["Healthcheck"].value == {
        "Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000, "Timeout": 60_000_000_000,
        "StartPeriod": 2_000_000_000, "Retries": 4,
    }  # fmt: skip
    assert found["OnBuild"].value == ["RUN echo later"]
    assert found["Entrypoint"].value == ["/bin/sh", "-ec", "echo entry"]
    assert found["Cmd"].value == ["a", "b"]
    whole = daemon.ask("GET", f"/images/{made}/json").json
    assert whole["Author"].text == "somebody"
    history = daemon.ask("GET", f"/images/{made}/history").json.items
    assert [item["CreatedBy"].text for item in history[:2]] == ['CMD ["a", "b"]', "ENTRYPOINT echo entry"]


def test_a_new_entry_point_forgets_the_old_command(daemon: Daemon) -> None:
    assert "Cmd" not in config(daemon, build(daemon, 'FROM busybox\nENTRYPOINT ["ls"]').image)
    assert config(daemon, build(daemon, 'FROM busybox\nCMD ["x"]\nENTRYPOINT ["ls"]').image)["Cmd"].value == ["x"]


def test_commands_run_as_user_and_where_they_are_told_to(daemon: Daemon) -> None:
    made = build(
        daemon,
        "FROM busybox\nARG V=arg\nENV E=env\nUSER nobody\nWORKDIR /made\n"
        "RUN id -un > out; pwd >> out; echo $V $E >> out; hostname | wc -c >> out\n"
        'RUN ["touch", "exec form"]\n'
        "USER root\nRUN stat -c %U:%G /made > /owner",
    ).image
    assert look(daemon, made, "cat /made/out; ls /made; cat /owner") == (
        "nobody\n/made\narg env\n13\nexec form\nout\nnobody:nogroup"
    )
    assert not any(item.startswith("V=") for item in config(daemon, made)["Env"].value)  # type: ignore[attr-defined]


def test_what_a_command_removes_and_changes(daemon: Daemon) -> None:
    made = build(
        daemon,
        "FROM busybox\nRUN mkdir -p /d/e && echo 1 > /d/e/f && echo 2 > /d/g && ln /d/g /d/h\n"
        "RUN rm -r /d/e && rm /etc/group && mkdir /d/e && echo 3 > /d/e/new && chmod 4700 /d/g && mkfifo /d/p\n",
    ).image
    assert look(daemon, made, "ls /d /d/e; cat /d/e/new; stat -c '%a %h' /d/g; ls /etc/group 2>&1 | grep -c such") == (
        "/d:\ne\ng\nh\np\n\n/d/e:\nnew\n3\n4700 1\n1"
    )
    assert "/.dockerenv" not in look(daemon, made, "ls -d /proc/1 /d/p")
    saved = daemon.docker("save", made)
    assert saved.returncode == 0, saved.stderr


def test_copies_of_every_kind(daemon: Daemon) -> None:
    more = Archive()
    more.folder("tree", 0o750).folder("tree/sub").add("tree/a", b"A", mode=0o755, mtime=1_000_000_000)
    more.add("tree/sub/b", b"B", owner=(7, 8)).symlink("tree/link", "sub/b").symlink("tree/out", "/etc/passwd")
    more.symlink("aside", "tree/sub").add("x1.txt", b"1").add("x2.txt", b"2").add("y.bin", b"3").add("tree/sub/c", b"C")
    made = build(
        daemon,
        "FROM busybox\nWORKDIR /w\n"
        "COPY tree /t1\nCOPY tree/a /t2/\nCOPY tree/a /t3\nCOPY x*.txt y.bin rel/\nCOPY aside /t4\nCOPY tree/link /t5\n"
        "COPY --chown=nobody --chmod=640 tree/a /t6\nCOPY --chown=7:8 tree /t7\n"
        "COPY --parents tree/sub/b tree/./sub/c /t8/\nCOPY --exclude=sub --exclude=l* tree /t9\n"
        'COPY --link x1.txt /t10/deep/\nCOPY . .\nCOPY ["x1.txt", "/with space/"]\nCOPY --chmod=u+s,go-r x2.txt /t11\n',
        more=more,
    ).image
    for script, expected in (
        ("cd /t1; ls -R; cat a sub/b link; readlink out", ".:\na\nlink\nout\nsub\n\n./sub:\nb\nc\nABB/etc/passwd"),
        ("cat /t2/a /t3 /t5; ls rel; ls /t4", "AABx1.txt\nx2.txt\ny.bin\nb\nc"),
        ("stat -c '%u:%g %a %Y' /t1/a /t1/sub/b", "0:0 755 1000000000\n0:0 644 0"),
        ("stat -c '%u:%g %a %Y' /t6 /t7/sub", "65534:65534 640 1000000000\n7:8 755 0"),
        ("find /t8 -type f | sort; find /t9 | sort", "/t8/sub/c\n/t8/tree/sub/b\n/t9\n/t9/a\n/t9/out"),
        ("cat /t10/deep/x1.txt '/with space/x1.txt'; ls -d Dockerfile tree", "11Dockerfile\ntree"),
        ("stat -c %a /t11", "4600"),
    ):  # fmt: skip
        said = look(daemon, made, script)
        assert said == expected, script


def test_folders_above_what_a_pattern_means_are_kept_from_the_pivot_on(daemon: Daemon) -> None:
    files = {"t/b/c/x": "", "t/b2/c/d/e/x": "", "t/b/c2/d/e/y": "", "t/b/c2/d/y": ""}
    text = "FROM busybox\nCOPY --parents t/b/c*/./**/y t/b*/./c/**/x /out/\nCOPY --parents t/**/y /whole/\n"
    made = build(daemon, text, files)
    assert look(daemon, made.image, "cd /out && find . -type f | sort").split() == [
        "./c/d/e/x", "./c/x", "./d/e/y", "./d/y"
    ]  # fmt: skip
    assert look(daemon, made.image, "cd /whole && find . -type f | sort").split() == ["./t/b/c2/d/e/y", "./t/b/c2/d/y"]


def test_what_is_copied_over_what_is_there(daemon: Daemon) -> None:
    files = {"d/a": "new", "d/sub/b": "new", "d/dir/c": "new", "e/a": "last", "e/sub/f": "more"}
    base = "FROM busybox\nRUN mkdir -p /d/sub /d/dir /x && echo old | tee /d/a /d/sub/b /d/kept /d/sub/kept && {}\n"
    made = build(daemon, base.format("ln -s /d/sub /way") + "COPY d e /d/\nCOPY d/sub /way\nCOPY d /\n", files).image
    script = "cd /d; cat a sub/b dir/c sub/f kept sub/kept; cat /a /sub/b; readlink /way; stat -c %h a /a"
    assert look(daemon, made, script) == "lastnewnewmoreold\nold\nnewnew/d/sub\n1\n1"
    changed = build(daemon, f"FROM {made}\nRUN echo changed > /sub/b; rm /d/sub/b; cat /d/a > /d/dir/c\n").image
    assert look(daemon, changed, "cat /sub/b /d/dir/c; ls /d/sub") == "changed\nlastf\nkept"
    assert look(daemon, made, "cat /sub/b") == "new"
    for prepare, error in (
        ("rm /d/a; mkdir /d/a", "over the folder a"),
        ("rm -r /d/sub; touch /d/sub", "non-directory: sub"),
    ):
        assert error in build(daemon, base.format(prepare) + "COPY d /d\n", files).error


def test_what_cannot_be_copied(daemon: Daemon) -> None:
    for lines, error in (
        ("COPY nope /", "COPY failed: file not found in build context or excluded by .dockerignore: stat nope: "
                        "file does not exist"),
        ("COPY a b /c", "When using COPY with more than one source file, the destination must be a directory and end "
                        "with a /"),
        ("COPY no*pe /", "COPY failed: no source files were specified"),
        ("COPY --from=5 a /", "invalid from flag value 5: refers to current or a later build stage"),
        ("COPY --chown=absent a /", "no matching entries in passwd file"),
        ("COPY --chmod=99 a /", "invalid chmod parameter"),
    ):  # fmt: skip
        made = build(daemon, f"FROM busybox\n{lines}", {"a": "", "b": ""})
        assert error in made.error, (lines, made.error)


def test_stages_and_what_is_copied_from_them(daemon: Daemon) -> None:
    made = build(
        daemon,
        "FROM busybox AS base\nRUN echo base > /base\nENV KEPT=yes\n"
        "FROM base AS One\nRUN echo one > /one; ln -s /one /link\n"
        "FROM busybox AS never\nRUN exit 1\n"
        "FROM scratch\nCOPY --from=one /one /link /base /from/\nCOPY --from=0 /base /zero\n"
        "COPY --from=busybox /etc/passwd /p\nENV X=1\n",
    ).image
    assert config(daemon, made)["Env"].value == [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "X=1"
    ]  # fmt: skip
    copied = build(daemon, f"FROM busybox\nCOPY --from={made} / /all/").image
    assert look(daemon, copied, "cd /all; find . -type f | sort; cat from/link zero; grep -c root p") == (
        "./from/base\n./from/link\n./from/one\n./p\n./zero\none\nbase\n1"
    )
    target = build(daemon, "FROM busybox AS a\nRUN echo a > /a\nFROM a AS b\nRUN exit 9\n", target="A").image
    assert look(daemon, target, "cat /a") == "a"
    assert "target stage" in build(daemon, "FROM busybox", target="zzz").error


def test_what_is_copied_from_a_stage_belongs_to_whom_it_did_there(daemon: Daemon) -> None:
    source = (
        "FROM busybox AS s\nRUN mkdir -p /d/e && touch /d/e/f /d/g && chown -R 5:6 /d && chown 7:8 /d/e/f\n"
        "FROM busybox\nRUN mkdir -p /there/e && chown 9:9 /there\n"
    )
    script = "cd /there; stat -c '%n %u:%g' . e e/f g /new /new/e/f /f"
    kept = build(daemon, f"{source}COPY --from=s /d /there\nCOPY --from=s /d /new\nCOPY --from=s /d/e/f /\n").image
    assert look(daemon, kept, script).splitlines() == [
        ". 9:9", "e 5:6", "e/f 7:8", "g 5:6", "/new 0:0", "/new/e/f 7:8", "/f 7:8"
    ]  # fmt: skip
    lines = (f"COPY --from=s --chown=1:2 {copy}\n" for copy in ("/d /there", "/d /new", "/d/e/f /"))
    given = build(daemon, source + "".join(lines)).image
    assert look(daemon, given, script).splitlines() == [
        ". 9:9", "e 1:2", "e/f 1:2", "g 1:2", "/new 1:2", "/new/e/f 1:2", "/f 1:2"
    ]  # fmt: skip
    changed = source.replace("7:8", "8:8")
    again = build(daemon, f"{changed}COPY --from=s /d /there\nCOPY --from=s /d /new\nCOPY --from=s /d/e/f /\n").image
    assert look(daemon, again, "stat -c %u:%g /f") == "8:8"


def test_arguments_everywhere(daemon: Daemon) -> None:
    text = (
        "ARG BASE=nothing\nARG TAG=latest\nFROM ${BASE}:${TAG:-x}\nARG TAG\nARG OTHER=$TAG-more\nARG UNSET\n"
        "ARG TARGETARCH\nRUN echo $TAG $OTHER ${UNSET:-unset} $TARGETARCH > /out\nENV COPIED=${OTHER%-more}\n"
    )
    made = build(daemon, text, buildargs={"BASE": "busybox", "IGNORED": None}).image
    arch = daemon.ask("GET", f"/images/{made}/json").json["Architecture"].text
    assert look(daemon, made, "cat /out; echo $COPIED") == f"latest latest-more unset {arch}\nlatest"
    other = build(daemon, text, buildargs={"BASE": "busybox", "UNSET": "now", "OTHER": "o"}).image
    assert look(daemon, other, "cat /out") == f"latest o now {arch}"


def test_triggers_of_a_base_image(daemon: Daemon) -> None:
    base = build(daemon, "FROM busybox\nONBUILD COPY a /a\nONBUILD RUN cat /a > /b\nONBUILD ENV T=1").image
    child = build(daemon, f"FROM {base}\nRUN cat /b > /c", {"a": "triggered"})
    assert "# Executing 3 build triggers" in child.text
    assert look(daemon, child.image, "cat /c; echo $T") == "triggered1"
    assert "OnBuild" not in config(daemon, child.image)


def test_triggers_copy_from_stages(daemon: Daemon) -> None:
    first = "FROM busybox AS first\nRUN echo hi > /x\n"
    text = f"{first}FROM busybox AS base\nONBUILD COPY --from=first /x /y\nFROM base\nRUN cat /y"
    assert "\nhi\n" in build(daemon, text).text
    build(daemon, "FROM busybox\nONBUILD COPY --from=first /x /y", t="triggers")
    failed = build(daemon, f"{first}FROM triggers")
    assert failed.error == "the stage first is not built, since only a trigger of a base image names it"
    assert not build(daemon, f"{first}FROM triggers\nCOPY --from=first /x /z").error


def test_heredocs(daemon: Daemon) -> None:
    made = build(
        daemon,
        "FROM busybox\nARG W=world\n"
        "COPY <<one <<'two' /files/\nhello $W\none\nhello $W\ntwo\n"
        "RUN <<EOF\necho first > /r\necho second >> /r\nEOF\n"
        "RUN <<EOF cat > /s\nfrom stdin\nEOF\n"
        'RUN <<EOF\n#!/bin/awk -f\nBEGIN { print "awk" > "/t" }\nEOF\n',
    ).image
    assert look(daemon, made, "cat /files/one /files/two /r /s /t") == (
        "hello world\nhello $W\nfirst\nsecond\nfrom stdin\nawk"
    )


def test_added_archives_are_unpacked_and_copied_ones_are_not(daemon: Daemon) -> None:
    inner = Archive().folder("d").add("d/f", b"data", owner=(5, 6), mode=0o600).symlink("d/l", "f").data
    made = build(
        daemon,
        "FROM busybox\nADD in.tar /added\nADD --chown=nobody in.tar /owned/\nCOPY in.tar /copied\n"
        "ADD --unpack=false in.tar /whole\nADD plain /plain",
        {"in.tar": inner, "plain": "no archive"},
    ).image
    assert look(
        daemon, made, "cat /added/d/l; stat -c %u:%g /added/d/f /owned/d/f; ls -d /copied /whole; cat /plain"
    ) == ("data5:6\n65534:65534\n/copied\n/whole\nno archive")


def test_the_context_s_ignore_file_counts(daemon: Daemon) -> None:
    files = {".dockerignore": "*.log\n!keep.log\nDockerfile\nsub/**\n!sub/kept\n", "a.log": "", "keep.log": "",
             "b": "", "sub/kept": "", "sub/gone": ""}  # fmt: skip
    made = build(daemon, "FROM busybox\nCOPY . /c/", files).image
    assert look(daemon, made, "cd /c; find . -type f | sort") == "./.dockerignore\n./b\n./keep.log\n./sub/kept"


def test_mounts_of_commands(daemon: Daemon) -> None:
    text = (
        "FROM busybox AS src\nRUN mkdir -p /x/y && echo staged > /x/y/z && ln -s /x/y /x/l\n"
        "FROM busybox\nWORKDIR /w\n"
        "RUN --mount=target=/ctx --mount=from=src,target=/src --mount=from=src,source=/x/l,target=/sub "
        "cat /ctx/f /src/x/y/z /sub/z > /out; ! touch /ctx/no; ! touch /src/no; ! touch /sub/no\n"
        "RUN --mount=target=/ctx,rw --mount=from=src,target=/src,rw --mount=source=f,target=/one/file,rw "
        "touch /ctx/yes /src/yes && cat /one/file >> /out && echo changed > /one/file\n"
        "RUN --mount=type=tmpfs,target=/tmp/t,size=1m touch /tmp/t/a && "
        "df -k /tmp/t | tail -1 | awk '{print $2}' >> /out\n"
        "RUN --mount=type=cache,target=/cache,id=ID,mode=0700,uid=5 echo -n x >> /cache/n; "
        "stat -c '%a %u' /cache >> /out\n"
        "RUN --mount=type=cache,target=relative,id=ID cat relative/n >> /out\n"
        "RUN --mount=type=secret,id=none true\n"
        "RUN ls -d /ctx /src /sub /one /cache /w/relative 2>/dev/null | wc -l >> /out; ls /tmp >> /out\n"
    )
    made = build(daemon, text, {"f": "context\n"})
    assert look(daemon, made.image, "cat /out") == ("context\nstaged\nstaged\ncontext\n1024\n700 5\nx0")
    again = build(daemon, text.replace("echo -n x", "echo -n y"), {"f": "context\n"}, nocache="1").image
    assert look(daemon, again, "cat /out").endswith("700 5\nxy0")
    assert "secret s: not found" in build(daemon, "FROM busybox\nRUN --mount=type=secret,id=s,required cat /x").error
    assert "not found" in build(daemon, "FROM busybox\nRUN --mount=source=absent,target=/x true").error


def test_caches_that_are_shared_locked_and_private(daemon: Daemon) -> None:
    def both(sharing: str, script: str, extra: str = "") -> Build:
        mount = f"--mount=type=cache,target=/c,id=c-{sharing},sharing={sharing}"
        return build(
            daemon,
            f"FROM busybox AS a\nRUN {mount} {extra.format('a', 'b')} {script} #a\n"
            f"FROM busybox AS b\nRUN {mount} {extra.format('b', 'a')} {script} #b\n"
            "FROM busybox\nCOPY --from=a /n /a\nCOPY --from=b /n /b\n",
        )

    enter = "touch /c/$HOSTNAME; sleep 0.7; ls /c | wc -l > /n; rm /c/$HOSTNAME"
    for sharing in ("locked", "private"):
        assert look(daemon, both(sharing, enter).image, "cat /a /b") == "1\n1", sharing
    meet = "touch /c/$HOSTNAME; until [ $(ls /c | wc -l) = 2 ]; do usleep 50000; done; echo met > /n"
    assert look(daemon, both("shared", meet).image, "cat /a /b") == "met\nmet"
    crossed = "--mount=type=cache,target=/x,id={0},sharing=locked --mount=type=cache,target=/y,id={1},sharing=locked"
    assert not both("shared", "sleep 0.3; echo > /n", crossed).error
    twice = "--mount=type=cache,target=/x,id=t,sharing=locked --mount=type=cache,target=/y,id=t,sharing=locked"
    assert not build(daemon, f"FROM busybox\nRUN {twice} touch /x/f && ls /y/f").error


def test_limits_and_network_of_commands(daemon: Daemon) -> None:
    made = build(
        daemon,
        "FROM busybox\n"
        "RUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null > /out;"
        "df -k /dev/shm | tail -1 | awk '{print $2}' >> /out; ulimit -n >> /out; grep example /etc/hosts >> /out;"
        "ls /sys/class/net >> /out; grep Seccomp: /proc/self/status >> /out; grep CapEff /proc/self/status >> /out\n",
        memory="67108864", shmsize="1048576", ulimits='[{"Name": "nofile", "Soft": 99, "Hard": 100}]',
        extrahosts='["example.test:1.2.3.4"]', networkmode="none",
    ).image  # fmt: skip
    lines = look(daemon, made, "cat /out").split("\n")
    assert lines[:4] == ["67108864", "1024", "99", "1.2.3.4\texample.test"]
    assert lines[4:] == ["lo", "Seccomp:\t2", "CapEff:\t00000000a80425fb"]
    host = build(
        daemon,
        "FROM busybox\nRUN wc -l < /proc/net/route > /routes\nRUN --network=none ls /sys/class/net > /out\n"
        "RUN --network=host true",
        networkmode="host",
    ).image
    assert int(look(daemon, host, "cat /routes")) > 1
    assert look(daemon, host, "cat /out") == "lo"
    assert "network.host is not allowed" in build(daemon, "FROM busybox\nRUN --network=host true").error
    assert "security.insecure is not allowed" in build(daemon, "FROM busybox\nRUN --security=insecure true").error


def test_failures(daemon: Daemon) -> None:
    made = build(daemon, "FROM busybox\nRUN echo said; echo wrong >&2; exit 5")
    assert made.status == 200
    assert "said\n" in made.text
    assert "\x1b[91mwrong\n\x1b[0m" in made.text
    assert made.error == ("The command '/bin/sh -c echo said; echo wrong >&2; exit 5' returned a non-zero code: 5")
    assert made.lines[-1]["errorDetail"]["code"].number == 5
    for text, status, error in (
        ("FROM busybox\nNONSENSE x", 400, "dockerfile parse error on line 2: unknown instruction: NONSENSE"),
        ("", 400, "the Dockerfile (Dockerfile) cannot be empty"),
        ("# nothing", 400, "failed to parse Dockerfile: file with no instructions"),
        ("FROM busybox\nENV a", 400, "failed to parse Dockerfile: ENV must have two arguments"),
        ("FROM busybox\nCOPY https://a.test/b /", 200, "COPY failed: source can't be a URL for COPY"),
        ("FROM --platform=$NONE busybox", 400, "empty platform value from expression $NONE"),
        ("FROM busybox:absent-tag-of-it", 200, ""),
        ('FROM busybox\nRUN ["/absent"]', 200, "no such file or directory"),
        ("FROM busybox\nUSER nobodyatall\nRUN true", 200, "unable to find user nobodyatall"),
        ("FROM busybox\nSTOPSIGNAL NONE", 200, "NONE"),
    ):
        answer = build(daemon, text)
        assert answer.status in {status, 404, 500, 503} if not error else answer.status == status, (text, answer.lines)
        assert error in answer.error, (text, answer.error)
        assert answer.error
    assert build(daemon, "FROM busybox", dockerfile="absent").error == "Cannot locate specified Dockerfile: absent"


def test_warnings(daemon: Daemon) -> None:
    args = {"USED": "1", "IN_STAGE": "2", "NOT": "3", "AND": "4", "http_proxy": "", "SOURCE_DATE_EPOCH": "5"}
    text = "ARG USED\nFROM busybox\nARG IN_STAGE\nENV a=b \\\n\n c=d\n"
    told = build(daemon, text, buildargs=args).text
    assert told.startswith("\x1b[91m[WARNING]: Empty continuation line found in: ENV a=b  c=d\n")
    assert "\n[Warning] One or more build-args [AND NOT] were not consumed\nSuccessfully built" in told
    assert "arning" not in build(daemon, "FROM busybox\nARG A\n", buildargs={"A": "1"}).text


def test_links_with_dots_lead_out_of_nothing(daemon: Daemon) -> None:
    links = "RUN ln -s /../../../here/there /x && ln -s /../etc /y"
    text = f"FROM busybox\n{links}\nADD f /x/\nCOPY f /y/f\nRUN cat /here/there/f /etc/f"
    assert "\nyes\nyes\n" in build(daemon, text, {"f": "yes\n"}).text


def test_answers_that_are_asked_for(daemon: Daemon) -> None:
    labels = {"l": "$no 'one'", "m": ""}
    made = build(daemon, "ARG A=1\nFROM busybox\nRUN true\nLABEL x=y", t=["one:1", "two"], labels=labels)
    lines = made.text.split("\n")
    assert lines[:2] == ["Step 1/6 : ARG A=1", "Step 2/6 : FROM busybox"]
    assert lines[2].startswith(" ---> ")
    assert lines[3] == "Step 3/6 : RUN true"
    assert lines[4].startswith(" ---> Running in ")
    assert lines[5].startswith("Removing intermediate container ")
    assert [line for line in lines if "LABEL" in line][1:] == ["Step 5/6 : LABEL l=$no 'one'", "Step 6/6 : LABEL m="]
    assert lines[-4:] == [
        f"Successfully built {made.image[7:19]}", "Successfully tagged one:1", "Successfully tagged two:latest", ""
    ]  # fmt: skip
    assert config(daemon, "two")["Labels"].value == {"x": "y", **labels}
    quiet = build(daemon, "FROM busybox\nLABEL x=y", q="1")
    assert [line.value for line in quiet.lines] == [{"stream": config_id(daemon, quiet.text) + "\n"}]
    failed = build(daemon, "FROM busybox\nRUN echo why; exit 3", q="1")
    assert "why" in failed.text
    plain = build(daemon, "FROM busybox", t="same")
    assert plain.image == daemon.ask("GET", "/images/busybox/json").json["Id"].text
    daemon.docker_output("rmi", "same")
    for query, word in (("outputs=x", "outputs"), ("version=2", "BuildKit")):
        answer = daemon.ask("POST", f"/build?{query}", b"")
        assert (answer.status, word in answer.message) == (501, True)
    assert daemon.ask("POST", "/build?t=UPPER", b"").status == 400
    assert daemon.ask("POST", "/build?platform=a/b/c/d", b"").status == 400
    assert daemon.ask("POST", "/build?buildargs=nonsense", b"").status == 400


def config_id(daemon: Daemon, text: str) -> str:
    """The id that a quiet build has answered, if there is such an image."""
    identity = text.strip()
    assert daemon.ask("GET", f"/images/{identity}/json").status == 200
    return identity
