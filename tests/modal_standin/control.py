"""The control plane: the RPCs of the `modal` client, answered from memory."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections import deque
from pathlib import Path
from typing import Any

import grpclib
import grpclib.const
from aiohttp import web
from google.protobuf.empty_pb2 import Empty
from google.protobuf.timestamp_pb2 import Timestamp
from modal._serialization import deserialize_data_format, pickle_exception, pickle_traceback
from modal_proto import api_pb2 as pb
from modal_proto.api_grpc import ModalClientBase

from modal_standin.containers import Containers
from modal_standin.records import Function, FunctionCall, Input
from modal_standin.state import Fault, Settings, token

Result = pb.GenericResult
MANY_OUTPUTS = 49  # the most in one reply to FunctionGetOutputs


class Control(Containers, ModalClientBase):
    """Implements RPCs as methods `rpc_NAME`. The others answer UNIMPLEMENTED and are counted."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)

    def __mapping__(self) -> dict[str, grpclib.const.Handler]:
        return {
            path: handler._replace(func=self._answer(path.rsplit("/", 1)[1], handler))
            for path, handler in super().__mapping__().items()
        }

    def _answer(self, name: str, handler: grpclib.const.Handler) -> Any:
        method = getattr(self, "rpc_" + name, None)

        async def answer(stream: Any) -> None:
            request = await stream.recv_message()
            metadata = stream.metadata
            container = str(pb.CLIENT_TYPE_CONTAINER)
            sender = "container" if metadata.get("x-modal-client-type") == container else "client"
            self.requests[sender, name] += 1
            if sender == "client":
                self._check_client(metadata)
                self._inject_fault(name, self.settings.faults)
            else:
                self._inject_fault(name, self.settings.container_faults)
            if method is None:
                self.unimplemented[name] += 1
                raise grpclib.GRPCError(
                    grpclib.Status.UNIMPLEMENTED, f"the stand-in does not implement {name}"
                )
            if handler.cardinality is grpclib.const.Cardinality.UNARY_STREAM:
                async for item in method(request, metadata):
                    await stream.send_message(item)
            else:
                await stream.send_message(await method(request, metadata))

        return answer

    def _check_client(self, metadata: Any) -> None:
        if self.settings.client_too_old:
            raise grpclib.GRPCError(
                grpclib.Status.FAILED_PRECONDITION, "The Modal client version is too old"
            )
        if metadata.get("x-modal-token-id") != self.settings.token_id:
            raise grpclib.GRPCError(grpclib.Status.UNAUTHENTICATED, "Token missing or invalid")

    def _inject_fault(self, name: str, faults: dict[str, list[Fault]]) -> None:
        waiting = faults.get(name)
        if waiting:
            match waiting.pop(0):
                case None:
                    return
                case (status, words):
                    raise grpclib.GRPCError(status, words)
                case status:
                    raise grpclib.GRPCError(status, f"injected fault in {name}")

    # --- Session and app -------------------------------------------------------------------------

    async def rpc_ClientHello(self, request, metadata):
        return pb.ClientHelloResponse()

    async def rpc_AuthTokenGet(self, request, metadata):
        return pb.AuthTokenGetResponse(token=token(exp=int(time.time()) + 3600))

    async def rpc_EnvironmentGetOrCreate(self, request, metadata):
        settings = pb.EnvironmentSettings(image_builder_version=self.settings.builder_version)
        name = request.deployment_name or "main"
        if name not in self.settings.environments:
            raise grpclib.GRPCError(grpclib.Status.NOT_FOUND, f"Environment {name!r} not found")
        return pb.EnvironmentGetOrCreateResponse(
            environment_id="en-standin",
            metadata=pb.EnvironmentMetadata(name=name, settings=settings),
        )

    async def rpc_WorkspaceNameLookup(self, request, metadata):
        return pb.WorkspaceNameLookupResponse(
            workspace_name="standin", username=self.settings.workspace
        )

    async def rpc_WorkspaceBillingRates(self, request, metadata):
        if not self.settings.rates:
            raise grpclib.GRPCError(grpclib.Status.PERMISSION_DENIED, "not for this token")
        return pb.WorkspaceBillingRatesResponse(rates=self.settings.rates)

    async def rpc_WorkspaceBillingReport(self, request, metadata):
        """The bill of one app, which began in the first hour of the request, and of somebody else's."""
        for name, dollars in self.settings.bill.items():
            item = pb.WorkspaceBillingReportItem(description=name, cost=str(dollars))
            item.interval.CopyFrom(request.start_timestamp)
            yield item

    async def rpc_AppCreate(self, request, metadata):
        app_id = self.new_id("ap")
        self.apps[app_id] = {"tags": dict(request.tags), "state": request.app_state}
        return pb.AppCreateResponse(app_id=app_id, app_page_url=f"http://standin/{app_id}")

    async def rpc_AppGetByDeploymentName(self, request, metadata):
        return pb.AppGetByDeploymentNameResponse(app_id=self.deployed.get(request.name, ""))

    async def rpc_AppGetOrCreate(self, request, metadata):
        found = self.deployed.get(request.app_name)
        if not found:
            raise grpclib.GRPCError(grpclib.Status.NOT_FOUND, f"No app {request.app_name!r}")
        return pb.AppGetOrCreateResponse(app_id=found)

    async def rpc_AppSetTags(self, request, metadata):
        self.apps[request.app_id]["tags"] = dict(request.tags)
        return Empty()

    async def rpc_AppList(self, request, metadata):
        items = [
            pb.AppListResponse.AppListItem(app_id=app, name=name, state=pb.APP_STATE_DEPLOYED)
            for name, app in self.deployed.items()
        ]
        return pb.AppListResponse(apps=items)

    async def rpc_AppGetTags(self, request, metadata):
        return pb.AppGetTagsResponse(tags=self.apps[request.app_id]["tags"])

    async def rpc_AppGetLayout(self, request, metadata):
        return pb.AppGetLayoutResponse(app_layout=self.layout(request.app_id))

    async def rpc_AppHeartbeat(self, request, metadata):
        return Empty()

    async def rpc_AppPublish(self, request, metadata):
        self.layouts[request.app_id] = dict(request.function_ids), dict(request.class_ids)
        self.apps[request.app_id].update(state=request.app_state, tags=dict(request.tags))
        if request.app_state == pb.APP_STATE_DEPLOYED:
            self.deployed[request.name] = request.app_id
            self.note("deploy", request.app_id)
        return pb.AppPublishResponse(
            url=f"http://standin/{request.app_id}", deployed_at=time.time()
        )

    async def rpc_AppClientDisconnect(self, request, metadata):
        if self.apps[request.app_id]["state"] == pb.APP_STATE_EPHEMERAL:
            self.background(self.stop_app(request.app_id))
        return Empty()

    async def rpc_AppStop(self, request, metadata):
        self.deployed = {k: v for k, v in self.deployed.items() if v != request.app_id}
        self.background(self.stop_app(request.app_id))
        return Empty()

    async def rpc_AppGetLogs(self, request, metadata):
        while not self.apps[request.app_id].get("stopped"):
            await asyncio.sleep(0.05)
        yield pb.TaskLogsBatch(app_done=True, entry_id="1")

    # --- Files, images, volumes ------------------------------------------------------------------

    async def rpc_MountBatchedCheckExistence(self, request, metadata):
        now = Timestamp()
        now.GetCurrentTime()
        missing = [h for h in request.sha256_hex_hashes if h not in self.files]
        return pb.MountBatchedCheckExistenceResponse(
            missing_sha256_hex_hashes=missing, checked_at=now
        )

    async def rpc_MountPutFile(self, request, metadata):
        which = request.WhichOneof("data_oneof")
        if which:
            blob = which == "data_blob_id"
            data = self.blobs[request.data_blob_id] if blob else request.data
            if hashlib.sha256(data).hexdigest() != request.sha256_hex:
                raise grpclib.GRPCError(grpclib.Status.INVALID_ARGUMENT, "sha256 mismatch")
            self.files[request.sha256_hex] = data
        return pb.MountPutFileResponse(exists=request.sha256_hex in self.files)

    async def rpc_MountGetOrCreate(self, request, metadata):
        name = request.deployment_name
        mount = (name and self.mounts.get("name:" + name)) or self.new_id("mo")
        if name:
            self.mounts["name:" + name] = mount
        self.mounts[mount] = list(request.files)
        handle = pb.MountHandleMetadata(content_checksum_sha256_hex="00")
        return pb.MountGetOrCreateResponse(mount_id=mount, handle_metadata=handle)

    async def rpc_SecretGetOrCreate(self, request, metadata):
        secret = self.new_id("st")
        self.secrets[secret] = dict(request.env_dict)
        return pb.SecretGetOrCreateResponse(secret_id=secret)

    async def rpc_VolumeGetOrCreate(self, request, metadata):
        name = request.deployment_name
        volume = next((known for known, its in self.volumes.items() if its == name), None)
        if volume is None:
            volume = self.new_id("vo")
            self.volumes[volume] = name
        handle = pb.VolumeMetadata(version=request.version, name=name)
        return pb.VolumeGetOrCreateResponse(
            volume_id=volume, version=request.version, metadata=handle
        )

    async def rpc_VolumeListFiles(self, request, metadata):
        if request.volume_id not in self.volumes:
            raise grpclib.GRPCError(grpclib.Status.NOT_FOUND, "no such volume")
        folder = Path(self.settings.container_env.get("HOMESCRIBE_WEIGHTS", "/nonexistent"))
        found = folder / request.path.lstrip("/")
        if not found.is_dir():
            raise grpclib.GRPCError(grpclib.Status.NOT_FOUND, f"no such folder: {request.path}")
        names = sorted(each.relative_to(folder).as_posix() for each in found.iterdir())
        yield pb.VolumeListFilesResponse(entries=[pb.FileEntry(path=name) for name in names])

    async def rpc_VolumePutFiles(self, request, metadata):
        folder = Path(self.settings.container_env["HOMESCRIBE_WEIGHTS"])
        for file in request.files:
            self.note("stored", file.filename)
            target = folder / file.filename.lstrip("/")
            if target.exists() and request.disallow_overwrite_existing_files:
                raise grpclib.GRPCError(grpclib.Status.ALREADY_EXISTS, f"{file.filename} exists")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.files[file.sha256_hex])
        return Empty()

    async def rpc_VolumeCommit(self, request, metadata):
        return pb.VolumeCommitResponse()

    async def rpc_VolumeReload(self, request, metadata):
        return Empty()

    async def rpc_ImageGetOrCreate(self, request, metadata):
        # Images are recorded, not built: containers run on `container_python`.
        content = request.image.SerializeToString(deterministic=True)
        image = f"im-{hashlib.sha256(content).hexdigest()[:12]}"
        self.images[image] = request.image
        return pb.ImageGetOrCreateResponse(
            image_id=image,
            result=Result(status=Result.GENERIC_STATUS_SUCCESS),
            metadata=pb.ImageMetadata(
                image_builder_version=self.settings.builder_version,
                python_version_info="Python 3.12.1",
                workdir="/root",
            ),
        )

    # --- Blobs: over HTTP, on the port of the client or the container ---------------------------

    def _blobs_of(self, metadata: Any) -> str:
        container = metadata.get("x-modal-client-type") == str(pb.CLIENT_TYPE_CONTAINER)
        return self.settings.container_blobs if container else self.settings.client_blobs

    async def rpc_BlobCreate(self, request, metadata):
        blob = self.new_id("bl")
        urls = pb.UploadUrlList(items=[f"{self._blobs_of(metadata)}/{blob}"])
        return pb.BlobCreateResponse(blob_id=blob, blob_ids=[blob], upload_urls=urls)

    async def rpc_BlobGet(self, request, metadata):
        if request.blob_id not in self.blobs:
            raise grpclib.GRPCError(grpclib.Status.NOT_FOUND, f"no blob {request.blob_id}")
        return pb.BlobGetResponse(download_url=f"{self._blobs_of(metadata)}/{request.blob_id}")

    async def put_blob(self, request: web.Request) -> web.Response:
        blob = request.match_info["id"]
        from_client = str(request.url.origin()) == self.settings.client_blobs
        if from_client:
            self.note("upload", blob)
        content = bytearray()
        async for chunk in request.content.iter_chunked(64 * 1024):
            if from_client and self.settings.cut_uploads:
                self.settings.cut_uploads -= 1
                request.transport.abort()
                return web.Response(status=400)
            if from_client and self.settings.upload_rate:
                await asyncio.sleep(len(chunk) / self.settings.upload_rate)
            content += chunk
        self.blobs[blob] = bytes(content)
        if from_client:
            self.note("uploaded", blob)
        md5 = hashlib.md5(content).hexdigest()  # the client checks it
        return web.Response(headers={"ETag": f'"{md5}"'})

    async def get_blob(self, request: web.Request) -> web.Response:
        from_client = str(request.url.origin()) == self.settings.client_blobs
        if from_client and self.settings.busy_downloads:
            self.settings.busy_downloads -= 1
            return web.Response(status=503, text="Slow down")
        return web.Response(body=self.blobs[request.match_info["id"]])

    # --- Dicts -----------------------------------------------------------------------------------

    async def rpc_DictGetOrCreate(self, request, metadata):
        name = f"di-{request.deployment_name}"
        self.dicts.setdefault(name, {})
        return pb.DictGetOrCreateResponse(
            dict_id=name, metadata=pb.DictMetadata(name=request.deployment_name)
        )

    async def rpc_DictGet(self, request, metadata):
        value = self.dicts[request.dict_id].get(request.key)
        return pb.DictGetResponse(found=value is not None, value=value)

    async def rpc_DictUpdate(self, request, metadata):
        entries, created = self.dicts[request.dict_id], False
        for update in request.updates:
            if not (request.if_not_exists and update.key in entries):
                created = True
                entries[update.key] = update.value
        return pb.DictUpdateResponse(created=created)

    async def rpc_DictPop(self, request, metadata):
        value = self.dicts[request.dict_id].pop(request.key, None)
        return pb.DictPopResponse(found=value is not None, value=value)

    # --- Functions and classes -------------------------------------------------------------------

    def _describe(self, function: Function, definition: pb.Function) -> None:
        handle = function.handle
        handle.function_name, handle.app_id = function.name, function.app_id
        handle.function_type, handle.is_method = definition.function_type, definition.is_method
        handle.definition_id = "de-" + function.id
        handle.class_parameter_info.CopyFrom(definition.class_parameter_info)
        del handle.supported_input_formats[:], handle.supported_output_formats[:]
        handle.supported_input_formats.extend(definition.supported_input_formats)
        handle.supported_output_formats.extend(definition.supported_output_formats)
        handle.function_schema.CopyFrom(definition.function_schema)
        handle.max_object_size_bytes = self.settings.max_object_size
        for name, method in definition.method_definitions.items():
            handle.method_handle_metadata[name].CopyFrom(
                pb.FunctionHandleMetadata(
                    function_name=method.function_name,
                    function_type=method.function_type,
                    is_method=True,
                    use_method_name=name,
                    supported_input_formats=method.supported_input_formats,
                    supported_output_formats=method.supported_output_formats,
                    function_schema=method.function_schema,
                    app_id=function.app_id,
                    max_object_size_bytes=self.settings.max_object_size,
                )
            )

    def _known(self, existing: str, app_id: str, name: str) -> Function:
        function = self.functions.get(existing)
        if function is None:
            function = Function(existing or self.new_id("fu"), app_id, name)
            self.functions[function.id] = function
        return function

    async def rpc_FunctionPrecreate(self, request, metadata):
        function = self._known(request.existing_function_id, request.app_id, request.function_name)
        definition = pb.Function(
            function_type=request.function_type,
            method_definitions=request.method_definitions,
            supported_input_formats=request.supported_input_formats,
            supported_output_formats=request.supported_output_formats,
        )
        self._describe(function, definition)
        return pb.FunctionPrecreateResponse(
            function_id=function.id, handle_metadata=function.handle
        )

    async def rpc_FunctionCreate(self, request, metadata):
        definition = pb.Function()
        definition.CopyFrom(
            request.function_data.ranked_functions[0].function
            if request.HasField("function_data")
            else request.function
        )
        function = self._known(
            request.existing_function_id, request.app_id, definition.function_name
        )
        function.definition = definition
        self._describe(function, definition)
        return pb.FunctionCreateResponse(
            function_id=function.id,
            function=definition,
            function_data=self._data(function),
            handle_metadata=function.handle,
        )

    async def rpc_ClassCreate(self, request, metadata):
        found = request.existing_class_id or self.new_id("cs")
        self.classes[found] = request.app_id
        return pb.ClassCreateResponse(class_id=found, handle_metadata=pb.ClassHandleMetadata())

    def _lookup(self, app_name: str, tag: str, which: int) -> str:
        app_id = self.deployed.get(app_name, "")
        found = self.layouts.get(app_id, ({}, {}))[which].get(tag)
        if not found:
            raise grpclib.GRPCError(
                grpclib.Status.NOT_FOUND, f"No {tag!r} in deployed app {app_name!r}"
            )
        return found

    def _data(self, function: Function) -> pb.FunctionData:
        data = pb.FunctionData(
            function_name=function.name, timeout_secs=function.definition.timeout_secs
        )
        data.ranked_functions.add(rank=0, function=function.definition)
        return data

    async def rpc_FunctionGet(self, request, metadata):
        function = self.functions[self._lookup(request.app_name, request.object_tag, 0)]
        return pb.FunctionGetResponse(
            function_id=function.id,
            handle_metadata=function.handle,
            function=self._data(function),
        )

    async def rpc_FunctionGetById(self, request, metadata):
        function = self.functions[request.function_id]
        return pb.FunctionGetByIdResponse(
            handle_metadata=function.handle, function=self._data(function)
        )

    async def rpc_ClassGet(self, request, metadata):
        return pb.ClassGetResponse(
            class_id=self._lookup(request.app_name, request.object_tag, 1),
            handle_metadata=pb.ClassHandleMetadata(),
        )

    async def rpc_FunctionBindParams(self, request, metadata):
        base, binding = (
            self.functions[request.function_id],
            request.SerializeToString(deterministic=True),
        )
        for known in self.functions.values():
            if known.base is base and known.binding == binding:
                return pb.FunctionBindParamsResponse(
                    bound_function_id=known.id, handle_metadata=known.handle
                )
        function = Function(self.new_id("fu"), base.app_id, base.name, base=base)
        function.parameters, function.binding = request.serialized_params, binding
        function.definition.CopyFrom(base.definition)
        function.handle.CopyFrom(base.handle)
        self._override(function.definition, request.function_options)
        self.functions[function.id] = function
        return pb.FunctionBindParamsResponse(
            bound_function_id=function.id, handle_metadata=function.handle
        )

    def _override(self, definition: pb.Function, options: pb.FunctionOptions) -> None:
        for name in ("timeout_secs", "max_concurrent_inputs", "target_concurrent_inputs"):
            if options.HasField(name):
                setattr(definition, name, getattr(options, name))
        scaling = definition.autoscaler_settings
        if options.HasField("concurrency_limit"):
            scaling.max_containers = options.concurrency_limit
        if options.HasField("task_idle_timeout_secs"):
            scaling.scaledown_window = options.task_idle_timeout_secs
        if options.HasField("resources"):
            definition.resources.CopyFrom(options.resources)
        if options.HasField("retry_policy"):
            definition.retry_policy.CopyFrom(options.retry_policy)

    async def rpc_FunctionGetCurrentStats(self, request, metadata):
        variants = [
            function
            for function in self.functions.values()
            if request.function_id in (function.id, function.base.id if function.base else "")
        ]
        return pb.FunctionStats(
            backlog=sum(len(f.pending) for f in variants),
            num_total_tasks=sum(len(f.containers) for f in variants),
        )

    # --- Calls -----------------------------------------------------------------------------------

    async def _put_input(
        self, call: FunctionCall, index: int, message: pb.FunctionInput
    ) -> pb.FunctionPutInputsResponseItem:
        given = Input(self.new_id("in"), call, index, message)
        self.inputs[given.id] = call.inputs[index] = given
        if (raised := self._raised_for(message)) is not None:
            where, error = raised
            await self.finish(given, _failure(error), data_format=FORMATS[where])
        else:
            await self.enqueue(given)
        return pb.FunctionPutInputsResponseItem(
            idx=index, input_id=given.id, input_jwt=self.input_token(given)
        )

    def _raised_for(self, message: pb.FunctionInput) -> tuple[str, BaseException] | None:
        """What a test has the container of this recording raise."""
        if not self.settings.raised and not self.settings.raised_by_functions:
            return None
        sent = message.args or self.blobs[message.args_blob_id]
        arguments, _ = deserialize_data_format(sent, message.data_format, None)
        if isinstance(arguments[-1], dict):
            return self.settings.raised.get(arguments[-1]["key"])
        if self.settings.raised_by_functions:
            return "call", self.settings.raised_by_functions.pop(0)
        return None

    async def rpc_FunctionMap(self, request, metadata):
        function = self.functions[request.function_id]
        call = FunctionCall(self.new_id("fc"), function)
        self.calls[call.id] = call
        self.note("call", call.id)
        items = [
            await self._put_input(call, item.idx, item.input) for item in request.pipelined_inputs
        ]
        return pb.FunctionMapResponse(
            function_call_id=call.id,
            pipelined_inputs=items,
            retry_policy=function.definition.retry_policy,
            function_call_jwt=token(id=call.id),
            max_inputs_outstanding=1000,
        )

    def _call(self, call_id: str) -> FunctionCall:
        if call_id not in self.calls:
            raise grpclib.GRPCError(grpclib.Status.NOT_FOUND, f"No function call {call_id}")
        return self.calls[call_id]

    async def rpc_FunctionGetOutputs(self, request, metadata):
        call = self._call(request.function_call_id)
        first = int(request.last_entry_id.split("-")[0] or 0)

        def ready() -> list[tuple[int, pb.FunctionGetOutputsItem]]:
            return [
                (number, output)
                for number, output in enumerate(call.outputs)
                if number >= first
                and (
                    not request.HasField("start_idx")
                    or request.start_idx <= output.idx <= request.end_idx
                )
            ][:MANY_OUTPUTS]

        if request.timeout > 0 and not call.expired:
            async with call.changed:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(call.changed.wait_for(ready), request.timeout)
        if call.expired:
            await asyncio.sleep(min(request.timeout, 0.2))
        found = [] if call.expired else ready()
        if found:
            self.note("collected", call.id)
        return pb.FunctionGetOutputsResponse(
            outputs=[output for _, output in found],
            idxs=[output.idx for _, output in found],
            last_entry_id=f"{found[-1][0] + 1}-0" if found else request.last_entry_id,
            num_unfinished_inputs=sum(not given.done for given in call.inputs.values()),
        )

    async def rpc_FunctionCallFromId(self, request, metadata):
        call = self._call(request.function_call_id)
        response = pb.FunctionCallFromIdResponse(
            function_call_id=call.id, num_inputs=len(call.inputs)
        )
        response.metadata.app_id = call.function.app_id
        response.metadata.function_id = call.function.id
        return response

    async def rpc_FunctionCallCancel(self, request, metadata):
        call = self._call(request.function_call_id)
        call.cancelled = True
        function = call.function
        async with function.changed:
            function.pending = deque(i for i in function.pending if i.call is not call)
        for given in call.inputs.values():
            container = self.containers.get(given.container)
            if given.done:
                continue
            if container and given.id in container.held:
                container.cancels.put_nowait(given.id)
            else:
                status = Result.GENERIC_STATUS_TERMINATED
                await self.finish(given, Result(status=status, exception="cancelled"))
        return Empty()


# How Modal's container marks an exception of a call. One of its start is not marked.
FORMATS = {"call": pb.DATA_FORMAT_PICKLE, "load": pb.DATA_FORMAT_UNSPECIFIED}


def _failure(error: BaseException) -> Result:
    """The result that Modal's container sends for an exception."""
    try:
        raise error
    except BaseException as raised:  # noqa: BLE001 - as Modal does
        traceback, lines = pickle_traceback(raised, "ta-standin")
        return Result(
            status=Result.GENERIC_STATUS_FAILURE,
            data=pickle_exception(raised),
            exception=type(raised).__name__,
            serialized_tb=traceback,
            tb_line_cache=lines,
        )


# RPCs that are not implemented are None; `_answer` reports them.
for _name in ModalClientBase.__abstractmethods__:
    setattr(Control, _name, None)
Control.__abstractmethods__ = frozenset()
