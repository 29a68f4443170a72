"""The rules of envelopes, their text form and plaintext framing, and of the order of errors, in the page's order."""

from rule import LIMITS, NO_KEY_ID, NO_TAG, aad, changed, encoded, never, opened, refuses, tested

RECORD = '(0, b"") if record is None else (1, lp(record.encode()))'
NO_MAGIC, NO_VERSION, NO_MODE = never("magic != MAGIC"), never("version != VERSION"), never("mode not in modes")
NO_LENGTH, PAST, EMPTY = never("len(b) < 2"), never("n > len(b) - 2"), never("n < 1")
NO_KEY_ID_LENGTH = never("len(envelope) < 3 + KEY_ID_LEN")
NO_LEAST = ("if not 1 <= n <= FRAME_MAX:", "if n > FRAME_MAX:")
NO_TEXT_VERSION, NO_STREAM = never("envelope[1] != VERSION"), never("envelope[2] == STREAM")
ANY_BITS = never('base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != body')
ANY_BYTE = [never("not ALPHABET.fullmatch(body)"), never("len(body) % 4 == 1"), ANY_BITS, ('"=" * (-len(body) % 4)', '"==="')]

RULES = [
    refuses(
        "0 1 0xFC", "malformed", ["*: magic *", "field: * as bytes", "field: byte in front"], NO_MAGIC,
    ),
    refuses("1 1 0x01 version", "malformed", ["field: version *"], NO_VERSION),
    refuses(
        "2 1 mode 0x01 reference, 0x02 inline, 0x03 deterministic, 0x04 stream", "malformed",
        ["*: mode [0-9]*", "field: magic and version twice"], NO_MODE,
    ),
    refuses("3 32 keyID", "malformed", ["*: *cut to *key ID*"], [NO_KEY_ID_LENGTH, NO_LEAST]),
    refuses(
        "35 2+r u16 r, root key URI r <= 512, UTF-8", "malformed",
        ["*: *URI length*", "field: lengths of 32 bits", "field: inline without lengths", "*: inline cut to *URI*",
         "field: mode inline on a reference, which gives its nonce as length"],
        [PAST, NO_LENGTH], NO_LENGTH, EMPTY,
        ('struct.unpack(">H", b[:2])', 'struct.unpack("<H" if longest == URI_MAX else ">H", b[:2])'),
    ),
    refuses(
        "37+r 2+w u16 w, wrapped data key w <= 6144", "malformed",
        ["*: *wrapped key length*", "*: *wrapped key of 6,145 bytes", "*: inline cut to *wrapped key*"],
        [PAST, NO_LEAST], NO_LENGTH, EMPTY, changed(LIMITS, "6144", "65535"),
    ),
    refuses("37+r 2+w u16 w, wrapped data key w <= 6144", "not-authentic", ["field: wrapped key length one too *"], NO_TAG),
    refuses(
        "12 nonce n ciphertext of the framed plaintext, 1 <= n <= 16 MiB 16 tag", "malformed",
        ["field: empty frame*", "*: *cut to *: no ciphertext", "*: *cut to *nonce*", "*: *cut to *tag*", "*: cut to 35: header",
         "text: deterministic cut to 50: *"],
        NO_LEAST, tests=("testdata/gen/check.py: def check_longest",),
    ),
    refuses(
        "12 nonce n ciphertext of the framed plaintext, 1 <= n <= 16 MiB 16 tag", "not-authentic",
        ["field: *byte of the *", "field: tag *", "field: nonce *", "field: type turned *"],
        NO_TAG, opened("sealed,", "sealed[16:] + sealed[:16],"), opened("nonce, sealed,", "sealed[-12:], nonce + sealed[:-12],"),
    ),
    refuses(
        "r and w are both at least 1.", "malformed",
        ["*: *URI empty", "*: *wrapped key empty", "field: URI and wrapped key empty, as only a stream may"], EMPTY,
    ),
    refuses(
        "One of them 0 and the other not is an error.", "malformed", ["field: URI empty", "field: wrapped key empty"],
        ("if n < 1:", "if n < 1 and longest == URI_MAX:"), ("if n < 1:", "if n < 1 and longest == WRAPPED_MAX:"),
    ),
    tested("A data key therefore seals at most 2^32 messages", 'envelope/ring_badinput_test.go: "budget over 2^32"'),
    refuses(
        '"fieldcrypt/v1 field" || u8 version || keyID || scope || lp(module) || lp(field) || u8 bound || what is bound',
        "not-authentic",
        ["field: *associated data*", "field: bound, read as *", "field: inline, bound, read as *"],
        aad("label + ", ""), aad("label", "lp(label)"), aad("bytes([VERSION]) + ", ""), aad("VERSION", "2"),
        aad("kid + ", ""), aad("kid", "lp(kid)"), aad("sc + ", ""), aad("what", "what + b'\\0'"),
        encoded("module", "'Contacts'"), encoded("field", "'email'"), encoded("record", "'42'"),
        aad("lp(module.encode()) + lp(field.encode())", "lp(max(module, field, key=len).encode()) + lp(b'email')"),
        opened("field_aad(kid, sc, module, field, record)", "b''"), NO_TAG,
        ('b"fieldcrypt/v1 field"', 'b"fieldcrypt/v1 det-field"'), ('b"fieldcrypt/v1 field"', 'b"fieldcrypt/v1 stream"'),
    ),
    refuses(
        "Mode, URI and wrapped key are not in it", "not-authentic",
        ["field: associated data with the mode in it", "field: associated data with the header in it"],
        aad("VERSION", "VERSION, REFERENCE"), aad("label", "header(REFERENCE, kid) + label"),
    ),
    refuses(
        "Bit 0 is the record: `lp(record)` follows.", "not-authentic",
        ["field: associated data with bound [01] *", "field: associated data with record without its length",
         "field: not bound, read with a record", "field: *bound, read as no record"],
        changed(RECORD, "(1, ", "(0, "), changed(RECORD, "lp(record.encode())", "b''"),
        changed(RECORD, "lp(record.encode())", "record.encode()"), opened("record)", "None)"),
    ),
    refuses(
        "Bits 1 to 7 are zero in version 1 and kept for later.", "not-authentic",
        ["field: associated data with bound [!01]*", "field: associated data with bound 129", "field: not bound, bit *"],
        *(changed(RECORD, "(0, ", f"({1 << bit}, ") for bit in range(1, 8)),
        *(changed(RECORD, "(1, ", f"({bound}, ") for bound in (2, 3, 0x81, 0xFF)),
    ),
    refuses(
        "A reader never tries another one", "not-authentic",
        ["field: not bound, read with a record", "field: *bound, read as no record"],
        opened("record)", "None if record else '42')"),
    ),

    refuses(
        "accepts only the modes that its schema allows for the field", "malformed",
        ["field: mode stream*", "field: mode deterministic*", "field: deterministic envelope"],
        *(("parse(envelope, (REFERENCE, INLINE))", f"parse(envelope, (REFERENCE, INLINE, {mode}))")
          for mode in ("DETERMINISTIC", "STREAM")),
        tests=("envelope/ring_badinput_test.go: modes that the configuration doesn't allow",),
    ),
    refuses(
        "refuses any other magic, version or mode, lengths past the caps or past the input, missing bytes and trailing bytes",
        "malformed",
        ["*: magic *", "field: version *", "*: mode [0-9]*", "*: * past the input", "*: *cut to *:*", "*: *URI of 513 bytes"],
        NO_MAGIC, NO_VERSION, NO_MODE, NO_LENGTH, [PAST, NO_LEAST], [NO_KEY_ID_LENGTH, NO_LEAST], NO_LEAST,
        ('raise Malformed("shorter than magic, version and mode")', "pass"),
        changed(LIMITS, "512", "65535"),
    ),
    tested("checks lengths before it allocates or calls anything", "envelope/fuzz_test.go: func TestScoreboardS6"),
    refuses(
        "refuses a key ID that isn't that of the unwrapped secret", "key-mismatch",
        ["field: *another secret*", "field: key ID is the secret"], NO_KEY_ID,
    ),
    tested(
        "asks it for the key's state when it loads the key, also of an inline envelope",
        "envelope/ring_records_test.go: func TestInlineEnvelopeOfADestroyedKey",
        "envelope/ring_records_test.go: func TestTamperedRecords",
    ),
    tested(
        "refuses, before any unwrap and on every cache hit, in every mode, a key ID that the key store,"
        " or the log of destroyed keys outside it, says is destroyed",
        "envelope/tombstones_test.go: func TestTombstoneEndsKeysInMemory",
        "envelope/poll_test.go: func TestOtherProcessesNotice",
        "envelope/lifecycle_test.go: func TestDestroy",
    ),
    tested(
        "it unwraps, checks the key ID, inserts the key record only if there is none, and never replaces one",
        "envelope/compact_test.go: func TestCompact",
        "envelope/compact_test.go: func TestPlantedRecord",
    ),
    refuses(
        "a byte too many or too few, as long as n stays within its bounds, is found by AES and not by the header",
        "not-authentic",
        ["field: *cut to * of *", "field: *trailing *", "field: first byte of the nonce left out",
         "field: mode reference on an inline"],
        NO_TAG,
    ),
    tested(
        "A writer never looks at what a value resembles.",
        'testdata/gen/cases_field_positive.py: "looks like an envelope"',
        'testdata/gen/cases_field_positive.py: "looks like a text form"',
    ),

    refuses(
        "In version 1 it begins `fc1.`.", "bad-text",
        ["text: prefix *", "text: no prefix", "text: empty", "text: * in front", "text: text form of a text form"],
        never("not text.startswith(prefix)"),
    ),
    refuses(
        "a reader refuses any byte outside the alphabet (CR and LF included, which some decoders skip)", "bad-text",
        ["text: * after the prefix", "text: * in the middle", "text: * at the end", "text: * for a character"], ANY_BYTE,
    ),
    refuses("padding characters", "bad-text", ["text: *padding character*"], ANY_BYTE),
    refuses("a length that no bytes have", "bad-text", ["text: length 1 mod 4: *"], never("len(body) % 4 == 1")),
    refuses("unused trailing bits that aren't zero", "bad-text", ["text: unused trailing bits: *"], ANY_BITS),
    refuses(
        "The number equals the version byte.", "bad-text",
        ["text: number 1, version byte *", "text: hexadecimal"], NO_TEXT_VERSION,
    ),
    refuses("Streams have no text form.", "bad-text", ["text: stream, *"], NO_STREAM),

    refuses(
        "Unknown types", "bad-frame", ["field: frame: type *"],
        ('raise BadFrame(f"unknown type {type_}")', "return type_, p.hex()"),
    ),
    refuses(
        "payloads of a wrong length", "bad-frame",
        ["field: frame: * of * bytes", "field: frame: * padded, one byte *", "field: frame: padded int64 without 0x80"],
        never("len(p) != struct.calcsize(layout)"), never("len(p) != 8"),
    ),
    refuses("a bool other than 0 or 1", "bad-frame", ["field: *frame: *bool *"], never(r'p not in (b"\x00", b"\x01")')),
    refuses(
        "strings and JSON that aren't UTF-8", "bad-frame", ["field: *frame: *not UTF-8*"],
        ("        if not is_utf8(p):", "        if type_ == STRING and not is_utf8(p):"),
        ("        if not is_utf8(p):", "        if type_ == JSON and not is_utf8(p):"),
    ),
    refuses(
        "u32 nanoseconds < 10^9, i32 zone offset in seconds, \\|offset\\| < 86,400", "bad-frame", ["field: frame: *time, *"],
        ("nanoseconds >= 10**9 or ", ""), ("abs(offset)", "offset"), ("abs(offset)", "-offset"), ("86_400", "86_401"),
    ),
    refuses(
        "a valid day of the proleptic Gregorian calendar, in which year 0 exists and is a leap year", "bad-frame",
        ["field: frame: *date, *"],
        ("1 <= month <= 12", "month <= 12"), ("1 <= month <= 12", "1 <= month"), ("1 <= day <= days_of", "day <= days_of"),
        ("1 <= day <= days_of(year, month)", "1 <= day <= 31"), ("month in (4, 6, 9, 11)", "month in (4, 6, 9)"),
        ("year % 4 == 0 and ", ""), ("(year % 100 != 0 or year % 400 == 0)", "True"),
    ),
    refuses(
        r"ASCII, `-?(0\|[1-9][0-9]*)(\.[0-9]+)?`", "bad-frame", ["field: frame: decimal *"],
        ("not DECIMAL_SYNTAX.fullmatch(p) or ", ""), ("DECIMAL_SYNTAX.fullmatch(p)", "DECIMAL_SYNTAX.match(p)"),
        ('rb"-?(0|', 'rb"[-+]?(0|'), ("(0|[1-9][0-9]*)", "([0-9]+)"), (r"(\.[0-9]+)?", r"(\.[0-9]*)?"),
        (r"(\.[0-9]+)?", r"(\.[0-9]+)?([eE][0-9]+)?"),
    ),
    refuses(
        "no negative zero, at any scale", "bad-frame", ["field: frame: decimal '-0*"],
        (r'rb"-0(\.0+)?"', 'rb"-0"'), (" or DECIMAL_ZERO.fullmatch(p)", ""),
    ),
    tested("a multiple of the number that the schema says, 2 to 65,536", "envelope/frame_test.go: func TestPadFrame"),
    tested("doesn't check the multiple", 'testdata/gen/cases_field_positive.py: "padded to no multiple: 13 bytes"'),
    refuses(
        "padding without its 0x80", "bad-frame", ["field: frame: padded *", "field: inline, frame: no padding"],
        never(r'not stripped.endswith(b"\x80")'),
    ),
    refuses(
        "are errors, with and without padding alike", "bad-frame", ["field: frame: *padded*"],
        ("    if type_ == BYTES:", "    if type_ == BYTES or f[0] & PADDED:"),
    ),

    tested(
        "to callers, every failure after the key is known is one opaque error",
        "envelope/vectors_test.go: by ring: got %w, want ErrNotAuthentic",
    ),
    tested("A text longer than any envelope's may be refused", 'envelope/text_test.go: "longer than any envelope"'),
    refuses(
        "Of a text: the prefix, then the alphabet, the length and the trailing bits, then that at least 3 bytes were"
        " decoded, that the version byte equals the number, and that the mode isn't stream.",
        "bad-text", ["text: prefix only", "text: one byte", "text: two bytes*", "text: first of two faults: *"],
        ('raise BadText("too short to have a mode")', "parse(envelope, ())"), ANY_BITS, ANY_BYTE, NO_TEXT_VERSION, NO_STREAM,
        never("not text.startswith(prefix)"),
    ),
    refuses(
        "What passes is read as an envelope, and its header's errors are `malformed`.", "malformed", ["text: *"],
        ("    parse(envelope, (REFERENCE, INLINE, DETERMINISTIC))", "    pass"),
    ),
    refuses(
        "the first in this order gives the class", "malformed", ["*: first of two faults: *"],
        NO_MAGIC, NO_VERSION, NO_MODE, NO_LEAST, EMPTY, never("not is_utf8(uri)"), never("len(secret) != SECRET_LEN"),
        never("purpose not in PURPOSES"), ("if not 1 <= n <= longest:", "if n > longest:"),
    ),
    refuses(
        "the first in this order gives the class", "key-mismatch", ["*: first of two faults: *"],
        NO_KEY_ID, never("not hmac.compare_digest(key_id(secret, purpose, sc), stored_id)"),
    ),
    refuses("the first in this order gives the class", "not-authentic", ["field: first of two faults: *"], NO_TAG),
]  # fmt: skip
