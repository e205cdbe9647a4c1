"""Which endpoint to send audio to, what it bills and what it accepts."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from homescribe.audio.speech_file import MOST_BYTES, MOST_HEADER, SpeechFormat
from homescribe.cost.audio_budget import AudioPrice
from homescribe.errors import UserError

EXAMPLES = "https://api.openai.com/v1, https://api.groq.com/openai/v1, http://127.0.0.1:8000/v1"
LEAST_REQUEST = 30.0  # seconds of audio; shorter parts would cut sentences
MOST_SLOTS = 32
KEY_SETTING = "HOMESCRIBE_API_KEY, or api_key in config.toml"


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """An endpoint. Building one raises UserError for an address that nothing may be sent to."""

    base_url: str  # "https://api.openai.com/v1"
    api_key: str | None = field(default=None, repr=False)
    price_per_minute: float | None = None  # dollars; None: unknown
    least_seconds: float = 0.0  # that are billed for a request
    request_seconds: float = 600.0  # most audio in a request
    request_bytes: int = 25_000_000  # most bytes in a request
    request_format: SpeechFormat = "ogg"
    slots: int = 4  # requests at once
    max_cost: float | None = None  # dollars that one run may spend
    allow_http: bool = False  # also to other machines than this one

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base_url)
            host, valid = parts.hostname or "", parts.port is None or parts.port > 0
        except ValueError:
            host, valid = "", False
        if not host or not valid or parts.scheme not in ("http", "https"):
            raise UserError("base_url is not a web address.", f"Examples: {EXAMPLES}")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise UserError(
                "base_url has a user name, a password or parameters, which are not sent.",
                f"Put the key of the endpoint into {KEY_SETTING}.",
            )
        if parts.scheme == "http" and not self.allow_http and not is_loopback(host):
            raise UserError(
                f"{host} is another machine, and http:// sends audio and key to it unencrypted.",
                "Use https://, or --allow-http in a network that you trust.",
            )
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise UserError("The API key has characters that no key has.", f"See {KEY_SETTING}.")
        if self.max_cost is not None and self.price_per_minute is None:
            raise UserError(
                "--max-cost needs the price of the endpoint.",
                "Give what it bills for a minute: --price-per-minute DOLLARS, 0 for your own server.",
            )
        if self.request_seconds < LEAST_REQUEST:
            raise UserError(
                f"request_seconds = {self.request_seconds:g} is too short.",
                f"Use {LEAST_REQUEST:g} or more.",
            )
        if self.part_seconds < LEAST_REQUEST:
            raise UserError(
                f"A request of {self.request_bytes:,} bytes has no room for {LEAST_REQUEST:g} seconds of "
                f"{self.request_format}.",
                "Use --request-format ogg, or a larger --request-megabytes.",
            )
        if not 1 <= self.slots <= MOST_SLOTS:
            raise UserError(
                f"{self.slots} requests at once are not possible.", f"Use 1 to {MOST_SLOTS}."
            )

    @property
    def host(self) -> str:
        """The host that audio is sent to, with its port if it has one: "api.openai.com"."""
        parts = urlsplit(self.base_url)
        name = parts.hostname or ""
        return f"{name}:{parts.port}" if parts.port else name

    @property
    def part_seconds(self) -> float:
        """Seconds of audio in a request at most, by both limits."""
        room = (self.request_bytes - MOST_HEADER) / MOST_BYTES[self.request_format]
        return min(self.request_seconds, room)

    @property
    def price(self) -> AudioPrice:
        """What a request costs; nothing where the price is unknown."""
        return AudioPrice(self.price_per_minute or 0.0, self.least_seconds)

    def address(self, task: str) -> str:
        """Return the address for a task: "transcribe", or "translate" into English."""
        name = "translations" if task == "translate" else "transcriptions"
        return f"{self.base_url.rstrip('/')}/audio/{name}"


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine by its form; no name is looked up."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
