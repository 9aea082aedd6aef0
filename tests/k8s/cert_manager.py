"""Plays cert-manager: certificates as an overlay's Certificates want them, as it writes their Secrets."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from k8s.manifests import Manifest
from tests.certificates import Issued

_PURPOSES = {
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
}
_CURVES = {256: ec.SECP256R1}
_UNITS = {"h": "hours", "m": "minutes", "s": "seconds"}
# Clocks differ a little.
_EARLIER = timedelta(minutes=1)


def seconds_of(duration: str) -> float:
    """A duration as Go writes it: 1h30m is 5400."""
    parts = {_UNITS[unit]: float(number) for number, unit in re.findall(r"([\d.]+)([hms])", duration)}
    return timedelta(**parts).total_seconds()


@dataclass(frozen=True)
class Signer:
    """An authority: its key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def for_itself(cls, spec: Mapping[str, Any], key: ec.EllipticCurvePrivateKey) -> Self:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, spec["commonName"])])
        builder = _builder(spec, subject, subject, key.public_key(), key.public_key())
        return cls(key, builder.sign(key, hashes.SHA256()))

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(self, spec: Mapping[str, Any]) -> Issued:
        """A new certificate with a new key, and the authority of now beside them."""
        key = _new_key(spec)
        builder = _builder(
            spec, x509.Name([]), self.certificate.subject, key.public_key(), self.key.public_key()
        )
        chain = builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        return Issued(chain, private, self.pem)


class CertManager:
    """Serves the Certificates of an overlay: one of a self-signed authority, the others of that."""

    def __init__(self, manifests: Sequence[Manifest]) -> None:
        certificates = [one["spec"] for one in manifests if one["kind"] == "Certificate"]
        (self._root,) = [one for one in certificates if one.get("isCA")]
        self._signer = Signer.for_itself(self._root, _new_key(self._root))
        self._specs = {one["secretName"]: one for one in certificates if one is not self._root}

    @property
    def secrets(self) -> frozenset[str]:
        """Names of the Secrets that programs may have."""
        return frozenset(self._specs)

    def issue(self, secret: str, **other: object) -> Issued:
        """What a Secret holds from now on; `other` takes the place of fields of its Certificate."""
        return self._signer.issue({**self._specs[secret], **other})

    def renew_authority(self) -> None:
        """Have the authority's certificate renewed, with a new key if the Certificate says so."""
        keeps_key = self._root["privateKey"]["rotationPolicy"] == "Never"
        key = self._signer.key if keeps_key else _new_key(self._root)
        self._signer = Signer.for_itself(self._root, key)


def _new_key(spec: Mapping[str, Any]) -> ec.EllipticCurvePrivateKey:
    assert spec["privateKey"]["algorithm"] == "ECDSA"
    return ec.generate_private_key(_CURVES[spec["privateKey"]["size"]]())


def _builder(
    spec: Mapping[str, Any],
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
) -> x509.CertificateBuilder:
    usages, begin = set(spec["usages"]), datetime.now(UTC) - _EARLIER
    is_authority = spec.get("isCA", False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(seconds=seconds_of(spec["duration"])))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(_key_usage(usages), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )
    if is_authority:
        key_id = x509.SubjectKeyIdentifier.from_public_key(public_key)
        builder = builder.add_extension(key_id, critical=False)
    if names := spec.get("dnsNames"):
        # Critical, because there is no subject.
        builder = builder.add_extension(x509.SubjectAlternativeName(map(x509.DNSName, names)), critical=True)
    if purposes := [oid for usage, oid in _PURPOSES.items() if usage in usages]:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return builder


def _key_usage(usages: set[str]) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature="digital signature" in usages,
        content_commitment=False,
        key_encipherment="key encipherment" in usages,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign="cert sign" in usages,
        crl_sign="crl sign" in usages,
        encipher_only=False,
        decipher_only=False,
    )
