"""Plain gRPC: stubs that were generated from `protos/`, and nothing else of Paceline.

pip install grpcio protobuf grpcio-tools
mkdir -p stubs
python -m grpc_tools.protoc -I protos --python_out=stubs --grpc_python_out=stubs \
    protos/paceline/v1/{model,sampling,orchestrator_service}.proto
PYTHONPATH=stubs python examples/python_grpc.py "Name three rivers."

In an environment that has the paceline package too, its own stubs, which are the same, may be found instead.
"""

import os
import sys
import time

import grpc

from paceline.v1 import orchestrator_service_pb2 as pb
from paceline.v1 import orchestrator_service_pb2_grpc as pb_grpc

ADDRESS = os.environ.get("PACELINE_ADDRESS", "127.0.0.1:7000")
KEY = os.environ.get("PACELINE_API_KEY")
MAX_FAILURES = 8  # in a row; the pauses between them come to about 21 seconds
METADATA = [("authorization", f"Bearer {KEY}")] if KEY else []


def main() -> None:
    question = sys.argv[1] if len(sys.argv) > 1 else "Name three rivers."
    chat = pb.ChatInput(messages=[pb.ChatMessage(role="user", content=question)])
    request = pb.GenerateRequest(chat=chat, max_tokens=60)
    token = ""
    with grpc.insecure_channel(ADDRESS) as channel:
        stub = pb_grpc.OrchestratorServiceStub(channel)
        num_failures = 0  # since something came
        while True:
            try:
                for event in stub.Generate(request, metadata=METADATA, timeout=120):
                    token = show(event) or token
                    num_failures = 0
                break
            except grpc.RpcError as error:
                num_failures += 1
                is_over = not token or num_failures > MAX_FAILURES
                if error.code() != grpc.StatusCode.UNAVAILABLE or is_over:
                    raise
                time.sleep(min(0.1 * 2**num_failures, 5.0))
                # It broke in the middle: with the last rollback token the rest comes, here or at another orchestrator.
                resume = pb.Continuation(rollback_token=token, mode=pb.CONTINUATION_MODE_RESUME)
                request = pb.GenerateRequest(continuation=resume)


def show(event: pb.GenerateResponse) -> str:
    """Print an event; returns the rollback token that names where the stream is now."""
    kind = event.WhichOneof("event")
    if kind == "started":
        print(f"session {event.started.session_id}, seed {event.started.seed}")
        return event.started.rollback_token
    if kind == "chunk":
        print(event.chunk.text, end="", flush=True)
        return event.chunk.rollback_token
    speculation = event.summary.speculation
    accepted = f"{speculation.num_accepted_tokens} of {speculation.num_draft_tokens} draft tokens accepted"
    print(f"\n{event.summary.usage.num_completion_tokens} tokens, {accepted}")
    return ""


if __name__ == "__main__":
    main()
