"""What a rule of the page is, and ways to write readers that lack one."""

from dataclasses import dataclass

Words = tuple[str, str]


@dataclass(frozen=True)
class Rule:
    says: str  # words of the page
    error: str = ""  # the class of its cases
    cases: tuple[str, ...] = ()  # "kind: name", where * and ? stand for other characters
    # Readers without it: what to replace in fieldcrypt_v1.py, and by what.
    without: tuple[tuple[Words, ...], ...] = ()
    tests: tuple[str, ...] = ()  # "file: words in it", for what no vector shows


def refuses(
    says: str, error: str, cases: list[str], *without: Words | list[Words], tests: tuple[str, ...] = ()
) -> Rule:
    """A rule by which cases are refused. A reader without it has one replacement, or a list of them."""
    return Rule(says, error, tuple(cases), tuple(tuple(w) if isinstance(w, list) else (w,) for w in without), tests)


def tested(says: str, *tests: str) -> Rule:
    """A rule of what is done rather than read, or that JSON can't show."""
    return Rule(says, tests=tests)


def never(condition: str) -> Words:
    """A check that refuses nothing."""
    return f"if {condition}:", "if False:"


def changed(whole: str, old: str, new: str) -> Words:
    assert whole.count(old) == 1, (whole, old)
    return whole, whole.replace(old, new)


def aad(old: str, new: str) -> Words:
    """Other associated data."""
    return changed(
        "label + bytes([VERSION]) + kid + sc + lp(module.encode()) + lp(field.encode()) + bytes([bound]) + what",
        old,
        new,
    )


def message(old: str, new: str) -> Words:
    """Another message under the tag of a key record."""
    return changed('b"fieldcrypt/v1 record" + bound + times', old, new)


def opened(old: str, new: str) -> Words:
    """Another way to open."""
    return changed(
        "AESGCM(gcm_key(secret, sc)).decrypt(nonce, sealed, field_aad(kid, sc, module, field, record))", old, new
    )


def encoded(name: str, how: str) -> Words:
    """A name that is put to use in another form than its own."""
    return f"lp({name}.encode())", f"lp({how}.encode())"


def composed(name: str) -> Words:
    return encoded(name, f"__import__('unicodedata').normalize('NFC', {name})")


NO_KEY_ID = never('not hmac.compare_digest(kid, key_id(secret, "data", sc))')
NO_TAG = opened(
    "AESGCM(gcm_key(secret, sc)).decrypt(nonce, sealed, field_aad(",
    "decrypt_only(gcm_key(secret, sc), nonce, sealed, (",
)
LIMITS = "URI_MAX, WRAPPED_MAX, FRAME_MAX = 512, 6144, 16 << 20"
