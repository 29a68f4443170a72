"""Cases of kind deterministic: AES-SIV envelopes, and what must be refused in them."""

from dataclasses import replace
from struct import pack

import fieldcrypt_v1 as fc
from cases_field_negative import flip, patch
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from made_up import Sealed, field_case, secret

ADA = fc.frame(fc.STRING, b"ada@example.com")


class Det(Sealed):
    """A value as a writer seals it deterministically."""

    @property
    def kid(self) -> bytes:
        return self.key_id if self.key_id is not None else fc.key_id(self.secret, "det", self.scope)

    @property
    def payload(self) -> bytes:
        key = self.key if self.key is not None else fc.siv_key(self.secret, self.scope)
        aad = self.aad if self.aad is not None else fc.det_aad(self.kid, self.scope, self.module, self.field)
        return fc.siv_seal(key, self.frame, aad)


def det(name: str, frame: bytes = ADA, **changes) -> Det:
    return Det(**({"secret": secret(name), "nonce": b"", "frame": frame, "record": None, "mode": fc.DETERMINISTIC} | changes))


def case(name: str, s: Det, error: str = "", envelope: bytes | None = None, **opened_with) -> dict:
    return field_case(name, s, error, envelope, **opened_with) | {"kind": "deterministic"}


def cases():
    yield from positive()
    yield from headers()
    yield from names()
    yield from keys()
    yield from bindings()
    yield from tampering()
    yield from frames()
    yield from two_faults()


def positive():
    for what, type_, payload in [
        ("empty string", fc.STRING, b""), ("string", fc.STRING, b"ada@example.com"), ("string, not ASCII", fc.STRING, "Zoë 🔑".encode()),
        ("bytes", fc.BYTES, b"\x00\xff"), ("no bytes", fc.BYTES, b""), ("int64", fc.INT64, pack(">q", -(2**63))),
        ("uint64", fc.UINT64, pack(">Q", 2**64 - 1)), ("bool", fc.BOOL, b"\x01"), ("date", fc.DATE, pack(">iBB", 1815, 12, 10)),
        ("decimal", fc.DECIMAL, b"-10.50"),
    ]:  # fmt: skip
        yield case(what, det(what, fc.frame(type_, payload)))
    for n in (14, 15, 16, 30, 31, 32, 255, 1000):
        yield case(f"frame of {n + 1} bytes", det(f"frame {n}", fc.frame(fc.BYTES, bytes(n))))
    same = secret("two scopes")
    yield case("a value", det("", secret=same))
    yield case("the same value, another tenant", det("", secret=same, tenant="globex"))
    yield case("the same value, another class", det("", secret=same, class_="billing"))
    yield case("the same value, another module", det("", secret=same, module="Leads"))
    yield case("the same value, another field", det("", secret=same, field="mail"))
    yield case("names of one byte", det("short", tenant="t", class_="c", module="m", field="f"))
    yield case("names of 255 bytes", det("long", tenant="t" * 255, class_="c" * 255, module="m" * 255, field="f" * 255))


def headers():
    s = det("headers")
    e = s.envelope
    yield case("magic fb", s, "malformed", patch(e, 0, b"\xfb"))
    yield case("version 2", s, "malformed", patch(e, 1, b"\x02"))
    for mode in (0, 1, 2, 4, 5, 0x83):
        yield case(f"mode {mode}", s, "malformed", patch(e, 2, bytes([mode])))
    nonce = Sealed(s.secret, bytes(12), ADA, record=None)
    yield case("reference envelope", s, "malformed", nonce.envelope)
    for n, what in [
        (0, "nothing"), (2, "magic and version"), (3, "no key ID"), (34, "key ID of 31 bytes"), (35, "header"),
        (50, "SIV of 15 bytes"), (51, "no ciphertext"),
    ]:  # fmt: skip
        yield case(f"cut to {n}: {what}", s, "malformed", e[:n])


def names():
    for what, changes in [
        ("tenant empty", {"tenant": ""}), ("tenant of 256 bytes", {"tenant": "t" * 256}), ("class of 256 bytes", {"class_": "c" * 256}),
        ("module empty", {"module": ""}), ("field empty", {"field": ""}), ("field of 256 bytes", {"field": "f" * 256}),
    ]:  # fmt: skip
        yield case(what, det("names", **changes), "malformed")
    yield case("record named", det("names"), "malformed", record="42")
    for n in (0, 16, 31, 33, 64):
        yield case(f"secret of {n} bytes", det("", secret=bytes(n)), "malformed")


def keys():
    s = det("keys")
    for purpose in ("data", "index", "log"):
        yield case(f"key ID of purpose {purpose}", det("keys", key_id=fc.key_id(s.secret, purpose, s.scope)), "key-mismatch")
    yield case("key ID of zeros", det("keys", key_id=bytes(32)), "key-mismatch")
    yield case("read with another secret", s, "key-mismatch", secret=secret("other keys").hex())
    yield case("read as another tenant", s, "key-mismatch", tenant="globex")
    yield case("read as another class", s, "key-mismatch", **{"class": "billing"})
    key = fc.siv_key(s.secret, s.scope)
    for what, other in [
        ("halves swapped", key[32:] + key[:32]), ("first half twice", key[:32] * 2), ("the secret twice", s.secret * 2),
        ("the GCM key twice", fc.gcm_key(s.secret, s.scope) * 2), ("of another scope", fc.siv_key(s.secret, fc.scope("globex", "crm"))),
        ("AES-128", key[:32]),
    ]:  # fmt: skip
        yield case(f"SIV key: {what}", det("keys", key=other), "not-authentic")


def bindings():
    s = det("bindings")
    kid, sc = s.kid, s.scope
    for what, aad in [
        ("label of fields", fc.binding(b"fieldcrypt/v1 field", kid, sc, s.module, s.field)),
        ("record bound", fc.binding(b"fieldcrypt/v1 det-field", kid, sc, s.module, s.field, 1, fc.lp(b"42"))),
        ("bound 128", fc.binding(b"fieldcrypt/v1 det-field", kid, sc, s.module, s.field, 128)),
        ("none", b""),
        ("without the key ID", fc.binding(b"fieldcrypt/v1 det-field", b"", sc, s.module, s.field)),
        ("without the scope", fc.binding(b"fieldcrypt/v1 det-field", kid, b"", s.module, s.field)),
    ]:
        yield case(f"associated data: {what}", det("bindings", aad=aad), "not-authentic")
    aad = fc.det_aad(kid, sc, s.module, s.field)
    siv = AESSIV(fc.siv_key(s.secret, sc))
    for what, strings in [("two strings", [aad, b""]), ("a nonce", [aad, bytes(16)]), ("no string", []), ("nonce first", [bytes(16), aad])]:
        sealed = siv.encrypt(ADA, strings) if strings else siv.encrypt(ADA, None)
        yield case(f"associated data of {what}", s, "not-authentic", s.header + sealed)
    yield case("read as another module", s, "not-authentic", module="Leads")
    yield case("read as another field", s, "not-authentic", field="mail")
    yield case("module and field run together", s, "not-authentic", module="Contactse", field="mail")


def tampering():
    s = det("tampering")
    e = s.envelope
    for at, what in [(35, "first byte of the SIV"), (50, "last byte of the SIV"), (51, "first byte of the ciphertext"), (-1, "last byte")]:
        yield case(f"{what} altered", s, "not-authentic", flip(e, at))
    yield case("SIV after the ciphertext", s, "not-authentic", s.header + s.payload[16:] + s.payload[:16])
    for n in (52, len(e) - 1):
        yield case(f"cut to {n} of {len(e)}", s, "not-authentic", e[:n])
    yield case("trailing zero", s, "not-authentic", e + b"\x00")
    yield case("ciphertext of another value", s, "not-authentic", s.header + s.payload[:16] + det("tampering", fc.frame(1, b"bob@example.com")).payload[16:])


def frames():
    for what, frame in [
        ("padded string", fc.frame(fc.STRING, b"ada", 16)), ("padded bytes", fc.frame(fc.BYTES, b"", 2)),
        ("padded int64", fc.frame(fc.INT64, bytes(8), 16)),
        ("float64", fc.frame(fc.FLOAT64, bytes(8))), ("float64 NaN", fc.frame(fc.FLOAT64, b"\x7f\xf8" + bytes(6))),
        ("time", fc.frame(fc.TIME, pack(">qIi", 0, 0, 0))), ("JSON", fc.frame(fc.JSON, b"{}")), ("empty JSON", fc.frame(fc.JSON, b"")),
        ("padded JSON", fc.frame(fc.JSON, b"{}", 16)),
        ("type 10", b"\x0a"), ("bool 2", fc.frame(fc.BOOL, b"\x02")), ("int64 of 7 bytes", fc.frame(fc.INT64, bytes(7))),
        ("string not UTF-8", fc.frame(fc.STRING, b"\xff")), ("padding without its 0x80", b"\x81ada"),
    ]:  # fmt: skip
        yield case(f"frame: {what}", det("frames", frame), "bad-frame")


def two_faults():
    s = det("two faults")
    yield case("first of two faults: record named, and key ID of zeros", replace(s, key_id=bytes(32)), "malformed", record="42")
    yield case("first of two faults: key ID, and SIV altered", replace(s, key_id=bytes(32)), "key-mismatch", flip(replace(s, key_id=bytes(32)).envelope, 40))
    padded = det("two faults", fc.frame(fc.STRING, b"ada", 16))
    yield case("first of two faults: SIV altered, and padding", padded, "not-authentic", flip(padded.envelope, 40))
