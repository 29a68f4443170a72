"""Fuzzes every fuzz target of every module, one after another.

    python3 scripts/fuzz.py [TIME]      TIME for each target: 10s, 5m, 100000x
"""

import re
import subprocess
import sys
import time

import project


def targets(folder):
    """Yields (package, target) for each Fuzz function of a module."""
    command = ["go", "test", "-json", "-list=^Fuzz", "./..."]
    listed = subprocess.run(command, cwd=project.ROOT / folder, capture_output=True, text=True)
    if listed.returncode != 0:
        sys.exit(f"listing the fuzz targets of {folder} failed:\n{listed.stdout}{listed.stderr}")
    for event in project.objects(listed.stdout):
        name = event.get("Output", "").strip()
        if re.fullmatch(r"Fuzz\w*", name):
            yield event["Package"], name


def fuzz(folder, package, target, length):
    """Returns (passed, output)."""
    command = ["go", "test", "-run=^$", f"-fuzz=^{target}$", f"-fuzztime={length}", package]
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
    for folder in project.modules():
        for package, target in targets(folder):
            begun = time.monotonic()
            passed, output = fuzz(folder, package, target, length)
            if not passed and stopped_late(output):
                print(f"     {package} {target}: ran out of time while it stopped; again", flush=True)
                passed, output = fuzz(folder, package, target, length)
            count += 1
            runs = re.findall(r"execs: (\d+)", output)
            print(
                f"{'ok  ' if passed else 'FAIL'} {package} {target}  {runs[-1] if runs else 0} inputs, "
                f"{time.monotonic() - begun:.0f} s",
                flush=True,
            )
            if not passed:
                failed.append(f"{package} {target}")
                print(output, flush=True)
    for name in failed:
        print(f"failed: {name}")
    print(f"{count} fuzz targets, {len(failed)} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
