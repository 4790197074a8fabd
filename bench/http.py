"""The HTTP benchmark: a web server direct, through a plain hyper proxy, nginx, Envoy, and Parapet, in one run.

Answers of 1 KB. Rounds are interleaved, and ratios are taken within a round. `shared`: 64 connections, the machine shared by all.
`pinned`: the whole stack on one CPU with one connection. wrk makes HTTP/1.1, h2load HTTP/2 (in clear, by prior knowledge).
Parapet decides by 50 policies and writes its audit log. bench.sh installs and builds what this needs.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from stack import ROOT, TARGET, Servers, at, cpu_seconds, fifty, free_port, listening, print_row, program, ratio, running, say, until

SECONDS = 8
HOST = "bench.example"
PATH = "/v1/things/7"
ENVOY = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "it-http/venv/bin/envoy"
LUA = """
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init(args) bad = 0 end
function response(status) if status ~= 200 then bad = bad + 1 end end
function done(summary, latency)
  local bad = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  for _, thread in ipairs(threads) do bad = bad + thread:get("bad") end
  io.write(string.format('\\n{"requests": %d, "us": %d, "p50": %.1f, "p99": %.1f, "bad": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), bad))
end
"""


def policies():
    """Fifty: what permits the load, and forbids that must be looked at and do not match."""
    rules = ['@id("connect") permit (principal, action in Action::"connect", resource);']
    rules += [f'@id("bench-{action}") permit (principal == Workload::"bench", action in Action::"{action}", resource in Upstream::"bench-api");'
              for action in ("read", "write", "delete")]
    rules.append('@id("large") forbid (principal, action == Action::"http:POST", resource in Upstream::"bench-api") '
                 'when { context has amounts && context.amounts.hasTag("amount") && context.amounts.getTag("amount") > 100 };')
    return fifty(rules, 'resource == Endpoint::"bench-api//v1/others/{}"')


class Stack(Servers):
    """Every server of the benchmark of HTTP."""

    peers_alone = False

    def __init__(self, folder, cpu):
        super().__init__(folder, cpu)
        self.workers = 1 if cpu is not None else os.cpu_count()
        self.token = None

    def start_upstream(self):
        ports, _ = self.nginx("upstream", f'location / {{ default_type application/json; return 200 \'{{"v":"{"x" * 1016}"}}\'; }}')
        self.upstream_port, self.targets = ports[0], {"direct": (ports, None)}

    def start(self):
        self.start_upstream()
        self.targets["hyper"] = self.forward()
        self.targets["nginx"] = self.nginx("nginx", "location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host $host; }",
                                           f"upstream up {{ server 127.0.0.1:{self.upstream_port}; keepalive 128; keepalive_requests 100000000; }}")
        if ENVOY.exists():
            self.targets["envoy"] = self.envoy()
        else:
            say("no Envoy (scripts/install.sh bench-http)")
        if not self.peers_alone:
            self.targets["parapet"] = self.parapet()

    def nginx(self, name, location, upstream=""):
        # nginx 1.22 speaks one version on a port in clear: HTTP/2 has its own.
        home, port, second = self.folder / name, free_port(), free_port()
        home.mkdir()
        temporary = "".join(f"{kind}_temp_path {home}/t-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (home / "conf").write_text(f"""daemon off; worker_processes {self.workers}; pid {home}/pid; error_log stderr warn; worker_rlimit_nofile 4096;
events {{ worker_connections 2048; }}
http {{ access_log off; {temporary} keepalive_requests 100000000; keepalive_timeout 3600; {upstream}
  server {{ listen 127.0.0.1:{port} backlog=1024; {location} }}
  server {{ listen 127.0.0.1:{second} http2; {location} }} }}
""")
        child = self.spawn(name, [program("nginx"), "-c", str(home / "conf"), "-e", "stderr", "-p", str(home)])
        until(name, lambda: listening(port))
        return (port, second), child

    def forward(self):
        port = free_port()
        child = self.spawn("hyper", [str(self.binaries / "examples/forward"), f"127.0.0.1:{port}", f"127.0.0.1:{self.upstream_port}"])
        until("hyper", lambda: listening(port))
        return (port, port), child

    def envoy(self):
        port = free_port()
        config = {
            "static_resources": {
                "listeners": [{
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                    "filter_chains": [{"filters": [{
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                            "stat_prefix": "bench", "codec_type": "AUTO", "generate_request_id": False,
                            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up", "timeout": "0s"}}]}]},
                            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
                        },
                    }]}],
                }],
                "clusters": [{
                    "name": "up", "type": "STATIC", "connect_timeout": "2s", "circuit_breakers": {"thresholds": [{"max_connections": 4096, "max_pending_requests": 4096, "max_requests": 4096}]},
                    "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": self.upstream_port}}}}]}]},
                }],
            },
        }
        (self.folder / "envoy.json").write_text(json.dumps(config))
        command = [str(ENVOY), "-c", str(self.folder / "envoy.json"), "--concurrency", str(self.workers), "--disable-hot-restart", "--log-level", "error"]
        child = self.spawn("envoy", command)
        until("Envoy", lambda: listening(port))
        return (port, port), child

    def parapet(self):
        settings = f'''
[http]
listen = "127.0.0.1:0"
tls = "off"
[upstreams.bench-api]
protocol = "http"
url = "http://127.0.0.1:{self.upstream_port}"
hosts = ["{HOST}"]
environment = "production"
unlisted = "deny"
max_sessions = 2000
[[upstreams.bench-api.endpoints]]
id = "thing"
method = "GET"
path = "/v1/things/{{id}}"
'''
        port, child, self.token = self.start_gateway("parapet", "http", settings, policies())
        return (port, port), child

    @staticmethod
    def used(child):
        """Seconds of processor of the process and its workers."""
        if child is None:
            return 0.0
        children = pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        return cpu_seconds(child) + sum(cpu_seconds(Pid(int(pid))) for pid in children)


class Pid:
    def __init__(self, pid):
        self.pid = pid


def wrk(stack, port, connections, seconds):
    """HTTP/1.1: requests a second, and latencies in microseconds."""
    script = stack.folder / "report.lua"
    script.write_text(LUA)
    command = ["wrk", "-t", "1" if connections == 1 else "2", "-c", str(connections), "-d", f"{seconds}s", "-s", str(script)]
    for name, value in headers(stack):
        command += ["-H", f"{name}: {value}"]
    ran = load(stack, [*command, f"http://127.0.0.1:{port}{PATH}"])
    came = json.loads(ran.splitlines()[-1])
    return {"rate": came["requests"] * 1e6 / came["us"], "requests": came["requests"], "p50": came["p50"], "p99": came["p99"], "bad": came["bad"]}


def h2load(stack, port, connections, seconds):
    """HTTP/2: one client has one stream; else eight connections of eight streams."""
    clients, streams = (1, 1) if connections == 1 else (8, connections // 8)
    log = stack.folder / "h2load.log"
    log.unlink(missing_ok=True)
    command = ["h2load", "-D", str(seconds), "-c", str(clients), "-m", str(streams), "-t", "1" if clients == 1 else "2", "--log-file", str(log)]
    for name, value in headers(stack):
        command += ["-H", f"{':authority' if name == 'Host' else name.lower()}: {value}"]
    ran = load(stack, [*command, f"http://127.0.0.1:{port}{PATH}"])
    times, bad = [], 0
    with open(log) as lines:
        for line in lines:
            _, status, took = line.split()
            times.append(int(took))
            bad += status != "200"
    times.sort()
    if not times:
        say(ran)
        return None
    return {"rate": len(times) / seconds, "requests": len(times), "p50": at(0.5, times), "p99": at(0.99, times), "bad": bad}


def headers(stack):
    # All get the same head, so that all parse the same.
    return [("Host", HOST), ("Authorization", f"Bearer {stack.token}")]


def load(stack, command):
    ran = subprocess.run(stack.pinned(command), capture_output=True, text=True)
    if ran.returncode != 0:
        raise SystemExit(f"{command[0]} failed: {ran.stderr}{ran.stdout}")
    return ran.stdout


def measure(options, pinned, results):
    connections = 1 if pinned else 64
    with running(lambda folder: Stack(folder, 0 if pinned else None), options.keep) as stack:
        for protocol, run in (("h1", wrk), ("h2", h2load)):
            if options.only and options.only != protocol:
                continue
            rounds = {target: [] for target in stack.targets}
            for number in range(options.rounds):
                for target, (ports, child) in stack.targets.items():
                    say(f"{protocol} {'pinned' if pinned else 'shared'}, {connections} connections, round {number + 1}: {target}")
                    port = ports[protocol == "h2"]
                    # Connections and pools come up, and what learns from traffic has learnt.
                    run(stack, port, connections, 1)
                    before = stack.used(child)
                    came = run(stack, port, connections, options.seconds)
                    used = stack.used(child) - before
                    if came and came["bad"]:
                        say(f"  {came['bad']} of {came['requests']} were not answered with 200")
                        came = None
                    if came:
                        came["cpu"] = used * 1e6 / came["requests"]
                    rounds[target].append(came)
            collect(protocol, "pinned" if pinned else "shared", connections, rounds, results)


class Training(Stack):
    """Parapet alone."""

    def start(self):
        self.start_upstream()
        self.targets["parapet"] = self.parapet()


def train(options):
    """Both versions for a moment, through a Parapet that counts what runs: scripts/dist.sh builds by these counts."""
    with running(lambda folder: Training(folder, None), options.keep) as stack:
        ports, _ = stack.targets["parapet"]
        done = [run(stack, port, connections, 3) for port, run in zip(ports, (wrk, h2load)) for connections in (1, 64)]
    if any(came is None or came["bad"] for came in done):
        raise SystemExit("a part of the training failed")


def collect(protocol, mode, connections, rounds, results):
    to = lambda target, base, field="rate": ratio(rounds[target], rounds.get(base, []), field)
    for target, came in rounds.items():
        came = [one for one in came if one]
        if not came:
            results.append({"protocol": protocol, "mode": mode, "connections": connections, "target": target, "failed": True})
            continue
        middle = lambda field: round(statistics.median(one[field] for one in came), 1)
        results.append({
            "protocol": protocol, "mode": mode, "connections": connections, "target": target, "requests_per_second": middle("rate"),
            "ratio_direct": to(target, "direct"), "ratio_hyper": to(target, "hyper"), "ratio_envoy": to(target, "envoy"),
            "ratio_nginx": to(target, "nginx"), "p99_to_hyper": to(target, "hyper", "p99"),
            "cpu_us_per_request": middle("cpu"), "p50_us": middle("p50"), "p99_us": middle("p99"),
        })


def table(results, out):
    print("| protocol | mode | conns | target | req/s | of direct | of hyper | of Envoy | of nginx | CPU µs/req | p50 µs | p99 µs | p99 to hyper |", file=out)
    print("|---|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|", file=out)
    for row in results:
        keys = ("protocol", "mode", "connections", "target", "requests_per_second", "ratio_direct", "ratio_hyper", "ratio_envoy", "ratio_nginx",
                "cpu_us_per_request", "p50_us", "p99_us", "p99_to_hyper")
        print_row(["failed" if key == "requests_per_second" and "failed" in row else row.get(key) for key in keys], out)


def main():
    parser = argparse.ArgumentParser(prog="bench.sh http", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round of two seconds: shows that it works, not how fast it is")
    parser.add_argument("--json", action="store_true", help="JSON on stdout instead of a table")
    parser.add_argument("--only", choices=["h1", "h2"], help="one version of HTTP")
    parser.add_argument("--mode", choices=["pinned", "shared"], help="one mode")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="how long each measurement takes")
    parser.add_argument("--rounds", type=int, default=5, help="how often each target is measured")
    parser.add_argument("--binaries", type=pathlib.Path, default=TARGET, help="the folder with `parapet` and `examples/forward`")
    parser.add_argument("--peers", action="store_true", help="without Parapet: what the neighbours do on this machine")
    parser.add_argument("--train", action="store_true", help="measure nothing: run both versions once, for scripts/dist.sh")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    options = parser.parse_args()
    Stack.binaries, Stack.peers_alone = options.binaries.absolute(), options.peers
    if options.train:
        return train(options)
    if options.quick:
        options.seconds, options.rounds = 2, 1
    results = []
    for pinned in (True, False):
        if options.mode in (None, "pinned" if pinned else "shared"):
            measure(options, pinned, results)
    version = lambda command: (subprocess.run(command, capture_output=True, text=True).stdout + subprocess.run(command, capture_output=True, text=True).stderr).strip().splitlines()[0]
    machine = {"cpus": os.cpu_count(), "kernel": os.uname().release, "nginx": version([program("nginx"), "-v"]),
               "envoy": version([str(ENVOY), "--version"]) if ENVOY.exists() else None, "policies": 50, "quick": options.quick, "at": int(time.time())}
    if options.json:
        json.dump({"results": results, "machine": machine}, sys.stdout, indent=1)
        print()
    else:
        table(results, sys.stdout)
        print(f"\non {machine['cpus']} CPUs, {machine['nginx']}, {machine['policies']} policies, audit on")


if __name__ == "__main__":
    main()
