"""Made-up secrets, nonces and bytes, and the two shapes that cases are built from.

Everything is derived by SHA-256 from a case's name, so that two runs write the
same bytes. Nothing here is checked: what a case must be refused for is what
its author changed, and the reader judges it.
"""

import hashlib
from dataclasses import dataclass, replace

import fieldcrypt_v1 as fc

URI = b"aws-kms://arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-4000-8000-000000000001"


def some_bytes(what: str, name: str, n: int) -> bytes:
    """n bytes: SHA-256 over a counter, what they are for, and a name."""
    blocks = (hashlib.sha256(f"{i} {what} {name}".encode()).digest() for i in range(-(-n // 32)))
    return b"".join(blocks)[:n]


def secret(name: str) -> bytes:
    return some_bytes("secret", name, fc.SECRET_LEN)


@dataclass(frozen=True)
class Sealed:
    """A value as a writer seals it. The members with None are worked out, unless a case sets them."""

    secret: bytes
    nonce: bytes
    frame: bytes
    tenant: str = "acme"
    class_: str = "crm"
    module: str = "Contacts"
    field: str = "email"
    record: str | None = "42"
    mode: int = fc.REFERENCE
    uri: bytes = b""
    wrapped: bytes = b""
    key_id: bytes | None = None
    key: bytes | None = None
    aad: bytes | None = None

    @property
    def scope(self) -> bytes:
        return fc.scope(self.tenant, self.class_)

    @property
    def kid(self) -> bytes:
        return self.key_id if self.key_id is not None else fc.key_id(self.secret, "data", self.scope)

    @property
    def header(self) -> bytes:
        return fc.header(self.mode, self.kid, self.uri, self.wrapped)

    @property
    def payload(self) -> bytes:
        key = self.key if self.key is not None else fc.gcm_key(self.secret, self.scope)
        aad = self.aad
        if aad is None:
            aad = fc.field_aad(self.kid, self.scope, self.module, self.field, self.record)
        return fc.gcm_seal(key, self.nonce, self.frame, aad)

    @property
    def envelope(self) -> bytes:
        return self.header + self.payload


def sealed(name: str, frame: bytes, **changes) -> Sealed:
    """A value sealed under the secret and nonce of this name, by reference unless changed."""
    return Sealed(secret(name), some_bytes("nonce", name, fc.NONCE_LEN), frame, **changes)


def inline(s: Sealed, name: str, uri: bytes = URI, wrapped_len: int = 184) -> Sealed:
    """The same value with its wrapped key inline: any bytes, as long as AWS KMS makes them unless told."""
    return replace(s, mode=fc.INLINE, uri=uri, wrapped=some_bytes("wrapped", name, wrapped_len))


def field_case(name: str, s: Sealed, error: str = "", envelope: bytes | None = None, **opened_with) -> dict:
    """A field case: s as written, or these bytes, read with s's own binding save what opened_with changes."""
    envelope = s.envelope if envelope is None else envelope
    case = {
        "name": name,
        "kind": "field",
        "error": error,
        "secret": s.secret.hex(),
        "tenant": s.tenant,
        "class": s.class_,
        "module": s.module,
        "field": s.field,
        "record": s.record,
        "envelope": envelope.hex(),
        "text": fc.raw_text(envelope),
    }
    case |= {("class" if k == "class_" else k): v for k, v in opened_with.items()}
    if error in ("", "bad-frame"):
        case["frame"] = s.frame.hex()
    if error == "":
        case["type"], case["value"] = fc.read_frame(s.frame)
    return case
