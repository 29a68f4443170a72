"""Changes the code of a folder in small ways, one at a time, and counts how
many of the changes the folder's tests notice.

    python3 scripts/mutate.py FOLDER [gremlins flags]

Works on a copy of the root module's files, since gremlins copies all that
lies in the module's folder, caches too.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import project

TARGET = 85.0  # per cent


def main():
    project.stop_on_signals()
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    gremlins, nested = project.tool("gremlins"), [f"{m}/" for m in project.modules() if m != "."]
    with tempfile.TemporaryDirectory(prefix="fieldcrypt-mutate-") as place:
        tree, scratch = Path(place) / "tree", Path(place) / "scratch"
        scratch.mkdir()
        for name in project.tracked():
            if not name.startswith(tuple(nested)):
                copy = tree / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(project.ROOT / name, copy)
        result = Path(place) / "mutation.json"
        project.check(
            [str(gremlins), "unleash", *sys.argv[2:], f"--output={result}", f"./{sys.argv[1]}"],
            cwd=tree,
            env=os.environ | {"GOWORK": "off", "TMPDIR": str(scratch)},
        )
        counts = json.loads(result.read_text())
    print(json.dumps({k: v for k, v in counts.items() if k != "files"}))


if __name__ == "__main__":
    main()
