"""The benchmark: PostgreSQL direct, through a plain TCP relay, through PgBouncer, and through Parapet, in one run.

Rounds are interleaved: every target runs each round, so that what the machine does meanwhile hits all alike, and ratios are
taken within a round. The pinned mode runs the whole stack on one CPU with one client; that is what the gate looks at.
Needs Python 3 alone; bench.sh installs the rest and builds.
"""

import argparse
import glob
import json
import os
import pathlib
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from stack import TARGET, Servers, at, cpu_seconds, fifty, free_port, listening, print_row, program, ratio, running, say, until

IDLE_SESSIONS = 1000


class Stack(Servers):
    """Every server of the benchmark of PostgreSQL."""

    durability = "process"

    def __init__(self, folder, cpu, audit_only=False):
        super().__init__(folder, cpu)
        self.audit_only = audit_only
        self.user = self.unprivileged()

    def start(self):
        self.start_postgres()
        if self.audit_only:
            self.off = self.start_parapet("parapet-off", masking=False, binary="parapet-unaudited")
            self.parapet = self.start_parapet("parapet", masking=False)
            self.disk = self.start_parapet("parapet-disk", masking=False, durability="disk")
            return
        self.start_relay()
        self.start_pgbouncer("session")
        self.start_pgbouncer("transaction")
        self.parapet = self.start_parapet("parapet", masking=False)
        self.masked = self.start_parapet("parapet-masked", masking=True)
        # The pinned runs need no idle sessions.
        self.tls = self.start_parapet("parapet-tls", masking=False, tls=True) if self.cpu is None else None

    @staticmethod
    def unprivileged():
        """PostgreSQL and PgBouncer refuse to run as root."""
        import pwd

        return pwd.getpwnam("postgres") if os.geteuid() == 0 else None

    def spawn(self, name, command, drop=False, **options):
        return super().spawn(name, command, **options, **(self.dropped() if drop else {}))

    def dropped(self):
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}

    def own(self, path):
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def start_postgres(self):
        self.pg_port = free_port()
        home = self.folder / "server"
        home.mkdir()
        self.own(home)
        data = home / "pg"
        password = home / "password"
        password.write_text("bench-password")
        self.own(password)
        subprocess.run(
            [program("initdb"), "--no-sync", "-U", "bench", "-A", "scram-sha-256", "--pwfile", str(password), "-D", str(data)],
            check=True, stdout=subprocess.DEVNULL, cwd="/", **self.dropped())
        settings = {
            "unix_socket_directories": str(home), "listen_addresses": "127.0.0.1", "fsync": "off", "synchronous_commit": "off",
            "max_connections": "1300", "shared_buffers": "256MB", "autovacuum": "off", "max_wal_size": "4GB",
        }
        command = [program("postgres"), "-D", str(data), "-p", str(self.pg_port)]
        for key, value in settings.items():
            command += ["-c", f"{key}={value}"]
        self.spawn("postgres", command, drop=True, ended_by=signal.SIGINT)
        until("PostgreSQL", lambda: self.sql("postgres", "select 1", check=False).returncode == 0)
        self.sql("postgres", "create database bench")
        self.pgbench_setup()

    def sql(self, database, sql, check=True):
        return subprocess.run(
            [program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.pg_port), "-U", "bench", database, "-c", sql],
            env={**os.environ, "PGPASSWORD": "bench-password"}, capture_output=True, text=True, check=check)

    def pgbench_setup(self):
        subprocess.run(
            [program("pgbench"), "-i", "-q", "-s", "10", "-h", "127.0.0.1", "-p", str(self.pg_port), "-U", "bench", "bench"],
            env={**os.environ, "PGPASSWORD": "bench-password"}, check=True, capture_output=True)
        columns = ", ".join(f"c{n} text" for n in range(1, 10))
        values = ", ".join(f"'value {n} of row ' || n" for n in range(1, 10))
        self.sql("bench", f"create table wide (id int, {columns}); insert into wide select n, {values} from generate_series(1, 100000) n")
        self.sql("bench", "vacuum analyze")

    def start_relay(self):
        self.relay_port = free_port()
        self.relay = self.spawn("relay", [str(TARGET / "examples/relay"), f"127.0.0.1:{self.relay_port}", f"127.0.0.1:{self.pg_port}"])
        until("the relay", lambda: listening(self.relay_port))

    def start_pgbouncer(self, mode):
        port, home = free_port(), self.folder / f"pgbouncer-{mode}"
        home.mkdir()
        (home / "users").write_text('"bench" "bench-password"\n')
        (home / "ini").write_text(
            f"[databases]\nbench = host=127.0.0.1 port={self.pg_port} dbname=bench\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
            f"unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {home}/users\npool_mode = {mode}\nmax_client_conn = 2000\n"
            f"default_pool_size = 1100\nmax_prepared_statements = 100\nignore_startup_parameters = extra_float_digits\nlogfile = {home}/log\npidfile = {home}/pid\n")
        for path in (home, home / "users", home / "ini"):
            self.own(path)
        # Before 1.21 PgBouncer has no prepared statements in transaction mode, and no such setting.
        version = subprocess.run([program("pgbouncer"), "--version"], capture_output=True, text=True).stdout
        self.bouncer_prepares = tuple(int(part) for part in version.split()[1].split(".")[:2]) >= (1, 21)
        if not self.bouncer_prepares:
            text = (home / "ini").read_text().replace("max_prepared_statements = 100\n", "")
            (home / "ini").write_text(text)
        child = self.spawn(f"pgbouncer-{mode}", [program("pgbouncer"), str(home / "ini")], drop=True)
        until(f"PgBouncer ({mode})", lambda: listening(port))
        setattr(self, f"bouncer_{mode}", child)
        setattr(self, f"bouncer_{mode}_port", port)

    def start_parapet(self, name, masking, tls=False, binary="parapet", durability=None):
        """Its port, process and token. They run side by side, so that masked and unmasked meet in one round."""
        password = self.folder / f"{name}-password"
        password.write_text("bench-password")
        os.chmod(password, 0o600)
        settings = f'''
[postgres]
listen = "127.0.0.1:0"
tls = "{'self-signed' if tls else 'off'}"
[audit]
durability = "{durability or self.durability}"
[upstreams.bench-db]
address = "127.0.0.1:{self.pg_port}"
database = "bench"
environment = "production"
user = "bench"
password = "file://{password}"
tls = "off"
max_sessions = 2000
[upstreams.bench-db.classes]
pii = ["public.wide.c5"]
'''
        return self.start_gateway(name, "postgres", settings, policies(masking), binary)

    def entries(self, name):
        """How many entries a Parapet's log has, and the bytes of it on the disk. For a Parapet that has stopped."""
        audit = self.folder / name / "state/audit"
        files = [path for path in audit.rglob("*") if path.is_file()]
        return json.loads((audit / "head.json").read_text())["size"], sum(path.stat().st_size for path in files)

    def targets(self):
        """For each its port, process and password. The TLS one is for idle connections alone."""
        return {
            "direct": (self.pg_port, None, "bench-password"),
            "relay": (self.relay_port, self.relay, "bench-password"),
            "pgbouncer-session": (self.bouncer_session_port, self.bouncer_session, "bench-password"),
            "pgbouncer-transaction": (self.bouncer_transaction_port, self.bouncer_transaction, "bench-password"),
            "parapet": self.parapet,
            "parapet-masked": self.masked,
        }


def policies(masking):
    """Fifty policies: those that permit the load, and forbids that must be looked at and do not match."""
    rules = ['@id("connect") permit (principal, action in Action::"connect", resource);']
    for action in ("read", "write", "delete", "define", "destroy", "execute"):
        rules.append(f'@id("bench-{action}") permit (principal == Workload::"bench", action in Action::"{action}", resource in Upstream::"bench-db");')
    rules.append('@id("bounded") forbid (principal, action in [Action::"sql:update", Action::"sql:delete"], resource) unless { context.bounded };')
    if masking:
        rules.append('@id("masked") @mask("partial") forbid (principal, action in Action::"read", resource is Column) when { resource.classes.contains("pii") };')
    return fifty(rules, 'resource in Table::"bench-db/bench.public.other_{}"')


def resident_kib(child):
    """Memory of its own: pages of files, such as those of the audit log, are the system's to take back."""
    lines = pathlib.Path(f"/proc/{child.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon:")).split()[1])


def environment(target, tls=False):
    port, _, password = target
    sslmode = "require" if tls else "disable"
    return {**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "bench", "PGPASSWORD": password, "PGDATABASE": "bench", "PGSSLMODE": sslmode, "PGGSSENCMODE": "disable"}


def pgbench(stack, target, clients, protocol, seconds, arguments, tls=False):
    """Operations a second, processor of the proxy for each, and latencies in microseconds."""
    _, child, _ = target
    folder = tempfile.mkdtemp(dir=stack.folder)
    command = [program("pgbench"), "-n", "-M", protocol, "-c", str(clients), "-j", str(min(clients, 2)), "-T", str(seconds), "--log", "--log-prefix", f"{folder}/t", *arguments]
    before = cpu_seconds(child)
    ran = subprocess.run(stack.pinned(command), env=environment(target, tls), capture_output=True, text=True)
    used = cpu_seconds(child) - before
    if ran.returncode != 0:
        say(f"  failed: {ran.stderr.strip().splitlines()[-1:]}")
        shutil.rmtree(folder)
        return None
    latencies = []
    for log in glob.glob(f"{folder}/t*"):
        with open(log) as lines:
            latencies.extend(int(line.split()[2]) for line in lines)
    shutil.rmtree(folder)
    latencies.sort()
    if not latencies:
        return None
    rate = next(float(line.split()[2]) for line in ran.stdout.splitlines() if line.startswith("tps"))
    return {"tps": rate, "cpu": used * 1e6 / len(latencies), "p50": at(0.5, latencies), "p99": at(0.99, latencies)}


def one_query(stack, target, sql, times):
    """The same statement again and again in one psql, its output thrown away."""
    _, child, _ = target
    command = [program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null"]
    command += [part for _ in range(times) for part in ("-c", sql)]
    before, begun = cpu_seconds(child), time.monotonic()
    ran = subprocess.run(stack.pinned(command), env=environment(target), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    took = time.monotonic() - begun
    if ran.returncode != 0:
        say(f"  failed: {ran.stderr.strip().splitlines()[-1:]}")
        return None
    each = took / times * 1e6
    return {"tps": times / took, "cpu": (cpu_seconds(child) - before) * 1e6 / times, "p50": each, "p99": each}


def workloads(options):
    """Name, clients, protocol, and how to run it. Which of them are pinned is for the caller."""
    short = options.quick
    seconds = 2 if short else 4
    for protocol in ("simple", "extended", "prepared"):
        for clients in (1, 8, 32):
            yield "select", clients, protocol, lambda s, t, c=clients, p=protocol: pgbench(s, t, c, p, seconds, ["-S"])
    for clients in (1, 8):
        yield "tpcb", clients, "simple", lambda s, t, c=clients: pgbench(s, t, c, "simple", seconds, ["-b", "tpcb-like"])
    times = 3 if short else 10
    yield "scan", 1, "simple", lambda s, t: one_query(s, t, "select * from wide", times)
    yield "copy", 1, "simple", lambda s, t: one_query(s, t, "copy wide to stdout", times)
    yield "churn", 8, "simple", lambda s, t: pgbench(s, t, 8, "simple", seconds, ["-S", "-C"])


def connections(port):
    """Established connections that the listener on a port of 127.0.0.1 has."""
    lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "01" for line in lines)


def idle(stack, target, many, tls=False):
    """KiB of the proxy for each session that does nothing."""
    _, child, _ = target
    if child is None:
        return None
    probe = subprocess.run([program("psql"), "-XAtq", "-c", "select 1"], env=environment(target, tls), capture_output=True)
    if probe.returncode != 0:
        return None
    before = resident_kib(child)
    # A script that waits in every client: pgbench opens them all and holds them.
    script = stack.folder / "idle.sql"
    script.write_text("\\sleep 60 s\n")
    command = [program("pgbench"), "-n", "-c", str(many), "-j", "1", "-t", "1", "-f", str(script)]
    holder = subprocess.Popen(command, env=environment(target, tls), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until("idle sessions", lambda: connections(target[0]) >= many or holder.poll() is not None)
        # The last of them may still be logging in.
        time.sleep(3)
        return (resident_kib(child) - before) / many if holder.poll() is None else None
    finally:
        holder.terminate()
        holder.wait()


def measure(options, pinned, results):
    with running(lambda folder: Stack(folder, 0 if pinned else None), options.keep) as stack:
        for name, clients, protocol, run in workloads(options):
            if options.only and options.only != name:
                continue
            if pinned and clients != 1:
                continue
            label = name + ("-pinned" if pinned else "")
            rounds = {target: [] for target in stack.targets()}
            for number in range(1 if options.quick else 3):
                for target, parts in stack.targets().items():
                    if target == "parapet-masked" and name not in ("scan", "copy"):
                        continue
                    if target == "pgbouncer-transaction" and protocol == "prepared" and not stack.bouncer_prepares:
                        continue
                    say(f"{label} {protocol} {clients} clients, round {number + 1}: {target}")
                    came = run(stack, parts)
                    # A round that failed keeps its place, so that ratios stay within a round.
                    rounds[target].append(came)
            collect(label, clients, protocol, rounds, results)
        if not pinned and options.only in (None, "idle"):
            for target, parts in {**stack.targets(), "parapet-tls": stack.tls}.items():
                if target == "parapet-masked":
                    continue
                many = 200 if options.quick else IDLE_SESSIONS
                each = idle(stack, parts, many, tls=target == "parapet-tls")
                if each is not None:
                    results.append({"workload": "idle", "clients": many, "protocol": "simple", "target": target, "kib_per_connection": round(each, 1)})


class Training(Stack):
    """Parapet alone, masked and unmasked and with TLS."""

    def start(self):
        self.start_postgres()
        self.parapet = self.start_parapet("parapet", masking=False)
        self.masked = self.start_parapet("parapet-masked", masking=True)
        self.tls = self.start_parapet("parapet-tls", masking=False, tls=True)


def train(options):
    """Everything for a moment, through a Parapet that counts what runs: scripts/dist.sh builds by these counts."""
    options.quick = True
    with running(lambda folder: Training(folder, None), options.keep) as stack:
        done = [run(stack, target) for target in (stack.parapet, stack.masked) for *_, run in workloads(options)]
        done += [pgbench(stack, stack.tls, 8, protocol, 2, ["-S"], tls=True) for protocol in ("simple", "extended", "prepared")]
    if None in done:
        raise SystemExit("a part of the training failed")


def measure_audit(options):
    """What the audit log costs: throughput with it against without, durable on the disk against durable in the process, and bytes."""
    seconds, times = (2, 2) if options.quick else (4, 5)

    def ratios(stack, one, other, clients, protocol):
        """Of the first to the second, round by round; who comes first changes with each."""
        found = []
        for number in range(times):
            rates = {}
            for which in ((one, other), (other, one))[number % 2]:
                say(f"{protocol}, {clients} clients, round {number + 1}: {which}")
                rates[which] = pgbench(stack, getattr(stack, which), clients, protocol, seconds, ["-S"])
            if rates[one] and rates[other]:
                found.append((rates[one]["tps"] / rates[other]["tps"], rates[one], rates[other]))
        return found

    def shown(found):
        return f"{statistics.median(each[0] for each in found):.3f} ({min(each[0] for each in found):.3f} to {max(each[0] for each in found):.3f})"

    for pinned in (True, False):
        # On the disk that holds the checkout: in memory durability would cost nothing.
        (TARGET.parent / "tmp").mkdir(exist_ok=True)
        make = lambda folder: Stack(folder, 0 if pinned else None, audit_only=True)
        with running(make, options.keep, TARGET.parent / "tmp") as stack:
            for protocol in ("simple", "extended", "prepared"):
                for clients in (1,) if pinned else (8, 32):
                    found = ratios(stack, "parapet", "off", clients, protocol)
                    cpu = statistics.median(on["cpu"] - off["cpu"] for _, on, off in found)
                    print(f"audit on against off, select {protocol}, {clients} clients{', pinned' if pinned else ''}: {shown(found)}, {cpu:.2f} µs of processor "
                          f"an operation (wanted: at least 0.92)")
            if not pinned:
                for protocol in ("simple", "prepared"):
                    found = ratios(stack, "disk", "parapet", 32, protocol)
                    print(f"`disk` against `process`, select {protocol}, 32 clients: {shown(found)} (wanted: at least 0.5)")
            stack.stop()
            size, used = stack.entries("parapet")
            print(f"bytes on the disk a decision{', pinned' if pinned else ''}: {used / size:.0f}, over {size} entries, hashes included", flush=True)
    where = subprocess.run(["stat", "-f", "-c", "%T", str(TARGET)], capture_output=True, text=True).stdout.strip()
    print(f"on {os.cpu_count()} CPUs, the log on {where}{', quick' if options.quick else ''}")


def collect(label, clients, protocol, rounds, results):
    to = lambda target, base: ratio(rounds[target], rounds[base], "tps")
    for target, came in rounds.items():
        came = [one for one in came if one]
        if not came:
            continue
        middle = lambda field: statistics.median(one[field] for one in came)
        results.append({
            "workload": label, "clients": clients, "protocol": protocol, "target": target, "tps": round(middle("tps"), 1),
            "ratio_direct": to(target, "direct"), "ratio_relay": to(target, "relay"), "ratio_pgbouncer": to(target, "pgbouncer-session"),
            **({"ratio_unmasked": to(target, "parapet")} if target == "parapet-masked" else {}),
            "cpu_us_per_op": round(middle("cpu"), 2), "p50_us": round(middle("p50"), 1), "p99_us": round(middle("p99"), 1),
        })


def table(results, out):
    print("| workload | protocol | clients | target | ops/s | of direct | of relay | of PgBouncer | CPU µs/op | p50 µs | p99 µs |", file=out)
    print("|---|---|--:|---|--:|--:|--:|--:|--:|--:|--:|", file=out)
    for row in results:
        if "kib_per_connection" in row:
            continue
        cells = [row[key] for key in ("workload", "protocol", "clients", "target", "tps", "ratio_direct", "ratio_relay", "ratio_pgbouncer", "cpu_us_per_op", "p50_us", "p99_us")]
        print_row(cells, out)
    for row in results:
        if row.get("ratio_unmasked"):
            print(f"\n{row['workload']}, one text column of ten masked: {row['ratio_unmasked']} of unmasked", file=out)
        if "kib_per_connection" in row:
            print(f"\nidle connection through {row['target']}: {row['kib_per_connection']} KiB ({row['clients']} open)", file=out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few minutes instead of twenty")
    parser.add_argument("--json", action="store_true", help="JSON on stdout instead of a table")
    parser.add_argument("--only", choices=["select", "tpcb", "scan", "copy", "churn", "idle"], help="one workload")
    parser.add_argument("--durability", choices=["process", "disk"], default="process",
                        help="when an entry of the audit log counts: `disk` waits for the disk, as a group")
    parser.add_argument("--audit", action="store_true", help="what the audit log costs; bench.sh builds what it needs")
    parser.add_argument("--train", action="store_true", help="measure nothing: run everything once, for scripts/dist.sh")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    options = parser.parse_args()
    Stack.durability = options.durability
    # A thousand sessions are more than a thousand files.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    if options.audit:
        return measure_audit(options)
    if options.train:
        return train(options)
    results = []
    for pinned in (True, False):
        measure(options, pinned, results)
    machine = {
        "cpus": os.cpu_count(), "kernel": os.uname().release,
        "postgres": subprocess.run([program("postgres"), "--version"], capture_output=True, text=True).stdout.strip(),
        "pgbouncer": subprocess.run([program("pgbouncer"), "--version"], capture_output=True, text=True).stdout.splitlines()[0],
        "policies": 50, "quick": options.quick, "durability": options.durability,
    }
    if options.json:
        json.dump({"results": results, "machine": machine}, sys.stdout, indent=1)
        print()
    else:
        table(results, sys.stdout)
        print(f"\non {machine['cpus']} CPUs, {machine['postgres']}, {machine['pgbouncer']}, {machine['policies']} policies, audit on")


if __name__ == "__main__":
    main()
