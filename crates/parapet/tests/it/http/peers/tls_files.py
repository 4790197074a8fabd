"""Real HTTPS and HTTP servers of files, for what goes out through the egress.

    python tls_files.py FOLDER        FOLDER holds server.crt, server.key and web/

Says {"tls": PORT, "plain": PORT} when they listen, and for each request its path and headers. Whoever shows a credential gets it
back in a header, as some APIs do, and below /shown/ in the body: json, text, chunked or gzip. A POST gets back what it brought, and
what it showed.
"""

import functools
import gzip
import http.server
import json
import pathlib
import ssl
import sys
import threading

folder = pathlib.Path(sys.argv[1])


class Files(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def told(self):
        headers = {name.lower(): value for name, value in self.headers.items()}
        print(json.dumps({"path": self.path, "tls": isinstance(self.connection, ssl.SSLSocket), "headers": headers}), flush=True)
        return headers

    def do_POST(self):
        headers = self.told()
        brought = self.rfile.read(int(headers["content-length"])).decode()
        body = json.dumps({"brought": brought, "shown": headers.get("authorization")}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        headers = self.told()
        if self.path.startswith("/shown/"):
            self.show(self.path.removeprefix("/shown/"), headers)
        else:
            super().do_GET()

    def show(self, how, headers):
        body = json.dumps({"headers": headers}, indent=1)
        body = (headers.get("authorization", "") if how == "text" else body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain" if how == "text" else "application/json")
        if how == "gzip":
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        if how == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            chunks = [body[at : at + 5] for at in range(0, len(body), 5)] + [b""]
            body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self):
        if shown := self.headers.get("Authorization"):
            self.send_header("X-You-Showed", shown)
        super().end_headers()

    def log_message(self, *_):
        pass


def serve(context=None):
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Files, directory=str(folder / "web"))
    )
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder / "server.crt", folder / "server.key")
print(json.dumps({"tls": serve(context), "plain": serve()}), flush=True)
sys.stdin.read()
