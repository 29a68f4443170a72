"""The rules of envelope/FORMAT.md, and for each of them the cases that it refuses.

    python rules.py    print them as a list

generate.py fails unless
- the words of each rule are on the page,
- the cases of a rule are there, and are refused with its class,
- each reader without the rule, which is fieldcrypt_v1.py with a few words
  replaced, misreads one of them,
- each refused case belongs to a rule,
- and each sentence of the page that refuses something does.
"""

import fnmatch
import json
import re
import struct
import sys
import types
from pathlib import Path

import fieldcrypt_v1 as fc
import rules_envelope
import rules_keys
import rules_shared
from check import outcome, read
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

ROOT = Path(__file__).resolve().parent.parent.parent
RULES = [*rules_keys.RULES, *rules_envelope.RULES, *rules_shared.RULES]

REFUSES = re.compile(r"\b(refuse[sd]?|errors?|never|must|exactly|at least|at most|equals)\b")
NOT_BUILT = re.compile(r"not built yet", re.IGNORECASE)


def check_rules(cases: list[dict]) -> list[str]:
    """Returns what is wrong with the rules, given the cases of all files."""
    problems, claimed = [], set()
    refused = {f"{c['kind']}: {c['name']}": c for c in cases if c["error"]}
    page = one_line(page_text())
    for rule in RULES:
        if one_line(rule.says) not in page:
            problems.append(f"FORMAT.md doesn't say {rule.says!r}")
        for test in rule.tests:
            name, _, words = test.partition(": ")
            if words not in (ROOT / name).read_text():
                problems.append(f"{rule.says!r}: {name} has no {words!r}")
        mine = {n: c for n, c in refused.items() if c["error"] == rule.error and name_in(n, rule.cases)}
        claimed |= mine.keys()
        problems += [f"{rule.says!r}: {p}" for p in check_rule(rule, mine)]
    same = fc_with(())
    problems += [f"control, a reader with all rules misreads {n}" for n, c in refused.items() if misreads(same, c)]
    problems += [f"control, {r.says!r}: nobody misses its cases" for r in RULES if r.cases and not [*check_rule(r, {})]]
    problems += [f"no rule refuses {name}" for name in refused.keys() - claimed]
    problems += [f"no rule for what FORMAT.md says: {s!r}" for s in unlisted()]
    return problems


def check_rule(rule, cases: dict[str, dict]):
    if not cases and not rule.tests:
        yield "no case"
    for pattern in rule.cases:
        if not any(name_in(name, [pattern]) for name in cases):
            yield f"no case of class {rule.error} is named {pattern!r}"
    if cases and not rule.without:
        yield "no reader without it"
    for words in rule.without:
        try:
            reader = fc_with(words)
        except (SyntaxError, ValueError) as e:
            yield f"no reader with {words}: {e}"
            continue
        if not any(misreads(reader, case) for case in cases.values()):
            yield f"no case notices a reader with {words[-1][1]!r} for {words[-1][0]!r}"


def misreads(reader, case: dict) -> bool:
    try:
        got, _ = outcome(lambda: read(case, reader), reader)
    except (ValueError, IndexError, struct.error):  # what bytes do to a reader that doesn't check them
        return True
    return got != case["error"]


def fc_with(words) -> types.ModuleType:
    """A copy of fieldcrypt_v1 with words replaced that are there once."""
    source = Path(fc.__file__).read_text()
    for old, new in words:
        if source.count(old) != 1:
            raise ValueError(f"{source.count(old)} times {old!r} in fieldcrypt_v1.py")
        source = source.replace(old, new)
    reader = types.ModuleType("fieldcrypt_v1_without")
    reader.decrypt_only, reader.siv_decrypt_only = decrypt_only, siv_decrypt_only
    exec(compile(source, "fieldcrypt_v1 without a rule", "exec"), reader.__dict__)
    return reader


def decrypt_only(key: bytes, nonce: bytes, sealed: bytes, _) -> bytes:
    """AES-GCM without its tag: CTR mode, in which a message begins with block 2."""
    return Cipher(algorithms.AES(key), modes.CTR(nonce + b"\x00\x00\x00\x02")).decryptor().update(sealed[:-16])


def siv_decrypt_only(key: bytes, sealed: bytes, _) -> bytes:
    """AES-SIV without its comparison: CTR mode, which begins with the SIV less two of its bits."""
    start = bytearray(sealed[:16])
    start[8] &= 0x7F
    start[12] &= 0x7F
    return Cipher(algorithms.AES(key[len(key) // 2 :]), modes.CTR(bytes(start))).decryptor().update(sealed[16:])


def name_in(name: str, patterns) -> bool:
    return any(fnmatch.fnmatchcase(name, p) for p in patterns)


def page_text() -> str:
    return (ROOT / "envelope" / "FORMAT.md").read_text()


def one_line(text: str) -> str:
    return " ".join(text.split())


def one_line_each(text: str) -> str:
    """Paragraphs and list items in a line each, with an empty line between them."""
    return "\n\n".join(map(one_line, re.split(r"\n\n|\n(?=- |\d\. )", text)))


def unlisted():
    """Sentences that refuse something, of what is built, without a rule."""
    page = page_text().partition("\n## Names\n")[2].partition("\n## Worked example\n")[0]
    for section in re.split(r"\n##+ .*\n+", page):
        if section.startswith("*Not built yet.*"):
            continue
        prose = re.sub(r"^\|.*", "", section, flags=re.MULTILINE)  # without tables
        for sentence in re.split(r"(?<=[.;]) |\n\n", one_line_each(prose)):
            ours = any(one_line(r.says) in sentence or sentence in one_line(r.says) for r in RULES)
            if REFUSES.search(sentence) and not NOT_BUILT.search(sentence) and not ours:
                yield sentence


def main() -> int:
    files = sorted((ROOT / "testdata" / "vectors").glob("*.json"))
    cases = [case for file in files for case in json.loads(file.read_bytes())["cases"]]
    for rule in RULES:
        names = [f"{c['kind']}: {c['name']}" for c in cases if c["error"] == rule.error]
        print(f"- {rule.says}" + (f" ({rule.error})" if rule.error else ""))
        for name in [*(n for n in names if name_in(n, rule.cases)), *rule.tests]:
            print(f"  - {name}")
    problems = check_rules(cases)
    for problem in problems:
        print("FAIL", problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
