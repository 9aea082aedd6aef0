"""A cluster whose models are clocks: the parts of `python -m benchmarks.simulate`."""
