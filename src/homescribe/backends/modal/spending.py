"""Modal's refusals to spend more of the account's money, told by their words."""

from __future__ import annotations

import re

from homescribe.errors import UserError


class SpendingRefused(UserError):
    """Modal refuses to spend more of the account's money."""


BILLING = (
    "See the budget and the payments at https://modal.com/settings/usage, then run again: what was submitted "
    "is collected first."
)

# "workspace billing cycle spend limit reached" is Modal's sentence as of 2025-07, with the status of a
# request that should be sent again later. Limits on the rate or number of requests are not meant.
SPENDING = re.compile(
    r"\b(budgets?|billing|spend(ing)?|payments?|unpaid|invoices?|credits?|usage limits?)\b",
    re.IGNORECASE,
)


def spending_refused(detail: str) -> SpendingRefused | None:
    """Return the refusal that `detail` is; None where it says something else."""
    if not SPENDING.search(detail):
        return None
    return SpendingRefused(f"Modal refuses to spend more: {detail}", BILLING)
