"""Treats each module by itself, outside of the workspace, as its users get it.

    python3 scripts/modules.py check     builds and vets each module, and runs its examples
    python3 scripts/modules.py tidy      go mod tidy in each module
    python3 scripts/modules.py upgrade   newest dependencies in each module

Nested modules require versions of their neighbours that may not be published
yet. A replace line would help, but go install refuses modules that have one.
So the line is put into a temporary copy of go.mod, and no committed go.mod has
one.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import gotest
import project

EXAMPLE = re.compile(r"^func (Example|TestMy)", re.MULTILINE)
ALONE = os.environ | {"GOWORK": "off"}


def go(*arguments, folder=".", code=False):
    command = ["go", *map(str, arguments)]
    if code:
        return project.call(command, cwd=project.ROOT / folder, env=ALONE)
    project.check(command, cwd=project.ROOT / folder, env=ALONE)


def described(path):
    command = ["go", "mod", "edit", "-json", str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=ALONE).stdout)


@contextlib.contextmanager
def modfile(folder, folders):
    """A copy of a module's go.mod and go.sum, in which its neighbours are
    replaced by their folders here."""
    source = project.ROOT / folder
    with tempfile.TemporaryDirectory(prefix="fieldcrypt-module-") as place:
        copy = Path(place) / "go.mod"
        shutil.copy(source / "go.mod", copy)
        if (source / "go.sum").exists():
            shutil.copy(source / "go.sum", place)
        own = described(copy)["Module"]["Path"]
        neighbours = {described(project.ROOT / other / "go.mod")["Module"]["Path"]: project.ROOT / other for other in folders}
        lines = [f"-replace={path}={where}" for path, where in neighbours.items() if path != own]
        if lines:
            go("mod", "edit", *lines, copy)
        yield copy, [path for path in neighbours if path != own]


def check(folders):
    tally, wrong = gotest.Tally(), []
    for folder in folders:
        if replaced := described(project.ROOT / folder / "go.mod").get("Replace"):
            wrong.append(f"{folder}/go.mod replaces {', '.join(r['Old']['Path'] for r in replaced)}: go install refuses such a module")
            continue
        print(f"\nmodule {folder}", flush=True)
        with modfile(folder, folders) as (copy, _):
            flag = f"-modfile={copy}"
            for step in (["build", flag, "-o", os.devnull], ["vet", flag]):
                if go(*step, "./...", folder=folder, code=True) != 0:
                    wrong.append(f"{folder}: go {step[0]} failed")
            if go("mod", "verify", flag, folder=folder, code=True) != 0:
                wrong.append(f"{folder}: go mod verify failed")
            if go("mod", "tidy", "-diff", flag, folder=folder, code=True) != 0:
                wrong.append(f"{folder}: go.mod or go.sum isn't tidy; run 'make tidy'")
            # Through the environment, for the go commands that tests start.
            tests = ALONE | {"GOFLAGS": f"{os.environ.get('GOFLAGS', '')} {flag}".strip()}
            # All tests run in the workspace; vet has compiled them here, and the
            # examples show that what was built works.
            files = [path for path in gotest.test_files(folder, []) if EXAMPLE.search(path.read_text())]
            if files:
                gotest.run(tally, folder, ["-short", "-run=^(Example|TestMy)"], sorted({str(path.parent) for path in files}), env=tests)
    for text in wrong:
        print(f"\n{text}", file=sys.stderr)
    return max(gotest.report(tally, strict=project.IN_CI), 1 if wrong else 0)


def tidy(folders, upgrade=False):
    for folder in folders:
        with modfile(folder, folders) as (copy, neighbours):
            flag = f"-modfile={copy}"
            if upgrade:
                go("get", flag, "-u", "-t", "./...", folder=folder)
            go("mod", "tidy", flag, folder=folder)
            if neighbours:
                go("mod", "edit", *(f"-dropreplace={path}" for path in neighbours), copy)
            for name in ("go.mod", "go.sum"):
                if copy.with_name(name).exists():
                    shutil.copy(copy.with_name(name), project.ROOT / folder / name)
    if upgrade:
        # A new dependency may have raised a module's go line, and the workspace
        # is refused while its own is lower.
        project.check(["go", "work", "use"], cwd=project.ROOT)
    return 0


def main():
    project.stop_on_signals()
    folders = project.modules()
    actions = {"check": check, "tidy": tidy, "upgrade": lambda f: tidy(f, upgrade=True)}
    if len(sys.argv) != 2 or sys.argv[1] not in actions:
        sys.exit(__doc__)
    sys.exit(actions[sys.argv[1]](folders))


if __name__ == "__main__":
    main()
