"""State of the stand-in, and what its control plane and its containers share."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpclib
from modal_proto import api_pb2 as pb

from modal_standin.records import Container, Function, FunctionCall, Input

# None: no error of this request.
Fault = grpclib.Status | tuple[grpclib.Status, str] | None


@dataclass
class Settings:
    """Settings of the stand-in. A test may change them while it runs."""

    directory: str = ""
    token_id: str = "ak-standin"
    builder_version: str = "2025.06"
    max_object_size: int = 2 * 1024 * 1024  # bytes; a larger result is sent as a blob
    max_containers: int = 4
    max_scaledown: float = 60
    max_lost: int = 2  # containers that may die with an input before it fails
    max_failed_boots: int = 2
    grace: float = 5  # seconds that a container has to end by itself
    container_python: str = sys.executable
    container_path: list[Path] = field(default_factory=list)
    container_env: dict[str, str] = field(default_factory=dict)
    rates: dict[str, str] = field(default_factory=dict)  # of the account; none: no permission
    bill: dict[str, float] = field(default_factory=dict)  # dollars of each app in the last hours
    # Errors of requests, by RPC, one for each: of clients, and of containers (claims, volumes).
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    container_faults: dict[str, list[Fault]] = field(default_factory=dict)
    # What the containers of recordings raise, by item key, past all that homescribe catches: while they
    # start ("load") or in the call ("call").
    raised: dict[str, tuple[str, BaseException]] = field(default_factory=dict)
    # What the containers of further calls without a recording raise, one for each.
    raised_by_functions: list[BaseException] = field(default_factory=list)
    environments: tuple[str, ...] = ("main",)
    workspace: str = "standin"
    client_too_old: bool = False
    cut_uploads: int = 0  # number of uploads from clients to cut off
    busy_downloads: int = 0  # number of downloads by clients to refuse with status 503
    upload_rate: float = 0  # bytes per second of an upload from a client; 0 for no limit
    # Set by the stand-in: clients and containers connect to different ports.
    client_url: str = ""
    container_url: str = ""
    client_blobs: str = ""
    container_blobs: str = ""


class State:
    """Apps, functions, calls and blobs, in memory. They are kept while clients are cut off."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.apps: dict[str, dict[str, Any]] = {}
        self.deployed: dict[str, str] = {}
        self.layouts: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
        self.functions: dict[str, Function] = {}
        self.classes: dict[str, str] = {}
        self.images: dict[str, Any] = {}
        self.mounts: dict[str, Any] = {}
        self.secrets: dict[str, dict[str, str]] = {}
        self.volumes: dict[str, str] = {}
        self.dicts: dict[str, dict[bytes, bytes]] = {}
        self.files: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.calls: dict[str, FunctionCall] = {}
        self.inputs: dict[str, Input] = {}
        self.containers: dict[str, Container] = {}
        self.logs: list[str] = []
        self.journal: list[tuple[float, str, str]] = []  # (Unix time, what, id)
        self.requests: Counter[tuple[str, str]] = Counter()  # by (client | container, RPC)
        self.unimplemented: Counter[str] = Counter()
        self.closing = False
        self.tasks: set[asyncio.Task[Any]] = set()
        self._numbers: Counter[str] = Counter()

    def new_id(self, prefix: str) -> str:
        self._numbers[prefix] += 1
        return f"{prefix}-standin{self._numbers[prefix]:06d}"

    def note(self, what: str, which: str) -> None:
        self.journal.append((time.time(), what, which))

    def background(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def layout(self, app_id: str, function: Function | None = None) -> pb.AppLayout:
        """Layout of an app, as containers and `from_name` receive it."""
        function_ids, class_ids = self.layouts.get(app_id, ({}, {}))
        layout = pb.AppLayout(function_ids=function_ids, class_ids=class_ids)
        if function is not None:
            layout.function_ids[function.name] = function.id
        for found in layout.function_ids.values():
            layout.objects.add(
                object_id=found, function_handle_metadata=self.functions[found].handle
            )
        for found in layout.class_ids.values():
            layout.objects.add(object_id=found, class_handle_metadata=pb.ClassHandleMetadata())
        if function is not None:
            have = {item.object_id for item in layout.objects}
            for needed in function.definition.object_dependencies:
                if needed.object_id not in have:
                    layout.objects.add(object_id=needed.object_id)
        return layout

    def image_environment(self, image_id: str) -> dict[str, str]:
        """Variables that the ENV lines of an image and of its base images set."""
        if image_id not in self.images:
            return {}
        image = self.images[image_id]
        found: dict[str, str] = {}
        for base in image.base_images:
            found.update(self.image_environment(base.image_id))
        for line in image.dockerfile_commands:
            if line.startswith("ENV "):
                name, _, value = line[4:].partition("=")
                found[name.strip()] = value.strip().strip("'\"")
        return found


def token(**payload: Any) -> str:
    """An unsigned JSON web token. The client reads its payload only."""

    def encode(part: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()

    return f"{encode({'alg': 'none', 'typ': 'JWT'})}.{encode(payload)}.x"
