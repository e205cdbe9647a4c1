"""Find out in seconds whether a cluster answers, and accepts this machine's token.

Ray's own client tries for minutes, and then says "connection timeout" for either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from homescribe.backends.ray.ray_errors import TOKEN_HINT, TOKEN_REFUSED, Unavailable
from homescribe.errors import SetupError

if TYPE_CHECKING:
    import grpc

LIMIT = 10.0  # seconds


def probe(host: str, port: int) -> None:
    """Return if the client server at this address answers.

    Raises Unavailable when nothing does, SetupError when it refuses the token.
    """
    import grpc
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated import ray_client_pb2, ray_client_pb2_grpc

    # It sends the token as the client does.
    channel: grpc.Channel = init_grpc_channel(f"{_bracketed(host)}:{port}", asynchronous=False)
    try:
        ping = ray_client_pb2.ClusterInfoRequest(type=ray_client_pb2.ClusterInfoType.PING)
        stub = ray_client_pb2_grpc.RayletDriverStub(channel)
        stub.ClusterInfo(ping, timeout=LIMIT, metadata=[("client_id", "homescribe-probe")])
    except grpc.RpcError as error:
        if error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            raise SetupError(TOKEN_REFUSED, TOKEN_HINT) from error
        raise Unavailable(f"nothing answers at {host}:{port} ({error.code().name})") from error
    finally:
        channel.close()


def _bracketed(host: str) -> str:
    """Return a host for an address with a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
