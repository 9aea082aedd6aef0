"""A Propose stream as a caller holds it."""

from paceline.v1 import draft_service_pb2 as messages
from paceline.v1.draft_service_pb2_grpc import DraftServiceStub
from tests.paceline.serving.rig import Rig


class ProposeStream:
    """Sends frames of requests and receives results one by one."""

    def __init__(self, rig: Rig) -> None:
        self.call = DraftServiceStub(rig.channel).Propose()

    async def write(self, *requests: messages.ProposalRequest) -> None:
        await self.call.write(messages.ProposeRequest(requests=requests))

    async def receive(self) -> messages.ProposalResult:
        """The next result; frames that only show progress are passed over."""
        while True:
            response = await self.call.read()
            assert isinstance(response, messages.ProposeResponse), "the stream ended"
            if response.results:
                [result] = response.results
                return result
