"""The client of an orchestrator: typed, without protobuf messages."""
