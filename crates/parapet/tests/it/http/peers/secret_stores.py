"""A stand-in for two secret stores, in the shapes of their APIs: the Secrets of a Kubernetes API server, and AWS Secrets Manager.

    python secret_stores.py FOLDER        FOLDER holds stores.json: {"token", "access_key", "secret_key", "values": {NAME: VALUE}}

It is neither: it holds what the tests need of them, and nothing more. Whoever shows another token than the cluster's, or signs
with another key than the account's, gets no value. Says {"kubernetes": PORT, "aws": PORT} when they listen, and of each request
that it answered its store, method, path, target and whether it was authentic.
"""

import base64
import datetime
import hashlib
import hmac
import http.server
import json
import pathlib
import sys
import threading
import urllib.parse

given = json.loads((pathlib.Path(sys.argv[1]) / "stores.json").read_text())
VALUES = given["values"]


class Store(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def answer(self, status, answer, kind="application/json"):
        whole = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(whole)))
        self.end_headers()
        self.wfile.write(whole)

    def say(self, authentic, **more):
        headers = {name.lower(): value for name, value in self.headers.items()}
        said = {"store": self.store, "method": self.command, "path": self.path, "authentic": authentic, "headers": headers}
        print(json.dumps(said | more), flush=True)

    def log_message(self, *_):
        pass


class Kubernetes(Store):
    store = "kubernetes"

    def of(self, namespace, name):
        value = base64.b64encode(VALUES[f"{namespace}/{name}"].encode()).decode()
        about = {"name": name, "namespace": namespace, "uid": name, "resourceVersion": "1"}
        return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": about, "data": {"password": value}}

    def listed(self, namespace):
        names = [name.split("/") for name in VALUES if "/" in name]
        return [self.of(of, name) for of, name in names if namespace in (None, of)]

    def status(self, code, reason):
        self.answer(code, {"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "code": code})

    def watch(self, secrets):
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for secret in secrets:
            line = json.dumps({"type": "ADDED", "object": secret}).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")

    def discovery(self, path):
        verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        secrets = {"name": "secrets", "singularName": "secret", "namespaced": True, "kind": "Secret", "verbs": verbs}
        return {
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
            "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [secrets]},
            "/version": {"major": "1", "minor": "32", "gitVersion": "v1.32.0"},
        }.get(path)

    def do(self):
        sent = self.body()
        path, _, query = self.path.partition("?")
        query = urllib.parse.parse_qs(query)
        authentic = self.headers.get("authorization") == f"Bearer {given['token']}"
        self.say(authentic)
        if not authentic:
            return self.status(401, "Unauthorized")
        if found := self.discovery(path):
            return self.answer(200, found)
        parts = path.strip("/").split("/")
        match parts:
            case ["api", "v1", "secrets"]:
                secrets = self.listed(None)
            case ["api", "v1", "namespaces", namespace, "secrets"]:
                secrets = self.listed(namespace)
            case ["api", "v1", "namespaces", namespace, "secrets", name] if f"{namespace}/{name}" in VALUES:
                waits = b"Foreground" in sent or query.get("propagationPolicy") == ["Foreground"]
                if self.command == "DELETE" and not waits:
                    return self.answer(200, {"apiVersion": "v1", "kind": "Status", "status": "Success"})
                return self.answer(200, self.of(namespace, name))
            case _:
                return self.status(404, "NotFound")
        if self.command == "POST":
            return self.answer(201, json.loads(sent))
        if query.get("watch", ["0"])[0] in ("1", "true"):
            return self.watch(secrets)
        self.answer(200, {"apiVersion": "v1", "kind": "SecretList", "metadata": {"resourceVersion": "1"}, "items": secrets})

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do


class SecretsManager(Store):
    store = "aws"

    def signature(self, sent):
        """Of Signature Version 4, computed anew over what came."""
        scheme, _, fields = (self.headers.get("authorization") or "").partition(" ")
        fields = dict(field.strip().split("=", 1) for field in fields.split(",") if "=" in field)
        key, _, scope = fields.get("Credential", "").partition("/")
        if scheme != "AWS4-HMAC-SHA256" or key != given["access_key"]:
            return False
        names = fields["SignedHeaders"].split(";")
        if not {"host", "x-amz-date", "x-amz-target"} <= set(names):
            return False
        headers = "".join(f"{name}:{' '.join(self.headers.get(name, '').split())}\n" for name in names)
        canonical = "\n".join([self.command, "/", "", headers, ";".join(names), hashlib.sha256(sent).hexdigest()])
        date = self.headers["x-amz-date"]
        now = datetime.datetime.now(datetime.timezone.utc)
        then = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        if abs((now - then).total_seconds()) > 300:
            return False
        text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        signing = f"AWS4{given['secret_key']}".encode()
        for part in scope.split("/"):
            signing = hmac.digest(signing, part.encode(), "sha256")
        return hmac.compare_digest(hmac.digest(signing, text.encode(), "sha256").hex(), fields["Signature"])

    def of(self, name):
        return {"Name": name, "ARN": f"arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-AbCdEf",
                "VersionId": "1", "SecretString": VALUES[name]}

    def refuse(self, error):
        self.answer(400, {"__type": error, "message": error}, "application/x-amz-json-1.1")

    def do_POST(self):
        sent = self.body()
        target = self.headers.get("x-amz-target") or ""
        authentic = self.path == "/" and self.signature(sent)
        self.say(authentic, target=target)
        if not authentic:
            return self.refuse("InvalidSignatureException")
        asked, known = json.loads(sent), [name for name in VALUES if name.startswith("app-")]
        match target.removeprefix("secretsmanager."):
            case "GetSecretValue" if asked["SecretId"] in known:
                answer = self.of(asked["SecretId"])
            case "BatchGetSecretValue":
                names = asked.get("SecretIdList") or known
                answer = {"SecretValues": [self.of(name) for name in names], "Errors": []}
            case "ListSecrets":
                answer = {"SecretList": [{"Name": name} for name in known]}
            case "PutSecretValue" | "DeleteSecret" | "CreateSecret":
                answer = {"Name": asked.get("SecretId") or asked.get("Name")}
            case _:
                return self.refuse("ResourceNotFoundException")
        self.answer(200, answer, "application/x-amz-json-1.1")


def serve(store):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), store)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


print(json.dumps({"kubernetes": serve(Kubernetes), "aws": serve(SecretsManager)}), flush=True)
sys.stdin.read()
