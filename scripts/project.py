"""What the other scripts share: the modules, the test servers, the tools, and
child processes that never outlive their parent."""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "These scripts need Python 3.11 or newer; %s is %d.%d. Say which one to use: make PYTHON=python3.12 ..."
        % (sys.executable, sys.version_info[0], sys.version_info[1])
    )

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")


class Server(NamedTuple):
    """A server that tests with a build tag of its name need."""

    variable: str  # tells the tests where it is
    remedy: str


SERVERS = {
    "localstack": Server(
        "FIELDCRYPT_TEST_KMS_ENDPOINT",
        "run 'make test', which starts LocalStack, or set FIELDCRYPT_TEST_KMS_ENDPOINT to one that runs",
    ),
    "postgres": Server(
        "FIELDCRYPT_TEST_POSTGRES_URL",
        "install PostgreSQL (initdb on the PATH or in /usr/lib/postgresql/*/bin) and run 'make test', "
        "or set FIELDCRYPT_TEST_POSTGRES_URL to a server's URL",
    ),
    "mariadb": Server(
        "FIELDCRYPT_TEST_MARIADB_DSN",
        "install MariaDB's server (mariadbd and mariadb-install-db) and run 'make test', "
        "or set FIELDCRYPT_TEST_MARIADB_DSN to a server's address, such as root@tcp(127.0.0.1:3306)/",
    ),
}
ALL_TAGS = ",".join(SERVERS)

TOOLS = {
    "gofumpt": ("mvdan.cc/gofumpt", "v0.12.0"),
    "golangci-lint": ("github.com/golangci/golangci-lint/v2/cmd/golangci-lint", "v2.15.0"),
    "govulncheck": ("golang.org/x/vuln/cmd/govulncheck", "v1.9.0"),
    "gremlins": ("github.com/go-gremlins/gremlins/cmd/gremlins", "v0.6.0"),
}


def modules():
    """The folders of all modules, as allmodules lists them: the root first."""
    lines = [line.strip() for line in (ROOT / "allmodules").read_text().splitlines()]
    folders = [line for line in lines if line and not line.startswith("#")]
    if not folders or folders[0] != ".":
        sys.exit("allmodules: the first line must be '.', the root module")
    for folder in folders:
        if not (ROOT / folder / "go.mod").is_file():
            sys.exit(f"allmodules names {folder}, which has no go.mod")
    return folders


def tracked(*patterns):
    """Files of the project that match, ignored ones apart, committed or not yet."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted({name for name in names if name and (ROOT / name).is_file()})


def objects(text):
    """The JSON values in text, one after another, as the go command prints them."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        yield value
        while at < len(text) and text[at].isspace():
            at += 1


@contextlib.contextmanager
def locked(name):
    """Keeps other runs of these scripts out of .cache/name while it is made."""
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / f"{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def tool(name):
    """The path of a pinned tool, built from source on first use."""
    package, version = TOOLS[name]
    go = subprocess.run(["go", "env", "GOVERSION"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    path = CACHE / "bin" / go.replace(" ", "_") / f"{name}-{version}"
    with locked("bin"):
        if not path.exists():
            print(f"building {name} {version}", flush=True)
            made = path.parent / "new"
            shutil.rmtree(made, ignore_errors=True)
            env = os.environ | {"GOBIN": str(made), "GOWORK": "off", "GOFLAGS": ""}
            check(["go", "install", f"{package}@{version}"], cwd=CACHE, env=env)
            (made / name).rename(path)  # whole or not at all, if the build is stopped
    return path


def environment(name, pins):
    """The Python of a virtual environment .cache/name that holds what the file
    pins lists; made anew when the list or this Python changed, or when its
    making was interrupted."""
    want = f"{hashlib.sha256(pins.read_bytes()).hexdigest()} {sys.version}\n"
    home = CACHE / name
    stamp, python = home / "installed", home / "bin" / "python"
    with locked(name):
        if stamp.exists() and stamp.read_text() == want and python.exists():
            return python
        print(f"installing {pins.relative_to(ROOT)} into .cache/{name}, once", flush=True)
        shutil.rmtree(home, ignore_errors=True)
        if call([sys.executable, "-m", "venv", str(home)], stdout=subprocess.DEVNULL) != 0:
            sys.exit(
                f"{sys.executable} can't make virtual environments with pip in them. "
                "On Debian and Ubuntu: apt-get install python3-venv"
            )
        check([str(python), "-m", "pip", "install", "--quiet", "--no-input", "-r", str(pins)])
        stamp.write_text(want)
    return python


# Signals. A handler that raises may strike between a child's start and the
# line that notes it, or in the middle of stopping one. Inside shielded() a
# signal waits until the block ends.
_shields = 0
_waiting = 0


def _on_signal(number, _frame):
    global _waiting
    if _shields:
        _waiting = number
    else:
        sys.exit(128 + number)


def stop_on_signals():
    """Makes SIGINT, SIGTERM and SIGHUP an orderly exit that runs every finally."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _on_signal)


@contextlib.contextmanager
def shielded():
    global _shields, _waiting
    _shields += 1
    try:
        yield
    finally:
        _shields -= 1
        if _waiting and not _shields:
            number, _waiting = _waiting, 0
            sys.exit(128 + number)


@contextlib.contextmanager
def group(command, *, grace=5, how=signal.SIGTERM, **options):
    """Runs command in a process group of its own, all of which is gone when
    the block ends: asked first, killed after grace seconds."""
    child = None
    try:
        with shielded():
            child = subprocess.Popen(command, process_group=0, **options)
        yield child
    finally:
        if child is not None:
            with shielded():
                _end(child, grace, how)


def _end(child, grace, how):
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace)
    # The group may hold members that its leader left behind.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def call(command, **options):
    """Runs command and returns its exit code."""
    with group(command, **options) as child:
        return child.wait()


def check(command, **options):
    """Runs command and ends this program with its code if that isn't 0."""
    code = call(command, **options)
    if code != 0:
        print(f"failed with {code}: {' '.join(map(str, command))}", file=sys.stderr)
        sys.exit(code if 0 < code < 128 else 1)
