"""Bytes of a request to its message, so that what cannot be read is refused with a reason.

gRPC answers a deserializer's exception with an internal error; ours returns it instead, to be raised inside
the call.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.message import DecodeError, Message

from paceline.errors import InvalidRequestError, PacelineError
from paceline.serving.errors import InvalidUtf8Error, MessageTooLargeError

Deserializer = Callable[[bytes], Any]
_FIELD = descriptor_pb2.FieldDescriptorProto


@dataclass(frozen=True)
class Unreadable:
    """Stands in for a request message that could not be read."""

    error: PacelineError


def careful_deserializer(deserialize: Deserializer, max_message_bytes: int) -> Deserializer:
    """Return a deserializer that gives Unreadable where the given one raises or the message is too large."""

    def read(serialized: bytes) -> Any:
        if len(serialized) > max_message_bytes:
            return Unreadable(_too_large(len(serialized), max_message_bytes))
        try:
            return deserialize(serialized)
        except DecodeError:
            return Unreadable(_undecodable(getattr(deserialize, "__self__", None), serialized))

    return read


def _too_large(num_bytes: int, max_message_bytes: int) -> MessageTooLargeError:
    return MessageTooLargeError(
        f"the message has {num_bytes} bytes and {max_message_bytes} are allowed; send less at once",
        num_bytes=num_bytes,
        max_message_bytes=max_message_bytes,
    )


def _undecodable(message_class: Any, serialized: bytes) -> PacelineError:
    if isinstance(message_class, type) and issubclass(message_class, Message):
        if _reads_with_any_bytes(cast("Descriptor", message_class.DESCRIPTOR), serialized):
            return InvalidUtf8Error("a string of the message is not UTF-8; send valid UTF-8")
        name = message_class.DESCRIPTOR.full_name
        return InvalidRequestError(
            f"the message is no {name}; check the contract's version", message_name=name
        )
    return InvalidRequestError("the message cannot be read; check the contract's version")


def _reads_with_any_bytes(descriptor: Descriptor, serialized: bytes) -> bool:
    """Whether a message is whole once its strings may hold any bytes: only then is UTF-8 what it lacks."""
    pool = descriptor_pool.DescriptorPool()
    _add_with_bytes(pool, descriptor.file, set())
    try:
        message_factory.GetMessageClass(pool.FindMessageTypeByName(descriptor.full_name)).FromString(
            serialized
        )
    except DecodeError:
        return False
    return True


def _add_with_bytes(pool: descriptor_pool.DescriptorPool, file: FileDescriptor, added: set[str]) -> None:
    if file.name in added:
        return
    added.add(file.name)
    for dependency in file.dependencies:
        _add_with_bytes(pool, dependency, added)
    proto = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)
    for message in proto.message_type:
        _turn_strings_into_bytes(message)
    pool.Add(proto)


def _turn_strings_into_bytes(message: descriptor_pb2.DescriptorProto) -> None:
    for field in message.field:
        if field.type == _FIELD.TYPE_STRING and not message.options.map_entry:
            field.type = _FIELD.TYPE_BYTES
    for nested in message.nested_type:
        _turn_strings_into_bytes(nested)
