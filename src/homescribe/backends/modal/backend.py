"""The Modal backend: deploys the app, reads the account's prices, starts sessions.

A session submits recordings and collects transcripts; see `session.py`. What runs in the container is in
`modal_transcribe.py`.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import modal
import modal.exception

from homescribe import plugins
from homescribe.backends.modal import deployment, modal_transcribe
from homescribe.backends.modal.modal_errors import account_errors
from homescribe.backends.modal.session import ModalOptions, ModalSession
from homescribe.core import EngineRequirements, Session
from homescribe.cost.prices import (
    DEFAULT_ENGINE,
    DEFAULT_MODEL,
    Machine,
    account_rate,
    published_rate,
)
from homescribe.errors import UserError

RATES_LIMIT = 5.0  # seconds to wait for the account's prices


class ModalBackend:
    """Runs engines on GPUs rented at Modal. `options` are checked here, before anything is sent."""

    name = "modal"
    default_engine = DEFAULT_ENGINE
    default_model = DEFAULT_MODEL

    def __init__(self, options: ModalOptions | None = None) -> None:
        self.options = options or ModalOptions()
        self.machine = self.options.machine
        if self.options.max_containers < 1:
            raise UserError("At least one container is needed.", "Use --containers 1 or more.")

    @contextmanager
    def start(self, engine: str, model: str) -> Iterator[Session]:
        """Start a session, after deploying this version and downloading the weights where needed."""
        requirements = self._requirements(engine)
        if "/" in model and model.startswith((".", "/", "~")):
            raise UserError(
                f"{model} is a path on this machine, and Modal downloads models by name.",
                "Use a published name such as turbo or large-v3.",
            )
        models = self.options.speakers
        paths = models.found() if models is not None else None
        with account_errors():
            place = deployment.find_place()
            deployment.deploy_if_needed(engine, speakers=paths is not None)
            deployment.fetch_weights(engine, model)
            hashes = deployment.upload_speaker_models(paths) if paths is not None else ""
            rate = self.rate()
        session = ModalSession(self.options, engine, model, requirements, rate, place, hashes)
        try:
            yield session
        finally:
            session.close()

    def _requirements(self, engine: str) -> EngineRequirements:
        """Return what an engine states. UserError when it cannot run at Modal, or not on this machine."""
        if engine not in modal_transcribe.ENGINES:
            plugins.load("engines", engine)  # raises for an unknown name or a missing package
            raise UserError(
                f"The engine {engine!r} states no requirements, so Modal cannot install it.",
                f"Use --backend local, or one of: {', '.join(modal_transcribe.ENGINES)}.",
            )
        requirements = modal_transcribe.ENGINES[engine].requirements
        if requirements.gpu_required and self.machine.gpu == "CPU":
            raise UserError(f"The engine {engine!r} needs a GPU.", "Use --gpu A10.")
        if requirements.gpu_available is None and self.machine.gpu != "CPU":
            raise UserError(f"The engine {engine!r} does not use a GPU.", "Use --gpu CPU.")
        return requirements

    def rate(self, rented: Machine | None = None) -> float:
        """Return dollars per second: the account's own price where Modal reports it, else the published."""
        rented = rented or self.machine
        return account_rate(rented, self._account_rates) or published_rate(rented)

    def has_account_rate(self, rented: Machine | None = None) -> bool:
        """Return whether Modal reports the account's own price of a machine: of its GPU, cores and memory."""
        return account_rate(rented or self.machine, self._account_rates) is not None

    @functools.cached_property
    def _account_rates(self) -> dict[str, float]:
        """The account's prices by name; empty where Modal reports none to this token, or is not reached."""
        found: dict[str, float] = {}

        def request() -> None:
            with contextlib.suppress(modal.exception.Error, ValueError, OSError):
                rates = modal.Workspace.from_context().billing.rates()
                found.update({name: float(value) for name, value in rates.items()})

        # Without a network the client tries for a minute. A plan does not wait that long for a better price.
        thread = threading.Thread(target=request, name="modal rates", daemon=True)
        thread.start()
        thread.join(RATES_LIMIT)
        return dict(found)

    # --- The app ---------------------------------------------------------------------------------

    def deployed(self) -> list[str]:
        """Return the fingerprints of all versions that are deployed, this one's first."""
        with account_errors():
            return deployment.fingerprints()

    def is_current(self, fingerprint: str) -> bool:
        """Return whether a fingerprint is that of this version with its engines."""
        return fingerprint == modal_transcribe.FINGERPRINT

    def deploy(self, *engines: str, show: bool = False) -> None:
        """Deploy this version beside others, whose calls continue, with the default engine and `engines`.

        `show` prints how the images are built, which takes minutes the first time.
        """
        for engine in engines:
            self._requirements(engine)
        with account_errors():
            deployment.deploy(*engines, show=show)

    def stop(self) -> bool:
        """Stop all versions and all their containers now. Return False when none is deployed."""
        with account_errors():
            return deployment.stop_all()
