"""Cases of kind index: tags of blind indexes and their text form."""

import fieldcrypt_v1 as fc
from made_up import secret


def index_case(name: str, error: str = "", tag: bytes | None = None, text: str | None = None, **changes) -> dict:
    """A tag as a writer makes it, or this one, read with the values that changes says."""
    made = {
        "secret": secret(f"index {changes.pop('key', name)}").hex(), "tenant": "acme", "class": "crm", "module": "Contacts", "field": "email",
        "index": "email.v1", "index_version": 1, "bits": 32, "partition": 0, "normalised": b"ada@example.com".hex(),
    }  # fmt: skip
    read = made | {k: v for k, v in changes.items() if not k.startswith("made_")}
    made = read | {k.removeprefix("made_"): v for k, v in changes.items() if k.startswith("made_")}
    if tag is None:
        tag = tag_of(made)
    if text is None:
        text = fc.index_text(read["index_version"], tag)
    return {"name": name, "kind": "index", "error": error, **read, "tag": tag.hex(), "text": text}


def key_of(m: dict) -> bytes:
    return fc.index_key(
        bytes.fromhex(m["secret"]), fc.scope(m["tenant"], m["class"]), m["module"], m["field"], m["index"], m["index_version"]
    )


def tag_of(m: dict) -> bytes:
    """What a reader that checks nothing works out."""
    bits = max(m["bits"], 1)
    return fc.index_tag(key_of(m), bits, m["partition"] & 0xFF, bytes.fromhex(m["normalised"]))


def cases():
    yield from positive()
    yield from malformed()
    yield from texts()
    yield from tags()
    yield index_case("first of two faults: no bits, and prefix fi2.", "malformed", text="fi2.AA", bits=0)
    yield index_case("first of two faults: prefix fi2., and secret of 31 bytes", "bad-text", text="fi2.AAAAAA", secret=bytes(31).hex())
    yield index_case("first of two faults: secret of 31 bytes, and another tag", "malformed", bytes(4), secret=bytes(31).hex())


def positive():
    for bits in (1, 2, 7, 8, 9, 15, 16, 17, 20, 31, 32, 33, 64, 128, 255, 256):
        yield index_case(f"{bits} bits", bits=bits)
    for partition in (1, 2, 127, 128, 255):
        yield index_case(f"partition {partition}", partition=partition)
    for version in (2, 9, 10, 256, 2**31, 2**32 - 1):
        yield index_case(f"version {version}", index_version=version)
    for what, value in [("empty value", b""), ("value not UTF-8", b"\xff\x00"), ("value not ASCII", "zoë".encode()), ("value of 1,000 bytes", bytes(1000))]:
        yield index_case(what, normalised=value.hex())
    same = {"key": "one key"}
    yield index_case("one key", **same)
    for member, value in [("tenant", "globex"), ("class", "billing"), ("module", "Leads"), ("field", "mail"), ("index", "email.v2")]:
        yield index_case(f"the same value, another {member}", **same, **{member: value})
    yield index_case("names of one byte", tenant="t", module="m", field="f", index="i", **{"class": "c"})
    yield index_case("names of 255 bytes", tenant="t" * 255, module="m" * 255, field="f" * 255, index="i" * 255, **{"class": "c" * 255})


def malformed():
    for what, changes in [
        ("tenant empty", {"tenant": ""}), ("tenant of 256 bytes", {"tenant": "t" * 256}), ("class of 256 bytes", {"class": "c" * 256}),
        ("module empty", {"module": ""}), ("field of 256 bytes", {"field": "f" * 256}), ("index name empty", {"index": ""}),
        ("index name of 256 bytes", {"index": "i" * 256}), ("index name of 256 bytes in 128 characters", {"index": "é" * 128}),
        ("version 0", {"index_version": 0}), ("no bits", {"bits": 0}), ("257 bits", {"bits": 257}), ("512 bits", {"bits": 512}),
        ("partition 256", {"partition": 256}), ("secret of 31 bytes", {"secret": bytes(31).hex()}),
        ("secret of 33 bytes", {"secret": bytes(33).hex()}), ("no secret", {"secret": ""}),
    ]:  # fmt: skip
        yield index_case(what, "malformed", **changes)


def texts():
    good = {"key": "texts", "bits": 20}  # four characters, and four unused bits in them
    right = index_case("", **good)
    body = right["text"].removeprefix("fi1.")
    for prefix in ("", "fi.", "fi0.", "fi01.", "fi2.", "fi1", "fi+1.", "FI1.", "fc1.", "fi1..", " fi1.", "fi11."):
        yield index_case(f"prefix {prefix!a}", "bad-text", text=prefix + body, **good)
    yield index_case("prefix only", "bad-text", text="fi1.", **good)
    for what, s in [("LF", "\n"), ("CR", "\r"), ("space", " "), ("=", "="), ("+", "+"), ("/", "/"), (".", "."), ("NUL", "\x00")]:
        yield index_case(f"{what} at the end", "bad-text", text="fi1." + body + s, **good)
        yield index_case(f"{what} in the middle", "bad-text", text="fi1." + body[:2] + s + body[2:], **good)
        yield index_case(f"{what} for a character", "bad-text", text="fi1." + body[:1] + s + body[2:], **good)
    yield index_case("a character more", "bad-text", text="fi1." + body + "A", **good)
    yield index_case("a byte more", "bad-text", text="fi1." + body + "AA", **good)
    yield index_case("a byte less", "bad-text", text=fc.index_text(1, bytes.fromhex(right["tag"])[:2]), **good)
    tag = bytes.fromhex(right["tag"])
    for bit in (1, 2, 4, 8, 15):
        yield index_case(f"unused bits of the tag: {bit}", "bad-text", tag[:-1] + bytes([tag[-1] | bit]), **good)
    one = {"key": "texts", "bits": 8}  # two characters, and four unused bits of base64
    text = index_case("", **one)["text"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for bit in (1, 8):
        yield index_case(f"unused trailing bits: {bit}", "bad-text", text=text[:-1] + alphabet[alphabet.index(text[-1]) | bit], **one)
    yield index_case("padding characters", "bad-text", text=text + "==", **one)


def tags():
    """The tag of something else."""
    key = {"key": "tags", "bits": 64}
    made = {"tenant": "acme", "class": "crm", "module": "Contacts", "field": "email", "index": "email.v1", "index_version": 1, "partition": 0}
    for member, value in [
        ("tenant", "globex"), ("class", "billing"), ("module", "Leads"), ("field", "mail"), ("index", "email.v2"), ("index_version", 2),
        ("partition", 1),
    ]:  # fmt: skip
        yield index_case(f"tag of another {member}", "not-authentic", **key, **{member: value, "made_" + member: made[member]})
    for member, value in [("normalised", b"bob@example.com".hex()), ("secret", secret("other tags").hex())]:
        yield index_case(f"tag of another {member}", "not-authentic", **key, **{"made_" + member: value})
    right = index_case("", **key)
    whole = index_case("", **(key | {"bits": 65}))
    yield index_case("tag of 65 bits cut to 64", "not-authentic", bytes.fromhex(whole["tag"])[:8], **key)
    value, k = bytes.fromhex(right["normalised"]), key_of(right)
    for what, message in [
        ("without bits and partition", value), ("without the partition", b"\x00\x40" + value), ("with bits of one byte", b"\x40\x00" + value),
        ("with bits little-endian", b"\x40\x00\x00" + value), ("with the length of the value", b"\x00\x40\x00" + fc.lp(value)),
        ("with the value in front", value + b"\x00\x40\x00"),
    ]:  # fmt: skip
        yield index_case(f"tag {what}", "not-authentic", fc.hmac.digest(k, message, "sha256")[:8], **key)
    for what, other in [
        ("the secret", bytes.fromhex(right["secret"])), ("the GCM key", fc.gcm_key(bytes.fromhex(right["secret"]), fc.scope("acme", "crm"))),
    ]:  # fmt: skip
        yield index_case(f"tag under {what}", "not-authentic", fc.index_tag(other, 64, 0, value), **key)
    yield index_case("last bytes of the HMAC", "not-authentic", fc.hmac.digest(k, b"\x00\x40\x00" + value, "sha256")[-8:], **key)
    start, sc, one = b"fieldcrypt/v1 blind-index", fc.scope("acme", "crm"), b"\x00\x00\x00\x01"
    names = [fc.lp(name) for name in (b"Contacts", b"email", b"email.v1")]
    for what, info in [
        ("without the scope", start + b"".join(names) + one), ("without names", start + sc + one),
        ("without the version", start + sc + b"".join(names)), ("without the label", sc + b"".join(names) + one),
        ("of module and field in one", start + sc + fc.lp(b"Contactsemail") + names[2] + one),
        ("of field and index in one", start + sc + names[0] + fc.lp(b"emailemail.v1") + one),
        ("of names in another order", start + sc + names[1] + names[0] + names[2] + one),
    ]:  # fmt: skip
        k_wrong = fc.hkdf(bytes.fromhex(right["secret"]), info, 32)
        yield index_case(f"key {what}", "not-authentic", fc.index_tag(k_wrong, 64, 0, value), **key)
    yield index_case("tag of zeros", "not-authentic", bytes(8), **key)
