"""Runs the tests of every module named in allmodules, and says what happened.

    python3 scripts/test.py [--servers] [go test flags ...]

With --servers the tests that need LocalStack or PostgreSQL are run too (see
with_servers.py). What is left out, and every skipped test, is named at the end;
under CI=true either is a failure. The last line counts.
"""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TAGS = {"localstack": "FIELDCRYPT_TEST_KMS_ENDPOINT", "postgres": "FIELDCRYPT_TEST_POSTGRES_URL"}


def modules():
    return (ROOT / "allmodules").read_text(encoding="utf-8").split()


def tagged(tag):
    """The test files that only a build tag brings in."""
    files = []
    for path in sorted(ROOT.rglob("*_test.go")):
        head = path.read_text(encoding="utf-8")[:200]
        if f"//go:build {tag}" in head:
            files.append(str(path.relative_to(ROOT)))
    return files


def run_module(folder, flags, tally):
    command = ["go", "test", "-json", *flags, "./..."]
    process = subprocess.Popen(command, cwd=ROOT / folder, stdout=subprocess.PIPE, text=True)
    output = {}
    for line in process.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            print(line, end="")
            continue
        key = (event.get("Package") or event.get("ImportPath"), event.get("Test"))
        action = event["Action"]
        if action in ("output", "build-output"):
            text = event["Output"]
            if "SCOREBOARD\t" in text:
                tally["rows"].append(text[text.index("SCOREBOARD\t") + 11 :].rstrip("\n"))
            output.setdefault(key, []).append(text)
        elif action in ("pass", "fail", "skip") and event.get("Test"):
            tally[action].append(f"{key[0]} {key[1]}")
            if action == "fail":
                print("".join(output.get(key, [])), end="")
            output.pop(key, None)
        elif action == "fail" or action == "build-fail":
            print("".join(output.get(key, [])), end="")
            print(f"FAIL  {key[0]}")
        elif action == "pass":
            print(f"ok    {key[0]}  {event.get('Elapsed', 0):.1f}s", flush=True)
    if process.wait() != 0:
        tally["broken"].append(folder)


def main():
    flags = sys.argv[1:]
    servers = "--servers" in flags
    flags = [f for f in flags if f != "--servers"]
    tags, left_out = [], []
    for tag, variable in TAGS.items():
        if servers and os.environ.get(variable):
            tags.append(tag)
        else:
            why = os.environ.get(f"FIELDCRYPT_LEFT_OUT_{tag}", f"{variable} is not set; make test sets it")
            left_out += [f"{name}: {why}" for name in tagged(tag)]
    if tags:
        flags.append("-tags=" + ",".join(tags))
    tally = {"pass": [], "fail": [], "skip": [], "broken": [], "rows": []}
    for folder in modules():
        run_module(folder, flags, tally)
    for row in tally["rows"]:
        print(row)
    for name in left_out:
        print("left out:", name)
    for name in tally["skip"]:
        print("skipped:", name)
    for name in tally["fail"]:
        print("failed:", name)
    for name in tally["broken"]:
        print("module with failures:", name)
    strict = os.environ.get("CI") == "true"
    failed = bool(tally["broken"]) or not tally["pass"] or (strict and (bool(tally["skip"]) or (servers and bool(left_out))))
    print(f"{len(tally['pass'])} passed, {len(tally['fail'])} failed, {len(tally['skip'])} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
