"""OpenSSL's words for what is wrong with a certificate (x509_vfy.h), as `ssl` passes them on."""

from enum import IntEnum


class VerifyCode(IntEnum):
    """The few that we tell apart."""

    NO_ISSUER = 2
    WRONG_SIGNATURE = 7
    NOT_YET_VALID = 9
    EXPIRED = 10
    SELF_SIGNED = 18
    SELF_SIGNED_IN_CHAIN = 19
    NO_LOCAL_ISSUER = 20
    NO_FIRST_ISSUER = 21
    OTHER_PURPOSE = 26
    OTHER_ISSUER_KEY = 30
    OTHER_HOST = 62
    OTHER_ADDRESS = 64


# The authority is not the one that is trusted, or has another key now.
OF_ANOTHER_CA = frozenset(
    {
        VerifyCode.NO_ISSUER,
        VerifyCode.WRONG_SIGNATURE,
        VerifyCode.SELF_SIGNED,
        VerifyCode.SELF_SIGNED_IN_CHAIN,
        VerifyCode.NO_LOCAL_ISSUER,
        VerifyCode.NO_FIRST_ISSUER,
        VerifyCode.OTHER_ISSUER_KEY,
    }
)
OF_ANOTHER_NAME = frozenset({VerifyCode.OTHER_HOST, VerifyCode.OTHER_ADDRESS})
