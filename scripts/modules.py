"""Builds, vets and tests each module by itself, as its users get it.

    python3 scripts/modules.py

Modules see each other through the workspace only while they are developed
together. Here each runs with GOWORK=off; a module that needs another one of
this repository finds it through a temporary go.mod, since a committed one
carries no replace line (go install refuses such a module).
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main():
    env = {**os.environ, "GOWORK": "off"}
    folders = (ROOT / "allmodules").read_text(encoding="utf-8").split()
    paths = {}
    for folder in folders:
        described = subprocess.run(["go", "mod", "edit", "-json"], cwd=ROOT / folder, env=env, check=True, stdout=subprocess.PIPE)
        module = json.loads(described.stdout)
        if module.get("Replace"):
            sys.exit(f"{folder}/go.mod carries a replace line")
        paths[module["Module"]["Path"]] = ROOT / folder
    for folder in folders:
        print(f"== {folder}", flush=True)
        with tempfile.TemporaryDirectory() as temp:
            modfile = pathlib.Path(temp) / "go.mod"
            shutil.copy(ROOT / folder / "go.mod", modfile)
            sums = ROOT / folder / "go.sum"
            if sums.exists():
                shutil.copy(sums, pathlib.Path(temp) / "go.sum")
            if folder != ".":
                for path, where in paths.items():
                    if where != ROOT / folder:
                        subprocess.run(["go", "mod", "edit", f"-replace={path}={where}", modfile], env=env, check=True)
            extra = [f"-modfile={modfile}"]
            for step in (["build"], ["vet"], ["test", "-short"]):
                mod = ["-mod=mod"] if folder != "." else []
                done = subprocess.run(["go", step[0], *extra, *mod, *step[1:], "./..."], cwd=ROOT / folder, env=env)
                if done.returncode:
                    sys.exit(f"{folder}: go {step[0]} failed on its own")
    return 0


if __name__ == "__main__":
    sys.exit(main())
