"""Reads vectors with the Python reader, and shows that the reading can fail.

Each case is also read after one expectation of it was falsified (the control);
a falsified case that still passes is a problem like any other.
"""

import json
from collections import Counter
from pathlib import Path

import fieldcrypt_v1 as fc

LEAST = {"positive": 60, "negative": 80}

KEY = {"name", "kind", "error", "secret", "purpose", "tenant", "class", "key_id"}
RECORD = {"created", "not_after", "budget", "record_tag"}
FIELD = {"name", "kind", "error", "secret", "tenant", "class", "module", "field", "record", "envelope", "text"}
TEXT = {"name", "kind", "error", "text"}
INDEX = {
    "name", "kind", "error", "secret", "tenant", "class", "module", "field", "index", "index_version", "bits", "partition",
    "normalised", "tag", "text",
}  # fmt: skip
BINDING = ("tenant", "class", "module", "field", "record")


def check_all(paths: list[Path]) -> list[str]:
    """Returns what is wrong, and prints a line of counts for each kind and error class."""
    problems, counts = [], Counter()
    for path in paths:
        content = json.loads(path.read_bytes())
        if content.keys() != {"format", "cases"} or content["format"] != "fieldcrypt/v1" or not content["cases"]:
            problems.append(f"{path.name}: not a file of vectors")
            continue
        names = Counter(case["name"] for case in content["cases"])
        problems += [f"{path.name}: {n} cases are named {name!r}" for name, n in names.items() if n > 1]
        for case in content["cases"]:
            counts[case["kind"], case["error"]] += 1
            where = f"{path.name}: {case['name']}"
            problems += [f"{where}: {p}" for p in check(case)]
            problems += [f"{where}: control, {what}: not noticed" for what, c in falsified(case) if not check(c)]
    problems += check_hkdf() + check_surrogates() + check_longest() + check_partitions()

    for (kind, error), n in sorted(counts.items()):
        print(f"{kind}\t{error or 'opens'}\t{n}")
    for what, least in LEAST.items():
        n = sum(n for (_, error), n in counts.items() if (error == "") == (what == "positive"))
        print(f"all\t{what}\t{n}")
        if n < least:
            problems.append(f"{n} {what} cases, fewer than {least}")
    return problems


def check(case: dict) -> list[str]:
    """Returns what is wrong with one case."""
    kinds = {
        "key": check_key, "field": check_field, "deterministic": check_field, "text": check_text, "index": check_index,
    }  # fmt: skip
    if case["kind"] not in kinds:
        return [f"this program reads no cases of kind {case['kind']}"]
    if case.keys() not in members(case["kind"], case["error"]):
        return [f"has the members {sorted(case)}"]
    return list(kinds[case["kind"]](case))


def members(kind: str, error: str) -> list[set[str]]:
    """The sets of members that a case may have."""
    if kind == "key":
        return [KEY, KEY | RECORD]
    if kind == "index":
        return [INDEX]
    if kind == "text":
        return [TEXT | {"envelope"} if error == "" else TEXT]
    return [FIELD | {"": {"frame", "type", "value"}, "bad-frame": {"frame"}}.get(error, set())]


def outcome(read, by=fc) -> tuple[str, object]:
    """Returns the error class of a refusal, or "" and what was read."""
    try:
        return "", read()
    except by.FormatError as e:
        return e.error_class, None


def read(case: dict, by=fc):
    """Reads a case with a reader (fieldcrypt_v1 or a copy of it) as far as its kind goes; raises what that raises."""
    if case["kind"] == "text":
        return by.decode_text(case["text"])
    secret = bytes.fromhex(case["secret"])
    if case["kind"] == "index":
        names = [case[k] for k in ("tenant", "class", "module", "field", "index", "index_version", "bits", "partition")]
        return by.read_index(secret, *names, bytes.fromhex(case["normalised"]), case["text"])
    if case["kind"] in ("field", "deterministic"):
        return read_envelope(case, secret, bytes.fromhex(case["envelope"]), by)
    key_id, tag = (bytes.fromhex(case[k]) if k in case else None for k in ("key_id", "record_tag"))
    numbers = [case.get(k, 0) for k in ("created", "not_after", "budget")]
    return by.read_key(secret, case["purpose"], case["tenant"], case["class"], key_id, tag, *numbers)


def read_envelope(case: dict, secret: bytes, envelope: bytes, by=fc) -> tuple[bytes, int, str]:
    deterministic = case["kind"] == "deterministic"
    opens = by.open_deterministic if deterministic else by.open_field
    frame = opens(secret, *(case[k] for k in BINDING), envelope)
    if frame.hex() != case.get("frame", frame.hex()):
        raise AssertionError(f"opens to the frame {frame.hex()}")
    return frame, *(by.read_deterministic_frame if deterministic else by.read_frame)(frame)


def check_key(case: dict):
    got, _ = outcome(lambda: read(case))
    if got != case["error"]:
        yield f"gives {got!r}, not {case['error']!r}"


def check_field(case: dict):
    envelope, secret = bytes.fromhex(case["envelope"]), bytes.fromhex(case["secret"])
    try:
        got, result = outcome(lambda: read(case))
        by_text, _ = outcome(lambda: read_envelope(case, secret, fc.decode_text(case["text"])))
    except AssertionError as e:
        yield str(e)
        return
    if got != case["error"]:
        yield f"gives {got!r}, not {case['error']!r}"
    # These three are refused by the text form already.
    no_text = len(envelope) < 3 or envelope[1] != fc.VERSION or envelope[2] == fc.STREAM
    if by_text != ("bad-text" if no_text else got):
        yield f"its text gives {by_text!r}"
    if case["text"] != fc.raw_text(envelope):
        yield "text is not of this envelope"
    if got == case["error"] == "":
        yield from check_written(case, secret, envelope, *result)


def check_written(case, secret, envelope, frame, type_, value):
    """What is read is written again byte for byte: payload, frame, envelope, text."""
    if (type_, value) != (case["type"], case["value"]):
        yield f"reads as type {type_}, {value!r}"
        return
    if fc.unframe(frame) != (type_, fc.write_payload(type_, value)):
        yield "its value is another payload when written again"
    binding = [case[k] for k in BINDING]
    if case["kind"] == "deterministic":
        again = fc.seal_deterministic(secret, *binding, frame)
    else:
        mode, _, uri, wrapped, nonce, _ = fc.parse_field(envelope)
        again = fc.seal_field(secret, *binding, nonce, frame, mode, uri, wrapped)
    if again != envelope:
        yield "another envelope when written again"
    if fc.encode_text(envelope) != case["text"]:
        yield "another text when written again"


def check_index(case: dict):
    got, tag = outcome(lambda: read(case))
    if got != case["error"]:
        yield f"gives {got!r}, not {case['error']!r}"
    elif got == "":
        if tag.hex() != case["tag"]:
            yield f"reads as {tag.hex()}"
        if fc.index_text(case["index_version"], tag) != case["text"]:
            yield "another text when written again"


def check_text(case: dict):
    got, envelope = outcome(lambda: read(case))
    if got != case["error"]:
        yield f"gives {got!r}, not {case['error']!r}"
    elif got == "":
        if envelope.hex() != case["envelope"]:
            yield f"reads as {envelope.hex()}"
        if fc.encode_text(envelope) != case["text"]:
            yield "another text when written again"


def falsified(case: dict):
    """Copies of a case that are each wrong in one place."""
    for error in ("", "malformed", "bad-text", "key-mismatch", "not-authentic", "bad-frame"):
        if error != case["error"]:
            yield f"error {error!r}", case | {"error": error}
    yield "a member more", case | {"plaintext": ""}
    for member in case.keys() - {"name", "kind", "error"}:
        yield f"without {member}", {k: v for k, v in case.items() if k != member}
    if case["kind"] in ("field", "deterministic"):
        yield "another text", case | {"text": case["text"] + "A"}
    if "frame" in case:
        yield "another frame", case | {"frame": case["frame"] + "00"}
    if case["error"] != "" or case.get("bits", 32) < 32:  # few bits are right by chance
        return
    for member in ("secret", "key_id", "record_tag", "envelope", "tag", "normalised"):
        if case.get(member):
            b = bytearray.fromhex(case[member])
            for at in {0, len(b) // 2, len(b) - 1}:
                b[at] ^= 1
                yield f"{member}, byte {at} flipped", case | {member: b.hex()}
                b[at] ^= 1
    for member in ("tenant", "class", "module", "field", "index", "value", "text"):
        if member in case:
            yield f"another {member}", case | {member: case[member] + "x"}
    for member in ("created", "not_after", "budget", "type", "index_version", "bits", "partition"):
        if member in case:
            yield f"another {member}", case | {member: case[member] + 1}
    if "record" in case:
        yield "another record", case | {"record": "x" if case["record"] is None else None}


def check_hkdf() -> list[str]:
    """RFC 5869, test case 3: no salt, no info, more than one block."""
    want = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    got = fc.hkdf(b"\x0b" * 22, b"", 42).hex()
    return [] if got == want else [f"HKDF gives {got}"]


def check_partitions() -> list[str]:
    """The partition of a record, which no vector shows: 1 to P, and 0 without partitions."""
    key = bytes(32)
    for partitions, want in [(0, {0}), (1, {1}), (2, {1, 2}), (5, {1, 2, 3, 4, 5})]:
        got = {fc.index_partition(key, str(record), partitions) for record in range(200)}
        if got != want:
            return [f"{partitions} partitions are {sorted(got)}"]
    return []


def check_surrogates() -> list[str]:
    """Names that are not UTF-8, as Python alone can hold them."""
    names = ["acme", "crm", "Contacts", "email", "42"]
    problems = []
    for at, name in enumerate(names):
        for bad in ("\ud800", name + "\udfff", "\udcff" + name):
            binding = [*names[:at], bad, *names[at + 1 :]]
            got, _ = outcome(lambda b=binding: fc.open_field(bytes(32), *b, bytes(64)))
            if got != "malformed":
                problems.append(f"the name {bad!a} gives {got!r}")
    return problems


def check_longest() -> list[str]:
    """The cap on the ciphertext, whose vectors would be files of 64 MiB."""
    problems = []
    secret, nonce = bytes(32), bytes(12)
    binding = ("acme", "crm", "Contacts", "email", None)
    sc = fc.scope(*binding[:2])
    for n, want in [(16_777_216, ""), (16_777_217, "malformed")]:
        kid = fc.key_id(secret, "data", sc)
        payload = fc.gcm_seal(fc.gcm_key(secret, sc), nonce, bytes(n), fc.field_aad(kid, sc, *binding[2:]))
        envelope = fc.header(fc.REFERENCE, kid) + payload
        got, _ = outcome(lambda e=envelope: fc.open_field(secret, *binding, e))
        if got != want:
            problems.append(f"a frame of {n} bytes gives {got!r}, not {want!r}")
    return problems
