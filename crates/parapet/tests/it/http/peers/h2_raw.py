"""HTTP/2 as raw frames, over prior knowledge. Reads {"port", "cases": [{"fields", "body", "trailers"?}]} and says of each how it was answered:
{"status"} or {"reset"} or {"goaway"}; or {"port", "flood", "fields"} and says whether the connection was ended.
"""

import json
import socket
import sys
import time

import hpack
from hyperframe.frame import (ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, PriorityFrame, RstStreamFrame, SettingsFrame,
                              WindowUpdateFrame)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
given = json.load(sys.stdin)


def literal(fields):
    """Never indexed, never compressed, never looked at: names and values as they are."""
    out = b""
    for name, value in fields:
        name, value = name.encode("latin1"), value.encode("latin1")
        out += b"\x10" + number(len(name)) + name + number(len(value)) + value
    return out


def number(value):
    if value < 127:
        return bytes([value])
    out, value = b"\x7f", value - 127
    while value >= 128:
        out, value = out + bytes([value % 128 + 128]), value // 128
    return out + bytes([value])


class Connection:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", given["port"]), 20)
        self.socket.settimeout(20)
        self.buffer = b""
        self.decoder = hpack.Decoder()
        self.socket.sendall(PREFACE + SettingsFrame(0).serialize())

    def send(self, *frames):
        self.socket.sendall(b"".join(frame.serialize() for frame in frames))

    def frames(self):
        while True:
            while len(self.buffer) >= 9:
                frame, length = Frame.parse_frame_header(memoryview(self.buffer[:9]))
                if len(self.buffer) < 9 + length:
                    break
                frame.parse_body(memoryview(self.buffer[9:9 + length]))
                self.buffer = self.buffer[9 + length:]
                yield frame
            try:
                data = self.socket.recv(65536)
            except (ConnectionResetError, BrokenPipeError):
                data = b""
            if not data:
                return
            self.buffer += data


def ask(case):
    connection = Connection()
    head = HeadersFrame(1, literal(case["fields"]))
    head.flags.add("END_HEADERS")
    frames = [head]
    body, trailers = case["body"].encode(), case.get("trailers")
    if body or trailers:
        data = DataFrame(1, body)
        frames.append(data)
        if trailers:
            last = HeadersFrame(1, literal(trailers))
            last.flags.add("END_HEADERS")
            frames.append(last)
    frames[-1].flags.add("END_STREAM")
    try:
        connection.send(*frames)
        for frame in connection.frames():
            if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
                acknowledged = SettingsFrame(0)
                acknowledged.flags.add("ACK")
                connection.send(acknowledged)
            if isinstance(frame, HeadersFrame) and frame.stream_id == 1:
                status = dict(connection.decoder.decode(frame.data)).get(":status")
                return {"status": int(status)}
            if isinstance(frame, RstStreamFrame) and frame.stream_id == 1:
                return {"reset": frame.error_code}
            if isinstance(frame, GoAwayFrame):
                return {"goaway": frame.error_code}
    except (ConnectionResetError, BrokenPipeError, socket.timeout) as error:
        return {"lost": type(error).__name__}
    finally:
        connection.socket.close()
    return {"closed": True}


def flood(kind):
    """Sends until the other side ends the connection, or a bounded lot was taken."""
    connection = Connection()
    encoder = hpack.Encoder()
    fields = [(name, value) for name, value in given["fields"]]
    sent, stream = 0, 1

    def head(stream, block, *flags):
        frame = HeadersFrame(stream, block)
        for flag in flags:
            frame.flags.add(flag)
        return frame

    connection.socket.settimeout(5)
    try:
        if kind in ("continuation", "empty-continuation"):
            connection.send(head(1, literal(fields), "END_STREAM"))
        if kind == "hpack-bomb":
            # One large entry in the table, named again and again.
            block = encoder.encode(fields)
            block += b"\x40" + number(1) + b"b" + number(3900) + b"b" * 3900 + b"\xbe" * 15000
            connection.send(head(1, block[:16000], "END_STREAM", "END_HEADERS"))
        if kind == "header-list":
            block = literal([*fields, *[(f"x-{n}", "y" * 1000) for n in range(15)]])
            connection.send(head(1, block, "END_STREAM"))
        if kind == "empty-data":
            connection.send(head(1, literal(fields), "END_HEADERS"))
        end = time.monotonic() + 15
        while time.monotonic() < end and sent < 200_000:
            batch = []
            for _ in range(100):
                if kind == "rapid-reset":
                    batch += [head(stream, literal(fields), "END_STREAM", "END_HEADERS"), RstStreamFrame(stream, 8)]
                    stream += 2
                elif kind in ("continuation", "header-list"):
                    batch.append(ContinuationFrame(1, literal([(f"x-{sent}", "y" * 100)])))
                elif kind == "empty-continuation":
                    batch.append(ContinuationFrame(1, b""))
                elif kind == "settings":
                    batch.append(SettingsFrame(0, {4: 65535}))
                elif kind == "ping":
                    batch.append(PingFrame(0, b"12345678"))
                elif kind == "empty-data":
                    batch.append(DataFrame(1, b""))
                elif kind == "priority":
                    batch.append(PriorityFrame(1 if sent % 2 else 3, depends_on=0, stream_weight=1))
                elif kind == "hpack-bomb":
                    batch.append(PingFrame(0, b"12345678"))
                sent += 1
            connection.send(*batch)
        # Nothing ended it: what came back was bounded work for each frame of ours.
        return {"ended": False, "bounded": kind in ("priority", "settings", "ping", "empty-data"), "sent": sent}
    except (ConnectionResetError, BrokenPipeError):
        return {"ended": True, "sent": sent}
    except socket.timeout:
        # The other side stopped reading.
        return {"ended": False, "bounded": True, "sent": sent, "stalled": True}
    finally:
        connection.socket.close()


json.dump(flood(given["flood"]) if "flood" in given else [ask(case) for case in given["cases"]], sys.stdout)
