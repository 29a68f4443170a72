"""Prints rows S of the scoreboard: reliability and security.

    python3 scripts/scoreboard.py

Most rows are tests named TestScoreboardS... Three are runs of whole tools, each
beside a control that the tool must find fault with: S19 the race detector, S20
the tests where only FIPS 140-3 cryptography runs, S23 the linters and the
mutation score of package envelope. FULL=1 asks for whole counts; without it
tests run as with -short there and without the examples, those of S19 on PostgreSQL
alone of the databases and those of S20 on none, and the mutation score is left out.
"""

import os
import subprocess
import sys

import gotest
import lint
import mutate
import project

FULL = os.environ.get("FULL") == "1"
CONTROLS = "./internal/scoreboard/testdata"
GO_ROWS = "^TestScoreboardS"
# A quick run leaves out under the race detector: SQLite, which is Go in these tests
# and takes minutes there, and MariaDB; the tests of key stores on databases; and
# packages that start no goroutines. make race runs all.
SLOW_UNDER_RACE = f"{gotest.ALL_ROWS}|/^(sqlite|mariadb)$"
LEFT_OUT_UNDER_RACE = ("/sqlstore/drivertest", "/indexplan", "/normalise", "/phone", "/schemayaml", "/madeup", "/tinklegacy", "/wycheproof")
# And where only FIPS 140-3 cryptography runs: databases, and what seals nothing itself.
LEFT_OUT_IN_FIPS = ("/drivertest", "/failover", "/indexplan", "/examine", "/madeup", "/normalise", "/phone", "/residency", "/schemayaml", "/sqlerr", "/sweep")


def row(name, ok, figure, target, control):
    verdict = "ok" if ok else "FALLS SHORT"
    return "\t".join([name, verdict, figure, target, control])


def control(command, env=None):
    """Runs a program that must fail; returns what it printed."""
    done = subprocess.run(command, cwd=project.ROOT, env=os.environ | (env or {}), capture_output=True, text=True)
    if done.returncode == 0:
        sys.exit(f"the control didn't fail: {' '.join(command)}")
    return done.stdout + done.stderr


def suite(tags, *flags, skip=gotest.ALL_ROWS, without=()):
    """Runs all tests, save the rows and the measurements of time; without FULL=1
    with the counts of -short and without the examples, since make test has it all."""
    tally = gotest.Tally()
    folders = [folder for folder in project.modules() if FULL or folder != "examples"]
    packages = [package for package in gotest.packages(folders) if not package.endswith(without)]
    short = [] if FULL else ["-short"]
    gotest.run(tally, ".", [f"-tags={tags}", gotest.AT_ONCE, f"-skip={skip}", *short, *flags], packages)
    return tally


def races(tags):
    print("\nS19: all tests under the race detector", flush=True)
    tally = suite(tags, "-race") if FULL else suite(tags, "-race", skip=SLOW_UNDER_RACE, without=LEFT_OUT_UNDER_RACE)
    seen = control(["go", "run", "-race", f"{CONTROLS}/race"]).count("WARNING: DATA RACE")
    note = "" if FULL else ", without examples, key stores on databases, tests on SQLite and MariaDB, and what has one goroutine"
    return tally, suite_row("S19", tally, note, f"a program with a race: {seen} reported")


def fips(tags):
    only = "GODEBUG=fips140=only"
    print(f"\nS20: all tests{'' if tags else ' without servers'} under {only}", flush=True)
    tally = suite(tags, f"-exec=env {only}", without=() if FULL else LEFT_OUT_IN_FIPS)
    said = control(["go", "run", f"-exec=env {only}", f"{CONTROLS}/fips"]).strip().splitlines()[0]
    return tally, suite_row("S20", tally, "" if FULL else ", without examples, databases and packages that seal nothing themselves", f"a caller's own nonces: {said.split(' ', 2)[-1]}")


def suite_row(name, tally, note, seen):
    found = len(tally.failed)
    return row(name, found == 0, f"{found} failed of {tally.passed + found} tests{note}", "0", seen)


def findings():
    print("\nS23: linters" + (", then small changes to package envelope" if FULL else ""), flush=True)
    verdicts = {check: check() for check in lint.CHECKS}
    left_out = [check.__doc__.strip(".") for check, verdict in verdicts.items() if verdict is None]
    bad = [check.__doc__.strip(".") for check, verdict in verdicts.items() if verdict is False]
    seen = control(lint.golangci(f"{CONTROLS}/lint")).count("^")
    text = f"{len(bad)} of {len(verdicts) - len(left_out)} checks found something"
    text += "".join(f"; {name} could not run" for name in left_out)
    good, target = not bad, "0"
    if FULL:
        score, tried = mutate.score("envelope", [])
        good = good and score >= mutate.TARGET
        text, target = f"{text}; mutation score {score:.1f} % of {tried} changes", f"0; >= {mutate.TARGET:.0f} %"
    else:
        text += "; mutation score not measured: FULL=1 or make mutate"
    return row("S23", good, text, target, f"a faulty file: {seen} findings")


def main():
    project.stop_on_signals()
    tags = ",".join(name for name, s in project.SERVERS.items() if os.environ.get(s.variable))
    tally = gotest.Tally()
    # Two at a time: some rows measure time.
    gotest.run_all(tally, project.modules(), [f"-tags={tags}", "-p=2", "-count=1", "-timeout=120m", f"-run={GO_ROWS}"])
    for part, line in [races(tags), fips(tags if FULL else "")]:
        tally.join(part)
        tally.rows.append(line)
    tally.rows.append(findings())
    code = gotest.report(tally, strict=project.IN_CI)
    short = any("\tFALLS SHORT\t" in line for line in tally.rows)
    sys.exit(1 if code or short else 0)


if __name__ == "__main__":
    main()
