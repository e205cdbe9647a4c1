"""Containers: real `python -m modal._container_entrypoint` processes, started while inputs wait."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.empty_pb2 import Empty
from modal_proto import api_pb2 as pb

from modal_standin.records import Container, Function, Input
from modal_standin.state import State, token

CONTAINER_HEADER = "x-standin-container"
Result = pb.GenericResult


class Containers(State):
    """The RPCs of containers, and a scheduler that starts one more container while inputs wait."""

    # --- RPCs of containers ----------------------------------------------------------------------

    def container(self, metadata: Mapping[str, Any]) -> Container:
        return self.containers[metadata[CONTAINER_HEADER]]

    async def rpc_ContainerHello(self, request, metadata):
        return Empty()

    async def rpc_ContainerCheckpoint(self, request, metadata):
        return Empty()  # no memory is copied: the container goes on as if it had been

    async def rpc_ContainerHeartbeat(self, request, metadata):
        response = pb.ContainerHeartbeatResponse()
        # A long poll, so that a cancellation does not wait for the next heartbeat.
        with contextlib.suppress(TimeoutError):
            gone = await asyncio.wait_for(self.container(metadata).cancels.get(), 5)
            response.cancel_input_event.input_ids.append(gone)
        return response

    async def rpc_ContainerStop(self, request, metadata):
        self.containers[request.task_id].draining = True
        return pb.ContainerStopResponse()

    async def rpc_TaskResult(self, request, metadata):
        container = self.container(metadata)
        container.failed, container.function.last_error = True, request.result
        return Empty()

    async def rpc_FunctionGetDynamicConcurrency(self, request, metadata):
        return pb.FunctionGetDynamicConcurrencyResponse(concurrency=request.target_concurrency)

    async def rpc_FunctionGetInputs(self, request, metadata):
        container = self.container(metadata)
        function = container.function
        end = pb.FunctionGetInputsResponse(inputs=[pb.FunctionGetInputsItem(kill_switch=True)])
        async with function.changed:
            while not function.pending:
                left = self.scaledown(function) - (time.time() - container.idle_since)
                if container.draining or self.closing or (left <= 0 and not container.held):
                    container.draining = True
                    return end
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(function.changed.wait(), max(0.05, min(left, 5)))
            if container.draining:
                return end
            given = function.pending.popleft()
            given.container, given.started = container.id, time.time()
            given.deliveries += 1
            container.held[given.id] = given
            container.inputs += 1
            self.note("input", given.call.id)
        if function.definition.timeout_secs:
            self.background(self._watch_timeout(container, given, given.started))
        item = pb.FunctionGetInputsItem(
            input_id=given.id,
            input=given.message,
            function_call_id=given.call.id,
            retry_count=given.retries,
            function_call_invocation_type=pb.FUNCTION_CALL_INVOCATION_TYPE_ASYNC,
            function_map_idx=given.index,
        )
        return pb.FunctionGetInputsResponse(inputs=[item])

    async def rpc_FunctionPutOutputs(self, request, metadata):
        container = self.container(metadata)
        for output in request.outputs:
            given = container.held.pop(output.input_id, None)
            if given is None:
                continue
            container.function.failed_boots = 0
            failed = output.result.status == Result.GENERIC_STATUS_FAILURE
            allowed = container.function.definition.retry_policy.retries
            if failed and given.retries < allowed and not given.call.cancelled:
                given.retries += 1  # the server retries spawned calls, not the client
                await self.enqueue(given)
                continue
            await self.finish(given, output.result, data_format=output.data_format)
        container.idle_since = time.time()
        return Empty()

    async def _watch_timeout(self, container: Container, given: Input, started: float) -> None:
        limit = container.function.definition.timeout_secs
        await asyncio.sleep(limit)
        if given.id in container.held and given.started == started:
            del container.held[given.id]
            words = f"Task's current input {given.id} hit its timeout of {limit}s"
            await self.finish(given, Result(status=Result.GENERIC_STATUS_TIMEOUT, exception=words))
            await self.stop_container(container, hard=True)

    # --- Starting and ending containers ----------------------------------------------------------

    async def enqueue(self, given: Input, *, first: bool = False) -> None:
        function = given.call.function
        async with function.changed:
            (function.pending.appendleft if first else function.pending.append)(given)
            function.changed.notify_all()
        self.scale(function)

    async def finish(self, given: Input, result: Result, **fields: Any) -> None:
        given.done = True
        async with given.call.changed:
            given.call.outputs.append(
                pb.FunctionGetOutputsItem(
                    result=result,
                    idx=given.index,
                    input_id=given.id,
                    task_id=given.container,
                    retry_count=given.retries,
                    **fields,
                )
            )
            given.call.changed.notify_all()
        self.note("output", given.call.id)

    def scaledown(self, function: Function) -> float:
        window = function.definition.autoscaler_settings.scaledown_window or 60
        return min(window, self.settings.max_scaledown)

    def scale(self, function: Function) -> None:
        if self.closing or self.apps.get(function.app_id, {}).get("stopped"):
            return
        allowed = min(
            function.definition.autoscaler_settings.max_containers
            or function.definition.concurrency_limit
            or self.settings.max_containers,
            self.settings.max_containers,
        )
        live = [c for c in function.containers.values() if not c.draining]
        free = sum(max(0, function.inputs_per_container - len(c.held)) for c in live)
        while len(function.pending) > free and len(live) < allowed:
            container = Container(self.new_id("ta"), function)
            self.containers[container.id] = function.containers[container.id] = container
            live.append(container)
            free += function.inputs_per_container
            self.background(self._run(container))

    async def _run(self, container: Container) -> None:
        function = container.function
        root = Path(self.settings.directory, container.id)
        home = root / "root"
        home.mkdir(parents=True)
        self._lay_out(function, root)
        arguments = root / "container-arguments.bin"
        definition = pb.Function()
        definition.CopyFrom(function.definition)
        definition.is_checkpointing_function = definition.checkpointing_enabled
        arguments.write_bytes(
            pb.ContainerArguments(
                task_id=container.id,
                checkpoint_id="ch-standin",
                function_id=function.id,
                app_id=function.app_id,
                function_def=definition,
                serialized_params=function.parameters,
                environment_name="main",
                app_layout=self.layout(function.app_id, function),
            ).SerializeToString()
        )
        container.process = await asyncio.create_subprocess_exec(
            self.settings.container_python,
            "-m",
            "modal._container_entrypoint",
            cwd=home,
            env=self._environment(container, root, arguments),
            preexec_fn=_die_with_parent,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self.note("boot", container.id)
        async for line in container.process.stdout:
            self.logs.append(f"{container.id} {line.decode(errors='replace')}")
        await container.process.wait()
        await self._gone(container)

    def _lay_out(self, function: Function, root: Path) -> None:
        """Write the files that the client uploaded where the container expects them."""
        for mount in function.definition.mount_ids:
            for file in self.mounts.get(mount, ()):
                place = Path(f"{root}{os.path.normpath('/' + file.filename)}")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(self.files[file.sha256_hex])

    def _environment(self, container: Container, root: Path, arguments: Path) -> dict[str, str]:
        """Environment of a container: of the test's own only what a process needs to start."""
        home = root / "root"
        code = [str(home), str(root / "pkg"), *map(str, self.settings.container_path)]
        secrets = [self.secrets.get(i, {}) for i in container.function.definition.secret_ids]
        return {
            **{k: os.environ[k] for k in ("PATH", "LANG", "TMPDIR") if k in os.environ},
            **self.image_environment(container.function.definition.image_id),
            **{name: value for secret in secrets for name, value in secret.items()},
            **self.settings.container_env,
            "HOME": str(home),
            "PYTHONPATH": os.pathsep.join(code),
            "PYTHONUNBUFFERED": "1",
            "MODAL_IS_REMOTE": "1",
            "MODAL_SERVER_URL": self.settings.container_url,
            "MODAL_TASK_ID": container.id,
            "MODAL_CONTAINER_ARGUMENTS_PATH": str(arguments),
            "MODAL_IMAGE_ID": container.function.definition.image_id,
            "MODAL_ENVIRONMENT": "main",
            "MODAL_OVERRIDE_HEADERS": f"{CONTAINER_HEADER}:{container.id}",
            "MODAL_HEARTBEAT_INTERVAL": "15",
        }

    async def _gone(self, container: Container) -> None:
        """Handle the end of a container: restart its inputs elsewhere, or fail them."""
        function = container.function
        function.containers.pop(container.id, None)
        container.gone_at = time.time()
        self.note("gone", container.id)
        lost = list(container.held.values())
        container.held.clear()
        code = container.process.returncode
        for given in lost:
            given.lost += 1
            words = f"container {container.id} died (exit code {code})"
            if given.call.cancelled:
                status = Result.GENERIC_STATUS_TERMINATED
                await self.finish(given, Result(status=status, exception="cancelled"))
            elif given.lost > self.settings.max_lost:
                status = Result.GENERIC_STATUS_INTERNAL_FAILURE
                await self.finish(given, Result(status=status, exception=words))
            else:
                await self.enqueue(given, first=True)
        failed_to_start = container.inputs == 0 and code not in (0, None) and not container.draining
        if container.failed or failed_to_start:
            function.failed_boots += 1
            if function.failed_boots >= self.settings.max_failed_boots:
                failure = Result(
                    status=Result.GENERIC_STATUS_FAILURE, exception="container failed to start"
                )
                while function.pending:
                    await self.finish(function.pending.popleft(), function.last_error or failure)
                return
        if function.pending:
            self.scale(function)

    async def stop_container(self, container: Container, *, hard: bool = False) -> None:
        container.draining = True
        async with container.function.changed:
            container.function.changed.notify_all()
        process = container.process
        if process is None or process.returncode is not None:
            return
        grace = [] if hard else [(None, self.settings.grace)]
        for sent, patience in [*grace, (signal.SIGINT, 3), (signal.SIGKILL, 5)]:
            if process.returncode is not None:
                return
            if sent is not None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(sent)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), patience)

    async def stop_app(self, app_id: str) -> None:
        self.apps[app_id]["stopped"] = True
        mine = [c for c in self.containers.values() if c.function.app_id == app_id]
        await asyncio.gather(*(self.stop_container(c) for c in mine))

    async def shutdown(self) -> None:
        self.closing = True
        await asyncio.gather(*(self.stop_container(c) for c in self.containers.values()))
        for task in list(self.tasks):
            task.cancel()

    def input_token(self, given: Input) -> str:
        return token(idx=given.index, id=given.id)


def _die_with_parent() -> None:
    """End the container when the test process is killed (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
