"""Stand-ins for the three programs, which need no model: they answer the health check and end on SIGTERM."""

import asyncio
import signal
import sys

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer


async def main(address: str) -> None:
    server = grpc.aio.server()
    servicer = HealthServicer()
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(address)
    await server.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await server.stop(0)


if __name__ == "__main__":
    arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    if arguments.get("--model", "").endswith("broken"):
        sys.exit("this model is broken")
    if arguments.get("--model", "").endswith("stuck"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("stuck", flush=True)
        while True:
            signal.pause()
    asyncio.run(main(arguments["--listen"]))
