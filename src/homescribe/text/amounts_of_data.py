"""Read amounts of data that a person wrote."""

from __future__ import annotations

import re

# Decimal units, as disks and `display.size` count them.
UNITS = {"": 1e9, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
AMOUNT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]b|)\s*", re.ASCII | re.IGNORECASE)


def in_gigabytes(text: str) -> float | None:
    """Return "50 GB", "500MB" or "1.5 TB" in gigabytes. A number alone is in gigabytes; None if not one."""
    found = AMOUNT.fullmatch(text)
    return float(found[1]) * UNITS[found[2].upper()] / 1e9 if found else None
