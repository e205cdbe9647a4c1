"""A stand-in for Modal's cloud on 127.0.0.1, for the real client and real containers.

It implements the gRPC protocol of the installed `modal` client (written against 1.6.4) and runs the uploaded
code in real `python -m modal._container_entrypoint` processes, which fetch their inputs from it.

    with Standin() as standin:
        standin.use(monkeypatch)
        ...                                 # anything that uses Modal

It does not have Modal's scheduler, prices, GPUs, image builder (images are recorded, containers run on
`container_python`), volumes (containers use this machine's disk) and limits. A test that passes here tests
the client's and the container's code, not the service.

Clients and containers connect to different ports, so that a test can cut off the clients while containers
continue.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from aiohttp import web
from grpclib.server import Server

from modal_standin.control import Control
from modal_standin.records import Container, FunctionCall
from modal_standin.state import Settings

__all__ = ["Settings", "Standin"]

HOST = "127.0.0.1"


class Standin:
    """The stand-in, on its own thread and event loop. `settings` may change while it runs."""

    def __init__(self, **settings: Any) -> None:
        self._directory = tempfile.mkdtemp(prefix="modal-standin-")
        self.settings = Settings(directory=self._directory, **settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="standin")

    def __enter__(self) -> Standin:
        self._thread.start()
        self._do(self._open())
        return self

    def __exit__(self, *error: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """Variables that connect the `modal` client to the stand-in, and not to a real account."""
        return {
            "MODAL_SERVER_URL": self.settings.client_url,
            "MODAL_TOKEN_ID": self.settings.token_id,
            "MODAL_TOKEN_SECRET": "as-standin",
            "MODAL_CONFIG_PATH": os.path.join(self._directory, "no-such.toml"),  # noqa: PTH118
        }

    # --- State, for assertions ------------------------------------------------------------------

    @property
    def control(self) -> Control:
        return self._control

    def calls(self) -> list[FunctionCall]:
        return list(self._control.calls.values())

    def deliveries(self) -> dict[str, int]:
        """How often the input of each call was delivered to a container."""
        return {
            call.id: sum(given.deliveries for given in call.inputs.values())
            for call in self.calls()
        }

    def containers(self) -> list[Container]:
        return list(self._control.containers.values())

    def moments(self, what: str) -> list[float]:
        """Unix times of all events of one kind: boot, call, upload, uploaded, input, output, collected."""
        return [when for when, noted, _ in self._control.journal if noted == what]

    # --- Failures that a test causes -------------------------------------------------------------

    def disconnect(self) -> None:
        """Cut off all clients. Containers continue."""
        self._do(self._stop_client_servers())

    def reconnect(self) -> None:
        """Accept clients again, at the same address and with the same state."""
        self._do(self._start_client_servers())

    def crash_container(self) -> bool:
        """Kill a container that has a call, as a preemption or a segmentation fault would."""
        for container in self.containers():
            if container.held and container.process and container.process.returncode is None:
                container.process.send_signal(signal.SIGKILL)
                return True
        return False

    def expire(self, call_id: str) -> None:
        """Remove the result of a call, as Modal does after seven days."""
        self._control.calls[call_id].expired = True
        for given in self._control.calls[call_id].inputs.values():
            given.done = True

    def delete_volumes(self) -> None:
        """Delete all volumes and the files in them, as a user does."""
        weights = self.settings.container_env.get("HOMESCRIBE_WEIGHTS")
        for folder in Path(weights).iterdir() if weights else ():
            shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
        self._control.volumes.clear()

    def garble(self, call_id: str) -> None:
        """Replace the stored result of a finished call by bytes that the client cannot read."""

        def spoil() -> None:
            for output in self._control.calls[call_id].outputs:
                output.result.data = b"\x80\x05cno_such_module\nThing\n."

        self._soon(spoil)

    # --- Servers ---------------------------------------------------------------------------------

    async def _open(self) -> None:
        self._control = Control(self.settings)
        self._inner, self.settings.container_url = await _serve(self._control)
        self._inner_blobs, self.settings.container_blobs = await self._serve_blobs()
        await self._start_client_servers()

    async def _start_client_servers(self) -> None:
        port, blob_port = _port(self.settings.client_url), _port(self.settings.client_blobs)
        self._outer, self.settings.client_url = await _serve(self._control, port)
        self._outer_blobs, self.settings.client_blobs = await self._serve_blobs(blob_port)

    async def _stop_client_servers(self) -> None:
        self._outer.cut()
        await self._outer_blobs.cleanup()

    async def _close(self) -> None:
        await self._control.shutdown()
        for server in (self._outer, self._inner):
            server.cut()
        for blobs in (self._outer_blobs, self._inner_blobs):
            await blobs.cleanup()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.1)  # transports close in the next iterations of the loop

    async def _serve_blobs(self, port: int = 0) -> tuple[web.AppRunner, str]:
        application = web.Application(client_max_size=1 << 40)
        application.router.add_put("/{id}", self._control.put_blob)
        application.router.add_get("/{id}", self._control.get_blob)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, HOST, port, reuse_address=True)
        await site.start()
        return runner, f"http://{HOST}:{runner.addresses[0][1]}"

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    def _soon(self, work: Callable[[], None]) -> None:
        async def run() -> None:
            work()

        self._do(run())


class CuttableServer(Server):
    """A gRPC server that can close its open connections."""

    def __init__(self, control: Control) -> None:
        super().__init__([control])
        self._connections: list[asyncio.Transport] = []

    def _protocol_factory(self) -> Any:
        protocol = super()._protocol_factory()
        connection_made = protocol.connection_made

        def made(transport: asyncio.Transport) -> None:
            self._connections.append(transport)
            connection_made(transport)

        protocol.connection_made = made
        return protocol

    def cut(self) -> None:
        """Stop listening and close every connection."""
        self.close()
        for connection in self._connections:
            connection.abort()


async def _serve(control: Control, port: int = 0) -> tuple[CuttableServer, str]:
    server = CuttableServer(control)
    await server.start(HOST, port, reuse_address=True)
    return server, f"http://{HOST}:{server._server.sockets[0].getsockname()[1]}"


def _port(url: str) -> int:
    return int(url.rpartition(":")[2]) if url else 0
