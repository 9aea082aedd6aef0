"""Graphs: a model directory becomes an OpenVINO model with paged attention."""
