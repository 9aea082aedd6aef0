"""The HTTP gateway: OpenAI's API, and the playground, on top of the same core that gRPC's calls reach."""
