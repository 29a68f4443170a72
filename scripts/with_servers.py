"""Runs a command with the servers that the tests need.

    python3 scripts/with_servers.py [--durable] -- command ...

LocalStack is installed into .cache/ on first use. PostgreSQL and MariaDB are
used where their programs are installed. A server whose variable is set already (see SERVERS in
project.py) is used as it is and not started. All that was started is stopped
when the command ends, however it ends.
"""

import argparse
import contextlib
import glob
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import project

ATTEMPTS = 5
START_SECONDS = 90
PINS = Path(__file__).with_name("localstack.txt")
POSTGRES_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


MARIADB_FOLDERS = (
    "/usr/sbin",
    "/usr/libexec",
    "/usr/local/sbin",
    "/opt/homebrew/opt/mariadb/bin",
    "/usr/local/opt/mariadb/bin",
)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class NotStarted(Exception):
    pass


@contextlib.contextmanager
def folder(prefix):
    path = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield path
    finally:
        with project.shielded():
            shutil.rmtree(path, ignore_errors=True)


def wait_until(ready, child, log):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise NotStarted(f"it ended with {child.returncode}:\n{tail(log)}")
        if ready():
            return
        time.sleep(0.05)
    raise NotStarted(f"it wasn't ready after {START_SECONDS} s:\n{tail(log)}")


def tail(log, lines=25):
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


@contextlib.contextmanager
def localstack(port):
    python = project.environment("localstack", PINS)
    with folder("fieldcrypt-localstack-") as home, open(home / "log", "wb") as log:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PYTHON"))} | {
            "SERVICES": "kms",
            "EAGER_SERVICE_LOADING": "1",
            "GATEWAY_LISTEN": f"127.0.0.1:{port}",
            # The default server, Twisted, listens on all interfaces whatever
            # GATEWAY_LISTEN says.
            "GATEWAY_SERVER": "hypercorn",
            "DNS_ADDRESS": "0",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "DISABLE_EVENTS": "1",
            "FILESYSTEM_ROOT": str(home),
            # Else all LocalStacks share one folder, and the first to end
            # removes it.
            "TMPDIR": str(home),
        }
        command = [str(python), "-m", "localstack.runtime.main"]
        with project.group(command, env=env, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as child:

            announced = []

            def ready():
                # With its port taken it says that it is ready all the same,
                # and goes on running.
                if healthy(port):
                    return True
                if "Ready." in (home / "log").read_text(errors="replace"):
                    announced.append(time.monotonic())
                    if announced[-1] - announced[0] > 3:
                        raise NotStarted(f"it says it is ready, but doesn't answer on port {port}: taken?")
                return False

            wait_until(ready, child, home / "log")
            yield f"http://127.0.0.1:{port}"


def healthy(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/_localstack/health")
        answer = connection.getresponse()
        return answer.status == 200 and json.load(answer)["services"]["kms"] in ("available", "running")
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return False
    finally:
        connection.close()


def postgres_folder():
    """Where initdb and postgres are, or None."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    for pattern in POSTGRES_FOLDERS:
        newest_first = sorted(glob.glob(pattern), key=lambda name: [int(n) for n in re.findall(r"\d+", name)], reverse=True)
        folders += map(Path, newest_first)
    for path in folders:
        if (path / "initdb").exists() and (path / "postgres").exists():
            return path
    return None


def unprivileged(home, name):
    """How to start a program in a folder: as a user of that name, whose the folder is then, instead of as root."""
    options = {"cwd": home, "stdin": subprocess.DEVNULL}
    if os.geteuid() == 0:
        user = pwd.getpwnam(name)
        os.chown(home, user.pw_uid, user.pw_gid)
        options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return options


def postgres(programs, durable):
    @contextlib.contextmanager
    def attempt(port):
        with folder("fieldcrypt-postgres-") as home:
            options = unprivileged(home, "nobody")  # PostgreSQL refuses to run as root
            data, log = home / "data", home / "log"
            with open(log, "wb") as out:
                options |= {"stdout": out, "stderr": out, "env": os.environ | {"LC_ALL": "C", "HOME": str(home)}}
                initdb = [programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]
                if project.call(list(map(str, initdb)), **options) != 0:
                    raise NotStarted(f"initdb failed:\n{tail(log)}")
                settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": home, "max_connections": 200}
                if not durable:
                    settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
                command = [str(programs / "postgres"), "-D", str(data)]
                for name, value in settings.items():
                    command += ["-c", f"{name}={value}"]
                # SIGINT ends the server without waiting for its clients.
                with project.group(command, grace=15, how=signal.SIGINT, **options) as child:
                    wait_until(lambda: postmaster_ready(data), child, log)
                    yield f"postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable"

    return attempt


def postmaster_ready(data):
    """Reads the file that the server keeps of itself, so that no other server
    on the same port can be taken for it."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[7].strip() == "ready"


def mariadb_programs():
    """The paths of mariadb-install-db and mariadbd, or None."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), *MARIADB_FOLDERS])
    found = [shutil.which(name, path=places) for name in ("mariadb-install-db", "mariadbd")]
    return found if all(found) else None


def mariadb(programs, durable):
    install, server = programs

    @contextlib.contextmanager
    def attempt(port):
        with folder("fieldcrypt-mariadb-") as home:
            options = unprivileged(home, "mysql")  # MariaDB refuses to run as root
            data, log = home / "data", home / "log"
            with open(log, "wb") as out:
                options |= {"stdout": out, "stderr": out, "env": os.environ | {"HOME": str(home), "TMPDIR": str(home)}}
                # Without a password, since the login that has one needs SHA-1.
                made = [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
                if project.call(made, **options) != 0:
                    raise NotStarted(f"mariadb-install-db failed:\n{tail(log)}")
                begun = log.stat().st_size
                command = [server, "--no-defaults", f"--datadir={data}", "--bind-address=127.0.0.1", f"--port={port}"]
                command += [f"--socket={home / 'socket'}", f"--pid-file={home / 'pid'}", "--max-allowed-packet=64M"]
                if not durable:
                    command += ["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0"]
                with project.group(command, grace=15, **options) as child:
                    # It says so once the port is its own; with the port taken it ends.
                    wait_until(lambda: b"ready for connections" in log.read_bytes()[begun:], child, log)
                    yield f"root@tcp(127.0.0.1:{port})/"

    return attempt


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--durable", action="store_true", help="databases with their default durability, for benchmarks")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    project.stop_on_signals()
    with contextlib.ExitStack() as running:
        attempts = {"localstack": localstack}
        if programs := postgres_folder():
            attempts["postgres"] = postgres(programs, args.durable)
        if programs := mariadb_programs():
            attempts["mariadb"] = mariadb(programs, args.durable)
        for name, attempt in attempts.items():
            variable = project.SERVERS[name].variable
            if os.environ.get(variable):
                print(f"{name}: the one that {variable} names", flush=True)
                continue
            start(running, name, variable, attempt)
        sys.exit(exit_code(project.call(args.command, grace=20)))


def start(running, name, variable, attempt):
    for n in range(ATTEMPTS):
        begun = time.monotonic()
        try:
            address = running.enter_context(attempt(free_port()))
        except NotStarted as failure:
            # Between our finding a port and the server's use of it, another
            # program may have taken it.
            print(f"{name} didn't start (attempt {n + 1} of {ATTEMPTS}): {failure}", file=sys.stderr, flush=True)
            continue
        os.environ[variable] = address
        print(f"{name}: {address}, started in {time.monotonic() - begun:.1f} s", flush=True)
        return
    sys.exit(f"{name} can't be started")


def exit_code(code):
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    main()
