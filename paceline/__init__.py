"""Paceline: exact speculative decoding of language models as microservices."""
