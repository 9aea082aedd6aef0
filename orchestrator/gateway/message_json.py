"""A message as plain data for JSON: names as in the protos, numbers as numbers, enums by their words."""

from typing import Any, cast

from google.protobuf.message import Message


def plain(message: Message) -> dict[str, Any]:
    """Return a message's fields; those that may be unset, and are, are left out.

    Unlike protobuf's own JSON, 64-bit integers are numbers, and TOKEN_ORIGIN_BONUS of TokenOrigin is "bonus".
    """
    fields: Any = message.DESCRIPTOR.fields  # the type stubs know the descriptors of one implementation only
    return {
        field.name: _value(field, getattr(message, field.name))
        for field in fields
        if not field.has_presence or message.HasField(field.name)
    }


def _value(field: Any, value: Any) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        of_value = field.message_type.fields_by_name["value"]
        return {str(key): _single(of_value, one) for key, one in value.items()}
    if field.is_repeated:
        return [_single(field, one) for one in value]
    return _single(field, value)


def _single(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return plain(cast("Message", value))
    if field.enum_type is not None:
        return enum_word(field.enum_type, value)
    return value.hex() if isinstance(value, bytes) else value


def enum_word(enum: Any, number: int) -> str:
    """Return the word for a value of an enum: its name without what all names of the enum begin with."""
    known = enum.values_by_number.get(number)
    if known is None:
        return str(number)
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return known.name.removeprefix(prefix).lower()
