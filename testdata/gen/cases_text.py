"""Cases of kind text: the strict text form of envelopes."""

import fieldcrypt_v1 as fc
from made_up import inline, sealed, some_bytes


def text_case(name: str, text: str, envelope: bytes | None = None, error: str = "bad-text") -> dict:
    """A text that reads as this envelope, or without one a text that is refused."""
    case = {"name": name, "kind": "text", "error": "" if envelope is not None else error, "text": text}
    return case if envelope is None else case | {"envelope": envelope.hex()}


def patch(b: bytes, at: int, new: bytes) -> bytes:
    return b[:at] + new + b[at + len(new) :]


def reference(n: int) -> bytes:
    return sealed("text", fc.frame(fc.BYTES, some_bytes("value", "text", n))).envelope


def deterministic() -> bytes:
    s = sealed("text, deterministic", fc.frame(fc.STRING, b"ada@example.com"))
    kid = fc.key_id(s.secret, "det", s.scope)
    aad = fc.binding(b"fieldcrypt/v1 det-field", kid, s.scope, s.module, s.field)
    return fc.header(fc.DETERMINISTIC, kid) + fc.siv_seal(fc.siv_key(s.secret, s.scope), s.frame, aad)


def positive():
    for n in (0, 1, 2):
        envelope = reference(n)
        yield text_case(f"{len(envelope)} bytes, {len(envelope) % 3} over a group of 3", fc.raw_text(envelope), envelope)
    # Groups of three bytes that read ---- and ____, where standard base64 has ++++ and ////.
    dashes, underscores = bytes.fromhex("fbefbe"), b"\xff" * 3
    url_alphabet = fc.header(fc.REFERENCE, dashes * 5 + underscores * 5 + b"\xff\xff") + bytes(29)
    yield text_case("both characters of the URL alphabet", fc.raw_text(url_alphabet), url_alphabet)
    envelope = inline(sealed("text, inline", fc.frame(fc.STRING, b"ada@example.com")), "text").envelope
    yield text_case("inline", fc.raw_text(envelope), envelope)
    yield text_case("deterministic", fc.raw_text(deterministic()), deterministic())
    shortest = deterministic()[: 35 + 16 + 1]
    yield text_case("deterministic, one byte of ciphertext", fc.raw_text(shortest), shortest)


def negative():
    by_length = {len(e) % 3: e for e in map(reference, (0, 1, 2))}
    envelope = by_length[0]
    text = fc.raw_text(envelope)
    body = text.removeprefix("fc1.")
    half = len(body) // 2

    yield text_case("empty", "")
    yield text_case("prefix only", "fc1.")
    yield text_case("no prefix", body)
    prefixes = ("FC1.", "Fc1.", "fc01.", "fc001.", "fc1", "fc1:", "fc1..", "fc.", "fc+1.", "fc-1.", "fc 1.", "fc1 .")
    numbers = ("fc0.", "fc2.", "fc10.", "fc257.", "fc4294967297.", "fc1.0.", "fc\uff11.", "fi1.", "f1.", "fc1.fc1.")
    for prefix in prefixes + numbers:
        yield text_case(f"prefix {prefix!a}", prefix + body)
    yield text_case("number 1, version byte 2", "fc1." + fc.raw_text(b"\xfc\x02" + envelope[2:]).partition(".")[2])
    yield text_case("number 1, version byte 0", "fc1." + fc.raw_text(b"\xfc\x00" + envelope[2:]).partition(".")[2])

    for what, s in [
        ("LF", "\n"), ("CR", "\r"), ("CRLF", "\r\n"), ("space", " "), ("tab", "\t"), ("NUL", "\x00"),
        ("=", "="), ("+", "+"), ("/", "/"), (".", "."), ("no-break space", "\xa0"), ("zero-width space", "\u200b"),
    ]:  # fmt: skip
        yield text_case(f"{what} in front", s + text)
        yield text_case(f"{what} after the prefix", "fc1." + s + body)
        yield text_case(f"{what} in the middle", "fc1." + body[:half] + s + body[half:])
        yield text_case(f"{what} at the end", text + s)
    for c in "+/=.~,*@[`{:é\uff21":
        yield text_case(f"{c!a} for a character", "fc1." + body[:half] + c + body[half + 1 :])

    one, two = fc.raw_text(by_length[1]), fc.raw_text(by_length[2])
    yield text_case("one padding character", two + "=")
    yield text_case("two padding characters", one + "==")
    yield text_case("one padding character of two", one + "=")
    yield text_case("four padding characters", text + "====")
    for what, t, mask in [
        ("lowest of 4", one, 1), ("highest of 4", one, 8), ("all 4", one, 15),
        ("lower of 2", two, 1), ("higher of 2", two, 2), ("both 2", two, 3),
    ]:  # fmt: skip
        yield text_case(f"unused trailing bits: {what} set", t[:-1] + sextet(t[-1], mask))
    yield text_case("length 1 mod 4: a character more", text + "A")
    yield text_case("length 1 mod 4: three characters fewer", text[:-3])

    for what, uri, wrapped in [("by reference", b"", b""), ("inline", b"file:///k", bytes(16))]:
        stream = fc.header(fc.STREAM, bytes(32), uri, wrapped) + b"\x28" + some_bytes("stream", what, 60)
        yield text_case(f"stream, {what}", fc.raw_text(stream))
    yield text_case("hexadecimal", "fc1." + envelope.hex())
    yield text_case("text form of a text form", fc.raw_text(text.encode()))
    yield from headers()
    yield from two_faults()


def headers():
    """Texts that are right as texts: what is refused in them is the header."""

    def case(name, envelope):
        return text_case(name, fc.raw_text(envelope), error="malformed")

    e, d = reference(1), deterministic()
    i = fc.header(fc.INLINE, bytes(32), b"file:///k", b"wrapped") + bytes(29)
    at_r, at_uri, at_w, at_nonce = 35, 37, 37 + 9, 37 + 9 + 2 + 7
    for magic in (0x00, 0xFB, 0x7C):
        yield case(f"magic {magic:02x}", patch(e, 0, bytes([magic])))
    for mode in (0, 5, 0x81, 255):
        yield case(f"mode {mode}", patch(e, 2, bytes([mode])))
    for n, what in [
        (3, "no key ID"), (34, "key ID of 31 bytes"), (35, "header"), (47, "header and nonce"), (62, "tag of 15 bytes"),
        (63, "no ciphertext"),
    ]:  # fmt: skip
        yield case(f"cut to {n}: {what}", e[:n])
    for n, what in [(34, "key ID of 31 bytes"), (50, "SIV of 15 bytes"), (51, "no ciphertext")]:
        yield case(f"deterministic cut to {n}: {what}", d[:n])
    for n, what in [
        (at_r, "no URI length"), (at_r + 1, "half a URI length"), (at_w - 1, "URI one short"), (at_w, "no wrapped key length"),
        (at_nonce - 1, "wrapped key one short"), (at_nonce, "no nonce"), (at_nonce + 28, "no ciphertext"),
    ]:  # fmt: skip
        yield case(f"inline cut to {n}: {what}", i[:n])
    for what, at, new in [
        ("URI length 65,535", at_r, b"\xff\xff"), ("URI length past the input", at_r, b"\x01\x00"),
        ("URI empty", at_r, bytes(2)), ("URI not UTF-8", at_uri, b"\xff"),
        ("wrapped key length 65,535", at_w, b"\xff\xff"), ("wrapped key length past the input", at_w, b"\x01\x00"),
        ("wrapped key empty", at_w, bytes(2)),
    ]:  # fmt: skip
        yield case(f"inline, {what}", patch(i, at, new))
    yield case("inline, URI of 513 bytes", fc.header(fc.INLINE, bytes(32), b"k" * 513, b"w") + bytes(29))
    yield case("inline, wrapped key of 6,145 bytes", fc.header(fc.INLINE, bytes(32), b"k", b"w" * 6145) + bytes(29))


def two_faults():
    """What is wrong with the text comes before what is wrong with the header."""
    e = reference(1)  # two bytes of a group of three, so that there are two unused bits

    def body(envelope):
        return fc.raw_text(envelope).partition(".")[2]

    mode, magic = patch(e, 2, b"\x05"), patch(e, 0, b"\xfb")
    for what, text in [
        ("prefix of version 2, and mode 5", "fc2." + body(mode)),
        ("LF at the end, and mode 5", "fc1." + body(mode) + "\n"),
        ("padding, and cut to 34", "fc1." + body(e[:34]) + "=="),
        ("length 1 mod 4, and magic fb", "fc1." + body(magic[:60]) + "A"),
        ("unused trailing bits, and magic fb", "fc1." + body(magic)[:-1] + sextet(body(magic)[-1], 3)),
        ("version byte 2, and magic fb", "fc1." + body(patch(magic, 1, b"\x02"))),
        ("version byte 2, and mode 5", "fc1." + body(patch(mode, 1, b"\x02"))),
        ("version byte 2, and a cut to 3", "fc1." + body(patch(e, 1, b"\x02")[:3])),
        ("mode stream, and magic fb", "fc1." + body(patch(magic, 2, b"\x04"))),
        ("mode stream, and a cut to 3", "fc1." + body(patch(e, 2, b"\x04")[:3])),
        ("two bytes", "fc1." + body(e[:2])),
        ("one byte", "fc1." + body(e[:1])),
        ("two bytes of another magic", "fc1." + body(magic[:2])),
    ]:
        yield text_case(f"first of two faults: {what}" if "," in what else what, text)


def sextet(c: str, mask: int) -> str:
    """The base64url character whose six bits are those of c with the bits of mask, zero before, set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(c) | mask]
