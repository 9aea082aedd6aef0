"""What `paceline top` asks, works out and draws."""
