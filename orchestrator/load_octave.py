"""Loads that are told apart."""


def load_octave(num_sessions: int) -> int:
    """Return the octave of so many sessions at once: 1, 2 to 3, 4 to 7, and so on, counted from 1."""
    return num_sessions.bit_length()
