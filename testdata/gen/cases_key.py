"""Cases of kind key: key IDs and record tags."""

import hmac
import struct

import fieldcrypt_v1 as fc
from made_up import secret, some_bytes

SECONDS = 1_700_000_000  # 2023-11-14T22:13:20Z
YEAR = 31_536_000
NAMES = [
    ("ascii", "acme", "crm"),
    ("default class", "acme", "default"),
    ("class of one person", "acme", "subject/8f14e45f-ceea-467f-a9d1-1f0b0d9a0001"),
    ("one byte each", "a", "c"),
    ("255 bytes each", "t" * 255, "c" * 255),
    ("255 bytes in 128 characters", "é" * 127 + "e", "d" + "ж" * 127),
    ("non-ascii", "Größe GmbH", "客户"),
    ("composed accent", "caf\u00e9", "crm"),
    ("decomposed accent", "cafe\u0301", "crm"),
    ("beyond the basic plane", "acme 🔑", "crm"),
    ("delimiters, quotes and NUL", "a/b:c|d\"e\\f\x00g\n", "c,d=e"),
    ("boundary left", "ab", "c"),
    ("boundary right", "a", "bc"),
]


def key_case(name, error="", *, seed=None, purpose="data", tenant="acme", class_="crm", record=None, **changes):
    """A key case as its own writer makes it; record is (created, not_after, budget); changes come last."""
    s = changes.pop("secret", secret(seed or name))
    sc = fc.scope(tenant, class_)
    case = {
        "name": name,
        "kind": "key",
        "error": error,
        "secret": s.hex(),
        "purpose": purpose,
        "tenant": tenant,
        "class": class_,
        "key_id": fc.key_id(s, purpose, sc).hex(),
    }
    if record is not None:
        case |= dict(zip(("created", "not_after", "budget"), record, strict=True))
        case["record_tag"] = fc.record_tag(s, purpose, sc, *record).hex()
    return case | changes


def flip(hex_bytes: str, at: int) -> str:
    b = bytearray.fromhex(hex_bytes)
    b[at] ^= 1
    return b.hex()


def positive():
    for purpose in fc.PURPOSES:
        yield key_case(f"purpose {purpose}", seed="all purposes", purpose=purpose)
    for what, tenant, class_ in NAMES:
        yield key_case(f"names: {what}", seed="names", tenant=tenant, class_=class_)
    yield key_case("secret of zeros", secret=bytes(32))
    yield key_case("secret of ones", secret=b"\xff" * 32)
    for purpose in fc.PURPOSES:
        yield key_case(f"record, {purpose}, no not-after", seed="records", purpose=purpose, record=(SECONDS, 0, 0))
        record = (SECONDS, SECONDS + YEAR, 1 << 32)
        yield key_case(f"record, {purpose}, not-after and budget", seed="records", purpose=purpose, record=record)
    yield key_case("record, non-ascii scope", tenant="Größe GmbH", class_="客户", record=(SECONDS, SECONDS + 1, 1))
    # 2^53-1 is the greatest integer that every JSON reader keeps exactly.
    yield key_case("record, great numbers", record=((1 << 53) - 1, (1 << 53) - 2, (1 << 53) - 3))


def negative():
    for n in (0, 1, 16, 31, 33, 64):
        yield key_case(f"secret of {n} bytes", "malformed", secret=some_bytes("secret", f"of {n}", n))
    yield key_case("tenant empty", "malformed", tenant="")
    yield key_case("tenant of 256 bytes", "malformed", tenant="t" * 256)
    yield key_case("tenant of 256 bytes in 128 characters", "malformed", tenant="é" * 128)
    yield key_case("class of 256 bytes", "malformed", class_="c" * 256)
    yield key_case("class of 258 bytes in 86 characters", "malformed", class_="客" * 86)
    for purpose in ("", "dek", "Data", "data ", "data\x00", "stream"):
        yield key_case(f"purpose {purpose!r}", "malformed", purpose=purpose)

    good = key_case("", seed="a key", record=(SECONDS, SECONDS + YEAR, 1 << 32))

    def but(name, error, **changes):
        return good | {"name": name, "error": error} | changes

    other = key_case("", seed="another key", record=(SECONDS, SECONDS + YEAR, 1 << 32))
    yield but("key ID, first bit", "key-mismatch", key_id=flip(good["key_id"], 0))
    yield but("key ID, last bit", "key-mismatch", key_id=flip(good["key_id"], 31))
    yield but("key ID of zeros", "key-mismatch", key_id="00" * 32)
    yield but("key ID of another secret", "key-mismatch", key_id=other["key_id"])
    yield but("secret of another key", "key-mismatch", secret=other["secret"])
    yield but("key ID of another tenant", "key-mismatch", tenant="acme2")
    yield but("tenant in upper case", "key-mismatch", tenant="ACME")
    yield but("key ID of another class", "key-mismatch", **{"class": "default"})
    for purpose in ("det", "index", "log"):
        yield but(f"data key ID read as {purpose}", "key-mismatch", purpose=purpose)
    yield but("tenant and class swapped", "key-mismatch", tenant="crm", **{"class": "acme"})
    yield but("boundary of tenant and class moved", "key-mismatch", tenant="acm", **{"class": "ecrm"})
    composed = key_case("", seed="names", tenant="caf\u00e9")
    yield composed | {"name": "accent decomposed", "error": "key-mismatch", "tenant": "cafe\u0301"}

    yield but("record tag, first bit", "not-authentic", record_tag=flip(good["record_tag"], 0))
    yield but("record tag, last bit", "not-authentic", record_tag=flip(good["record_tag"], 31))
    yield but("record tag of another key", "not-authentic", record_tag=other["record_tag"])
    yield but("created moved", "not-authentic", created=SECONDS + 1)
    yield but("not-after moved", "not-authentic", not_after=SECONDS + YEAR + 1)
    yield but("not-after removed", "not-authentic", not_after=0)
    yield but("budget raised", "not-authentic", budget=(1 << 32) + 1)
    yield but("created and not-after swapped", "not-authentic", created=SECONDS + YEAR, not_after=SECONDS)
    index = key_case("", seed="a key", purpose="index", record=(SECONDS, SECONDS + YEAR, 1 << 32))
    yield but("record tag of another purpose", "not-authentic", record_tag=index["record_tag"])
    foreign = key_case("", seed="a key", tenant="acme2", record=(SECONDS, SECONDS + YEAR, 1 << 32))
    yield but("record tag of another tenant", "not-authentic", record_tag=foreign["record_tag"])
    yield but("key ID as record tag", "not-authentic", record_tag=good["key_id"])
    classes = key_case("", seed="a key", class_="default", record=(SECONDS, SECONDS + YEAR, 1 << 32))
    yield but("record tag of another class", "not-authentic", record_tag=classes["record_tag"])
    yield but("budget removed", "not-authentic", budget=0)
    yield but("not-after and budget swapped", "not-authentic", not_after=1 << 32, budget=SECONDS + YEAR)
    for what, tag in other_tags(bytes.fromhex(good["secret"])):
        yield but(f"record tag {what}", "not-authentic", record_tag=tag.hex())

    # The first of FORMAT.md's order gives the class.
    for what, error, changes in [
        ("secret of 31 bytes, and so another key ID", "malformed", {"secret": good["secret"][:62]}),
        ("no such purpose, and key ID of zeros", "malformed", {"purpose": "dek", "key_id": "00" * 32}),
        ("tenant empty, and key ID of zeros", "malformed", {"tenant": "", "key_id": "00" * 32}),
        ("key ID, and record tag", "key-mismatch", {"key_id": other["key_id"], "record_tag": other["record_tag"]}),
        ("another tenant, and created moved", "key-mismatch", {"tenant": "acme2", "created": SECONDS + 1}),
    ]:
        yield but(f"first of two faults: {what}", error, **changes)


def other_tags(secret: bytes):
    """Tags that hold more, less or something else than the page says."""
    scope, purpose, label = fc.scope("acme", "crm"), fc.lp(b"data"), b"fieldcrypt/v1 record"
    k_rec = fc.hkdf(secret, b"fieldcrypt/v1 key-record" + purpose + scope, 32)
    numbers = struct.pack(">QQQ", SECONDS, SECONDS + YEAR, 1 << 32)
    for what, message in [
        ("without its label", purpose + scope + numbers),
        ("without its purpose", label + scope + numbers),
        ("with a purpose without its length", label + b"data" + scope + numbers),
        ("without its scope", label + purpose + numbers),
        ("without created", label + purpose + scope + numbers[8:]),
        ("without not-after", label + purpose + scope + numbers[:8] + numbers[16:]),
        ("without budget", label + purpose + scope + numbers[:16]),
        ("with little-endian numbers", label + purpose + scope + struct.pack("<QQQ", SECONDS, SECONDS + YEAR, 1 << 32)),
        ("with a URI and a wrapped key in it", label + purpose + scope + numbers + fc.lp(b"file:///k") + fc.lp(b"wrapped")),
        ("with the key ID in it", label + fc.key_id(secret, "data", scope) + purpose + scope + numbers),
        ("with a byte behind it", label + purpose + scope + numbers + b"\x00"),
    ]:
        yield what, hmac.digest(k_rec, message, "sha256")
    message = label + purpose + scope + numbers
    for what, key in [
        ("under the secret", secret),
        ("under the AES key", fc.gcm_key(secret, scope)),
        ("under a key without its purpose", fc.hkdf(secret, b"fieldcrypt/v1 key-record" + scope, 32)),
        ("under a key without its scope", fc.hkdf(secret, b"fieldcrypt/v1 key-record" + purpose, 32)),
    ]:
        yield what, hmac.digest(key, message, "sha256")
    yield "cut to 31 bytes and a zero", hmac.digest(k_rec, message, "sha256")[:31] + b"\x00"
