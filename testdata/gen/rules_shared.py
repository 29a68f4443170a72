"""The rules of deterministic envelopes and of blind indexes, in the page's order."""

from rule import changed, never, refuses, tested

NO_KEY_ID = never('not hmac.compare_digest(kid, key_id(secret, "det", sc))')
NO_SIV = changed(
    "AESSIV(siv_key(secret, sc)).decrypt(sealed, [det_aad(kid, sc, module, field)])",
    "AESSIV(siv_key(secret, sc)).decrypt(sealed, ", "siv_decrypt_only(siv_key(secret, sc), sealed, ",
)
K_SIV = 'hkdf(secret, b"fieldcrypt/v1 aes-siv" + sc, 64)'
AAD = 'binding(b"fieldcrypt/v1 det-field", kid, sc, module, field)'
OPENS = "AESSIV(siv_key(secret, sc)).decrypt(sealed, [det_aad(kid, sc, module, field)])"
K_INDEX = 'hkdf(secret, b"fieldcrypt/v1 blind-index" + sc + b"".join(map(lp, names)) + struct.pack(">I", index_version), 32)'
NAMES = "(module, field, index)"
MESSAGE = 'struct.pack(">HB", bits, partition) + normalised'
NO_TAG = never("not hmac.compare_digest(index_tag(key, bits, partition, normalised), tag)")
TAG_LENGTH, TAG_BITS = never("len(tag) != -(-bits // 8)"), never("tag[-1] & ~(0xFF << -bits % 8)")
NO_START = never("not text.startswith(start)")
ANY_BYTE = [
    never("not ALPHABET.fullmatch(body)"), never("len(body) % 4 == 1"),
    never('base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != body'), ('"=" * (-len(body) % 4)', '"==="'),
    never("len(tag) != -(-bits // 8)"),
]  # fmt: skip

RULES = [
    tested(
        "A search uses all active and retired keys of the scope, and is an error if one of them can't be had",
        "envelope/cutover_test.go: func TestSharedKeysLive", "envelope/cutover_test.go: func TestSharedKeysBadRecords",
    ),
    tested(
        "a writer takes the newest of the active and retired keys that have settled or, if none has, the oldest",
        "envelope/cutover_test.go: func TestCutOverMissesNothing", "envelope/cutover_test.go: func TestCutOverTwice",
    ),

    refuses(
        "Mode 0x03 is AES-SIV under K_siv with exactly one string of associated data and no nonce.", "not-authentic",
        ["deterministic: associated data of *", "deterministic: associated data: none", "deterministic: *SIV altered",
         "deterministic: *ciphertext altered", "deterministic: last byte altered", "deterministic: *cut to * of *",
         "deterministic: trailing zero", "deterministic: ciphertext of another value", "deterministic: SIV after the ciphertext"],
        changed(OPENS, "field)]", "field), b'']"), changed(OPENS, "field)]", "field), bytes(16)]"),
        changed(OPENS, "[det", "[bytes(16), det"), changed(OPENS, "[det_aad(kid, sc, module, field)]", "None"),
        changed(OPENS, "[det_aad(kid, sc, module, field)]", "[b'']"), changed(OPENS, "sealed,", "sealed[-16:] + sealed[:-16],"),
        NO_SIV,
    ),
    refuses(
        'K_siv = HKDF(S, "fieldcrypt/v1 aes-siv" || scope, 64)', "not-authentic", ["deterministic: SIV key: *"],
        changed(K_SIV, " + sc", " + scope('globex', 'crm')"), (K_SIV, "secret * 2"), (K_SIV, "gcm_key(secret, sc) * 2"),
    ),
    refuses(
        "The first half of K_siv is the S2V key, the second the CTR key.", "not-authentic", ["deterministic: SIV key: *"],
        (OPENS, OPENS.replace("siv_key(secret, sc)", "siv_key(secret, sc)[32:] + siv_key(secret, sc)[:32]")),
        (OPENS, OPENS.replace("siv_key(secret, sc)", "siv_key(secret, sc)[:32] * 2")),
        (OPENS, OPENS.replace("siv_key(secret, sc)", "siv_key(secret, sc)[:32]")),
    ),
    refuses(
        "In place of nonce, ciphertext and tag the envelope holds the 16 bytes of SIV and n bytes of ciphertext, n as above.", "malformed",
        ["deterministic: cut to *: *", "deterministic: magic *", "deterministic: version *", "deterministic: mode *",
         "deterministic: reference envelope"],
        ("if not 1 <= n <= FRAME_MAX:", "if n > FRAME_MAX:"), never("mode not in modes"), never("magic != MAGIC"),
        ("parse(envelope, (DETERMINISTIC,))\n    sc", "parse(envelope, (DETERMINISTIC, REFERENCE))\n    sc"),
    ),
    refuses(
        "The key ID is that of the scope's key of purpose det.", "key-mismatch",
        ["deterministic: key ID *", "deterministic: read with another secret", "deterministic: read as another *"],
        NO_KEY_ID, (NO_KEY_ID[0], "if kid not in [key_id(secret, p, sc) for p in PURPOSES]:"),
    ),
    refuses(
        "The associated data is as above with the label `fieldcrypt/v1 det-field` and bound = 0", "not-authentic",
        ["deterministic: associated data: *", "deterministic: read as another *", "deterministic: module and field run together"],
        changed(AAD, "det-field", "field"), changed(AAD, "field)", "field, 1, lp(b'42'))"), changed(AAD, "field)", "field, 128)"),
        changed(AAD, "kid,", "b'',"), changed(AAD, "sc,", "b'',"), changed(AAD, "module,", "'Contacts',"),
        changed(AAD, ", field)", ", 'email')"), changed(AAD, "module, field", "'Contacts', (module + field).removeprefix('Contacts')"),
    ),
    refuses(
        "a binding that names a record is an error", "malformed", ["deterministic: record named"],
        never("not (record is None)"),
    ),
    refuses(
        "Padding is refused, and so are the types 3, 5 and 8, in which equal values have unequal encodings:"
        " by a writer before it seals, and by a reader.",
        "bad-frame", ["deterministic: frame: *"],
        never("f[0] & PADDED"), ("type_ in (FLOAT64, TIME, JSON)", "type_ in (TIME, JSON)"),
        ("type_ in (FLOAT64, TIME, JSON)", "type_ in (FLOAT64, JSON)"), ("type_ in (FLOAT64, TIME, JSON)", "type_ in (FLOAT64, TIME)"),
        never(r'p not in (b"\x00", b"\x01")'),
        tests=("envelope/deterministic_test.go: func TestDeterministicRefusals",),
    ),
    tested(
        "It needs a key store, as blind indexes do, since these keys must be shared.",
        'envelope/deterministic_test.go: "no key store"', 'envelope/index_test.go: "no key store"',
    ),
    refuses(
        "Tenant, class, module and field are strings of 1 to 255 bytes.", "malformed",
        ["deterministic: tenant *", "deterministic: class *", "deterministic: module *", "deterministic: field *",
         "index: tenant *", "index: class *", "index: module *", "index: field *"],
        ("if not 1 <= n <= longest:", "if n > longest:"), ("if not 1 <= n <= longest:", "if n < 1:"),
    ),
    refuses(
        "A data key is a secret S of exactly 32 bytes from the provider; any other length is an error.", "malformed",
        ["deterministic: secret of *", "index: secret of *", "index: no secret"], never("len(secret) != SECRET_LEN"),
    ),
    refuses(
        "the first in this order gives the class", "malformed", ["deterministic: first of two faults: *"],
        never("not (record is None)"),
    ),
    refuses("the first in this order gives the class", "key-mismatch", ["deterministic: first of two faults: *"], NO_KEY_ID),
    refuses("the first in this order gives the class", "not-authentic", ["deterministic: first of two faults: *"], NO_SIV),

    refuses(
        'K_index = HKDF(S, "fieldcrypt/v1 blind-index" || scope || lp(module) || lp(field)'
        " || lp(index name) || u32(index version), 32)",
        "not-authentic",
        ["index: tag of another *", "index: tag under *", "index: key *"],
        changed(K_INDEX, " + sc", " + scope('acme', 'crm')"), changed(K_INDEX, ' + b"".join(map(lp, names))', ""),
        changed(K_INDEX, 'struct.pack(">I", index_version)', "bytes(3) + bytes([1])"), (K_INDEX, "secret"), (K_INDEX, "gcm_key(secret, sc)"),
        changed(NAMES, "module, field", "module + field"), changed(NAMES, "field, index", "field + index"),
        changed(NAMES, "module", "'Contacts'"), changed(NAMES, "field", "'email'"), changed(NAMES, "index", "'email.v1'"), NO_TAG,
    ),
    refuses(
        "HMAC-SHA256(K_index, u16 bits || u8 p || normalised value)", "not-authentic",
        ["index: tag with*", "index: tag of another partition", "index: tag of 65 bits cut to 64", "index: tag of zeros", "index: last bytes *"],
        changed(MESSAGE, 'struct.pack(">HB", bits, partition) + ', ""), changed(MESSAGE, ">HB", "<HB"),
        changed(MESSAGE, '">HB", bits, partition', '">H", bits'), changed(MESSAGE, "bits,", "65,"), changed(MESSAGE, "bits, partition", "bits, 0"),
        changed(MESSAGE, "normalised", "lp(normalised)"), ('"sha256")[: -(-bits // 8)])', '"sha256")[-bits // 8 :])'),
        (MESSAGE, 'normalised + struct.pack(">HB", bits, partition)'), (MESSAGE, 'struct.pack(">BH", bits & 255, partition) + normalised'),
        NO_TAG,
    ),
    tested("so that a changed normaliser is a new index and never a silent miss", "envelope/index_test.go: func TestTagsAreApart"),
    tested("1 <= P <= 255", "envelope/index_test.go: func TestPartitions", "testdata/gen/check.py: def check_partitions"),
    refuses(
        "bits is 1 to 256, the index version 1 or more, p at most 255.", "malformed",
        ["index: no bits", "index: * bits", "index: version 0", "index: partition 256"],
        never("index_version < 1"), never("bits < 1"), never("bits > INDEX_BITS_MAX"), never("not 0 <= partition <= PARTITIONS_MAX"),
        tests=("envelope/index_test.go: func TestIndexRefusals",),
    ),
    refuses(
        "The index name is a string of 1 to 255 bytes.", "malformed", ["index: index name *"],
        ('    check_string("index name", index, NAME_MAX)\n', ""),
    ),
    refuses(
        "a reader refuses another version, a tag of another length than that of its index, unused bits of the tag that aren't zero,"
        " and whatever the text form of an envelope may not have",
        "bad-text",
        ["index: prefix *", "index: * at the end", "index: * in the middle", "index: * for a character", "index: a character more",
         "index: a byte *", "index: unused *", "index: padding characters"],
        NO_START, TAG_LENGTH, TAG_BITS, ANY_BYTE, ANY_BYTE[2],
    ),
    refuses(
        "Of a tag, the names and numbers of the index come first, then its text, the secret's length, and the tag itself.", "malformed",
        ["index: first of two faults: *"], never("bits < 1"), never("len(secret) != SECRET_LEN"),
    ),
    refuses(
        "Of a tag, the names and numbers of the index come first, then its text, the secret's length, and the tag itself.", "bad-text",
        ["index: first of two faults: *"], NO_START,
    ),
]  # fmt: skip
