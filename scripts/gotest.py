"""Runs the tests of all modules and says what ran, what failed, what was
skipped and what was left out.

    python3 scripts/gotest.py [--local] [--race] [--fips] [--cover] [--no-skip] [--module DIR ...] [-- go test flags]

Tests with the build tag of a server (see SERVERS in project.py) run if its
variable is set, and are listed as left out if not; --local leaves them all
out. Tests named TestScoreboardP... measure time, which a loaded machine spoils;
they run when -run asks for them (make bench), and in CI so do all rows of the
scoreboard, which make scoreboard runs there. With --no-skip, and in CI (CI=true), a skipped test is a failure, and so
is a test left out, unless --local asked for it. The last line is
"N passed, N failed, N skipped".
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys
import time

import project

ROW = "SCOREBOARD\t"  # internal/scoreboard begins its lines with it
MEASUREMENTS = "^TestScoreboardP"
ALL_ROWS = "^TestScoreboard"
# One package more than there are processors, since many wait for most of their time.
AT_ONCE = f"-p={(os.cpu_count() or 1) + 1}"
LONGEST = ("/sweep/drivertest", "/sqlstore/drivertest", "/envelope", "/examples")
TEST_FUNCTION = re.compile(r"^func ((?:Test|Fuzz|Example)\w*)\(", re.MULTILINE)


class Tally:
    """Counts over any number of runs. A test is a test function without
    subtests, or a subtest without further ones; a test that failed although
    all its subtests passed counts too."""

    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], []
        self.modules, self.packages, self.without_tests = 0, 0, []
        self.coverage, self.rows = {}, []

    def join(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.packages += other.packages

    def count_line(self):
        return f"{self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"

    def package(self, package, results, outcome):
        self.packages += 1
        failures = len(self.failed)
        for name, result in counted(results):
            if result == "pass":
                self.passed += 1
            elif result == "skip":
                self.skipped.append(f"{package} {name}")
            else:
                self.failed.append(f"{package} {name}" + ("" if result == "fail" else " (did not finish)"))
        if outcome == "fail" and len(self.failed) == failures:
            self.failed.append(f"{package} (outside of any test)")


def counted(results):
    """Yields the name and outcome of each test of a package that counts."""
    parents = {name[:i] for name in results for i, c in enumerate(name) if c == "/"}
    failed = {name for name, outcome in results.items() if outcome == "fail"}
    for name, outcome in results.items():
        if name in parents and (outcome != "fail" or any(f.startswith(name + "/") for f in failed)):
            continue
        yield name, outcome


def packages(folders):
    """The packages of modules of the workspace, the longest first: they wait for most
    of their time, and others run beside them."""
    command = ["go", "list", f"-tags={project.ALL_TAGS}", *(f"./{folder}/..." for folder in folders)]
    listed = subprocess.run(command, cwd=project.ROOT, stdout=subprocess.PIPE, text=True)
    if listed.returncode != 0:
        sys.exit(listed.returncode)

    def place(package):
        return next((i for i, end in enumerate(LONGEST) if package.endswith(end)), len(LONGEST))

    return sorted(listed.stdout.split(), key=place)


def run_all(tally, folders, flags):
    """Runs go test once for modules of the workspace and adds its results to
    tally. A -p among flags says how many packages run at a time, in place of
    AT_ONCE."""
    run(tally, ".", [AT_ONCE, *flags], packages(folders))
    tally.modules += len(folders) - 1


def run(tally, folder, flags, patterns=("./...",), env=None):
    """Runs go test in a module's folder and adds its results to tally."""
    command = ["go", "test", "-json", *flags, *patterns]
    with project.group(command, cwd=project.ROOT / folder, env=env, stdout=subprocess.PIPE, text=True) as child:
        results, output, failures = collections.defaultdict(dict), collections.defaultdict(list), len(tally.failed)
        for line in child.stdout:
            if line.startswith("{"):
                event(tally, json.loads(line), results, output)
            else:
                print(line, end="", flush=True)
        code = child.wait()
    tally.modules += 1
    if code != 0 and len(tally.failed) == failures:
        tally.failed.append(f"{' '.join(command)}: ended with {code}")


def event(tally, e, results, output):
    action, package, test = e["Action"], e.get("Package", ""), e.get("Test", "")
    if action == "build-output":
        print(e["Output"], end="", flush=True)
    elif action == "output":
        output[package].append((test, e["Output"]))
        if ROW in e["Output"]:
            tally.rows.append(e["Output"].split(ROW, 1)[1].rstrip("\n"))
    elif test:
        if action == "run":
            results[package][test] = "unfinished"
        elif action in ("pass", "fail", "skip"):
            results[package][test] = action
    elif action in ("pass", "fail", "skip"):
        finish(tally, package, action, e.get("Elapsed", 0), results.pop(package, {}), output.pop(package, []))


def finish(tally, package, outcome, seconds, results, output):
    text = "".join(t for _, t in output)
    if found := re.search(r"coverage: ([\d.]+)% of statements", text):
        tally.coverage[package] = float(found[1])
    if outcome == "skip" or outcome == "pass" and not results:  # no tests, or none that were asked for
        tally.without_tests.append(package)
        return
    tally.package(package, results, outcome)
    cached = ", cached" if "(cached)" in text else ""
    mark = "ok  " if outcome == "pass" else "FAIL"
    print(f"{mark} {package}  {len(results)} tests, {seconds:.1f} s{cached}", flush=True)
    if outcome == "fail":
        passed = {name for name, result in results.items() if result in ("pass", "skip")}
        for test, line in output:
            if test not in passed and not line.startswith("=== "):
                print(f"    {line}", end="")
        sys.stdout.flush()


def left_out(folder, tags):
    """Yields (server, file, its tests) for each test file of a module that
    needs a server whose tag is not among tags."""
    chosen = test_files(folder, tags)
    for name in project.SERVERS:
        if name in tags:
            continue
        for path in sorted(test_files(folder, [*tags, name]) - chosen):
            yield name, path.relative_to(project.ROOT), TEST_FUNCTION.findall(path.read_text())


def test_files(folder, tags):
    command = ["go", "list", "-e", "-json=Dir,TestGoFiles,XTestGoFiles", f"-tags={','.join(tags)}", "./..."]
    listed = subprocess.run(command, cwd=project.ROOT / folder, check=True, capture_output=True, text=True).stdout
    return {
        project.Path(p["Dir"]) / name
        for p in project.objects(listed)
        for name in p.get("TestGoFiles", []) + p.get("XTestGoFiles", [])
    }


def report_left_out(folders, tags, local):
    """Prints what was left out, and returns how many tests those are."""
    missing = collections.defaultdict(list)
    for folder in folders:
        for server, path, tests in left_out(folder, tags):
            missing[server].append((path, tests))
    for server, files in missing.items():
        variable, remedy = project.SERVERS[server]
        why = "this run uses no servers" if local else f"{variable} is not set and no {server} was started"
        count = sum(len(tests) for _, tests in files)
        print(f"\nleft out: {count} tests tagged {server}, because {why}; to run them: {remedy}")
        for path, tests in files:
            print(f"    {path}: {', '.join(tests) or 'no test of its own'}")
    return sum(len(tests) for files in missing.values() for _, tests in files)


def row_order(row):
    name = row.split("\t")[0]
    return name[:1], int(re.sub(r"\D", "", name) or 0), name


def report(tally, strict, missing=0):
    """Prints the summary, ends with the count line and returns the exit code."""
    if tally.rows:
        print()
        print("".join(f"{row}\n" for row in sorted(tally.rows, key=row_order)), end="")
    if tally.coverage:
        print("\ncoverage of statements, each package by its own tests:")
        for package, percent in sorted(tally.coverage.items()):
            print(f"    {percent:5.1f} %  {package}")
    if tally.failed:
        print("\nfailed:")
        print("".join(f"    {name}\n" for name in tally.failed), end="")
    if tally.skipped:
        print("\nskipped:" if not strict else "\nskipped, which is a failure here:")
        print("".join(f"    {name}\n" for name in tally.skipped), end="")
    if strict and missing:
        print(f"\n{missing} tests were left out, which is a failure here")
    print(f"\n{tally.modules} modules, {tally.packages} packages with tests, {len(tally.without_tests)} without")
    print(tally.count_line(), flush=True)
    if tally.passed == 0 and not tally.failed:
        print("no test ran", file=sys.stderr)
        return 1
    return 1 if tally.failed or strict and (tally.skipped or missing) else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--local", action="store_true", help="no tests that need a server")
    parser.add_argument("--race", action="store_true", help="with the race detector")
    parser.add_argument("--fips", action="store_true", help="test programs run under GODEBUG=fips140=only")
    parser.add_argument("--cover", action="store_true", help="print each package's coverage")
    parser.add_argument("--no-skip", action="store_true", help="a skipped test is a failure; always so in CI")
    parser.add_argument("--module", action="append", help="only this module's folder (may be repeated)")
    parser.add_argument("flags", nargs="*", help="further flags for go test")
    args = parser.parse_args()
    project.stop_on_signals()

    folders = args.module or project.modules()
    tags = [] if args.local else [name for name, s in project.SERVERS.items() if os.environ.get(s.variable)]
    flags = [f"-tags={','.join(tags)}", *args.flags]
    if args.race:
        flags.append("-race")
    if args.cover:
        flags.append("-cover")
    if args.fips:
        # Through -exec, so that the go command itself stays out of it.
        flags.append("-exec=env GODEBUG=fips140=only")

    everything = not any(flag.startswith("-run") for flag in args.flags)
    # In CI, make scoreboard runs the rows, and once is enough.
    skip, instead = (ALL_ROWS, "make scoreboard and make bench") if project.IN_CI else (MEASUREMENTS, "make bench")
    if everything:
        flags.append(f"-skip={skip}")

    tally, begun = Tally(), time.monotonic()
    run_all(tally, folders, flags)
    missing = report_left_out(folders, tags, args.local)
    if everything:
        print(f"\nnot run: {skip}; to run them: {instead}", end="")
    print(f"\n{time.monotonic() - begun:.0f} s, build tags: {', '.join(tags) or 'none'}", end="")
    strict = args.no_skip or project.IN_CI
    sys.exit(report(tally, strict, 0 if args.local else missing))


if __name__ == "__main__":
    main()
