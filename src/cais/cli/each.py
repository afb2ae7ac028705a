"""The same thing done to each of several objects: all at once, told in the order in which they were named."""

from __future__ import annotations

from cais.cli.command import CommandError
from cais.cli.output import err, out
from cais.client.errors import EngineError
from cais.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cais.client.engine import Pending

_AT_ONCE = 50  # connections


def one_by_one(names: Sequence[str], act: Callable[[str], str]) -> int:
    """Act on each and print what `act` gives; errors are printed, and make the exit status 1."""
    failed = 0
    for name in names:
        try:
            out(act(name))
        except (EngineError, InvalidArgument, CommandError) as error:
            err(str(error))
            failed = 1
    return failed


def all_at_once(
    names: Sequence[str],
    begin: Callable[[str], Pending],
    *,
    forgiven: Callable[[EngineError], bool] = lambda _error: False,
) -> int:
    """Begin with all, print the names of those where it went well, and the errors of the others.

    The exit status is 1 when there is an error that is not `forgiven`.
    """
    failed = 0
    for batch in _batches(names):
        under_way: list[tuple[str, Pending | Exception]] = []
        for name in batch:
            try:
                under_way.append((name, begin(name)))
            except (InvalidArgument, CommandError) as error:
                under_way.append((name, error))
        for name, request in under_way:
            try:
                if isinstance(request, Exception):
                    raise request
                answer = request.response()
                answer.read()
                answer.connection.close()
                out(name)
            except (EngineError, InvalidArgument, CommandError) as error:
                err(str(error))
                failed |= not (isinstance(error, EngineError) and forgiven(error))
    return failed


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE))
