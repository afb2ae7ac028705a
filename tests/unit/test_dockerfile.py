"""A Dockerfile is read as BuildKit reads it."""

from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.build import instructions as kinds
from cais.build.dockerfile import Dockerfile, parse, parse_trigger
from cais.build.errors import DockerfileError
from cais.build.instructions import Instruction
from cais.build.lexer import Heredoc

Kind = TypeVar("Kind", bound=Instruction)


def one(kind: type[Kind], line: str) -> Kind:
    (instruction,) = parse(f"FROM scratch\n{line}").stages[0].instructions
    assert isinstance(instruction, kind)
    return instruction


def failure(text: str) -> DockerfileError:
    with pytest.raises(DockerfileError) as caught:
        parse(text)
    return caught.value


def test_stages_have_names_bases_platforms_and_instructions() -> None:
    read = parse("ARG V=1\nFROM --platform=$BUILDPLATFORM a:$V AS Build\nRUN x\nfrom build\nCMD y\n")
    assert [arg.values for arg in read.global_args] == [(("V", "1"),)]
    first, second = read.stages
    assert (first.index, first.base, first.name, first.written_name) == (0, "a:$V", "build", "Build")
    assert (first.platform, first.first_line, len(first.instructions)) == ("$BUILDPLATFORM", 2, 1)
    assert (second.index, second.base, second.name) == (1, "build", "")


def test_a_stage_is_found_by_name_in_any_case_or_by_number() -> None:
    read = parse("FROM a AS one\nFROM b AS two\nFROM c\n")
    assert read.stage("TWO") == read.stages[1]
    assert read.stage("0") == read.stages[0]
    assert read.stage("two", before=1) is None
    assert read.stage("3") is None
    assert read.target("") == read.stages[2]
    with pytest.raises(DockerfileError, match='target stage "nope" could not be found'):
        read.target("nope")


def test_lines_go_on_behind_comments_and_blank_lines() -> None:
    read = parse("FROM a\nRUN one \\\n  # between\n\n  two \\  \n three\nCMD x\n")
    run, cmd = read.stages[0].instructions
    assert isinstance(run, kinds.Run)
    assert run.command == ("one   two  three",)
    assert (run.first_line, run.last_line, cmd.first_line) == (2, 6, 7)
    assert read.lexed.nodes[1].has_empty_continuation


def test_two_escapes_at_the_end_of_a_line_do_not_continue_it() -> None:
    assert one(kinds.Workdir, "WORKDIR c:\\\\").path == "c:\\\\"


def test_directives_are_read_before_anything_else() -> None:
    read = parse("# syntax=docker/dockerfile:1\n#escape = `\n# check=skip=all\nFROM a\nRUN b `\n c\n")
    assert read.directives == {"syntax": "docker/dockerfile:1", "escape": "`", "check": "skip=all"}
    assert read.escape == "`"
    assert parse("# a comment\n# escape=`\nFROM a\n").escape == "\\"
    assert parse("\n# escape=`\nFROM a\n").escape == "\\"
    assert failure("# escape=x\nFROM a").message == "invalid escape token 'x' does not match ` or \\"
    assert failure("#syntax=a\n#syntax=b\nFROM a").message == "only one syntax parser directive can be used"


def test_a_byte_order_mark_and_line_ends_of_windows_mean_nothing() -> None:
    read = parse(b"\xef\xbb\xbfFROM a\r\nRUN b \\\r\n c\r\n")
    assert read.stages[0].base == "a"
    assert read.stages[0].instructions[0].original == "RUN b  c"


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert parse(b"FROM a\nLABEL x=\xff\n").stages[0].instructions[0].original == "LABEL x=\ufffd"


def test_a_command_is_an_array_or_a_text_for_the_shell() -> None:
    assert one(kinds.Run, 'RUN ["a", "b c"]').command == ("a", "b c")
    assert not one(kinds.Run, 'RUN ["a"]').shell
    assert one(kinds.Run, "RUN ['a']").command == ("['a']",)
    assert one(kinds.Run, 'RUN ["a"] b').shell
    assert one(kinds.Cmd, "CMD []").command == ()
    assert not one(kinds.Cmd, "CMD []").shell
    assert one(kinds.Entrypoint, "ENTRYPOINT a $b").command == ("a $b",)
    assert one(kinds.Shell, 'SHELL ["sh", "-ec"]').arguments == ("sh", "-ec")


def test_names_have_values_in_both_forms() -> None:
    assert one(kinds.Env, 'ENV a=1 b="2 3" c=4\\ 5').values == (("a", "1"), ("b", '"2 3"'), ("c", "4\\ 5"))
    old = one(kinds.Env, "ENV a b  c=d")
    assert old.values == (("a", "b  c=d"),)
    assert old.old_form
    assert one(kinds.Label, 'LABEL "a b"=c').values == (('"a b"', "c"),)
    assert one(kinds.Arg, "ARG a b=1 c=").values == (("a", None), ("b", "1"), ("c", ""))


def test_files_are_copied_with_every_flag() -> None:
    copy = one(
        kinds.Copy,
        "COPY --from=x --chown=1:2 --chmod=u+x --link --parents --exclude=*.o --exclude=*.a a b /c/",
    )
    assert (copy.sources, copy.destination, copy.source_from) == (("a", "b"), "/c/", "x")
    assert (copy.chown, copy.chmod, copy.link, copy.parents, copy.excludes) == (
        "1:2",
        "u+x",
        True,
        True,
        ("*.o", "*.a"),
    )
    add = one(kinds.Add, 'ADD --checksum=sha256:0 --keep-git-dir=true --unpack=false ["a b", "/c"]')
    assert (add.sources, add.destination, add.checksum) == (("a b",), "/c", "sha256:0")
    assert (add.keep_git_dir, add.unpack, add.link) == (True, False, False)
    assert one(kinds.Add, "ADD a b").unpack is None


def test_heredocs_are_files_or_scripts() -> None:
    read = parse("FROM a\nCOPY <<one.txt <<-'TWO' plain /d/\nA $x\none.txt\n\tB\n\tTWO\nCMD c\n")
    copy, cmd = read.stages[0].instructions
    assert isinstance(copy, kinds.Copy)
    assert copy.sources == ("plain",)
    first, second = copy.files
    assert first == Heredoc("one.txt", "A $x\n", expands=True, chomps=False)
    assert (second.name, second.text, second.expands) == ("TWO", "B\n", False)
    assert (copy.last_line, cmd.first_line) == (6, 7)
    script = one(kinds.Run, "RUN <<EOF\n#!/bin/sh\necho\nEOF")
    assert script.script is not None
    assert script.text == "#!/bin/sh\necho\n"
    several = one(kinds.Run, "RUN cat <<A && cat <<-B\n1\nA\n\t2\n\tB")
    assert several.script is None
    assert several.text == "cat <<A && cat <<-B\n1\nA\n\t2\nB"
    assert not one(kinds.Run, 'RUN ["echo", "<<EOF"]').files
    assert not one(kinds.Run, "RUN echo $((1<<2))").files


@pytest.mark.parametrize(
    ("line", "end", "name", "expands"),
    [
        ("RUN <<it\\'s", "it's", "it's", True),
        ("RUN <<'it'\\'s", "it's", "it's", False),
        ('RUN <<"it\'s"', "it's", "it's", False),
        ("RUN <<  A", "A", "A", True),
        ("RUN <<  A  >b", "A", "A", True),
        ("RUN << -A", "-A", "-A", True),
        ("RUN <<- A", "\tA", "A", True),
        ("RUN <<$A", "$A", "$A", True),
    ],
)
def test_names_of_heredocs_may_be_escaped_quoted_and_behind_blanks(
    line: str, end: str, name: str, expands: bool
) -> None:
    (heredoc,) = one(kinds.Run, f"{line}\ntext\n{end}").files
    assert (heredoc.name, heredoc.content, heredoc.expands) == (name, "text\n", expands)


@pytest.mark.parametrize("line", ["RUN <<-", "RUN <<", "RUN a <<<b", "RUN '<<A'", "RUN <<'A"])
def test_what_only_looks_like_a_heredoc_is_none(line: str) -> None:
    assert one(kinds.Run, line).files == ()


def test_health_checks_have_times_in_nanoseconds() -> None:
    check = one(
        kinds.Healthcheck,
        "HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=10ms --start-interval=1s --retries=3 CMD a b",
    )
    assert check.test == ("CMD-SHELL", "a b")
    assert (check.interval_ns, check.timeout_ns, check.start_period_ns) == (90 * 10**9, 1_500_000_000, 10_000_000)
    assert (check.start_interval_ns, check.retries) == (10**9, 3)
    assert one(kinds.Healthcheck, 'HEALTHCHECK CMD ["a"]').test == ("CMD", "a")
    assert one(kinds.Healthcheck, "HEALTHCHECK none").test == ("NONE",)


def test_the_rest_of_the_instructions() -> None:
    assert one(kinds.Expose, "EXPOSE 80/udp 8080 22").ports == ("22", "80/udp", "8080")
    assert one(kinds.Volume, 'VOLUME ["/a b", "/c"]').paths == ("/a b", "/c")
    assert one(kinds.Volume, "VOLUME /a /b").paths == ("/a", "/b")
    assert one(kinds.User, "USER a:b").user == "a:b"
    assert one(kinds.Workdir, "workdir /a b").path == "/a b"
    assert one(kinds.StopSignal, "STOPSIGNAL SIGINT").signal == "SIGINT"
    assert one(kinds.Maintainer, "MAINTAINER a <b>").name == "a <b>"


def test_run_says_its_mounts_its_network_and_its_security() -> None:
    run = one(kinds.Run, "RUN --mount=type=tmpfs,target=/t --network=none --security=insecure --mount=target=/c x")
    assert run.mount_texts == ("type=tmpfs,target=/t", "target=/c")
    assert (run.network, run.security, run.command) == ("none", "insecure", ("x",))


def test_a_trigger_is_an_instruction_of_whoever_builds_on_the_image() -> None:
    onbuild = one(kinds.Onbuild, "ONBUILD RUN <<EOF\nx\nEOF")
    assert onbuild.expression == "RUN <<EOF\nx\nEOF"
    trigger = parse_trigger(onbuild.expression)
    assert isinstance(trigger, kinds.Run)
    assert trigger.text == "x\n"
    with pytest.raises(DockerfileError, match="single expression"):
        parse_trigger("RUN a\nRUN b")


LINE_TWO = "dockerfile parse error on line 2: "


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("RNU x", "unknown instruction: RNU (did you mean RUN?)"),
        ("rnu x", "unknown instruction: rnu (did you mean run?)"),
        ("NONSENSE x", "unknown instruction: NONSENSE"),
        ("FROM a b", "FROM requires either one or three arguments"),
        ("FROM", "FROM requires either one or three arguments"),
        ("FROM a AS 1x", 'invalid name for build stage: "1x", name can\'t start with a number or contain symbols'),
        ("ENV", "ENV requires at least one argument"),
        ("ENV =1", "ENV names can not be blank"),
        ("ARG =1", "ARG names can not be blank"),
        ("ARG", "ARG requires at least one argument"),
        (
            "COPY a",
            "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        ("COPY a <<EOF\nEOF", "COPY cannot accept a heredoc as a destination"),
        ("COPY --lnk a b", "unknown flag: --lnk (did you mean link?)"),
        ("COPY --link=x a b", "expecting boolean value for flag --link, not: x"),
        ("COPY --link= a b", "missing a value on flag: --link"),
        ("COPY --chown a b", "missing a value on flag: --chown"),
        ("COPY --chown=1 --chown=2 a b", "duplicate flag specified: --chown"),
        ("CMD --x y", "unknown flag: --x"),
        ("RUN", "RUN requires at least one argument"),
        ("RUN --network=hots x", 'invalid network mode "hots" (did you mean host?)'),
        ("RUN --security=no x", 'security "no" is not valid'),
        ("RUN --mount=type=cahce x", 'unsupported mount type "cahce" (did you mean cache?)'),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("USER", "USER requires exactly one argument"),
        ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument"),
        ("MAINTAINER", "MAINTAINER requires exactly one argument"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ('VOLUME [" "]', "VOLUME specified can not be an empty string"),
        ("SHELL sh -c", "SHELL requires the arguments to be in JSON form"),
        ("SHELL []", "SHELL requires at least one argument"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK DO x", 'Unknown type "DO" in HEALTHCHECK (try CMD)'),
        ("HEALTHCHECK --interval=5 CMD x", 'time: missing unit in duration "5"'),
        ("HEALTHCHECK --interval=1ns CMD x", 'Interval "interval" cannot be less than 1ms'),
        ("HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD RNU x", "unknown instruction: RNU (did you mean RUN?)"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(line: str, message: str) -> None:
    error = failure(f"FROM scratch\n{line}\n")
    assert error.message == f"{LINE_TWO}{message}"
    assert error.first_line == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ENV a", "ENV must have two arguments"),
        ("LABEL a", "LABEL must have two arguments"),
        ("ENV a=1 b", 'Syntax error - can\'t find = in "b". Must be of the form: name=value'),
        ("CMD [1]", "when using JSON array syntax, arrays must be comprised of strings only"),
        ("RUN <<A\nx", "unterminated heredoc"),
    ],
)
def test_a_line_that_cannot_be_taken_apart_is_an_error_of_syntax(line: str, message: str) -> None:
    error = failure(f"FROM scratch\n{line}\n")
    assert (error.message, error.is_syntax, error.first_line) == (message, True, 2)
    assert not failure("FROM scratch\nENV\n").is_syntax


def test_errors_of_the_whole_file() -> None:
    assert failure("").message == "file with no instructions"
    assert failure("# only this\n").message == "file with no instructions"
    assert failure("ARG a\n").message == "dockerfile contains no stages to build"
    assert failure("RUN a\nFROM b\n").message == "no build stage in current context"
    assert failure("FROM a\nRUN <<EOF\nx\n").message == "unterminated heredoc"


def test_an_error_shows_the_lines_around_it() -> None:
    with pytest.raises(DockerfileError) as caught:
        parse("FROM a\nRUN b\nCOPY \\\n  c\nRUN d\nRUN e\nRUN f\n", "sub/Dockerfile")
    assert caught.value.detailed == (
        "sub/Dockerfile:3\n"
        "--------------------\n"
        "   1 |     FROM a\n"
        "   2 |     RUN b\n"
        "   3 | >>> COPY \\\n"
        "   4 | >>>   c\n"
        "   5 |     RUN d\n"
        "   6 |     RUN e\n"
        "--------------------\n"
        "dockerfile parse error on line 3: COPY requires at least two arguments, but only one was provided. "
        "Destination could not be determined"
    )


KEYWORDS = "FROM RUN COPY ADD ENV ARG LABEL HEALTHCHECK ONBUILD CMD SHELL EXPOSE VOLUME WORKDIR".split()
LINES = st.builds(
    lambda keyword, rest: f"{keyword} {rest}",
    st.sampled_from(KEYWORDS),
    st.text(alphabet="ab1 =\"'[]{}$,\\<-#:\n\t", max_size=20) | st.text(max_size=10),
)


@given(st.lists(LINES, max_size=5).map("\n".join) | st.text(max_size=80) | st.binary(max_size=80))
def test_any_input_is_read_or_refused(text: str | bytes) -> None:
    try:
        read = parse(text)
    except DockerfileError as error:
        assert error.message
    else:
        assert isinstance(read, Dockerfile)
        assert all(1 <= stage.first_line <= len(read.lines) for stage in read.stages)


def test_arrays_within_arrays_are_no_trouble() -> None:
    assert one(kinds.Cmd, f"CMD {'[' * 100_000}").shell
