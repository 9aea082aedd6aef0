"""The paged-KV inference engine on OpenVINO."""
