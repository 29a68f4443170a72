"""Cases of kind field that must open: every type, both modes, padding, names, lengths."""

from dataclasses import replace
from struct import pack

import fieldcrypt_v1 as fc
import worked_example
from made_up import field_case, inline, sealed, some_bytes

UUID = "0b9e2c66-6b0a-4f0d-9a53-0123456789ab"

VALUES = {
    fc.BYTES: {
        "empty": "",
        "one zero": "00",
        "every byte": bytes(range(256)).hex(),
        "looks like an envelope": "fc0101" + "5a" * 70,
        "looks like padding": "0080000000",
    },
    fc.STRING: {
        "empty": "",
        "ascii": "ada@example.com",
        "one NUL": "\x00",
        "control characters and quotes": "\t\r\n\x1b\x7f\"\\/<&>",
        "four scripts": "Zoë Жук 山田 שרה",
        "beyond the basic plane": "🔑\U0010ffff",
        "least and greatest of each UTF-8 length": "\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff",
        "byte order mark, line separator, noncharacter": "\ufeff\u2028\ufffe",
        "looks like a text form": "fc1._AEB",
        "spaces around": "  x  ",
    },
    fc.INT64: {
        "zero": "0",
        "one": "1",
        "minus one": "-1",
        "past 2^53": "9007199254740993",
        "least": "-9223372036854775808",
        "greatest": "9223372036854775807",
    },
    fc.FLOAT64: {
        "zero": "0000000000000000",
        "minus zero": "8000000000000000",
        "one tenth": "3fb999999999999a",
        "pi": "400921fb54442d18",
        "least subnormal": "0000000000000001",
        "greatest": "7fefffffffffffff",
        "least": "ffefffffffffffff",
        "infinity": "7ff0000000000000",
        "minus infinity": "fff0000000000000",
        "quiet NaN": "7ff8000000000000",
        "NaN with a payload": "7ff8000000000123",
        "NaN with a sign": "fff8000000000001",
    },
    fc.BOOL: {"false": "false", "true": "true"},
    fc.TIME: {
        "epoch": "0.000000000 0",
        "east, nanoseconds": "1700000000.123456789 3600",
        "west, half hour": "1700000000.000000001 -12600",
        "offset with seconds": "-2524521572.000000000 1172",
        "last nanosecond before the epoch": "-1.999999999 0",
        "greatest offset": "1700000000.500000000 86399",
        "least offset": "1700000000.500000000 -86399",
        "year 1": "-62135596800.000000000 0",
        "end of year 9999": "253402300799.999999999 0",
        "least seconds": "-9223372036854775808.000000000 0",
        "greatest seconds": "9223372036854775807.999999999 0",
    },
    fc.DATE: {
        "plain": "1815-12-10",
        "leap day": "2024-02-29",
        "leap day of a year divisible by 400": "2000-02-29",
        "last day of February 1900": "1900-02-28",
        "first day of year 1": "0001-01-01",
        "last day of year 9999": "9999-12-31",
        "year 10000": "+10000-01-01",
        "leap day of year 0": "0000-02-29",
        "last day of year -1": "-0001-12-31",
        "leap day of year -4": "-0004-02-29",
        "least year": "-2147483648-01-01",
        "leap day of the least year": "-2147483648-02-29",
        "greatest year": "+2147483647-12-31",
        "30th of a short month": "2023-04-30",
    },
    fc.DECIMAL: {
        "zero": "0",
        "zero with a scale": "0.00",
        "integer": "42",
        "price": "1234567.89",
        "scale kept": "10.500",
        "negative": "-0.01",
        "negative integer": "-7",
        "100 digits and 100 places": "9" * 100 + "." + "0" * 99 + "1",
    },
    fc.JSON: {
        "object": '{"iban":"XX00 0000","limits":[1,2.50,-3e4],"vip":true,"note":null}',
        "spaces, order and doubles kept": ' { "b" : 1,\n\t"a":2, "b":3 } ',
        "string": '"ada"',
        "null": "null",
        "number past float64": "12345678901234567890.123456789",
        "non-ascii and escapes": '"Zoë \\u00e9 🔑"',
    },
    fc.UINT64: {"zero": "0", "past int64": "9223372036854775808", "greatest": "18446744073709551615"},
}
TYPE_NAMES = ["bytes", "string", "int64", "float64", "bool", "time", "date", "decimal", "JSON", "uint64"]

BINDINGS = {
    "record none": {"record": None},
    "record integer": {"record": "9007199254740993"},
    "record UUID": {"record": UUID},
    "record of one byte": {"record": "x"},
    "record of 1,024 bytes": {"record": "r" * 1024},
    "record of 1,024 bytes in 256 characters": {"record": "🔑" * 256},
    "record composite": {"record": (fc.lp(b"eu") + fc.lp(b"42")).decode()},
    "record composite, non-ascii part": {"record": (fc.lp("Köln".encode()) + fc.lp(b"de") + fc.lp(b"7")).decode()},
    "record composite of one part": {"record": fc.lp(b"42").decode()},
    "class default": {"class_": "default"},
    "class of one person": {"class_": f"subject/{UUID}"},
    "names of one byte": {"tenant": "t", "class_": "c", "module": "m", "field": "f", "record": "1"},
    "names of 255 bytes": {"tenant": "t" * 255, "class_": "c" * 255, "module": "m" * 255, "field": "f" * 255},
    "everything as long as can be": {
        "tenant": "é" * 127 + "t", "class_": "ж" * 127 + "c", "module": "客" * 85, "field": "🔑" * 63 + "abc",
        "record": "и" * 512,
    },
    "names non-ascii": {
        "tenant": "Größe GmbH", "class_": "客户", "module": "Kontakte/Ämter", "field": "почта", "record": "№ 7",
    },
    "accents composed": {"tenant": "caf\u00e9", "module": "R\u00e9sum\u00e9", "field": "\u00e5", "record": "\u00e9"},
    "accents decomposed": {"tenant": "cafe\u0301", "module": "Re\u0301sume\u0301", "field": "a\u030a", "record": "e\u0301"},
    "names with delimiters and NUL": {"tenant": "a:b/c", "class_": "x|y", "module": "m.n\x00", "field": "f,g", "record": "\x00"},
    "names that look like encoded ones": {"module": "\x00\x00\x00\x01a", "field": "\x00\x00\x00\x01b", "record": "\x01"},
}  # fmt: skip


def framed(type_: int, value: str, multiple: int = 0) -> bytes:
    return fc.frame(type_, fc.write_payload(type_, value), multiple)


def cases():
    yield from worked_example.cases()
    yield from types()
    yield from padded()
    for what, binding in BINDINGS.items():
        yield field_case(f"{what}", sealed(what, framed(fc.STRING, "ada@example.com"), **binding))
    yield from lengths()


def types():
    for type_, values in VALUES.items():
        for i, (what, value) in enumerate(values.items()):
            name = f"type {type_} {TYPE_NAMES[type_]}: {what}"
            s = sealed(name, framed(type_, value), field="a_field", record=None if i % 3 == 2 else "42")
            yield field_case(name, s if i % 2 == 0 else inline(s, name))


def padded():
    strings = [  # a frame is the type, the payload, 0x80 and the zeros
        ("multiple 1, so 0x80 alone", "ada", 1),
        ("multiple 16", "ada@example.com", 16),
        ("multiple 16, exact with its 0x80", "14 characters.", 16),
        ("multiple 16, exact before its 0x80", "15 characters..", 16),
        ("multiple 16, one short of exact", "13 characters", 16),
        ("multiple 32, empty", "", 32),
        ("multiple 2, empty, exact", "", 2),
        ("multiple 64, non-ascii", "Zoë 🔑", 64),
        ("multiple 7, not a power of two", "ada", 7),
        ("multiple 256", "x" * 200, 256),
        ("multiple 4096", "x", 4096),
    ]
    for what, value, multiple in strings:
        s = sealed(what, framed(fc.STRING, value, multiple))
        yield field_case(f"padded string: {what}", s)
    for what, value in [("like padding", "00800000"), ("of zeros", "000000"), ("ending in 0x80", "ff80"), ("empty", "")]:
        yield field_case(f"padded bytes: {what}", sealed(what, framed(fc.BYTES, value, 16)))
    others = [
        (fc.INT64, "-9223372036854775808"), (fc.FLOAT64, "fff0000000000000"), (fc.BOOL, "false"), (fc.BOOL, "true"),
        (fc.TIME, "1700000000.000000000 -3600"), (fc.DATE, "2024-02-29"), (fc.DECIMAL, "-10.50"),
        (fc.JSON, '{"a":[]}'), (fc.UINT64, "0"), (fc.UINT64, "128"),
    ]  # fmt: skip
    for type_, value in others:
        name = f"padded {TYPE_NAMES[type_]} {value}, multiple 32"
        s = sealed(name, framed(type_, value, 32))
        yield field_case(name, inline(s, name))
    # Readers strip without checking the multiple, which they may not know.
    name = "padded to no multiple: 13 bytes"
    yield field_case(name, sealed(name, bytes([fc.STRING | fc.PADDED]) + b"ada\x80" + bytes(8)))
    name = "padded past the first multiple of 16"
    yield field_case(name, sealed(name, bytes([fc.STRING | fc.PADDED]) + b"ada\x80" + bytes(43)))


def lengths():
    name = "payload of 64 KiB"
    yield field_case(name, sealed(name, fc.frame(fc.BYTES, some_bytes("value", name, 1 << 16))))
    s = sealed("inline", framed(fc.STRING, "ada@example.com"))
    shapes = [
        ("URI and wrapped key of one byte", b"k", 1),
        ("URI of 512 bytes", b"file:///" + b"k" * 504, 184),
        ("URI of 512 bytes in 256 characters", "é".encode() * 256, 184),
        ("URI of four scripts", "file:///Zoë Жук 山田 שרה 🔑".encode(), 184),
        ("wrapped key of 6,144 bytes", b"file:///k", 6144),
        ("both as long as can be", b"file:///" + b"k" * 504, 6144),
        ("wrapped key of 255 bytes", b"file:///k", 255),
        ("wrapped key of 256 bytes", b"file:///k", 256),
    ]
    for what, uri, n in shapes:
        yield field_case(f"inline: {what}", inline(s, what, uri, n))
    # The payload stays byte for byte when the wrapping changes or goes to the key store.
    moved = sealed("moved", framed(fc.STRING, "ada@example.com"))
    yield field_case("moved: inline", inline(moved, "moved"))
    yield field_case("moved: rewrapped", inline(moved, "moved, rewrapped", b"file:///root.key", 60))
    yield field_case("moved: compacted to a reference", moved)
    yield field_case("nonce of zeros", replace(moved, nonce=bytes(12), secret=some_bytes("secret", "zeros", 32)))
    yield field_case("nonce of ones", replace(moved, nonce=b"\xff" * 12, secret=some_bytes("secret", "ones", 32)))
    like_a_header = pack(">BBB", fc.MAGIC, fc.VERSION, fc.INLINE) + bytes(9)
    yield field_case("nonce like a header", replace(moved, nonce=like_a_header, secret=some_bytes("secret", "like", 32)))
