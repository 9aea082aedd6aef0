"""The model catalogue: list, pull, prepare, tokenizers."""
