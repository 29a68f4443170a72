"""Runs every fuzz target of every module for a time each.

    python3 scripts/fuzz.py 10s
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main():
    duration = sys.argv[1] if len(sys.argv) > 1 else "10s"
    count = 0
    for folder in (ROOT / "allmodules").read_text(encoding="utf-8").split():
        base = ROOT / folder
        nested = {p.parent for p in base.rglob("go.mod")} - {base}
        for path in sorted(base.rglob("*_test.go")):
            if any(parent in nested for parent in path.parents):
                continue
            for name in re.findall(r"^func (Fuzz\w+)\(", path.read_text(encoding="utf-8"), re.M):
                package = "./" + str(path.parent.relative_to(base))
                print(f"== {folder} {package} {name} {duration}", flush=True)
                run = ["go", "test", "-run=^$", f"-fuzz=^{name}$", f"-fuzztime={duration}", package]
                if subprocess.run(run, cwd=base).returncode:
                    return 1
                count += 1
    print(f"{count} fuzz targets, no failure")
    return 0 if count else 1


if __name__ == "__main__":
    sys.exit(main())
