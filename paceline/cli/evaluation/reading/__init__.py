"""What both models say and cost, read from the models themselves: each alone, in a process of its own."""
