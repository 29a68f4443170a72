"""Cases of kind text: the strict text form of envelopes."""

import fieldcrypt_v1 as fc
from made_up import inline, sealed, some_bytes


def text_case(name: str, text: str, envelope: bytes | None = None) -> dict:
    """A text that reads as this envelope, or without one a text that is refused."""
    case = {"name": name, "kind": "text", "error": "" if envelope is not None else "bad-text", "text": text}
    return case if envelope is None else case | {"envelope": envelope.hex()}


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


def sextet(c: str, mask: int) -> str:
    """The base64url character whose six bits are those of c with the bits of mask, zero before, set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(c) | mask]
