"""httpx, as a stock client: reads {"base", "host", "token", "http2", "steps": [{…}]} and says what came of each.

A step: method, path, headers, body (text) or upload (bytes, streamed in chunks), and `hold`: lines to read before something is
released by a request of its own.
"""

import hashlib
import json
import sys

import httpx

given = json.load(sys.stdin)
headers = {"Host": given["host"], "Accept-Encoding": "gzip, br, zstd"}
if given.get("token"):
    headers["Authorization"] = f"Bearer {given['token']}"


def pieces(size):
    block = bytes(range(256)) * 256
    while size > 0:
        yield block[: min(size, len(block))]
        size -= len(block)


def came(response, raw):
    return {
        "status": response.status_code, "version": response.http_version, "headers": [[key, value] for key, value in response.headers.multi_items()],
        "length": len(raw), "sha256": hashlib.sha256(raw).hexdigest(), "body": raw.decode("latin1") if len(raw) < 65536 else None,
    }


def run(client, step):
    content = pieces(step["upload"]) if "upload" in step else step.get("body", "").encode() or None
    request = client.build_request(step.get("method", "GET"), given["base"] + step["path"], headers={**headers, **step.get("headers", {})}, content=content)
    response = client.send(request, stream=True)
    try:
        if "release" not in step:
            return came(response, response.read())
        # Each part must be here before the next is asked for: nothing may wait for the end of the answer.
        seen = []
        for number, line in enumerate(line for line in response.iter_lines() if line.startswith("data:")):
            seen.append(line)
            if number < 2:
                client.get(f"{given['base']}/release/{step['release']}-{number}", headers=headers).raise_for_status()
        return {"status": response.status_code, "lines": seen, "headers": [[key, value] for key, value in response.headers.multi_items()]}
    finally:
        response.close()


# Prior knowledge where it is HTTP/2 in clear, ALPN where it is TLS.
options = {"http1": not given["http2"], "http2": given["http2"], "timeout": 60, "trust_env": False}
if given.get("ca"):
    import ssl

    options["verify"] = ssl.create_default_context(cafile=given["ca"])
with httpx.Client(**options) as client:
    json.dump([run(client, step) for step in given["steps"]], sys.stdout)
