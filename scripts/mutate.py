"""Changes the code of a package in small ways, one at a time, and counts how
many of the changes the package's tests notice. Takes tens of minutes.

    python3 scripts/mutate.py FOLDER [gremlins flags]

Works on a copy of the root module's files, since gremlins copies all that lies
in the module's folder, caches too, for each of its workers.
"""

import collections
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import gotest
import project

TARGET = 85.0  # per cent of the changes that tests reach
# The tests are run once for each change: the short ones without the scoreboard's
# rows, up to the first that fails.
TEST_FLAGS = f"-short -vet=off -failfast -skip={gotest.ALL_ROWS}"


def score(folder, flags):
    """Returns the share of changes noticed, in per cent, and how many were tried."""
    gremlins, nested = project.tool("gremlins"), tuple(f"{m}/" for m in project.modules() if m != ".")
    # Packages below the folder have tests of their own.
    below = {Path(name).parent.relative_to(folder) for name in project.tracked(f"{folder}/*.go")} - {Path(".")}
    flags = flags + [f"--exclude-files=^{path}/" for path in below]

    with tempfile.TemporaryDirectory(prefix="fieldcrypt-mutate-") as place:
        tree, scratch, result = Path(place) / "tree", Path(place) / "scratch", Path(place) / "result.json"
        scratch.mkdir()
        for name in project.tracked():
            if not name.startswith(nested):
                copy = tree / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(project.ROOT / name, copy)
        # Go ignores a go.mod in the temporary folder itself, so that is another.
        env = os.environ | {"GOWORK": "off", "TMPDIR": str(scratch), "GOFLAGS": TEST_FLAGS}
        command = [str(gremlins), "unleash", "--timeout-coefficient=20", f"--output={result}", *flags, f"./{folder}"]
        project.check(command, cwd=tree, env=env, grace=20)
        files = json.loads(result.read_text())["files"] or []

    counts = collections.Counter(m["status"] for f in files for m in f["mutations"])
    noticed, lived = counts["KILLED"] + counts["TIMED OUT"], counts["LIVED"]
    if noticed + lived == 0:
        sys.exit("no change was tried")
    print(f"\n{dict(counts)}")
    return 100 * noticed / (noticed + lived), noticed + lived


def main():
    project.stop_on_signals()
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = sys.argv[1]
    percent, tried = score(folder, sys.argv[2:])
    print(f"mutation score of {folder}: {percent:.1f} % of {tried} changes noticed, the target is {TARGET} %")
    sys.exit(0 if percent >= TARGET else 1)


if __name__ == "__main__":
    main()
