"""Records of the stand-in: functions, containers, calls and inputs."""

from __future__ import annotations

import asyncio
import time
from asyncio.subprocess import Process
from collections import deque
from dataclasses import dataclass, field

from modal_proto import api_pb2 as pb


@dataclass(eq=False)
class Function:
    """A Modal Function: of the app, or a variant of one with its own parameters and options."""

    id: str
    app_id: str
    name: str
    definition: pb.Function = field(default_factory=pb.Function)
    handle: pb.FunctionHandleMetadata = field(default_factory=pb.FunctionHandleMetadata)
    parameters: bytes = b""
    base: Function | None = None
    binding: bytes = b""  # the options of this variant, to find it again
    pending: deque[Input] = field(default_factory=deque)
    containers: dict[str, Container] = field(default_factory=dict)
    failed_boots: int = 0
    last_error: pb.GenericResult | None = None
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def inputs_per_container(self) -> int:
        return max(1, self.definition.max_concurrent_inputs)


@dataclass(eq=False)
class Container:
    """One real container process."""

    id: str
    function: Function
    booted_at: float = field(default_factory=time.time)
    gone_at: float | None = None
    process: Process | None = None
    held: dict[str, Input] = field(default_factory=dict)
    draining: bool = False
    failed: bool = False
    cancels: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    idle_since: float = field(default_factory=time.time)
    inputs: int = 0

    @property
    def seconds(self) -> float:
        """Seconds that a cloud would bill: from the start of the process to its end."""
        return (self.gone_at or time.time()) - self.booted_at


@dataclass(eq=False)
class FunctionCall:
    """One `.spawn` or `.remote`, with its outputs."""

    id: str
    function: Function
    outputs: list[pb.FunctionGetOutputsItem] = field(default_factory=list)
    inputs: dict[int, Input] = field(default_factory=dict)
    expired: bool = False
    cancelled: bool = False
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)


@dataclass(eq=False)
class Input:
    """The arguments of one call. `deliveries` counts the containers that received them."""

    id: str
    call: FunctionCall
    index: int
    message: pb.FunctionInput
    deliveries: int = 0
    lost: int = 0  # deliveries to containers that died
    retries: int = 0
    done: bool = False
    container: str = ""
    started: float = 0.0
