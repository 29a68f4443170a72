"""The fieldcrypt wire format, version 1: keys, field envelopes, text form, frames.

An implementation of its own, written from envelope/FORMAT.md and not from the
Go package, so that the vectors in testdata/vectors are read by two programs
that share no code. It is a reference for checking, not a library: nothing here
is constant-time in Python's own objects or wipes memory.

The checked functions (seal_field, open_field, seal_deterministic,
open_deterministic, read_index, read_key, encode_text, decode_text, read_frame) refuse whatever the page refuses. The plain builders
(scope, key_id, field_aad, header, gcm_seal, raw_text, ...) check nothing: the
negative vectors are made with them, so that each is refused for one reason.

Primitives: HKDF-SHA256 (RFC 5869), HMAC-SHA256 (RFC 2104), AES-256-GCM
(NIST SP 800-38D), AES-SIV (RFC 5297), base64url (RFC 4648, section 5).
"""

import base64
import hashlib
import hmac
import re
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

MAGIC, VERSION = 0xFC, 1
REFERENCE, INLINE, DETERMINISTIC, STREAM = 1, 2, 3, 4
PURPOSES = ("data", "det", "index", "log")

SECRET_LEN, KEY_ID_LEN, NONCE_LEN, TAG_LEN, SIV_LEN = 32, 32, 12, 16, 16
NAME_MAX, RECORD_MAX = 255, 1024
URI_MAX, WRAPPED_MAX, FRAME_MAX = 512, 6144, 16 << 20

BYTES, STRING, INT64, FLOAT64, BOOL, TIME, DATE, DECIMAL, JSON, UINT64 = range(10)
PADDED = 0x80
INDEX_BITS_MAX, PARTITIONS_MAX = 256, 255


class FormatError(Exception):
    """A refusal; error_class is one of the classes that vectors name."""

    error_class = ""


class Malformed(FormatError):
    """Wrong header, lengths, names, purpose or secret: before any cryptography."""

    error_class = "malformed"


class BadText(FormatError):
    """Not the text form of an envelope or of an index tag."""

    error_class = "bad-text"


class KeyMismatch(FormatError):
    """The key ID is not the one that secret, purpose and scope give."""

    error_class = "key-mismatch"


class NotAuthentic(FormatError):
    """AES refused the envelope, or the tag of a key record or of an index is another one."""

    error_class = "not-authentic"


class BadFrame(FormatError):
    """The envelope is authentic, its plaintext framing is not valid."""

    error_class = "bad-frame"


# Keys


def lp(x: bytes) -> bytes:
    return struct.pack(">I", len(x)) + x


def hkdf(ikm: bytes, info: bytes, n: int) -> bytes:
    prk = hmac.digest(bytes(hashlib.sha256().digest_size), ikm, "sha256")  # an empty salt is a hash of zeros
    out = block = b""
    for i in range(1, -(-n // 32) + 1):
        block = hmac.digest(prk, block + info + bytes([i]), "sha256")
        out += block
    return out[:n]


def scope(tenant: str, class_: str) -> bytes:
    return lp(tenant.encode()) + lp(class_.encode())


def key_id(secret: bytes, purpose: str, sc: bytes) -> bytes:
    return hkdf(secret, b"fieldcrypt/v1 key-id" + lp(purpose.encode()) + sc, KEY_ID_LEN)


def gcm_key(secret: bytes, sc: bytes) -> bytes:
    return hkdf(secret, b"fieldcrypt/v1 aes-256-gcm" + sc, 32)


def siv_key(secret: bytes, sc: bytes) -> bytes:
    return hkdf(secret, b"fieldcrypt/v1 aes-siv" + sc, 64)


def index_key(secret: bytes, sc: bytes, module: str, field: str, index: str, index_version: int) -> bytes:
    names = [bytes(name, "utf-8") for name in (module, field, index)]
    return hkdf(secret, b"fieldcrypt/v1 blind-index" + sc + b"".join(map(lp, names)) + struct.pack(">I", index_version), 32)


def record_tag(secret: bytes, purpose: str, sc: bytes, created: int, not_after: int, budget: int) -> bytes:
    """The tag of a key record; created and not_after in Unix seconds, not_after 0 = none."""
    bound = lp(purpose.encode()) + sc
    k_rec = hkdf(secret, b"fieldcrypt/v1 key-record" + bound, 32)
    times = struct.pack(">QQQ", created, not_after, budget)
    return hmac.digest(k_rec, b"fieldcrypt/v1 record" + bound + times, "sha256")


def check_secret(secret: bytes) -> None:
    if len(secret) != SECRET_LEN:
        raise Malformed(f"a data key has {SECRET_LEN} bytes, not {len(secret)}")


def check_string(what: str, s: str, longest: int) -> None:
    """Lengths are counted in bytes of UTF-8, and lone surrogates have none."""
    try:
        n = len(s.encode())
    except UnicodeEncodeError as e:
        raise Malformed(f"{what} is not UTF-8") from e
    if not 1 <= n <= longest:
        raise Malformed(f"{what} has {n} bytes, not 1 to {longest}")


def check_scope(tenant: str, class_: str) -> None:
    check_string("tenant", tenant, NAME_MAX)
    check_string("class", class_, NAME_MAX)


def check_binding(tenant: str, class_: str, module: str, field: str, record: str | None) -> None:
    check_scope(tenant, class_)
    check_string("module", module, NAME_MAX)
    check_string("field", field, NAME_MAX)
    if record is not None:
        check_string("record ID", record, RECORD_MAX)


def read_key(
    secret: bytes, purpose: str, tenant: str, class_: str, stored_id: bytes,
    stored_tag: bytes | None = None, created: int = 0, not_after: int = 0, budget: int = 0,
) -> None:  # fmt: skip
    """Checks a key record as whoever loads it must: key ID first, then the tag if there is one."""
    check_secret(secret)
    if purpose not in PURPOSES:
        raise Malformed(f"no such purpose: {purpose!r}")
    check_scope(tenant, class_)
    sc = scope(tenant, class_)
    if not hmac.compare_digest(key_id(secret, purpose, sc), stored_id):
        raise KeyMismatch("key ID is not this key's")
    if stored_tag is not None:
        want = record_tag(secret, purpose, sc, created, not_after, budget)
        if not hmac.compare_digest(want, stored_tag):
            raise NotAuthentic("record tag is not this record's")


# Field envelopes


def binding(label: bytes, kid: bytes, sc: bytes, module: str, field: str, bound: int = 0, what: bytes = b"") -> bytes:
    return label + bytes([VERSION]) + kid + sc + lp(module.encode()) + lp(field.encode()) + bytes([bound]) + what


def field_aad(kid: bytes, sc: bytes, module: str, field: str, record: str | None) -> bytes:
    bound, what = (0, b"") if record is None else (1, lp(record.encode()))
    return binding(b"fieldcrypt/v1 field", kid, sc, module, field, bound, what)


def header(mode: int, kid: bytes, uri: bytes = b"", wrapped: bytes = b"") -> bytes:
    h = bytes([MAGIC, VERSION, mode]) + kid
    if mode in (INLINE, STREAM):
        h += struct.pack(">H", len(uri)) + uri + struct.pack(">H", len(wrapped)) + wrapped
    return h


def gcm_seal(key: bytes, nonce: bytes, frame: bytes, aad: bytes) -> bytes:
    """nonce || ciphertext || tag."""
    return nonce + AESGCM(key).encrypt(nonce, frame, aad)


def siv_seal(key: bytes, frame: bytes, aad: bytes) -> bytes:
    """SIV || ciphertext."""
    return AESSIV(key).encrypt(frame, [aad])


def parse(envelope: bytes, modes: tuple[int, ...]) -> tuple[int, bytes, bytes, bytes, bytes]:
    """Splits an envelope of one of these modes into mode, key ID, URI, wrapped key and what follows the header."""
    if len(envelope) < 3:
        raise Malformed("shorter than magic, version and mode")
    magic, version, mode = envelope[:3]
    if magic != MAGIC:
        raise Malformed(f"magic {magic:#x}")
    if version != VERSION:
        raise Malformed(f"version {version}")
    if mode not in modes:
        raise Malformed(f"mode {mode} is unknown or not allowed")
    if len(envelope) < 3 + KEY_ID_LEN:
        raise Malformed("cut short in the key ID")
    kid, rest = envelope[3:35], envelope[35:]
    uri = wrapped = b""
    if mode == INLINE:
        uri, rest = take_u16("root key URI", rest, URI_MAX)
        wrapped, rest = take_u16("wrapped data key", rest, WRAPPED_MAX)
        if not is_utf8(uri):
            raise Malformed("root key URI is not UTF-8")
    n = len(rest) - (SIV_LEN if mode == DETERMINISTIC else NONCE_LEN + TAG_LEN)
    if not 1 <= n <= FRAME_MAX:
        raise Malformed(f"ciphertext of {n} bytes, not 1 to {FRAME_MAX}")
    return mode, kid, uri, wrapped, rest


def parse_field(envelope: bytes) -> tuple[int, bytes, bytes, bytes, bytes, bytes]:
    """Splits a reference or inline envelope into mode, key ID, URI, wrapped key, nonce, ciphertext with tag."""
    mode, kid, uri, wrapped, rest = parse(envelope, (REFERENCE, INLINE))
    return mode, kid, uri, wrapped, rest[:NONCE_LEN], rest[NONCE_LEN:]


def is_utf8(b: bytes) -> bool:
    try:
        b.decode("utf-8", "strict")
    except UnicodeDecodeError:
        return False
    return True


def take_u16(what: str, b: bytes, longest: int) -> tuple[bytes, bytes]:
    if len(b) < 2:
        raise Malformed(f"no length of the {what}")
    (n,) = struct.unpack(">H", b[:2])
    if n < 1:
        raise Malformed(f"{what} is empty")
    if n > longest:
        raise Malformed(f"{what} of {n} bytes, the limit is {longest}")
    if n > len(b) - 2:
        raise Malformed(f"{what} ends past the input")
    return b[2 : 2 + n], b[2 + n :]


def open_field(
    secret: bytes, tenant: str, class_: str, module: str, field: str, record: str | None, envelope: bytes
) -> bytes:
    """Returns the framed plaintext of a reference or inline envelope; read_frame reads that."""
    check_secret(secret)
    check_binding(tenant, class_, module, field, record)
    _, kid, _, _, nonce, sealed = parse_field(envelope)
    sc = scope(tenant, class_)
    if not hmac.compare_digest(kid, key_id(secret, "data", sc)):
        raise KeyMismatch("key ID is not the one of this data key and scope")
    try:
        return AESGCM(gcm_key(secret, sc)).decrypt(nonce, sealed, field_aad(kid, sc, module, field, record))
    except InvalidTag as e:
        raise NotAuthentic("AES-GCM refused the envelope") from e


def seal_field(
    secret: bytes, tenant: str, class_: str, module: str, field: str, record: str | None,
    nonce: bytes, frame: bytes, mode: int = REFERENCE, uri: bytes = b"", wrapped: bytes = b"",
) -> bytes:  # fmt: skip
    """Writes an envelope with a nonce that the caller gives: for vectors only."""
    check_secret(secret)
    check_binding(tenant, class_, module, field, record)
    sc = scope(tenant, class_)
    kid = key_id(secret, "data", sc)
    aad = field_aad(kid, sc, module, field, record)
    envelope = header(mode, kid, uri, wrapped) + gcm_seal(gcm_key(secret, sc), nonce, frame, aad)
    parse_field(envelope)  # the lengths and the mode, by the reader's own rules
    return envelope


# Deterministic envelopes


def det_aad(kid: bytes, sc: bytes, module: str, field: str) -> bytes:
    return binding(b"fieldcrypt/v1 det-field", kid, sc, module, field)


def check_deterministic(tenant: str, class_: str, module: str, field: str, record: str | None) -> None:
    check_binding(tenant, class_, module, field, record)
    if not (record is None):
        raise Malformed("a deterministic envelope is bound to no record")


def open_deterministic(
    secret: bytes, tenant: str, class_: str, module: str, field: str, record: str | None, envelope: bytes
) -> bytes:
    """Returns the framed plaintext of a deterministic envelope; read_deterministic_frame reads that."""
    check_secret(secret)
    check_deterministic(tenant, class_, module, field, record)
    _, kid, _, _, sealed = parse(envelope, (DETERMINISTIC,))
    sc = scope(tenant, class_)
    if not hmac.compare_digest(kid, key_id(secret, "det", sc)):
        raise KeyMismatch("key ID is not the one of this deterministic key and scope")
    try:
        return AESSIV(siv_key(secret, sc)).decrypt(sealed, [det_aad(kid, sc, module, field)])
    except InvalidTag as e:
        raise NotAuthentic("AES-SIV refused the envelope") from e


def read_deterministic_frame(f: bytes) -> tuple[int, str]:
    """read_frame, less what has several frames for equal values."""
    type_, value = read_frame(f)
    if f[0] & PADDED:
        raise BadFrame("padding in a deterministic envelope")
    if type_ in (FLOAT64, TIME, JSON):
        raise BadFrame(f"type {type_} in a deterministic envelope")
    return type_, value


def seal_deterministic(
    secret: bytes, tenant: str, class_: str, module: str, field: str, record: str | None, frame: bytes
) -> bytes:
    check_secret(secret)
    check_deterministic(tenant, class_, module, field, record)
    read_deterministic_frame(frame)
    sc = scope(tenant, class_)
    kid = key_id(secret, "det", sc)
    envelope = header(DETERMINISTIC, kid) + siv_seal(siv_key(secret, sc), frame, det_aad(kid, sc, module, field))
    parse(envelope, (DETERMINISTIC,))
    return envelope


# Blind indexes


def index_tag(key: bytes, bits: int, partition: int, normalised: bytes) -> bytes:
    tag = bytearray(hmac.digest(key, struct.pack(">HB", bits, partition) + normalised, "sha256")[: -(-bits // 8)])
    tag[-1] &= 0xFF << -bits % 8 & 0xFF
    return bytes(tag)


def index_partition(key: bytes, record: str, partitions: int) -> int:
    if partitions == 0:
        return 0
    digest = hmac.digest(key, struct.pack(">H", 0) + lp(bytes(record, "utf-8")), "sha256")
    return 1 + struct.unpack(">I", digest[:4])[0] % partitions


def index_text(version: int, tag: bytes) -> str:
    return f"fi{version}." + base64.urlsafe_b64encode(tag).rstrip(b"=").decode()


def read_index(
    secret: bytes, tenant: str, class_: str, module: str, field: str, index: str, index_version: int,
    bits: int, partition: int, normalised: bytes, text: str,
) -> bytes:  # fmt: skip
    """Returns the tag of a text if it is the one of this value."""
    check_binding(tenant, class_, module, field, None)
    check_string("index name", index, NAME_MAX)
    if index_version < 1:
        raise Malformed("an index version counts from 1")
    if bits < 1:
        raise Malformed("a tag has at least one bit")
    if bits > INDEX_BITS_MAX:
        raise Malformed(f"a tag of {bits} bits")
    if not 0 <= partition <= PARTITIONS_MAX:
        raise Malformed(f"partition {partition}")
    start = f"fi{index_version}."
    if not text.startswith(start):
        raise BadText(f"does not begin with {start}")
    tag = decode_base64url(text[len(start) :])
    if len(tag) != -(-bits // 8):
        raise BadText(f"a tag of {len(tag)} bytes")
    if tag[-1] & ~(0xFF << -bits % 8):
        raise BadText("unused bits of the tag are not zero")
    check_secret(secret)
    key = index_key(secret, scope(tenant, class_), module, field, index, index_version)
    if not hmac.compare_digest(index_tag(key, bits, partition, normalised), tag):
        raise NotAuthentic("the tag is not this value's")
    return tag


# Text form

ALPHABET = re.compile(r"[A-Za-z0-9_-]*")


def raw_text(envelope: bytes) -> str:
    """The text form of any bytes, whether or not they are an envelope; without a version byte, as version 1."""
    version = envelope[1] if len(envelope) > 1 else VERSION
    return f"fc{version}." + base64.urlsafe_b64encode(envelope).rstrip(b"=").decode()


def encode_text(envelope: bytes) -> str:
    text = raw_text(envelope)
    decode_text(text)  # what no reader takes is not written
    return text


def decode_base64url(body: str) -> bytes:
    if not ALPHABET.fullmatch(body):
        raise BadText("a character outside the base64url alphabet")
    if len(body) % 4 == 1:
        raise BadText("no bytes have a text of this length")
    decoded = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != body:
        raise BadText("unused trailing bits are not zero")
    return decoded


def decode_text(text: str) -> bytes:
    prefix = f"fc{VERSION}."
    if not text.startswith(prefix):
        raise BadText(f"does not begin with {prefix}")
    envelope = decode_base64url(text[len(prefix) :])
    if len(envelope) < 3:
        raise BadText("too short to have a mode")
    if envelope[1] != VERSION:
        raise BadText("the number is not the version byte")
    if envelope[2] == STREAM:
        raise BadText("streams have no text form")
    parse(envelope, (REFERENCE, INLINE, DETERMINISTIC))
    return envelope


# Plaintext framing

DECIMAL_SYNTAX = re.compile(rb"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
DECIMAL_ZERO = re.compile(rb"-0(\.0+)?")
FIXED = {INT64: ">q", TIME: ">qIi", DATE: ">iBB", UINT64: ">Q"}


def frame(type_: int, payload: bytes, multiple: int = 0) -> bytes:
    """type || payload, padded to a multiple of so many bytes unless that is 0."""
    if multiple == 0:
        return bytes([type_]) + payload
    f = bytes([type_ | PADDED]) + payload + b"\x80"
    return f + bytes(-len(f) % multiple)


def unframe(f: bytes) -> tuple[int, bytes]:
    """Splits a frame into type (without bit 7) and payload (without padding)."""
    if not f:
        raise BadFrame("no type byte")
    type_, payload = f[0], f[1:]
    if type_ & PADDED:
        stripped = payload.rstrip(b"\x00")
        if not stripped.endswith(b"\x80"):
            raise BadFrame("padding without its 0x80")
        type_, payload = type_ & ~PADDED, stripped[:-1]
    return type_, payload


def read_frame(f: bytes) -> tuple[int, str]:
    """Returns a frame's type and its value as text, in the renderings that README.md lists."""
    type_, p = unframe(f)
    if type_ == BYTES:
        return type_, p.hex()
    if type_ in (STRING, JSON):
        if not is_utf8(p):
            raise BadFrame("not UTF-8")
        return type_, p.decode()
    if type_ == FLOAT64:
        if len(p) != 8:
            raise BadFrame(f"float64 of {len(p)} bytes")
        return type_, p.hex()
    if type_ == BOOL:
        if p not in (b"\x00", b"\x01"):
            raise BadFrame("a bool is one byte, 0 or 1")
        return type_, "true" if p == b"\x01" else "false"
    if type_ == DECIMAL:
        if not DECIMAL_SYNTAX.fullmatch(p) or DECIMAL_ZERO.fullmatch(p):
            raise BadFrame("not a decimal")
        return type_, p.decode("ascii")
    if type_ in FIXED:
        return type_, read_fixed(type_, p)
    raise BadFrame(f"unknown type {type_}")


def read_fixed(type_: int, p: bytes) -> str:
    layout = FIXED[type_]
    if len(p) != struct.calcsize(layout):
        raise BadFrame(f"type {type_} with a payload of {len(p)} bytes")
    parts = struct.unpack(layout, p)
    if type_ == TIME:
        seconds, nanoseconds, offset = parts
        if nanoseconds >= 10**9 or abs(offset) >= 86_400:
            raise BadFrame("nanoseconds or zone offset out of range")
        return f"{seconds}.{nanoseconds:09d} {offset}"
    if type_ == DATE:
        year, month, day = parts
        if not 1 <= month <= 12 or not 1 <= day <= days_of(year, month):
            raise BadFrame("no such day")
        digits = f"{year:04d}" if 0 <= year <= 9999 else f"{year:+05d}"
        return f"{digits}-{month:02d}-{day:02d}"
    return str(parts[0])


def days_of(year: int, month: int) -> int:
    """Days of a month of the proleptic Gregorian calendar, whose year 0 is the leap year before year 1."""
    if month == 2:
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        return 29 if leap else 28
    return 30 if month in (4, 6, 9, 11) else 31


def write_payload(type_: int, value: str) -> bytes:
    """The payload whose value reads as this text: the inverse of read_frame."""
    if type_ in (BYTES, FLOAT64):
        return bytes.fromhex(value)
    if type_ in (STRING, DECIMAL, JSON):
        return value.encode()
    if type_ == BOOL:
        return {"false": b"\x00", "true": b"\x01"}[value]
    if type_ == TIME:
        parts = re.fullmatch(r"(-?\d+)\.(\d{9}) (-?\d+)", value)
    elif type_ == DATE:
        parts = re.fullmatch(r"([+-]?\d+)-(\d\d)-(\d\d)", value)
    else:
        parts = re.fullmatch(r"(-?\d+)", value)
    if parts is None:
        raise ValueError(f"not a value of type {type_}: {value!r}")
    return struct.pack(FIXED[type_], *map(int, parts.groups()))
