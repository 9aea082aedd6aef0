"""gRPC's four kinds of method handlers, handled as one."""

from collections.abc import Callable
from typing import Any

import grpc

from paceline.serving.decoding import Deserializer


def behaviour_of(handler: Any) -> Callable[..., Any]:
    """Return what answers a call."""
    return handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream


def with_behaviour(
    handler: Any, behaviour: Callable[..., Any], request_deserializer: Deserializer | None = None
) -> Any:
    """Return a handler of the same kind that answers by `behaviour`, and reads requests as before if not told how."""
    kind = ("stream" if handler.request_streaming else "unary") + (
        "_stream" if handler.response_streaming else "_unary"
    )
    make_handler = getattr(grpc, f"{kind}_rpc_method_handler")
    return make_handler(
        behaviour, request_deserializer or handler.request_deserializer, handler.response_serializer
    )
