"""Distillation: a small student of a target, trained on text that the target itself writes. Needs torch."""
