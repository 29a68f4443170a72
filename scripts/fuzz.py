"""Fuzzes every fuzz target of every module, one after another.

    python3 scripts/fuzz.py [--keep] [TIME]      TIME for each target: 10s, 5m, 100000x

With --keep, inputs that reach new code are kept in Go's cache, and a run begins
with those of earlier ones: to try them all takes longer than a short run is.
"""

import collections
import concurrent.futures
import contextlib
import os
import re
import signal
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


def built(place, folder, compilers):
    """Compiles a package's targets once for all: most of a short run would be this."""
    program = place / folder / "fuzz.test"
    program.parent.mkdir(parents=True, exist_ok=True)
    command = ["go", "test", "-c", "-vet=off", "-fuzz=^Fuzz", "-o", program, f"./{folder}"]
    compilers.append(subprocess.Popen(command, cwd=project.ROOT, process_group=0))
    if code := compilers[-1].wait():
        raise RuntimeError(f"failed with {code}: {' '.join(map(str, command))}")
    return program


def kill(compilers):
    for compiler in compilers:
        if compiler.poll() is None:
            os.killpg(compiler.pid, signal.SIGKILL)


def main():
    project.stop_on_signals()
    arguments = [a for a in sys.argv[1:] if a != "--keep"]
    length = arguments[0] if arguments else "10s"
    count, failed, found = 0, [], targets()
    cache = Path(subprocess.run(["go", "env", "GOCACHE"], check=True, capture_output=True, text=True).stdout.strip())
    with tempfile.TemporaryDirectory(prefix="fieldcrypt-fuzz-") as name, contextlib.ExitStack() as stack:
        place, builder = Path(name), concurrent.futures.ThreadPoolExecutor(1)
        stack.callback(builder.shutdown, cancel_futures=True)
        compilers = []
        stack.callback(kill, compilers)
        corpora = cache / "fuzz" / "fieldcrypt" if "--keep" in sys.argv else place / "corpora"
        # The next package is compiled while one runs.
        for folder, program in [(folder, builder.submit(built, place, folder, compilers)) for folder in found]:
            for target in found[folder]:
                run = program.result(), folder, target, length, corpora / folder
                begun = time.monotonic()
                passed, output = fuzz(*run)
                if not passed and stopped_late(output):
                    print(f"     {folder} {target}: ran out of time while it stopped; again", flush=True)
                    passed, output = fuzz(*run)
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
