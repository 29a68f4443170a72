"""Fuzzes every fuzz target of every module, one after another.

    python3 scripts/fuzz.py [TIME]      TIME for each target: 10s, 5m, 100000x
"""

import collections
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import project

FUNCTION = re.compile(r"^func (Fuzz\w*)\(\w+ \*testing\.F\)", re.MULTILINE)


def targets():
    """The names of the Fuzz functions of each folder that has some."""
    found = collections.defaultdict(list)
    for name in project.tracked("*_test.go"):
        for target in FUNCTION.findall((project.ROOT / name).read_text()):
            found[Path(name).parent].append(target)
    return found


def fuzz(program, folder, target, length, corpus):
    """Returns (passed, output)."""
    command = [program, "-test.run=^$", f"-test.fuzz=^{target}$", f"-test.fuzztime={length}", f"-test.fuzzcachedir={corpus}"]
    with project.group(command, cwd=project.ROOT / folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        output = child.communicate()[0]
        return child.returncode == 0, output


def stopped_late(output):
    """Tells Go's own fault from a finding: before Go 1.27 a fuzzing run may
    fail because its time is up (go.dev/issue/75804). It has then written no
    failing input."""
    return "context deadline exceeded" in output and "Failing input written" not in output and "panic" not in output


def main():
    project.stop_on_signals()
    length = sys.argv[1] if len(sys.argv) > 1 else "10s"
    count, failed = 0, []
    cache = Path(subprocess.run(["go", "env", "GOCACHE"], check=True, capture_output=True, text=True).stdout.strip())
    with tempfile.TemporaryDirectory(prefix="fieldcrypt-fuzz-") as place:
        for folder, names in targets().items():
            # Once for all targets of a package: most of a short run would be this.
            program, corpus = Path(place) / "fuzz.test", cache / "fuzz" / "fieldcrypt" / folder
            project.check(["go", "test", "-c", "-fuzz=^Fuzz", "-o", program, f"./{folder}"], cwd=project.ROOT)
            for target in names:
                begun = time.monotonic()
                passed, output = fuzz(program, folder, target, length, corpus)
                if not passed and stopped_late(output):
                    print(f"     {folder} {target}: ran out of time while it stopped; again", flush=True)
                    passed, output = fuzz(program, folder, target, length, corpus)
                count += 1
                runs = re.findall(r"execs: (\d+)", output)
                print(
                    f"{'ok  ' if passed else 'FAIL'} {folder} {target}  {runs[-1] if runs else 0} inputs, "
                    f"{time.monotonic() - begun:.0f} s",
                    flush=True,
                )
                if not passed:
                    failed.append(f"{folder} {target}")
                    print(output, flush=True)
    for name in failed:
        print(f"failed: {name}")
    print(f"{count} fuzz targets, {len(failed)} failed")
    sys.exit(1 if failed or count == 0 else 0)


if __name__ == "__main__":
    main()
