"""How a build fails."""

from cais.errors import InvalidArgument


class CommandFailed(InvalidArgument):
    """The command of a RUN ended with another exit code than 0."""

    def __init__(self, arguments: str, exit_code: int) -> None:
        super().__init__(f"The command '{arguments}' returned a non-zero code: {exit_code}")
        self.exit_code = exit_code
