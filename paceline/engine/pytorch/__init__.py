"""The second engine: models of transformers on PyTorch, for targets on CUDA devices."""
