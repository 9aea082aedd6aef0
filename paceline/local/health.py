"""Asks a process whether it serves."""

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

ANSWER_SECONDS = 2.0


async def is_serving(address: str) -> bool:
    """Say whether the process at an address answers SERVING to the health check of gRPC."""
    # A fresh channel each time: one that failed to connect would first wait out its back-off.
    async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        try:
            answer = await stub.Check(request, timeout=ANSWER_SECONDS)  # pyright: ignore[reportAttributeAccessIssue]
        except grpc.aio.AioRpcError:
            return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING
