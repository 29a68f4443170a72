"""Checks the committed test vectors against the program that made them."""

import project

GENERATOR = project.ROOT / "testdata" / "gen"

project.stop_on_signals()
python = project.environment("vectors", GENERATOR / "requirements.txt")
project.check([str(python), str(GENERATOR / "generate.py"), "--check"], cwd=project.ROOT)
