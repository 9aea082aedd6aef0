"""Sampling: counter-based noise, so that a token depends only on seed, position and logits."""
