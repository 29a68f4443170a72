"""Cases of kind field that must be refused, each for one reason and with its error class."""

from dataclasses import replace
from struct import pack

import fieldcrypt_v1 as fc
from made_up import URI, field_case, inline, sealed, secret, some_bytes

ADA = fc.frame(fc.STRING, b"ada@example.com")


def cases():
    yield from headers()
    yield from lengths()
    yield from truncations()
    yield from names()
    yield from keys()
    yield from bindings()
    yield from tampering()
    yield from frames()
    yield from two_faults()


def patch(b: bytes, at: int, new: bytes) -> bytes:
    return b[:at] + new + b[at + len(new) :]


def flip(b: bytes, at: int, mask: int = 1) -> bytes:
    at %= len(b)
    return patch(b, at, bytes([b[at] ^ mask]))


def headers():
    s = sealed("headers", ADA)
    e, i = s.envelope, inline(s, "headers").envelope
    for what, byte in [("0", 0), ("fb", 0xFB), ("fd", 0xFD), ("7c", 0x7C), ("of the text form", ord("f"))]:
        yield field_case(f"magic {what}", s, "malformed", patch(e, 0, bytes([byte])))
    for version in (0, 2, 0x81, 255):
        yield field_case(f"version {version}", s, "malformed", patch(e, 1, bytes([version])))
    for mode in (0, 5, 6, 0x81, 0x82, 255):
        yield field_case(f"mode {mode}", s, "malformed", patch(e, 2, bytes([mode])))
        yield field_case(f"mode {mode}, inline otherwise", s, "malformed", patch(i, 2, bytes([mode])))
    yield field_case("mode stream on an inline field", s, "malformed", patch(i, 2, bytes([fc.STREAM])))
    yield field_case("mode stream, by reference", s, "malformed", fc.header(fc.STREAM, s.kid) + s.payload)
    yield field_case("mode deterministic on a reference field", s, "malformed", patch(e, 2, bytes([fc.DETERMINISTIC])))
    aad = fc.binding(b"fieldcrypt/v1 det-field", s.kid, s.scope, s.module, s.field)
    payload = fc.siv_seal(fc.siv_key(s.secret, s.scope), s.frame, aad)
    yield field_case("deterministic envelope", s, "malformed", fc.header(fc.DETERMINISTIC, s.kid) + payload)
    yield field_case("mode inline on a reference, which gives its nonce as length", s, "malformed",
                     patch(replace(s, nonce=b"\xff" * 12).envelope, 2, bytes([fc.INLINE])))  # fmt: skip
    yield field_case("mode reference on an inline", s, "not-authentic", patch(i, 2, bytes([fc.REFERENCE])))
    yield field_case("magic and version twice", s, "malformed", e[:2] + e)
    yield field_case("byte in front", s, "malformed", b"\x00" + e)
    yield field_case("text form as bytes", s, "malformed", fc.raw_text(e).encode())
    yield field_case("hexadecimal as bytes", s, "malformed", e.hex().encode())


def lengths():
    s = sealed("lengths", ADA)
    shapes = [
        ("URI empty", b"", b"wrapped"),
        ("wrapped key empty", URI, b""),
        ("URI and wrapped key empty, as only a stream may", b"", b""),
        ("URI of 513 bytes", b"file:///" + b"k" * 505, b"wrapped"),
        ("URI of 514 bytes in 257 characters", "é".encode() * 257, b"wrapped"),
        ("wrapped key of 6,145 bytes", URI, b"w" * 6145),
        ("URI not UTF-8: byte ff", b"file:///k\xff", b"wrapped"),
        ("URI not UTF-8: Latin-1", "file:///clé".encode("latin-1"), b"wrapped"),
        ("URI not UTF-8: a character cut off", "file:///clé".encode()[:-1], b"wrapped"),
        ("URI not UTF-8: slash in two bytes", b"file:///k\xc0\xaf", b"wrapped"),
        ("URI not UTF-8: surrogate", b"file:///\xed\xa0\x80", b"wrapped"),
    ]
    for what, uri, wrapped in shapes:
        yield field_case(what, s, "malformed", replace(s, mode=fc.INLINE, uri=uri, wrapped=wrapped).envelope)
    i = replace(s, mode=fc.INLINE, uri=b"file:///k", wrapped=b"w" * 300)
    at_r, at_w, at_end = 35, 35 + 2 + 9, 35 + 2 + 9 + 2 + 300
    for what, at, n in [
        ("URI length little-endian", at_r, b"\x09\x00"),
        ("URI length 65,535", at_r, b"\xff\xff"),
        ("URI length zero before a URI", at_r, b"\x00\x00"),
        ("wrapped key length 65,535", at_w, b"\xff\xff"),
        ("URI length 512 past the input", at_r, pack(">H", 512)),
        ("URI length one too great", at_r, pack(">H", 10)),
        ("wrapped key length zero before a wrapped key", at_w, b"\x00\x00"),
        ("wrapped key length past the input", at_w, pack(">H", 6144)),
        ("wrapped key length up to the end of the input", at_w, pack(">H", 300 + len(s.payload))),
        ("wrapped key length leaves nonce and tag only", at_w, pack(">H", 300 + len(s.payload) - 28)),
    ]:
        yield field_case(what, s, "malformed", patch(i.envelope, at, n))
    yield field_case("wrapped key length one too small", i, "not-authentic", patch(i.envelope, at_w, pack(">H", 299)))
    yield field_case("wrapped key length one too great", i, "not-authentic", patch(i.envelope, at_w, pack(">H", 301)))
    yield field_case("lengths of 32 bits", s, "malformed",
                     s.header[:2] + b"\x02" + s.kid + fc.lp(b"k") + fc.lp(b"w") + s.payload)  # fmt: skip
    yield field_case("inline without lengths", s, "malformed", i.envelope[:at_r] + i.envelope[at_end:])
    empty = sealed("lengths, empty frame", b"")
    yield field_case("empty frame, so no ciphertext", empty, "malformed")
    yield field_case("empty frame, inline", inline(empty, "lengths"), "malformed")


def truncations():
    s = sealed("truncations", ADA)
    end = len(s.envelope)
    for n, what in [
        (0, "nothing"), (1, "magic"), (2, "magic and version"), (3, "no key ID"), (4, "key ID of one byte"),
        (34, "key ID of 31 bytes"), (35, "header"), (36, "nonce of one byte"), (46, "nonce of 11 bytes"),
        (47, "header and nonce"), (48, "no room for a tag"), (62, "tag of 15 bytes"), (63, "no ciphertext"),
    ]:  # fmt: skip
        yield field_case(f"cut to {n}: {what}", s, "malformed", s.envelope[:n])
    for n in (64, end - 8, end - 1):
        yield field_case(f"cut to {n} of {end}", s, "not-authentic", s.envelope[:n])
    i = replace(s, mode=fc.INLINE, uri=b"file:///k", wrapped=b"wrapped key")
    at_w, at_nonce = 35 + 2 + 9, 35 + 2 + 9 + 2 + 11
    for n, what in [
        (35, "no URI length"), (36, "half a URI length"), (37, "no URI"), (at_w - 1, "URI one short"),
        (at_w, "no wrapped key length"), (at_w + 1, "half a wrapped key length"), (at_w + 2, "no wrapped key"),
        (at_nonce - 1, "wrapped key one short"), (at_nonce, "no nonce"), (at_nonce + 11, "nonce one short"),
        (at_nonce + 12, "nothing after the nonce"), (at_nonce + 28, "no ciphertext"),
    ]:  # fmt: skip
        yield field_case(f"inline cut to {n}: {what}", i, "malformed", i.envelope[:n])
    for n in (at_nonce + 29, len(i.envelope) - 1):
        yield field_case(f"inline cut to {n} of {len(i.envelope)}", i, "not-authentic", i.envelope[:n])
    for what, more in [("zero", b"\x00"), ("LF", b"\n"), ("envelope", s.envelope)]:
        yield field_case(f"trailing {what}", s, "not-authentic", s.envelope + more)
        yield field_case(f"inline, trailing {what}", i, "not-authentic", i.envelope + more)
    yield field_case("first byte of the nonce left out", s, "not-authentic", s.envelope[:35] + s.envelope[36:])


def names():
    """Each is sealed under the very name or secret that must be refused, so that nothing else is wrong."""
    for what, binding in [
        ("tenant empty", {"tenant": ""}),
        ("tenant of 256 bytes", {"tenant": "t" * 256}),
        ("tenant of 256 bytes in 128 characters", {"tenant": "é" * 128}),
        ("class of 256 bytes", {"class_": "c" * 256}),
        ("class of 256 bytes in 64 characters", {"class_": "🔑" * 64}),
        ("module empty", {"module": ""}),
        ("module of 256 bytes", {"module": "m" * 256}),
        ("module of 258 bytes in 86 characters", {"module": "客" * 86}),
        ("field empty", {"field": ""}),
        ("field of 256 bytes", {"field": "f" * 256}),
        ("field of 256 bytes in 128 characters", {"field": "é" * 128}),
        ("record empty, which is not none", {"record": ""}),
        ("record of 1,025 bytes", {"record": "r" * 1025}),
        ("record of 1,026 bytes in 342 characters", {"record": "客" * 342}),
    ]:
        yield field_case(what, sealed(what, ADA, **binding), "malformed")
    s = sealed("names", ADA)
    for n in (0, 16, 31, 33, 64):
        yield field_case(f"secret of {n} bytes", replace(s, secret=some_bytes("secret", f"of {n}", n)), "malformed")


def keys():
    s = sealed("keys", ADA)
    i = inline(s, "keys")
    other = secret("keys, another")
    for what, at in [("first", 3), ("middle", 19), ("last", 34)]:
        yield field_case(f"key ID, {what} byte flipped", s, "key-mismatch", flip(s.envelope, at))
        yield field_case(f"inline, key ID, {what} byte flipped", i, "key-mismatch", flip(i.envelope, at))
    yield field_case("another secret", s, "key-mismatch", secret=other.hex())
    yield field_case("inline, another secret, as another wrapped key gives", i, "key-mismatch", secret=other.hex())
    for purpose in ("det", "index", "log"):
        grafted = replace(s, key_id=fc.key_id(s.secret, purpose, s.scope))
        yield field_case(f"key ID of purpose {purpose}", grafted, "key-mismatch")
    yield field_case("key ID is the secret", replace(s, key_id=s.secret), "key-mismatch")
    yield field_case("key ID of zeros", replace(s, key_id=bytes(32)), "key-mismatch")
    unscoped = fc.hkdf(s.secret, b"fieldcrypt/v1 key-id" + fc.lp(b"data"), 32)
    yield field_case("key ID without its scope", replace(s, key_id=unscoped), "key-mismatch")
    info = b"fieldcrypt/v1 key-id" + b"data" + b"acme" + b"crm"
    yield field_case("key ID without length prefixes", replace(s, key_id=fc.hkdf(s.secret, info, 32)), "key-mismatch")
    for what, scope in [
        ("without length prefixes", b"acmecrm"),
        ("without its class", fc.lp(b"acme")),
        ("without its tenant", fc.lp(b"crm")),
        ("with its class first", fc.lp(b"crm") + fc.lp(b"acme")),
        ("with the class default, as if none were given", fc.scope("acme", "default")),
    ]:
        kid = fc.key_id(s.secret, "data", scope)
        other_scope = replace(s, key_id=kid, key=fc.gcm_key(s.secret, scope),
                              aad=fc.field_aad(kid, scope, s.module, s.field, s.record))  # fmt: skip
        yield field_case(f"scope {what}", other_scope, "key-mismatch")
    for what, scope in [
        ("another tenant", {"tenant": "globex"}),
        ("tenant in upper case", {"tenant": "ACME"}),
        ("tenant with a space", {"tenant": "acme "}),
        ("another class", {"class_": "billing"}),
        ("class default", {"class_": "default"}),
        ("tenant and class swapped", {"tenant": "crm", "class_": "acme"}),
        ("boundary of tenant and class moved", {"tenant": "acmec", "class_": "rm"}),
    ]:
        yield field_case(f"read as {what}", s, "key-mismatch", **scope)
        yield field_case(f"inline, read as {what}", i, "key-mismatch", **scope)
    composed = replace(s, tenant="caf\u00e9")
    yield field_case("tenant's accent decomposed", composed, "key-mismatch", tenant="cafe\u0301")
    for what, key in [
        ("of another secret", fc.gcm_key(other, s.scope)),
        ("of another tenant", fc.gcm_key(s.secret, fc.scope("globex", s.class_))),
        ("of streams", fc.hkdf(s.secret, b"fieldcrypt/v1 stream" + s.scope, 32)),
        ("is the secret", s.secret),
        ("is the key ID", s.kid),
    ]:
        yield field_case(f"AES key {what}, under the right key ID", replace(s, key=key), "not-authentic")


def bindings():
    s = sealed("bindings", ADA, module="Contacts", field="email", record="42")
    i = inline(s, "bindings")
    for what, read_as in [
        ("another module", {"module": "Leads"}),
        ("module in lower case", {"module": "contacts"}),
        ("another field", {"field": "phone"}),
        ("field in upper case", {"field": "EMAIL"}),
        ("module and field swapped", {"module": "email", "field": "Contacts"}),
        ("boundary of module and field moved", {"module": "Contactse", "field": "mail"}),
        ("another record", {"record": "43"}),
        ("record with a leading zero", {"record": "042"}),
        ("record with a plus sign", {"record": "+42"}),
        ("record with a space", {"record": "42 "}),
        ("record as a composite of one part", {"record": fc.lp(b"42").decode()}),
        ("no record", {"record": None}),
    ]:
        yield field_case(f"bound, read as {what}", s, "not-authentic", **read_as)
        yield field_case(f"inline, bound, read as {what}", i, "not-authentic", **read_as)
    yield field_case("not bound, read with a record", replace(s, record=None), "not-authentic", record="42")
    uuid = "0b9e2c66-6b0a-4f0d-9a53-0123456789ab"
    yield field_case("UUID in upper case", replace(s, record=uuid), "not-authentic", record=uuid.upper())
    yield field_case("UUID without hyphens", replace(s, record=uuid), "not-authentic", record=uuid.replace("-", ""))
    pair = replace(s, record=(fc.lp(b"eu") + fc.lp(b"42")).decode())
    moved = (fc.lp(b"eu4") + fc.lp(b"2")).decode()
    yield field_case("boundary of composite parts moved", pair, "not-authentic", record=moved)
    yield field_case("composite parts joined", pair, "not-authentic", record="eu42")
    swapped = (fc.lp(b"42") + fc.lp(b"eu")).decode()
    yield field_case("composite parts swapped", pair, "not-authentic", record=swapped)
    for member in ("module", "field", "record"):
        composed = replace(s, **{member: "\u00e9"})
        yield field_case(f"{member}'s accent decomposed", composed, "not-authentic", **{member: "e\u0301"})

    # A record whose bytes, written behind bound = 0, would be those of bound = 1.
    kid, names = s.kid, (s.scope, s.module, s.field)
    label, record = b"fieldcrypt/v1 field", fc.lp(b"42")
    right = fc.binding(label, kid, *names, 1, record)
    for what, aad in [
        ("bound 0 with a record", fc.binding(label, kid, *names, 0, record)),
        ("bound 1 without its record", fc.binding(label, kid, *names, 1)),
        ("bound 2", fc.binding(label, kid, *names, 2)),
        ("bound 2 with a record", fc.binding(label, kid, *names, 2, record)),
        ("bound 3", fc.binding(label, kid, *names, 3, record)),
        ("bound 129", fc.binding(label, kid, *names, 0x81, record)),
        ("bound 255", fc.binding(label, kid, *names, 255, record)),
        ("record without its length", fc.binding(label, kid, *names, 1, b"42")),
        ("label of deterministic fields", fc.binding(b"fieldcrypt/v1 det-field", kid, *names, 1, record)),
        ("label of streams", fc.binding(b"fieldcrypt/v1 stream", kid, *names, 1, record)),
        ("label left out", right.removeprefix(label)),
        ("label with a length", fc.lp(label) + right.removeprefix(label)),
        ("version 2", right.replace(label + b"\x01", label + b"\x02")),
        ("version left out", right.replace(label + b"\x01", label)),
        ("key ID left out", right.replace(kid, b"")),
        ("key ID with a length", right.replace(kid, fc.lp(kid))),
        ("scope left out", right.replace(s.scope, b"")),
        ("the mode in it", right.replace(label + b"\x01", label + b"\x01\x01")),
        ("the header in it", s.header + right),
        ("a byte behind it", right + b"\x00"),
        ("nothing", b""),
    ]:
        yield field_case(f"associated data with {what}" if aad else "no associated data", replace(s, aad=aad),
                         "not-authentic")  # fmt: skip
    no_record = replace(s, record=None)
    for bound in (2, 4, 8, 16, 32, 64, 128):
        aad = fc.binding(label, kid, *names, bound)
        yield field_case(f"not bound, bit {bound} set", replace(no_record, aad=aad), "not-authentic")


def tampering():
    s = sealed("tampering", ADA)
    i = inline(s, "tampering")
    n = len(s.payload)
    for what, at in [
        ("first byte of the nonce", 0), ("last byte of the nonce", 11), ("first byte of the ciphertext", 12),
        ("last byte of the ciphertext", n - 17), ("first byte of the tag", n - 16), ("last byte of the tag", n - 1),
    ]:  # fmt: skip
        for mask in (0x01, 0x80):
            yield field_case(f"{what}, bit {mask:#04x}", s, "not-authentic", flip(s.envelope, at - n, mask))
        yield field_case(f"inline, {what}", i, "not-authentic", flip(i.envelope, at - n))
    yield field_case("tag of zeros", s, "not-authentic", s.envelope[:-16] + bytes(16))
    other = sealed("tampering, another", fc.frame(fc.STRING, b"bob@example.com"))
    other = replace(other, secret=s.secret)
    yield field_case("nonce of another envelope", s, "not-authentic", patch(s.envelope, 35, other.nonce))
    yield field_case("tag of another envelope", s, "not-authentic", s.envelope[:-16] + other.envelope[-16:])
    nonce, sealed_frame = s.payload[:12], s.payload[12:]
    yield field_case("tag before the ciphertext", s, "not-authentic",
                     s.header + nonce + sealed_frame[-16:] + sealed_frame[:-16])  # fmt: skip
    yield field_case("nonce behind the tag", s, "not-authentic", s.header + sealed_frame + nonce)
    for type_ in (0x00, 0x81, 0x0A):
        at = len(s.header) + 12
        tampered = flip(s.envelope, at, ADA[0] ^ type_)
        yield field_case(f"type turned into {type_:#04x} in the ciphertext", s, "not-authentic", tampered)


def frames():
    for what, frame in bad_frames():
        assert frame, what
        name = f"frame: {what}"
        yield field_case(name, sealed(name, frame), "bad-frame")
    for what, frame in [("bool 2", b"\x04\x02"), ("string not UTF-8", b"\x01\xff"), ("no padding", b"\x81ada")]:
        s = sealed(f"inline {what}", frame)
        yield field_case(f"inline, frame: {what}", inline(s, what), "bad-frame")


def bad_frames():
    for type_ in (*range(10, 17), 32, 42, 64, 127):
        yield f"type {type_}", fc.frame(type_, b"ada")
    for type_ in (10, 11, 42, 127):
        yield f"type {type_}, padded", fc.frame(type_, b"ada", 16)
    yield "type 10 without payload", bytes([10])

    for type_, name, size in [
        (fc.INT64, "int64", 8), (fc.FLOAT64, "float64", 8), (fc.BOOL, "bool", 1),
        (fc.TIME, "time", 16), (fc.DATE, "date", 6), (fc.UINT64, "uint64", 8),
    ]:  # fmt: skip
        for n in sorted({0, size // 2, size - 1, size + 1, 2 * size} - {size}):
            yield f"{name} of {n} bytes", fc.frame(type_, b"\x01" * n)
        yield f"{name} padded, one byte short", fc.frame(type_, b"\x01" * (size - 1), 32)
        yield f"{name} padded, one byte more", fc.frame(type_, b"\x01" * (size + 1), 32)
    yield "bool of many bytes", fc.frame(fc.BOOL, b"true")
    for value in (2, 0x30, 0x31, 0x80, 0xFF):
        yield f"bool {value}", fc.frame(fc.BOOL, bytes([value]))

    for what, text in [
        ("byte ff", b"a\xffb"), ("continuation alone", b"\x80"), ("NUL in two bytes", b"\xc0\x80"),
        ("slash in two bytes", b"\xc0\xaf"), ("three bytes for two", b"\xe0\x9f\xbf"), ("four for three", b"\xf0\x8f\xbf\xbf"),
        ("high surrogate", b"\xed\xa0\x80"), ("surrogate pair", b"\xed\xa0\xbd\xed\xb4\x91"), ("low surrogate", b"\xed\xbf\xbf"),
        ("past U+10FFFF", b"\xf4\x90\x80\x80"), ("five bytes", b"\xf8\x88\x80\x80\x80"), ("cut off", "ada €".encode()[:-1]),
        ("Latin-1", "Zoë".encode("latin-1")), ("UTF-16", "ada€".encode("utf-16-le")),
    ]:  # fmt: skip
        yield f"string not UTF-8: {what}", fc.frame(fc.STRING, text)
        yield f"JSON not UTF-8: {what}", fc.frame(fc.JSON, b'"' + text + b'"')
    yield "padded string not UTF-8", fc.frame(fc.STRING, b"\xff", 16)

    def time(seconds, nanoseconds, offset):
        return fc.frame(fc.TIME, pack(">qIi", seconds, nanoseconds, offset))

    yield "time, nanoseconds 10^9", time(1_700_000_000, 10**9, 0)
    yield "time, nanoseconds 2^32-1", time(1_700_000_000, (1 << 32) - 1, 0)
    yield "time, nanoseconds -1", time(1_700_000_000, 0, 0)[:9] + b"\xff" * 4 + bytes(4)
    for offset in (86_400, -86_400, 86_401, (1 << 31) - 1, -(1 << 31)):
        yield f"time, zone offset {offset}", time(1_700_000_000, 0, offset)

    for year, month, day in [
        (2024, 0, 1), (2024, 13, 1), (2024, 255, 1), (2024, 1, 0), (2024, 1, 32), (2024, 2, 30), (2023, 2, 29),
        (1900, 2, 29), (2100, 2, 29), (-100, 2, 29), (-1, 2, 29), (1, 2, 29), ((1 << 31) - 1, 2, 29), (2024, 4, 31),
        (2024, 6, 31), (2024, 9, 31), (2024, 11, 31), (2024, 12, 32), (2024, 12, 255), (0, 0, 0), (0, 2, 30),
    ]:  # fmt: skip
        yield f"date, year {year} month {month} day {day}", fc.frame(fc.DATE, pack(">iBB", year, month, day))

    for text in [
        "", "+1", "-", "+", ".", "01", "00", "-01", "00.5", "1.", ".5", "-.5", "-1.", "-0", "-0.0", "-0.00", "1e3", "1E3",
        "1.0e-3", " 1", "1 ", "1\n", "\n1", "1\x00", "1.2.3", "1,5", "1_000", "1 000", "--1", "- 1", "1-", "0x1f", "NaN",
        "Infinity", "1/2", "\u0661", "\uff11", "\u22121", "1.\u0662",
    ]:  # fmt: skip
        yield f"decimal {text!a}", fc.frame(fc.DECIMAL, text.encode())
    yield "decimal with byte ff", fc.frame(fc.DECIMAL, b"1\xff")
    yield "decimal -0 padded", fc.frame(fc.DECIMAL, b"-0", 16)
    yield "decimal empty padded", fc.frame(fc.DECIMAL, b"", 16)

    for what, frame in [
        ("and nothing", b"\x81"), ("of one zero", b"\x81\x00"), ("all zeros", b"\x81" + bytes(15)),
        ("without 0x80", b"\x81ada"), ("without 0x80, zeros", b"\x81ada" + bytes(12)),
        ("0x80 before a last byte that is not zero", b"\x81ada\x80\x00\x00\x01"), ("0x40 for 0x80", b"\x81ada\x40" + bytes(11)),
        ("0x81 for 0x80", b"\x81ada\x81" + bytes(11)), ("0x01 for 0x80", b"\x81ada\x01" + bytes(11)),
        ("of PKCS #7", b"\x81ada" + b"\x0c" * 12), ("of 0xff", b"\x81ada" + b"\xff" * 12),
    ]:  # fmt: skip
        yield f"padded {what}", frame
    yield "padded bytes, nothing", b"\x80"
    yield "padded bytes, zeros", b"\x80\x00\x00"
    yield "padded JSON, nothing", b"\x88"
    yield "padded int64 without 0x80", b"\x82" + pack(">q", 42) + bytes(7)
    yield "padded JSON not UTF-8", fc.frame(fc.JSON, b'"\xff"', 16)
    yield "padded bool 2", fc.frame(fc.BOOL, b"\x02", 16)
    yield "padded time, nanoseconds 10^9", fc.frame(fc.TIME, pack(">qIi", 1_700_000_000, 10**9, 0), 32)
    yield "padded time, zone offset 86400", fc.frame(fc.TIME, pack(">qIi", 1_700_000_000, 0, 86_400), 32)
    yield "padded date, year 2023 month 2 day 29", fc.frame(fc.DATE, pack(">iBB", 2023, 2, 29), 16)


def two_faults():
    """The first of FORMAT.md's order gives the class."""
    s = sealed("two faults", ADA)
    i = replace(s, mode=fc.INLINE, uri=b"file:///k", wrapped=b"wrapped key")
    other = secret("two faults, another").hex()
    bad_frame = replace(s, frame=b"\x0a")
    for what, case, error, envelope, read_as in [
        ("tenant empty, and key ID", s, "malformed", flip(s.envelope, 3), {"tenant": ""}),
        ("record empty, and tag", s, "malformed", flip(s.envelope, -1), {"record": ""}),
        ("magic, and another secret", s, "malformed", flip(s.envelope, 0), {"secret": other}),
        ("version 2, and another secret", s, "malformed", patch(s.envelope, 1, b"\x02"), {"secret": other}),
        ("mode 5, and key ID", s, "malformed", flip(patch(s.envelope, 2, b"\x05"), 3), {}),
        ("no ciphertext, and another secret", s, "malformed", s.envelope[:63], {"secret": other}),
        ("inline, URI not UTF-8, and key ID", i, "malformed", flip(patch(i.envelope, 37, b"\xff"), 3), {}),
        ("inline, wrapped key empty, and another secret", replace(i, wrapped=b""), "malformed", None, {"secret": other}),
        ("secret of 31 bytes, and so another key ID", s, "malformed", None, {"secret": s.secret[:31].hex()}),
        ("secret of 33 bytes, and so another key ID", s, "malformed", None, {"secret": s.secret.hex() + "00"}),
        ("key ID, and tag", s, "key-mismatch", flip(flip(s.envelope, 3), -1), {}),
        ("inline, key ID, and tag", i, "key-mismatch", flip(flip(i.envelope, 3), -1), {}),
        ("another tenant, and another record", s, "key-mismatch", None, {"tenant": "globex", "record": "43"}),
        ("another secret, and a frame of type 10", bad_frame, "key-mismatch", None, {"secret": other}),
        ("tag, and a frame of type 10", bad_frame, "not-authentic", flip(bad_frame.envelope, -1), {}),
        ("another record, and a frame of type 10", bad_frame, "not-authentic", None, {"record": "43"}),
    ]:  # fmt: skip
        yield field_case(f"first of two faults: {what}", case, error, envelope, **read_as)
