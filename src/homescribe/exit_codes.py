"""Exit codes of all commands: see docs/concepts/errors.md."""

from enum import IntEnum

from homescribe.errors import AnotherRun, BudgetReached, HomescribeError, SetupError


class ExitCode(IntEnum):
    """What a command's exit code means."""

    OK = 0
    SOME_FAILED = 1  # the run reached its end, but some items failed
    USER_ERROR = 2  # the user must act
    SETUP_ERROR = 3  # something is missing or broken on this machine
    BUDGET_REACHED = 4  # the spending cap ended the run
    ANOTHER_RUN = 5  # another run is working on the library
    INTERRUPTED = 130


def exit_code(error: HomescribeError) -> ExitCode:
    """Return the exit code of a command that `error` ended."""
    if isinstance(error, SetupError):
        return ExitCode.SETUP_ERROR
    if isinstance(error, AnotherRun):
        return ExitCode.ANOTHER_RUN
    return ExitCode.BUDGET_REACHED if isinstance(error, BudgetReached) else ExitCode.USER_ERROR
