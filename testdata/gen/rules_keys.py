"""The rules of names, root keys, data keys and key records, in the page's order."""

from rule import LIMITS, NO_KEY_ID, NO_TAG, changed, composed, encoded, message, never, refuses, tested

NO_LEAST = ("if not 1 <= n <= longest:", "if n > longest:")
NO_MOST = ("if not 1 <= n <= longest:", "if n < 1:")
SCOPE = "return lp(tenant.encode()) + lp(class_.encode())"
KEY_ID = 'hkdf(secret, b"fieldcrypt/v1 key-id" + lp(purpose.encode()) + sc, KEY_ID_LEN)'
K_REC = 'hkdf(secret, b"fieldcrypt/v1 key-record" + bound, 32)'
K_GCM = 'hkdf(secret, b"fieldcrypt/v1 aes-256-gcm" + sc, 32)'
NO_STORED_ID = never("not hmac.compare_digest(key_id(secret, purpose, sc), stored_id)")
NO_STORED_TAG = never("not hmac.compare_digest(want, stored_tag)")
SAME = "two strings are the same only if their bytes are. There is no normalisation, folding or trimming."

RULES = [
    refuses(
        "Tenant, class, module and field are strings of 1 to 255 bytes.", "malformed",
        ["*: tenant empty", "field: module empty", "field: field empty", "*: * of 256 bytes"], NO_LEAST, NO_MOST,
    ),
    tested("A class that is empty or not given means `default`", "envelope/binding_test.go: no class is the class default"),
    tested(
        "A string is valid UTF-8", "envelope/binding_test.go: func TestBadNamesAreRefusedBeforeAnyCall",
        "testdata/gen/check.py: def check_surrogates",
    ),
    refuses(
        "its length counts bytes", "malformed",
        ["field: [tcmfr]* bytes in * characters", "key: * bytes in * characters"], ("n = len(s.encode())", "n = len(s)"),
    ),
    refuses(
        SAME, "key-mismatch", ["*: *tenant in upper case", "field: *tenant with a space", "*: *accent decomposed"],
        encoded("tenant", "tenant.lower()"), encoded("tenant", "tenant.strip()"), composed("tenant"),
    ),
    refuses(
        SAME, "not-authentic",
        ["field: *module in lower case", "field: *field in upper case", "field: [mfr]*'s accent decomposed",
         "field: *record with a space"],
        encoded("module", "module.capitalize()"), encoded("field", "field.lower()"), encoded("record", "record.strip()"),
        composed("module"), composed("field"), composed("record"),
    ),
    tested("A name that isn't so is an error before any cryptography.", "envelope/ring_badinput_test.go: func TestBadPlaces"),
    refuses(
        "A record ID is 1 to 1,024 bytes", "malformed",
        ["field: record empty, which is not none", "field: record of 1,025 bytes", "field: record of 1,026 bytes *"],
        NO_LEAST, NO_MOST,
    ),
    refuses(
        "Integers are in decimal without leading zeros or plus sign", "not-authentic",
        ["field: *record with a leading zero", "field: *record with a plus sign"],
        encoded("record", "record.lstrip('0')"), encoded("record", "record.lstrip('+')"),
        tests=("fieldcrypt/encrypt_test.go: func TestIDs",),
    ),
    refuses(
        "UUIDs are in lower-case hexadecimal, 8-4-4-4-12", "not-authentic", ["field: UUID *"],
        encoded("record", "record.lower()"), encoded("record", "str(__import__('uuid').UUID(record))"),
        tests=("fieldcrypt/encrypt_test.go: func TestIDs",),
    ),
    refuses(
        "`lp(part)` for each part of the key, in the schema's order", "not-authentic", ["field: *composite*"],
        encoded("record", r"record.removeprefix('\0\0\0\x02')"), NO_TAG,
    ),
    tested("Each part is 1 to 127 bytes of UTF-8.", "envelope/frame_test.go: func TestCompositeRecord"),
    refuses(
        "An empty record ID is an error, and not the same as no record.", "malformed",
        ["field: record empty, which is not none"], ("if record is not None:", "if record:"),
    ),

    refuses(
        "A root key is named by a URI of at most 512 bytes of UTF-8.", "malformed",
        ["*: *URI of 513 bytes", "field: URI of 514 bytes in *", "*: *URI not UTF-8*"],
        changed(LIMITS, "512", "65535"), never("not is_utf8(uri)"),
    ),
    tested("never by an alias", "kmsprovider/awskms/alias_test.go: func TestAliasIsPinned"),
    tested("Bytes from a database never choose.", "envelope/ring_rootkeys_test.go: func TestScoreboardS25"),
    tested(
        "is refused without a call, also where the key is in a cache",
        "envelope/ring_rootkeys_test.go: The right key is in memory, and the envelope names another root key.",
    ),
    tested(
        "The key ID in an answer of KMS must be the ARN that was called.",
        "kmsprovider/awskms/classify_test.go: func TestAnswersThatMakeNoSense",
    ),
    tested(
        "an encryption context of exactly these pairs", "envelope/binding_test.go: func encryptionContexts",
        "kmsprovider/awskms/fakekms_test.go: func TestWhatIsSent",
    ),

    refuses(
        "A data key is a secret S of exactly 32 bytes from the provider; any other length is an error.", "malformed",
        ["*: secret of * bytes"], never("len(secret) != SECRET_LEN"),
    ),
    refuses('purpose = "data", "det", "index" or "log"', "malformed", ["key: purpose *"], never("purpose not in PURPOSES")),
    refuses(
        "scope = lp(tenant) || lp(class)", "key-mismatch",
        ["field: scope *", "field: *read as *", "key: *another tenant", "key: *another class", "*: *tenant and class swapped",
         "*: *boundary of tenant and class moved"],
        (SCOPE, "return tenant.encode() + class_.encode()"), (SCOPE, "return lp(tenant.encode())"),
        (SCOPE, "return lp(class_.encode())"), (SCOPE, "return lp(class_.encode()) + lp(tenant.encode())"),
        (SCOPE, "return lp(tenant.encode()) + lp(b'default')"),
    ),
    refuses(
        'keyID = HKDF(S, "fieldcrypt/v1 key-id" || lp(purpose) || scope, 32)', "key-mismatch",
        ["field: key ID without *", "field: key ID is the secret", "key: data key ID read as *"],
        changed(KEY_ID, " + sc", ""), changed(KEY_ID, "lp(purpose.encode()) + sc", "b'dataacmecrm'"),
        changed(KEY_ID, "lp(purpose.encode())", "lp(b'data')"), (KEY_ID, "secret"),
    ),
    refuses(
        'K_rec = HKDF(S, "fieldcrypt/v1 key-record" || lp(purpose) || scope, 32)', "not-authentic",
        ["key: record tag under *", "key: record tag of another *"],
        changed(K_REC, "bound", "sc"), changed(K_REC, "bound", "lp(purpose.encode())"),
        (K_REC, "gcm_key(secret, sc)"), (K_REC, "secret"),
    ),
    refuses(
        'K_gcm = HKDF(S, "fieldcrypt/v1 aes-256-gcm" || scope, 32)', "not-authentic", ["field: AES key *"],
        changed(K_GCM, "aes-256-gcm", "stream"), changed(K_GCM, "+ sc", "+ scope('globex', 'crm')"), (K_GCM, "secret"),
    ),
    refuses(
        "A key of one purpose is never used for another.", "key-mismatch", ["field: key ID of purpose *"],
        (NO_KEY_ID[0], "if kid not in [key_id(secret, p, sc) for p in PURPOSES]:"),
    ),
    refuses(
        "Whoever opens checks the key ID of the secret it unwrapped", "key-mismatch",
        ["field: *key ID, *", "field: *another secret*", "field: key ID of zeros"], NO_KEY_ID,
    ),
    tested(
        "A cached key answers only for the scope, purpose and key ID that it was loaded for.",
        "envelope/ring_badinput_test.go: func TestBadEnvelopes", "envelope/tamper_test.go: func TestScoreboardS3",
    ),
    refuses(
        'tag = HMAC-SHA256(K_rec, "fieldcrypt/v1 record" || lp(purpose) || scope'
        " || u64 created || u64 not-after || u64 budget)",
        "not-authentic",
        ["key: record tag with*", "key: *moved", "key: *removed", "key: *raised", "key: created and not-after swapped",
         "key: not-after and budget swapped"],
        message('b"fieldcrypt/v1 record" + ', ""), message("bound", "sc"), message("bound", "lp(purpose.encode())"),
        message("bound", "purpose.encode() + sc"), message("bound", "key_id(secret, purpose, sc) + bound"),
        message("times", "times[8:]"), message("times", "times[:8] + times[16:]"), message("times", "times[:16]"),
        message("times", "struct.pack('<QQQ', created, not_after, budget)"), message("times", "times + b'\\0'"),
        NO_STORED_TAG,
    ),
    refuses(
        "URI and wrapped key are left out of the tag", "not-authentic",
        ["key: record tag with a URI and a wrapped key in it"], message("times", "times + lp(b'file:///k') + lp(b'wrapped')"),
    ),
    tested("they have the lengths that they have in an envelope", 'envelope/ring_records_test.go: "wrapped key too long"'),
    refuses(
        "Whoever loads a key checks key ID and tag before use.", "key-mismatch",
        ["key: *key ID*", "key: secret of another key"], NO_STORED_ID,
    ),
    refuses(
        "Whoever loads a key checks key ID and tag before use.", "not-authentic",
        ["key: record tag*", "key: key ID as record tag"], NO_STORED_TAG,
    ),
    tested(
        "active keys seal and open, retired ones open, and the others do neither",
        "envelope/ring_records_test.go: func TestTamperedRecords",
    ),
    tested(
        "A sealer also refuses a key that is past its not-after, and a key of purpose data that has no not-after or no"
        " budget, or a budget of more than 2^32.",
        "envelope/ring_records_test.go: func TestStoreThatOffersAnExpiredKey",
        "envelope/ring_records_test.go: func TestSealerWantsAnEndAndABudget",
    ),
    tested("a process counts what it seals on its own too", "envelope/ring_budget_test.go: func TestResetCounters"),
]  # fmt: skip
