"""What `paceline evaluate` measures, what follows from it, and how it is told."""
