"""A round that arrives when its sender has long lost the session."""

import grpc.aio

from paceline.rounds import prefix_digest
from paceline.v1 import round_pb2, target_service_pb2, target_service_pb2_grpc
from tests.chaos.aftermath import stored_ids
from tests.hosts.cluster import HostCluster


async def refusal_of_late_round(cluster: HostCluster, target: str, session_id: str, epoch: int) -> str:
    """Have a round of a session under an epoch arrive at a target now; return the reason of its refusal, or nothing."""
    point = round_pb2.SessionPoint(
        session_id=session_id,
        epoch=epoch,
        prefix_digest=prefix_digest(()),
        committed_ids=await stored_ids(cluster, session_id),
    )
    frame = target_service_pb2.VerifyRequest(rounds=[target_service_pb2.VerifyRound(point=point)])
    async with grpc.aio.insecure_channel(cluster.service_address(target)) as channel:
        call = target_service_pb2_grpc.TargetServiceStub(channel).Verify()
        await call.write(frame)
        async for answer in call:
            if answer.results:
                return answer.results[0].error.reason
    raise AssertionError("the target ended the stream without an answer")
