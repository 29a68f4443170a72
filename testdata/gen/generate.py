"""Writes testdata/vectors, or with --check reads what is there.

    python generate.py           write key.json, field.json, deterministic.json, index.json and text.json
    python generate.py --check   read every file with the Python reader, and
                                 fail if writing would change any byte

Both fail if the rules of the page and the cases don't fit each other.
"""

import argparse
import json
import sys
from pathlib import Path

import cases_deterministic
import cases_field_negative
import cases_field_positive
import cases_index
import cases_key
import cases_text
from check import check_all
from rules import RULES, check_rules

VECTORS = Path(__file__).resolve().parent.parent / "vectors"


def files() -> dict[str, list[dict]]:
    return {
        "field.json": [*cases_field_positive.cases(), *cases_field_negative.cases()],
        "deterministic.json": [*cases_deterministic.cases()],
        "index.json": [*cases_index.cases()],
        "key.json": [*cases_key.positive(), *cases_key.negative()],
        "text.json": [*cases_text.positive(), *cases_text.negative()],
    }


def encoded(cases: list[dict]) -> bytes:
    """JSON in ASCII, a member a line: no editor or Unicode normaliser changes what a name is made of."""
    return (json.dumps({"format": "fieldcrypt/v1", "cases": cases}, indent=1) + "\n").encode("ascii")


def write() -> list[str]:
    VECTORS.mkdir(exist_ok=True)
    for name, cases in files().items():
        (VECTORS / name).write_bytes(encoded(cases))
    return []


def unchanged() -> list[str]:
    problems = []
    for name, cases in files().items():
        path = VECTORS / name
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif path.read_bytes() != encoded(cases):
            problems.append(f"{name} is not what generate.py writes: vectors never change once released")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; read the vectors and compare")
    problems = unchanged() if parser.parse_args().check else write()
    problems += check_all(sorted(VECTORS.glob("*.json")))
    problems += check_rules([case for cases in files().values() for case in cases])
    print(f"all\trules\t{len(RULES)}")
    for problem in problems:
        print("FAIL", problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
