"""TLS between processes: certificates that are replaced while a process runs, and why a handshake is refused."""
