"""Requests to an endpoint: within its rate limits, sent again where that may help, each paid once.

What happens after a response is decided in endpoint_errors.py. Requests that may have been billed although
nobody has their answer count in the cap and in the costs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event, Lock

import numpy as np
from numpy.typing import NDArray

from homescribe.audio.speech_file import MEDIA_TYPES, encoded
from homescribe.audio.waveform import SAMPLE_RATE
from homescribe.backends.endpoint.answer_store import AnswerStore, token_of
from homescribe.backends.endpoint.endpoint_answers import Answer, BadAnswer, parse
from homescribe.backends.endpoint.endpoint_errors import (
    STORED,
    Again,
    FieldRefused,
    RequestRefused,
    TooManyRequests,
    check_reply,
)
from homescribe.backends.endpoint.endpoint_options import LEAST_REQUEST, EndpointOptions
from homescribe.backends.endpoint.endpoint_request import HttpReply, NoReply, SpeechUpload, send
from homescribe.backends.endpoint.rate_limits import RateLimits
from homescribe.core import MINUTE
from homescribe.cost.audio_budget import AudioBudget
from homescribe.errors import Cancelled, RetryableError, SetupError, UserError

PAUSES = (2.0, 8.0, 30.0)  # seconds before the second, third and fourth attempt
LEAST_WAIT = 1.0  # seconds, whatever the endpoint asks for: each attempt sends the whole part
# Failures of a recording that are paid for. With the pauses between attempts, they take a day at least.
MOST_FAILURES = 6
# Seconds that a request waits in all while the endpoint says that there are too many.
LONGEST_REFUSAL = 30 * MINUTE
# Seconds for a request, besides those of its audio: a small computer is as slow as the speech.
ANSWER_LIMIT = 10 * MINUTE
REFUSED_HINT = "If others are refused, too: check --model, --language and --request-format."
UNTIMED_HINT = (
    f"Use another model, or --request-seconds {LEAST_REQUEST:g}: then each part of at most that length is "
    "one line of the transcript."
)


class EndpointFailure(RetryableError):
    """A recording failed because of the endpoint's answers. Others may, too."""


@dataclass(frozen=True, slots=True)
class PartRequest:
    """One part of a recording to transcribe."""

    key: str  # of the item
    samples: NDArray[np.int16]
    task: str  # "transcribe" or "translate"
    fields: Mapping[str, str]  # of the form

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE


class EndpointClient:
    """Sends parts to an endpoint. Any thread may use it; `options.slots` requests run at once."""

    def __init__(
        self, options: EndpointOptions, model: str, store: AnswerStore, budget: AudioBudget
    ) -> None:
        self.options = options
        self.model = model
        self.store = store
        self.budget = budget
        self._limits = RateLimits(options.host)
        self._lock = Lock()
        self._refused: set[str] = set()  # fields
        self._running = 0  # requests
        self._abandon = Event()

    def close(self, patience: float) -> None:
        """Wait for the answers to requests in flight, which are paid for, but not longer than `patience`."""
        deadline = time.monotonic() + patience
        while self._running and time.monotonic() < deadline:
            time.sleep(0.05)
        self._abandon.set()

    def gives_up(self, key: str) -> bool:
        """Count a failure of a recording; return whether there were too many to pay for more."""
        return self.options.price_per_minute != 0 and self.store.count_failure(key) >= MOST_FAILURES

    def answer(self, request: PartRequest, stop: Event) -> tuple[Answer, str]:
        """Return the answer to a request, and its token: the stored one, or one that is paid for now.

        After `stop` is set, a request in flight is waited for and its answer stored; none is begun.

        Raises UserError when the run should end, EndpointFailure for this recording, BudgetReached, and
        Cancelled.
        """
        attempts, refusals, waited = 0, 0, 0.0
        while True:
            fields = self._accepted(request.fields)
            address = self.options.address(request.task)
            token = token_of(request.samples, address, self.options.request_format, fields)
            stored = self.store.find(request.key, token)
            if stored is not None:
                try:
                    return self._checked(parse(stored)), token
                except BadAnswer:
                    self.store.reject(request.key, token)
            self._limits.wait(stop)
            try:
                return self._checked(parse(self._send(request, address, fields, token))), token
            except BadAnswer as error:
                self.store.reject(request.key, token)
                failure = Again(str(error), billed=True)
            except FieldRefused as error:
                self._leave_out(error, fields)
                continue
            except RequestRefused as error:
                raise EndpointFailure(error.message, REFUSED_HINT) from error
            except TooManyRequests as error:
                wait = error.wait or PAUSES[min(refusals, len(PAUSES) - 1)]
                wait = max(wait, LEAST_WAIT)
                if waited > LONGEST_REFUSAL:
                    raise self._broken(error) from error
                refusals += 1
                waited += wait
                self._limits.hold(wait)
                continue
            except Again as error:
                failure = error
            if attempts == len(PAUSES):
                raise self._given_up(failure) from failure
            pause = max(PAUSES[attempts], failure.wait or 0.0)
            attempts += 1
            if failure.wait:
                self._limits.hold(pause)
            elif stop.wait(pause):
                raise Cancelled

    # --- One request -------------------------------------------------------------------------------

    def _send(
        self, request: PartRequest, address: str, fields: Mapping[str, str], token: str
    ) -> bytes:
        """Send a part; return the body of its answer, which is stored by then."""
        options = self.options
        content = encoded(request.samples, options.request_format)
        name = f"part.{options.request_format}"
        form = tuple(
            (field, value)
            for field, values in fields.items()
            for value in (values.split(",") if field.endswith("[]") else [values])
        )
        upload = SpeechUpload(content, name, MEDIA_TYPES[options.request_format], form)
        dollars = options.price.of(request.seconds)
        self.budget.cover(request.key, dollars)
        note = self.store.begin(request.key, dollars)
        with self._lock:
            self._running += 1
        began = time.monotonic()
        billed = True
        try:
            reply = self._exchange(upload, address, ANSWER_LIMIT + request.seconds)
            check_reply(reply, options, self.model)
        except Again as error:
            billed = error.billed
            raise
        except (FieldRefused, RequestRefused, UserError):
            billed = False
            raise
        else:
            took = time.monotonic() - began
            self.store.add(request.key, token, reply.body, dollars, took, note)
            self._limits.observe(reply.headers)
            return reply.body
        finally:
            if billed:
                self.budget.spend(request.key, dollars)
            else:
                self.store.withdraw(request.key, note)
            with self._lock:
                self._running -= 1

    def _exchange(self, upload: SpeechUpload, address: str, timeout: float) -> HttpReply:
        try:
            return send(address, upload, self.options.api_key, timeout, self._abandon)
        except NoReply as error:
            raise Again(error.message, billed=error.sent) from error

    # --- Fields and answers ------------------------------------------------------------------------

    def _accepted(self, fields: Mapping[str, str]) -> dict[str, str]:
        """Return the fields of a form without those that the endpoint has refused."""
        with self._lock:
            refused = set(self._refused)
        found = {name: value for name, value in fields.items() if name.rstrip("[]") not in refused}
        if "response_format" in refused:
            found = {n: v for n, v in found.items() if not n.startswith("timestamp_granularities")}
        return found

    def leaves_out(self, name: str) -> bool:
        """Return whether the endpoint has refused a field, which is sent no more."""
        with self._lock:
            return name in self._refused

    def _leave_out(self, error: FieldRefused, sent: Mapping[str, str]) -> None:
        """Send a field no more. Raises UserError where no transcript can be had without it.

        Raises EndpointFailure where it was not sent: then something else is refused.
        """
        if error.name not in {name.rstrip("[]") for name in sent}:
            raise EndpointFailure(
                f"{self.options.host} refuses the request ({error.message}).", REFUSED_HINT
            )
        if error.name == "response_format" and self.options.request_seconds > LEAST_REQUEST:
            raise UserError(
                f"The model {self.model!r} of {self.options.host} gives no times ({error.message}).",
                UNTIMED_HINT,
            )
        with self._lock:
            self._refused.add(error.name)

    def _checked(self, answer: Answer) -> Answer:
        """Return an answer; raise UserError for one without times, unless parts are short enough."""
        if answer.untimed and self.options.request_seconds > LEAST_REQUEST:
            raise UserError(
                f"{self.options.host} answers without times with the model {self.model!r}.",
                UNTIMED_HINT,
            )
        return answer

    # --- Failures ----------------------------------------------------------------------------------

    def _given_up(self, failure: Again) -> SetupError | EndpointFailure:
        """Return the error after the last attempt: of the run if no request reached the service.

        A response, or a connection that was cut, may be about this recording: others are not kept from their
        turn. RepeatedFailures ends the run when it is about all of them.
        """
        if failure.billed:
            return EndpointFailure(
                f"{self.options.host} gave no answer in {len(PAUSES) + 1} attempts: {failure.message}."
            )
        return self._broken(failure)

    def _broken(self, failure: Again) -> SetupError:
        return SetupError(
            f"{self.options.host} cannot be used now: {failure.message}.",
            f"Check the network and --base-url. {STORED}",
        )
