"""Formatting, vet, linters and known vulnerabilities in all modules, and the
names of make's targets wherever they are written.

    python3 scripts/lint.py             says what is wrong
    python3 scripts/lint.py --format    formats the Go files

All checks run; the exit code is 1 if any of them found something. Where the
vulnerability database can't be reached that check is left out, which is said,
and is a failure only if CI_STRICT_VULN is set.
"""

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

import project

GENERATED = re.compile(r"^// Code generated .* DO NOT EDIT\.$", re.MULTILINE)
NAMES_TARGETS = (".github/workflows/*.yml", ".ci/run", "README.md", "CONTRIBUTING.md", "SECURITY.md")
CALL = re.compile(r"\bmake((?: +[\w.=-]+)+)")
MARKDOWN_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
WORKFLOW_COMMAND = re.compile(r"^[ -]*run: *(.*)$", re.MULTILINE)
VULNERABILITIES = os.environ.get("GOVULNDB", "https://vuln.go.dev")


def in_each_module(command, **options):
    return all([project.call(command, cwd=project.ROOT / m, **options) == 0 for m in project.modules()])


def modules_listed():
    """allmodules, go.work and the go.mod files name the same modules."""
    listed = set(project.modules())
    command = ["go", "work", "edit", "-json", "go.work"]
    work = subprocess.run(command, cwd=project.ROOT, check=True, capture_output=True, text=True).stdout
    used = {os.path.normpath(use["DiskPath"]) for value in project.objects(work) for use in value.get("Use") or []}
    exist = {os.path.dirname(name) or "." for name in project.tracked("go.mod", "**/go.mod")}
    good = True
    for folder in sorted(listed | used | exist):
        where = {"allmodules": folder in listed, "go.work": folder in used, "its go.mod": folder in exist}
        if not all(where.values()):
            good = False
            print(f"module {folder} is missing from {', '.join(name for name, there in where.items() if not there)}")
    return good


def targets_exist():
    """What workflows, .ci/run and pages call as make targets are targets."""
    makefile = (project.ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))
    good, calls = True, 0
    for name in project.tracked(*NAMES_TARGETS):
        text = (project.ROOT / name).read_text()
        if name.endswith(".yml"):
            commands = WORKFLOW_COMMAND.findall(text)
            for command in commands:
                if not CALL.fullmatch(command):
                    good = False
                    print(f"{name} runs {command!r}, which isn't a call of make and nothing else")
            text = "\n".join(commands)
        elif name.endswith(".md"):
            # Prose makes this and that; code makes targets.
            text = "\n".join(MARKDOWN_CODE.findall(text))
        for words in CALL.findall(text):
            for target in words.split():
                if "=" in target or target.startswith("-"):
                    continue
                calls += 1
                if target not in targets:
                    good = False
                    print(f"{name} names 'make {target}', which isn't a target of the Makefile")
    if calls == 0:
        print("no call of make was found: the check looks in the wrong place")
    return good and calls > 0


def gofumpt(flag):
    files = [f for f in project.tracked("*.go") if not GENERATED.search((project.ROOT / f).read_text()[:1000])]
    return [str(project.tool("gofumpt")), flag, *files]


def formatted():
    """gofumpt would change nothing."""
    command = gofumpt("-l")
    done = subprocess.run(command, cwd=project.ROOT, stdout=subprocess.PIPE, text=True)
    if done.stdout:
        print("not formatted (to do so: make format):\n" + done.stdout, end="")
    return done.returncode == 0 and not done.stdout


def python_checked():
    """Python files are free of what pyflakes finds."""
    python = project.environment("pyflakes", project.ROOT / "scripts" / "pyflakes.txt")
    command = [str(python), "-W", "error", "-m", "pyflakes", *project.tracked("*.py")]
    return project.call(command, cwd=project.ROOT) == 0


def vetted():
    """go vet, with all build tags."""
    return in_each_module(["go", "vet", f"-tags={project.ALL_TAGS}", "./..."])


def golangci(packages):
    config, tags = f"--config={project.ROOT / '.golangci.yml'}", f"--build-tags={project.ALL_TAGS}"
    return [str(project.tool("golangci-lint")), "run", "--allow-parallel-runners", config, tags, packages]


def linted():
    """golangci-lint, staticcheck in it, with .golangci.yml."""
    env = os.environ | {"GOLANGCI_LINT_CACHE": str(project.CACHE / "golangci-lint")}
    return in_each_module(golangci("./..."), env=env)


def free_of_known_vulnerabilities():
    """govulncheck."""
    try:
        urllib.request.urlopen(f"{VULNERABILITIES}/index/db.json", timeout=15).close()
    except (urllib.error.URLError, OSError, ValueError) as why:
        print(
            f"left out: govulncheck, because {VULNERABILITIES} can't be reached ({why}); "
            "to run it: make lint where that host can be reached, or set GOVULNDB to a copy of the database"
        )
        return None
    command = [str(project.tool("govulncheck")), f"-tags={project.ALL_TAGS}", "./..."]
    return in_each_module(command)


CHECKS = [modules_listed, targets_exist, formatted, python_checked, vetted, linted, free_of_known_vulnerabilities]


def main():
    project.stop_on_signals()
    if sys.argv[1:] == ["--format"]:
        sys.exit(project.call(gofumpt("-w"), cwd=project.ROOT))
    verdicts = {}
    for check in CHECKS:
        begun = time.monotonic()
        verdicts[check] = check()
        word = {True: "ok  ", False: "FAIL", None: "left out"}[verdicts[check]]
        print(f"{word} {check.__doc__.strip('.')} ({time.monotonic() - begun:.0f} s)", flush=True)
    bad = [c for c, v in verdicts.items() if v is False or v is None and os.environ.get("CI_STRICT_VULN")]
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
