"""Files to certificates that can be used, or a sentence that says which file is wrong."""

import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from paceline.errors import ConfigError
from paceline.security.certificates import CertificateFiles, Certificates, OwnCertificate, OwnFiles, Role
from paceline.security.contexts import NOT_PEM, context, show
from paceline.security.verify_codes import VerifyCode

# Messages that a handshake sends back and forth: two each way, and one to be sure.
_MAX_TURNS = 5


def read_certificates(files: CertificateFiles, role: Role) -> Certificates:
    """Read and check certificates.

    Raises ConfigError where a file cannot be read or holds no PEM, where the key does not belong to the certificate,
    and where a certificate has expired or was not made for the role.
    """
    ca = _read(files.ca)
    _check_authorities(ca, files.ca)
    return Certificates(ca, None if files.own is None else _read_own(files.own, role))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _wrong(
            f"{path} cannot be read ({error.strerror}): mount the Secret, or correct the path"
        ) from error


def _check_authorities(ca: bytes, path: Path) -> None:
    try:
        authorities = context(ssl.PROTOCOL_TLS_CLIENT, ca).get_ca_certs()
    except NOT_PEM as error:
        raise _no_certificate(path) from error
    ends = [ssl.cert_time_to_seconds(str(one["notAfter"])) for one in authorities]
    if ends and max(ends) < time.time():
        raise _wrong(f"the authority's certificate in {path} has expired: take the one that is in use now")


def _read_own(files: OwnFiles, role: Role) -> OwnCertificate:
    chain, key = _read(files.certificate), _read(files.key)
    described = _shown(chain, key, files, role)
    names = tuple(name for kind, name in described.get("subjectAltName", ()) if kind in {"DNS", "URI"})
    expires_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(described["notAfter"]), UTC)
    return OwnCertificate(chain, key, names, expires_at)


def _shown(chain: bytes, key: bytes, files: OwnFiles, role: Role) -> dict[str, Any]:
    """Return what the other side of a handshake gets to see: the check is a whole handshake in memory."""
    try:
        seer = context(_PROTOCOLS[role].seer, trusted=chain)
    except NOT_PEM as error:
        raise _no_certificate(files.certificate) from error
    shower = context(_PROTOCOLS[role].shower, trusted=None)
    for one in (seer, shower):  # a server needs one too, even where the client is looked at
        _show(one, chain, key, files)
    try:
        return _shake_hands(seer, shower, role)
    except ssl.SSLCertVerificationError as error:
        raise _wrong(f"the certificate in {files.certificate} {_fault(error, role)}") from error


def _show(made: ssl.SSLContext, chain: bytes, key: bytes, files: OwnFiles) -> None:
    try:
        show(made, chain, key)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise _wrong(
                f"the key in {files.key} does not belong to the certificate in {files.certificate}: "
                "take both from the same Secret"
            ) from error
        raise _wrong(f"{files.key} holds no private key in PEM form without a passphrase") from error


def _shake_hands(seer: ssl.SSLContext, shower: ssl.SSLContext, role: Role) -> dict[str, Any]:
    to_seer, to_shower = ssl.MemoryBIO(), ssl.MemoryBIO()
    looking = seer.wrap_bio(to_seer, to_shower, server_side=role is Role.CLIENT)
    showing = shower.wrap_bio(to_shower, to_seer, server_side=role is Role.SERVER)
    for _ in range(_MAX_TURNS):
        for side in (looking, showing):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    described = looking.getpeercert()
    assert described, "the handshake has ended"
    return dict(described)


def _fault(error: ssl.SSLCertVerificationError, role: Role) -> str:
    match error.verify_code:
        case VerifyCode.EXPIRED:
            return "has expired: renew it"
        case VerifyCode.NOT_YET_VALID:
            return "is not valid yet: look at the clock of this machine"
        case VerifyCode.OTHER_PURPOSE:
            return f"was not made for a {role.value}: issue one with the usage '{role.value} auth'"
        case _:
            return f"cannot be used: {error.verify_message}"


class _Protocols(NamedTuple):
    seer: int
    shower: int


_PROTOCOLS = {
    Role.SERVER: _Protocols(ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER),
    Role.CLIENT: _Protocols(ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT),
}


def _no_certificate(path: Path) -> ConfigError:
    return _wrong(f"{path} holds no certificate in PEM form: it begins with -----BEGIN CERTIFICATE-----")


def _wrong(sentence: str) -> ConfigError:
    return ConfigError(sentence, setting="tls")
