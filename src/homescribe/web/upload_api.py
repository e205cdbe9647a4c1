"""Uploads to the library under /api/uploads, with tus 1.0 (https://tus.io/protocols/resumable-upload).

    POST   /api/uploads      begin: Upload-Length, Upload-Metadata (filename, modified, transcribe)
    HEAD   /api/uploads/ID   how much has arrived: Upload-Offset
    PATCH  /api/uploads/ID   continue at Upload-Offset
    DELETE /api/uploads/ID   give up
    GET    /api/uploads      those that are unfinished

A connection that breaks, a page that is loaded again and a server that is restarted lose nothing: what has
arrived is kept for a day. When the last byte has arrived, the file becomes an item of the source "Uploads".
Until it is one, HEAD reports every byte as arrived, PATCH waits for the item, and DELETE comes too late.
"""

from __future__ import annotations

import base64
import binascii
from email.utils import formatdate
from functools import partial
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from homescribe.errors import UserError
from homescribe.web.json_response import JSONResponse
from homescribe.web.partial_uploads import MAX_FILE_BYTES, PartialUpload, parsed_size
from homescribe.web.storage import stored
from homescribe.web.transfers import Finished, Transfers

TUS = {"Tus-Resumable": "1.0.0", "Cache-Control": "no-store"}  # headers of every response
BODY_TYPE = "application/offset+octet-stream"
WRITE_BYTES = 1 << 20  # collected before they are written
NAME_CHARACTERS = 1000


# --- Routes ------------------------------------------------------------------------------------------


async def describe(request: Request) -> Response:
    """OPTIONS: what this server supports of tus."""
    extensions = {
        "Tus-Version": "1.0.0",
        "Tus-Extension": "creation,expiration,termination",
        "Tus-Max-Size": str(MAX_FILE_BYTES),
    }
    return Response(status_code=204, headers=TUS | extensions)


def unfinished(request: Request) -> Response:
    """{"uploads": [...], "max_bytes"}: the uploads that wait for more bytes, the oldest first."""
    transfers: Transfers = request.app.state.transfers
    uploads = [
        {
            "id": upload.id,
            "name": upload.name,
            "size": upload.size,
            "offset": transfers.stored.offset(upload),
            "modified": upload.modified,
            "expires": transfers.stored.expires(upload),
        }
        for upload in transfers.stored.unfinished()
    ]
    return JSONResponse({"uploads": uploads, "max_bytes": MAX_FILE_BYTES})


async def create(request: Request) -> Response:
    """POST: begin an upload. The Location of the response is where it continues."""
    transfers: Transfers = request.app.state.transfers
    size = parsed_size(request.headers.get("upload-length", ""))
    if not size:
        raise UserError("The file is empty.", "Choose a recording.")
    metadata = _metadata(request.headers.get("upload-metadata", ""))
    begin = partial(
        transfers.stored.create,
        metadata.get("filename", "")[:NAME_CHARACTERS],
        size,
        _number(metadata.get("modified")),
        transcribe="transcribe" in metadata,
    )
    with stored():
        upload = await run_in_threadpool(begin)
    return Response(
        status_code=201,
        headers=TUS | {"Location": f"/api/uploads/{upload.id}", **_expires(transfers, upload)},
    )


async def state(request: Request) -> Response:
    """HEAD: how many bytes have arrived, and when it is complete, the key of the item."""
    transfers: Transfers = request.app.state.transfers
    if result := transfers.finished(request.path_params["id"]):
        return Response(headers=TUS | _result(result) | {"Upload-Length": str(result.size)})
    upload = _upload(request)
    offset = await run_in_threadpool(transfers.stored.offset, upload)
    numbers = {"Upload-Offset": str(offset), "Upload-Length": str(upload.size)}
    return Response(headers=TUS | numbers | _expires(transfers, upload))


async def append(request: Request) -> Response:
    """PATCH: the bytes from Upload-Offset on, as many as the client likes. What has arrived is kept."""
    transfers: Transfers = request.app.state.transfers
    if result := transfers.finished(request.path_params["id"]):
        return Response(status_code=204, headers=TUS | _result(result))
    upload = _upload(request)
    if transfers.finishing(upload.id):
        return Response(status_code=204, headers=TUS | _result(await transfers.finish(upload)))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != BODY_TYPE:
        raise HTTPException(415, f"The Content-Type is not {BODY_TYPE}.")
    offset = parsed_size(request.headers.get("upload-offset", ""))
    if offset != await run_in_threadpool(transfers.stored.offset, upload):
        raise HTTPException(
            409, "The upload continues at another offset: see Upload-Offset of HEAD."
        )
    writer = transfers.take_over(upload)
    offset = await _receive(request, transfers, upload, writer, offset)
    if offset < upload.size:
        numbers = {"Upload-Offset": str(offset)}
        return Response(status_code=204, headers=TUS | numbers | _expires(transfers, upload))
    transfers.check(upload, writer)
    result = await transfers.finish(upload)
    return Response(status_code=204, headers=TUS | _result(result))


async def cancel(request: Request) -> Response:
    """DELETE: give an upload up."""
    transfers: Transfers = request.app.state.transfers
    name: str = request.path_params["id"]
    if transfers.finishing(name) or transfers.finished(name):
        raise HTTPException(409, "The file has arrived: remove its item instead.")
    upload = _upload(request)
    transfers.forget(upload.id)
    await run_in_threadpool(transfers.stored.delete, upload)
    return Response(status_code=204, headers=TUS)


async def _receive(
    request: Request, transfers: Transfers, upload: PartialUpload, writer: object, offset: int
) -> int:
    """Write the body of `request` from `offset` on; also what arrived before the client disconnects."""
    waiting = bytearray()

    async def write() -> None:
        nonlocal offset
        transfers.check(upload, writer)
        data = bytes(waiting)
        waiting.clear()
        with stored():
            await run_in_threadpool(transfers.stored.append, upload, offset, data)
        offset += len(data)

    try:
        async for data in request.stream():
            waiting += data
            if len(waiting) >= WRITE_BYTES:
                await write()
    except ClientDisconnect:
        pass
    except HTTPException:  # too slow
        await write()
        raise
    if waiting:
        await write()
    return offset


# --- Headers -----------------------------------------------------------------------------------------


def _upload(request: Request) -> PartialUpload:
    transfers: Transfers = request.app.state.transfers
    upload = transfers.stored.get(request.path_params["id"])
    if upload is None:
        raise HTTPException(404, "There is no such upload. It may have expired.")
    return upload


def _expires(transfers: Transfers, upload: PartialUpload) -> dict[str, str]:
    return {"Upload-Expires": formatdate(transfers.stored.expires(upload), usegmt=True)}


def _result(result: Finished) -> dict[str, str]:
    warnings = {"Upload-Warning": quote(" ".join(result.warnings))} if result.warnings else {}
    flags = {"Upload-New": result.new, "Upload-Transcribing": result.transcribing}
    return {
        "Upload-Offset": str(result.size),
        "Upload-Item": quote(result.key, safe=":"),
        **{name: "true" if value else "false" for name, value in flags.items()},
        **warnings,
    }


def _metadata(text: str) -> dict[str, str]:
    """Return the pairs of an Upload-Metadata header: names, each with a value in Base64."""
    found = {}
    for pair in text.split(","):
        name, _, value = pair.strip().partition(" ")
        try:
            found[name] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise UserError(
                "The Upload-Metadata is not valid.", "Send names, each with a value in Base64."
            ) from error
    return found


def _number(text: str | None) -> float | None:
    """Return a Unix time in milliseconds, as JavaScript states it, in seconds; None if it is not one."""
    return (
        int(text) / 1000 if text and text.isascii() and text.isdigit() and len(text) < 15 else None
    )


ROUTES = [
    Route("/api/uploads", unfinished, methods=["GET"]),
    Route("/api/uploads", create, methods=["POST"]),
    Route("/api/uploads", describe, methods=["OPTIONS"]),
    Route("/api/uploads/{id}", state, methods=["HEAD"]),
    Route("/api/uploads/{id}", append, methods=["PATCH"]),
    Route("/api/uploads/{id}", cancel, methods=["DELETE"]),
]
