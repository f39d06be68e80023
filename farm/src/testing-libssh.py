"""A client made with libssh, as editors and virtual machine managers have it: `testing-libssh.py HOST PORT USER KEY SERVED`.

Several channels of one connection at once, SFTP, and forwarding both ways; what came of it is told as JSON. SERVED is a port of the machine.
"""

import ctypes
import json
import sys

host, port, user, key, served = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
OPTIONS = {"HOST": 0, "PORT": 1, "USER": 4, "PROCESS_CONFIG": 38}
WAIT_MS = 20_000
lib = ctypes.CDLL("libssh.so.4")
for name in ("ssh_new", "ssh_channel_new", "sftp_new", "sftp_open", "ssh_channel_accept_forward", "ssh_get_error"):
    getattr(lib, name).restype = ctypes.c_void_p


def pointer(value):
    return ctypes.c_void_p(value)


def text(value):
    return ctypes.c_char_p(value.encode())


session = pointer(lib.ssh_new())


def must(result, doing):
    if result != 0:
        sys.exit(f"{doing}: {result}: {ctypes.string_at(lib.ssh_get_error(session)).decode()}")


def option(name, value):
    must(lib.ssh_options_set(session, OPTIONS[name], value), name)


def begin(command):
    channel = pointer(lib.ssh_channel_new(session))
    must(lib.ssh_channel_open_session(channel), "open a channel")
    must(lib.ssh_channel_request_exec(channel, text(command)), command)
    return channel


def said(channel, is_stderr=0):
    piece, whole = ctypes.create_string_buffer(4096), b""
    while (count := lib.ssh_channel_read_timeout(channel, piece, 4096, is_stderr, WAIT_MS)) > 0:
        whole += piece.raw[:count]
    return whole.decode()


def asked(channel, question):
    lib.ssh_channel_write(channel, text(question), len(question))
    lib.ssh_channel_send_eof(channel)
    return said(channel)


def files(content):
    sftp = pointer(lib.sftp_new(session))
    must(lib.sftp_init(sftp), "begin SFTP")
    back = ctypes.create_string_buffer(len(content) + 1)
    file = pointer(lib.sftp_open(sftp, text("by-libssh"), 0o102 | 0o1000, 0o600))
    lib.sftp_write(file, text(content), len(content))
    must(lib.sftp_seek64(file, ctypes.c_uint64(0)), "seek")
    lib.sftp_read(file, back, len(content))
    must(lib.sftp_close(file), "close")
    lib.sftp_free(sftp)
    return back.value.decode()


def forwarded():
    channel = pointer(lib.ssh_channel_new(session))
    must(lib.ssh_channel_open_forward(channel, text("localhost"), served, text("localhost"), 0), "forward a port")
    return asked(channel, "x")


def listened():
    bound = ctypes.c_int(0)
    must(lib.ssh_channel_listen_forward(session, text("localhost"), 0, ctypes.byref(bound)), "listen")
    visitor = begin(f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{bound.value}; echo knock >&3; cat <&3'")
    channel = pointer(lib.ssh_channel_accept_forward(session, WAIT_MS, None))
    lib.ssh_channel_write(channel, text("come in"), 7)
    must(lib.ssh_channel_close(channel), "close")
    return said(visitor)


option("HOST", text(host))
option("PORT", ctypes.byref(ctypes.c_uint(port)))
option("USER", text(user))
option("PROCESS_CONFIG", ctypes.byref(ctypes.c_bool(False)))
must(lib.ssh_connect(session), "connect")
identity = ctypes.c_void_p()
must(lib.ssh_pki_import_privkey_file(text(key), None, None, None, ctypes.byref(identity)), "read the key")
must(lib.ssh_userauth_publickey(session, None, identity), "log in")
channels = [begin(f"read line; echo $line {at}; echo no >&2; exit {at}") for at in range(5)]
commands = []
for at, channel in reversed(list(enumerate(channels))):
    commands.append([asked(channel, "in\n"), said(channel, 1), lib.ssh_channel_get_exit_status(channel)])
print(json.dumps({"commands": commands, "files": files("by libssh"), "forwarded": forwarded(), "listened": listened()}))
lib.ssh_disconnect(session)
