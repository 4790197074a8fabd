"""What the benchmarks share: servers that are started once, in a private folder, and Parapet among them with an issuer of its own."""

import base64
import contextlib
import glob
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "dist"
TICK = os.sysconf("SC_CLK_TCK")
ISSUER = "https://bench.example"


def say(text):
    print(text, file=sys.stderr, flush=True)


def program(name):
    found = shutil.which(name)
    if found:
        return found
    places = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True) + [f"/usr/sbin/{name}"]
    return next(place for place in places if os.path.exists(place))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, ask, patience=60):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.05)
    raise SystemExit(f"waited {patience} s in vain for {what}")


def listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Servers:
    """Processes on one CPU or on all, each started once and ended by its own id."""

    binaries = TARGET

    def __init__(self, folder, cpu):
        self.folder, self.cpu, self.children = folder, cpu, []

    def pinned(self, command):
        return command if self.cpu is None else ["taskset", "-c", str(self.cpu), *command]

    def spawn(self, name, command, ended_by=signal.SIGTERM, **options):
        log = open(self.folder / f"{name}.log", "ab")
        child = subprocess.Popen(self.pinned(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **options)
        self.children.append((child, ended_by))
        return child

    def start_gateway(self, name, listener, settings, policies, binary="parapet"):
        """Parapet's port of a listener, its process, and the token of the workload `bench`."""
        home = self.folder / name
        (home / "policies").mkdir(parents=True)
        os.mkdir(home / "state", 0o700)
        (home / "policies/bench.cedar").write_text(policies)
        issuer = Issuer(home)
        (home / "parapet.toml").write_text(f'''
[gateway]
state = "{home}/state"
[admin]
listen = "127.0.0.1:0"
[policies]
folders = ["{home}/policies"]
[workloads.bench]
owner = "bench@example.com"
kind = "service"
environment = "production"
purpose = "the benchmark"
[issuers."{ISSUER}"]
audience = "parapet"
jwks = "file://{home}/jwks.json"
[[trust]]
workload = "bench"
issuer = "{ISSUER}"
claims = {{ sub = "bench" }}
{settings}''')
        child = self.spawn(name, [str(self.binaries / binary), "serve", "-c", str(home / "parapet.toml")])
        ports = home / "state/ports.json"
        until("Parapet", lambda: ports.exists() and ports.read_text().strip() or child.poll() is not None)
        if child.poll() is not None:
            raise SystemExit(f"Parapet did not start:\n{(self.folder / f'{name}.log').read_text()}")
        return int(json.loads(ports.read_text())[listener].rsplit(":", 1)[1]), child, issuer.token("bench")

    def stop(self):
        for child, ended_by in reversed(self.children):
            if child.poll() is None:
                child.send_signal(ended_by)
        for child, _ in self.children:
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()


@contextlib.contextmanager
def running(make, keep, parent=None):
    """The servers that `make` makes of a private folder, which goes at the end."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="parapet-bench-", dir=parent))
    os.chmod(folder, 0o711)
    stack = make(folder)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        if keep:
            say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


class Issuer:
    """An issuer with one key, by the openssl command, so that Python needs no package."""

    def __init__(self, home):
        self.key = home / "issuer.pem"
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(self.key)], check=True)
        der = subprocess.run(["openssl", "ec", "-in", str(self.key), "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
        point = der[-64:]
        jwk = {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "bench", "x": url64(point[:32]), "y": url64(point[32:])}
        (home / "jwks.json").write_text(json.dumps({"keys": [jwk]}))

    def token(self, subject):
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": "parapet", "sub": subject, "iat": now, "exp": now + 6 * 3600}
        head = {"alg": "ES256", "typ": "JWT", "kid": "bench"}
        message = f"{url64(json.dumps(head).encode())}.{url64(json.dumps(claims).encode())}"
        der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(self.key)], input=message.encode(), check=True, capture_output=True).stdout
        return f"{message}.{url64(raw_signature(der))}"


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw_signature(der):
    """The two numbers of a DER signature, 32 bytes each."""
    r_length = der[3]
    r, s = der[4 : 4 + r_length], der[6 + r_length :]
    return b"".join(number.lstrip(b"\0").rjust(32, b"\0") for number in (r, s))


def fifty(rules, resource):
    """These policies, and up to fifty forbids that must be looked at and do not match. `resource` takes their number."""
    others = range(1, 51 - len(rules))
    rules += [f'@id("other-{number}") forbid (principal, action in Action::"read", {resource.format(number)}) when {{ principal.risk >= {50 + number % 40} }};' for number in others]
    return "\n".join(rules) + "\n"


def cpu_seconds(child):
    if child is None:
        return 0.0
    fields = pathlib.Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def at(share, ordered):
    """The value below which such a share of the ordered ones lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def ratio(ones, others, field):
    """The middle of the ratios within each round; a round that failed has none."""
    found = [one[field] / other[field] for one, other in zip(ones, others) if one and other]
    return round(statistics.median(found), 3) if found else None


def print_row(cells, out):
    print("| " + " | ".join("" if cell is None else str(cell) for cell in cells) + " |", file=out)
