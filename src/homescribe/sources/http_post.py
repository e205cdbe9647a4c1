"""POST requests to an address of the user's own settings: webhooks.

Redirects are not followed. Nothing but the status and the headers of the response is read.
"""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit

import requests
import urllib3

from homescribe.core import SECOND
from homescribe.sources.http_errors import connection_error
from homescribe.sources.http_response import USER_AGENT
from homescribe.sources.private_networks import PrivateAddressError, is_local, public_session

TIMEOUT = 10 * SECOND  # for connecting, and for each part of the response


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, private_networks: bool = False
) -> tuple[int, Mapping[str, str]]:
    """Send `body`, and return the status and the headers of the response.

    An address on a private network is allowed: the user wrote it. A public name does not lead there, unless
    with `private_networks`.

    Raises the error of `connection_error` when there is no response.
    """
    try:
        local = private_networks or is_local(urlsplit(url).hostname or "-.invalid")
        with (
            requests.Session() if local else public_session() as session,
            session.post(
                url,
                data=body,
                headers={"User-Agent": USER_AGENT, **headers},
                timeout=(TIMEOUT, TIMEOUT),
                allow_redirects=False,
                stream=True,
            ) as response,
        ):
            return response.status_code, response.headers
    except (
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        OSError,
        PrivateAddressError,
        ValueError,  # of a host or header that is none
    ) as error:
        raise connection_error(error, url) from error
