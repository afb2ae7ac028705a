"""Signals that reach the command while a container runs: passed on to the container, or a change of the window.

The module beneath `signal` is used, which loads in no time.
"""

from __future__ import annotations

from cais.cli.command import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from types import TracebackType
else:
    import _signal

SIGWINCH = 28
_NAMES = {
    1: "HUP",
    2: "INT",
    3: "QUIT",
    5: "TRAP",
    6: "ABRT",
    10: "USR1",
    12: "USR2",
    14: "ALRM",
    15: "TERM",
    16: "STKFLT",
    18: "CONT",
    20: "TSTP",
    24: "XCPU",
    25: "XFSZ",
    26: "VTALRM",
    27: "PROF",
    29: "IO",
    30: "PWR",
}
_ENDING = frozenset([2, 15])
_PATIENCE = 3


class Handlers:
    """A context in which signals are handled; what was there before comes back at its end."""

    __slots__ = ("_previous", "_wanted")

    def __init__(self) -> None:
        self._wanted: dict[int, Callable[[int, object], None]] = {}
        self._previous: dict[int, object] = {}

    def forward_to(self, kill: Callable[[str], None]) -> None:
        """Pass signals on by name. The third request to end makes this command give up, whatever the container does."""
        endings = 0

        def handle(number: int, _frame: object) -> None:
            nonlocal endings
            if number in _ENDING:
                endings += 1
                if endings == _PATIENCE:
                    raise CommandError("\ngot 3 SIGTERM/SIGINTs, forcefully exiting", 1)
            kill(_NAMES[number])

        self._wanted.update(dict.fromkeys(_NAMES, handle))

    def on_resize(self, resize: Callable[[], object]) -> None:
        def handle(_number: int, _frame: object) -> None:
            resize()

        self._wanted[SIGWINCH] = handle

    def __enter__(self) -> None:
        for number, handler in self._wanted.items():
            self._previous[number] = _signal.signal(number, handler)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            # None: set by something other than Python, and out of reach
            _signal.signal(number, _signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]
