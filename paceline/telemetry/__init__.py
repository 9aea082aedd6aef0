"""What every service tells of itself: metrics, traces, and how they leave the process."""
