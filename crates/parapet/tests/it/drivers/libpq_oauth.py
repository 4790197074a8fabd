"""Logs in by OAUTHBEARER with libpq 18 itself, whose hook gives the token: a program without a person. Prints what it asked for,
and what came of `select current_user` at the gateway, or the error."""

import ctypes
import json
import os
import sys

libpq = ctypes.CDLL(os.environ["PARAPET_IT_LIBPQ"])
BEARER_TOKEN = 1


class Request(ctypes.Structure):
    """PGoauthBearerRequest of libpq-fe.h."""

    _fields_ = [
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("run", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
    ]


Hook = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Request))
asked = []
token = os.environ["PARAPET_IT_TOKEN"].encode()


@Hook
def hook(kind, _connection, request):
    if kind != BEARER_TOKEN:
        return 0
    asked.append((request.contents.openid_configuration or b"").decode())
    request.contents.token = token
    return 1


libpq.PQsetAuthDataHook.argtypes = [Hook]
libpq.PQconnectdb.restype = ctypes.c_void_p
libpq.PQconnectdb.argtypes = [ctypes.c_char_p]
for name in ("PQstatus", "PQerrorMessage", "PQfinish"):
    getattr(libpq, name).argtypes = [ctypes.c_void_p]
libpq.PQerrorMessage.restype = ctypes.c_char_p
libpq.PQexec.restype = ctypes.c_void_p
libpq.PQexec.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
libpq.PQgetvalue.restype = ctypes.c_char_p
libpq.PQgetvalue.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]

libpq.PQsetAuthDataHook(hook)
connection = libpq.PQconnectdb(sys.argv[1].encode())
came = {"asked": asked}
if libpq.PQstatus(connection) == 0:
    came["value"] = libpq.PQgetvalue(libpq.PQexec(connection, b"select 7"), 0, 0).decode()
else:
    came["error"] = libpq.PQerrorMessage(connection).decode()
libpq.PQfinish(connection)
json.dump(came, sys.stdout)
