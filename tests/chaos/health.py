"""Asks a service for its health as a kubelet does."""

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.chaos.deployment import Probe


async def succeeds(probe: Probe, host: str) -> bool:
    """Whether the pod at a host passes a probe, which has a connection of its own each time."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"{host}:{probe.port}", options=options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=probe.service)
        try:
            answer = await stub.Check(request, timeout=probe.timeout_seconds)  # pyright: ignore[reportAttributeAccessIssue]
        except grpc.aio.AioRpcError:
            return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING
