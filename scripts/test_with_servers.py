"""Checks that with_servers.py stops all that it started, however it ends.

    python3 scripts/test_with_servers.py [test ...]
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import project
import with_servers

UP_SECONDS = 2 * with_servers.ATTEMPTS * with_servers.START_SECONDS
STOP_SECONDS = 60
GONE_SECONDS = 10  # for what was killed to leave the list of processes

# Says where the servers are, starts a program of its own, and does as it is
# told. The name of the file appears when the file is whole.
COMMAND = """
import json, os, subprocess, sys, time
subprocess.Popen(["sleep", "300"])
variables = json.loads(sys.argv[2])
with open(sys.argv[1] + ".new", "w") as file:
    json.dump({name: os.environ[v] for name, v in variables.items() if v in os.environ}, file)
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(float(sys.argv[3]))
sys.exit(int(sys.argv[4]))
"""


def processes():
    """All processes: for each (number, start), since numbers are used again,
    its parent's number."""
    found = {}
    if os.path.exists("/proc/self/stat"):
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                # The name, which may hold anything, stands in parentheses.
                fields = path.read_text(errors="replace").rpartition(")")[2].split()
                if fields[0] not in "ZX":  # ended, and not yet collected by its parent
                    found[int(path.parent.name), fields[19]] = int(fields[1])
        return found
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat=,lstart="], check=True, capture_output=True, text=True).stdout
    for line in listed.splitlines():
        pid, parent, state, start = line.split(None, 3)
        if state[0] != "Z":
            found[int(pid), start.strip()] = int(parent)
    return found


def descendants(pid):
    """The processes that pid started, and those that they did."""
    living, parents, found = processes(), {pid}, set()
    while more := {p for p, parent in living.items() if parent in parents} - found:
        found |= more
        parents = {number for number, _ in more}
    return found


def answers(address):
    with socket.socket() as s:
        s.settimeout(2)
        return s.connect_ex(address) == 0


def until(true, seconds):
    """Waits until true() is, and returns what it was in the end."""
    deadline = time.monotonic() + seconds
    while not (value := true()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return value


class Run:
    """A run of with_servers.py whose temporary folders lie in one of its own."""

    def __init__(self, place, sleep, code):
        self.place, self.said = place / "tmp", place / "said"
        self.place.mkdir()
        place.chmod(0o711)  # PostgreSQL may run as another user
        self.place.chmod(0o711)
        self.log = open(place / "log", "wb")
        variables = {name: server.variable for name, server in project.SERVERS.items()}
        self.command = [sys.executable, str(Path(with_servers.__file__)), "--", sys.executable, "-c", COMMAND]
        self.command += [str(self.said), json.dumps(variables), str(sleep), str(code)]
        self.env = {k: v for k, v in os.environ.items() if k not in variables.values()} | {"TMPDIR": str(self.place)}
        self.processes, self.addresses = set(), []

    def folders(self):
        return sorted(self.place.iterdir())

    def note(self):
        self.processes |= descendants(self.child.pid)

    def wait_for_servers(self):
        until(lambda: self.said.exists() or self.child.poll() is not None, UP_SECONDS)
        if not self.said.exists():
            raise AssertionError("the servers didn't come up:\n" + self.output())
        self.note()
        self.urls = json.loads(self.said.read_text())
        # MariaDB's address isn't a URL.
        found = [re.search(r"(127\.0\.0\.1):(\d+)", url) for url in self.urls.values()]
        self.addresses = [(f[1], int(f[2])) for f in found]

    def left(self):
        """What of it is still there."""
        alive = self.processes & processes().keys()
        return [f"process {pid}" for pid, _ in sorted(alive)] + [
            f"server at {host}:{port}" for host, port in self.addresses if answers((host, port))
        ] + [f"folder {path}" for path in self.folders()]

    def output(self):
        return with_servers.tail(Path(self.log.name), 60)


@contextlib.contextmanager
def run(sleep=0.0, code=0):
    # In /tmp, since a socket's path is short, and macOS has TMPDIR far away.
    with tempfile.TemporaryDirectory(prefix="fieldcrypt-", dir="/tmp") as place:
        r = Run(Path(place), sleep, code)
        try:
            with r.log, project.group(r.command, env=r.env, stdout=r.log, stderr=r.log, grace=STOP_SECONDS) as r.child:
                yield r
        finally:
            for pid, _ in r.processes & processes().keys():  # none, unless the test failed
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


class WithServers(unittest.TestCase):
    def ends(self, r, code):
        """It ends with the code, and nothing of it is left."""
        try:
            self.assertEqual(code, r.child.wait(STOP_SECONDS), r.output())
        except subprocess.TimeoutExpired:
            self.fail(f"it didn't end within {STOP_SECONDS} s:\n{r.output()}")
        until(lambda: not r.left(), GONE_SECONDS)
        self.assertEqual([], r.left(), r.output())

    def servers_are_up(self, r):
        r.wait_for_servers()
        want = {"localstack"} | ({"postgres"} if with_servers.postgres_folder() else set())
        want |= {"mariadb"} if with_servers.mariadb_programs() else set()
        self.assertEqual(want, set(r.urls), r.output())
        for address in r.addresses:
            self.assertTrue(answers(address), r.output())
        # A process and a folder for each server, the command and its child.
        self.assertGreaterEqual(len(r.processes), len(want) + 2, r.output())
        self.assertEqual(len(want), len(r.folders()), r.output())

    def stopped_by(self, number):
        with run(sleep=300) as r:
            self.servers_are_up(r)
            r.child.send_signal(number)
            self.ends(r, 128 + number)

    def test_interrupt(self):
        self.stopped_by(signal.SIGINT)

    def test_terminate(self):
        self.stopped_by(signal.SIGTERM)

    def test_hang_up(self):
        self.stopped_by(signal.SIGHUP)

    def test_interrupt_while_servers_start(self):
        with run(sleep=300) as r:
            self.assertTrue(until(r.folders, UP_SECONDS), r.output())
            self.assertTrue(until(lambda: descendants(r.child.pid), STOP_SECONDS), r.output())
            r.note()
            r.child.send_signal(signal.SIGINT)
            self.ends(r, 128 + signal.SIGINT)
            self.assertFalse(r.said.exists(), "the command ran")

    def test_command_fails(self):
        with run(sleep=1, code=7) as r:
            self.servers_are_up(r)
            self.ends(r, 7)

    def test_command_succeeds(self):
        with run(sleep=1) as r:
            self.servers_are_up(r)
            self.ends(r, 0)

    def test_control(self):
        """What is left is noticed: a process, a server and a folder."""
        with tempfile.TemporaryDirectory(prefix="fieldcrypt-", dir="/tmp") as place, socket.create_server(("127.0.0.1", 0)) as server:
            r = Run(Path(place), 0, 0)
            with r.log, project.group([sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '300'])"]) as r.child:
                self.assertTrue(until(lambda: descendants(r.child.pid), STOP_SECONDS))
                r.note()
                r.addresses = [server.getsockname()]
                (r.place / "folder").mkdir()
                self.assertEqual(["process", "server", "folder"], [what.split()[0] for what in r.left()])


def stop(_number, _frame):
    # unittest takes SystemExit for one test's error, and goes on.
    raise KeyboardInterrupt


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    project.environment("localstack", with_servers.PINS)  # not within a test's time
    unittest.main(verbosity=2)
