"""The backend that the settings choose, for the command line and the page."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from homescribe import plugins
from homescribe.config import Config
from homescribe.core import Backend
from homescribe.cost.prices import DEFAULT_ENGINE, DEFAULT_GPU, DEFAULT_MODEL, machine
from homescribe.library import Library

if TYPE_CHECKING:
    from homescribe.backends.modal.backend import ModalBackend


def backend_for(config: Config, library: Library) -> Backend:
    """The backend that `config` names, with what it needs to know."""
    if config.backend == "modal":
        return rented_backend(config, library)
    return plugins.load("backends", config.backend)()


def rented_backend(config: Config, library: Library) -> ModalBackend:
    """The Modal backend, with this library's experience of it."""
    plugins.load("backends", "modal")  # says what to install when the extra is missing
    from homescribe.backends.modal.backend import ModalBackend, ModalOptions

    rental = library.rental(
        config.engine or DEFAULT_ENGINE,
        config.model or DEFAULT_MODEL,
        machine(config.gpu or DEFAULT_GPU).gpu,
    )
    options = ModalOptions(
        gpu=config.gpu or DEFAULT_GPU,
        max_containers=config.containers,
        max_cost=config.max_cost,
        when=config.when,
        suspects=library.suspects(),
    )
    if rental:
        options = dataclasses.replace(options, speed=rental.speed, boot=rental.boot)
    return ModalBackend(options)
