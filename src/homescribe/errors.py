"""All exceptions of homescribe, by what happens after them.

    HomescribeError
    +- UserError             the run stops until the user acts (exit 2)
    |  +- SetupError         something is missing or broken on this machine (exit 3)
    |  +- AnotherRun         another run is working on this library (exit 5)
    |  +- BudgetReached      the run stops at the spending cap; nothing is lost (exit 4)
    |  +- LibraryBusy        another program is writing to the library; a run waits for it
    |  +- SourceBlocked      one site refuses access: its items stay pending, other sites continue
    +- ItemError             recorded with the item; the run continues (exit 1 at the end)
       +- PermanentError     retried after 30 days: private, removed, undecodable
       |  +- SuspectError    not retried automatically: the process died twice during the work on it
       +- RetryableError     retried later: network, 503, truncated, not yet live
          +- InternalError   an unforeseen exception; its traceback is in a log file
          +- SiteBusy        the site asks to wait: its other items wait, too
          +- NotCollected    a call's result could not be had now; the call is kept
    Cancelled                the run was stopped: not a failure, nothing is recorded

Each plug-in translates the errors of the libraries it uses in one place. Any other exception in the work on
one item is recorded as an InternalError of that item. Outside of that work it is a bug in the run itself, and
shows its traceback.

All arguments are positional and can be pickled, because an error raised in a container is rebuilt on this
machine from `args`.
"""


class HomescribeError(Exception):
    """An error with a `message`, one line that says what happened, and a `hint`, one that says what to do.

    `hint` is "" when the user can do nothing.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UserError(HomescribeError):
    """The run stops until the user acts: wrong URL, no token, disk full."""


class SetupError(UserError):
    """Something that homescribe needs is missing or broken on this machine."""


class AnotherRun(UserError):
    """Another process is working on the library."""


class BudgetReached(UserError):
    """Continuing could cost more than the spending cap allows."""


class LibraryBusy(UserError):
    """Another program has been writing to the library for longer than this one waited: nothing was stored."""


class SourceBlocked(UserError):
    """A site refuses this machine: no item is marked failed, and other sites continue.

    `retry_after`: seconds to wait before the next request; None if the user must act first.
    """

    def __init__(self, message: str, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint)
        self.args = (message, hint, retry_after)
        self.retry_after = retry_after


class ItemError(HomescribeError):
    """One item failed; the run continues."""


class PermanentError(ItemError):
    """A retry would fail too: private, removed, undecodable, no audio."""


class SuspectError(PermanentError):
    """The process died twice while it worked on the item, so that only a person may have it tried again."""


class RetryableError(ItemError):
    """A retry may succeed. `retry_after`: least seconds to wait; None for the library's backoff."""

    def __init__(self, message: str, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint)
        self.args = (message, hint, retry_after)
        self.retry_after = retry_after


class SiteBusy(RetryableError):
    """The site asks to wait `retry_after` seconds before any request to it, not only one for this item."""


class InternalError(RetryableError):
    """An unforeseen exception in the work on one item; the message names the log file with its traceback."""


class NotCollected(RetryableError):
    """The result of a call could not be had now. The call is kept, and a later run tries to collect it."""


class Cancelled(Exception):
    """The work ended early because the run's stop event was set."""
