"""Models and their tokenizers: the catalogue, verified downloads, vocabularies, text to ids and back."""
