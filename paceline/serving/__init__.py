"""The chassis of a gRPC process: configuration, health, drain, interceptors, telemetry."""
