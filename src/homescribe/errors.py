"""Failures, sorted by what happens next. No other exception of ours exists.

    HomescribeError
    +- UserError             the run stops: the user must act (exit 2)
    |  +- SetupError         something is missing or broken on this machine (exit 3)
    |  +- BudgetReached      the spending cap stops the run, nothing is lost (exit 4)
    |  +- SourceBlocked      one site turns us away: its items stay pending, other sites go on
    +- ItemError             recorded with the item, the run goes on (exit 1 at the end)
       +- PermanentError     never tried again by itself: private, removed, undecodable
       +- RetryableError     tried again later: network, 503, truncated, not yet live
    Cancelled                the run was asked to stop: not a failure, nothing is recorded

Plug-ins translate the errors of the libraries they use, each at one place. Anything that is not one of
these is a bug and shows its traceback.

Every class takes only positional arguments that pickle: an error raised in a container is rebuilt at
home from `args`.
"""


class HomescribeError(Exception):
    """`message`: one line, what happened. `hint`: one line, what to do ("" when nothing can be done)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UserError(HomescribeError):
    """The run stops, and the user must act: bad URL, no token, disk full."""


class SetupError(UserError):
    """Something that homescribe needs is missing or broken on this machine."""


class BudgetReached(UserError):
    """Going on would cost more than the user allowed."""


class SourceBlocked(UserError):
    """A site turns this machine away: nothing is marked failed, other sites go on.

    `retry_after`: seconds after which asking again makes sense, None when the user must act first.
    """

    def __init__(self, message: str, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint)
        self.args = (message, hint, retry_after)
        self.retry_after = retry_after


class ItemError(HomescribeError):
    """One item failed; the run goes on."""


class PermanentError(ItemError):
    """Trying again would fail again: private, removed, undecodable, no audio."""


class RetryableError(ItemError):
    """Worth another try. `retry_after`: seconds to wait at least, None for the library's backoff."""

    def __init__(self, message: str, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint)
        self.args = (message, hint, retry_after)
        self.retry_after = retry_after


class Cancelled(Exception):
    """The work was cut short because the run's stop event was set."""
