"""A whole cluster on one machine: its processes, their cores, an embedded Redis, and where to find it."""
