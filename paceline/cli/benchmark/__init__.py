"""What `paceline bench` measures, and how it is told."""
