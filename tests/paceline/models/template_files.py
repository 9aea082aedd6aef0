"""Chat templates in files: those of models that we serve, and some that are like those of others."""

from pathlib import Path

_DIRECTORY = Path(__file__).with_name("chat_templates")
QWEN, LLAMA, MISTRAL = "qwen2.5-coder-instruct", "like-llama-3", "like-mistral"


def template_source(name: str) -> str:
    return (_DIRECTORY / f"{name}.jinja").read_text(encoding="utf-8")
