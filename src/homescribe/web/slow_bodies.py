"""Requests whose body arrives too slowly are refused, so that none holds a place of the server for ever.

As Apache's mod_reqtimeout does it: the body may take GRACE seconds, and more for what has arrived.
"""

from __future__ import annotations

import asyncio
import time

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from homescribe.core import HOUR, SECOND

GRACE = 30 * SECOND  # of waiting, however little arrives
LEAST_RATE = 4_000  # bytes a second; a recording at 32 kbit/s arrives as fast as it is spoken
LONGEST = 2 * HOUR  # of waiting for one body


def limit_waiting(receive: Receive) -> Receive:
    """`receive` that raises HTTPException 408 when the client is too slow. Only waiting for it counts."""
    waited = 0.0  # seconds
    received = 0  # bytes
    complete = False

    async def limited() -> Message:
        nonlocal waited, received, complete
        if complete:  # what comes next is that the client disconnects
            return await receive()
        began = time.monotonic()
        allowed = min(GRACE + received / LEAST_RATE, LONGEST)
        try:
            message = await asyncio.wait_for(receive(), max(0.0, allowed - waited))
        except TimeoutError as error:
            raise HTTPException(
                408, "The request arrives too slowly.", headers={"Connection": "close"}
            ) from error
        waited += time.monotonic() - began
        received += len(message.get("body", b""))
        complete = not message.get("more_body", False)
        return message

    return limited
