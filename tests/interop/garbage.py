#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Say nonsense to a server, which must hang up and stay as it was.

  garbage.py SOCKET PID                 files and memory of process PID are watched
  garbage.py --half-open SOCKET COUNT   open that many connections, say half a word, wait for a kill
"""

import os
import random
import select
import signal
import socket
import struct
import sys
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\x04\0\0\0\0\0"


def frame(kind, flags, stream, data, length=None):
    size = len(data) if length is None else length
    return size.to_bytes(3, "big") + bytes((kind, flags)) + struct.pack(">I", stream) + data


def ttrpc(length, stream, kind, flags, data):
    return struct.pack(">IIBB", length, stream, kind, flags) + data


def words(noise):
    """What is sent, one connection each; both protocols get both kinds."""
    yield b""
    yield b"\0"
    yield b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # a TLS hello
    yield PREFACE[:10]
    yield PREFACE + b"\xff" * 100
    yield PREFACE + SETTINGS + frame(1, 0x5, 1, noise.randbytes(200))  # a header block of noise
    yield PREFACE + SETTINGS + frame(0, 0, 0, b"data on stream zero")
    yield PREFACE + SETTINGS + frame(0, 1, 2, b"a stream that never was")
    yield PREFACE + SETTINGS + frame(1, 0x4, 1, b"", length=0xffffff)  # longer than allowed
    yield PREFACE + SETTINGS + frame(8, 0, 0, b"\0\0\0\0") * 3  # window by nothing
    yield PREFACE + SETTINGS + frame(8, 0, 0, b"\x7f\xff\xff\xff") * 3  # window overflow
    yield PREFACE + SETTINGS + frame(9, 0, 1, b"continuation of nothing")
    yield PREFACE + SETTINGS + frame(6, 0, 0, b"12345678") * 30_000  # a flood of pings
    yield PREFACE + SETTINGS + frame(4, 0, 0, b"") * 30_000  # of settings
    yield PREFACE + SETTINGS + b"".join(  # of streams, opened and reset
        frame(1, 0x4, i, b"\x83\x86\x44\x02/x") + frame(3, 0, i, b"\0\0\0\x08")
        for i in range(1, 20_001, 2))
    yield ttrpc(0, 0, 0, 0, b"")
    yield ttrpc(5, 1, 1, 0, b"\xff\xff\xff\xff\xff")
    yield ttrpc(0xffffffff, 1, 1, 0, b"x" * 1000)
    yield ttrpc(4 << 20, 1, 1, 0, b"x" * 1000)
    yield ttrpc(3, 2, 1, 0, b"\x0a\x01x")  # an even stream
    yield ttrpc(3, 1, 3, 0, b"\x0a\x01x")  # data of no stream
    yield ttrpc(3, 1, 77, 0xff, b"\x0a\x01x")
    yield ttrpc(3, 1, 1, 0, b"\x0a\x01x") * 2000  # one stream many times
    for size in (1, 9, 10, 100, 10_000, 1_000_000):
        yield noise.randbytes(size)
        yield PREFACE + noise.randbytes(size)
        yield PREFACE + SETTINGS + noise.randbytes(size)


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    s.connect(path)
    return s


def say(path, word, linger):
    """Say it, listening meanwhile; with linger, the last word is the server's."""
    s = connect(path)
    s.setblocking(False)
    at, deadline = 0, time.monotonic() + 5
    try:
        while at < len(word) or linger:
            writing = [s] if at < len(word) else []
            readable, writable, _ = select.select([s], writing, [], 0.5)
            if readable and not s.recv(1 << 20):
                return None
            if writable:
                at += s.send(word[at:at + 65536])
                if at == len(word) and linger:
                    s.shutdown(socket.SHUT_WR)
            elif not word and linger:
                s.shutdown(socket.SHUT_WR)
            if time.monotonic() > deadline:
                return "it does not hang up within five seconds"
    except OSError:
        pass  # hung up: that is an answer
    finally:
        s.close()
    return None


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def attack(path, pid):
    noise = random.Random(7)
    connect(path).close()
    files, memory = open_files(pid), resident_kb(pid)
    for number, word in enumerate(words(noise)):
        for linger in (True, False):
            complaint = say(path, word, linger)
            if complaint:
                return f"word {number} ({word[:40]!r}...): {complaint}"
    for _ in range(300):
        say(path, noise.randbytes(50), False)
    deadline = time.monotonic() + 10
    while open_files(pid) > files + 1:
        if time.monotonic() > deadline:
            return f"{open_files(pid)} files are open, there were {files}"
        time.sleep(0.05)
    if resident_kb(pid) > memory + 65536:
        return f"it has grown from {memory} to {resident_kb(pid)} kB"
    return None


def half_open(path, count):
    held = []
    for i in range(count):
        s = connect(path)
        s.sendall((b"", PREFACE[:7], PREFACE, PREFACE + SETTINGS + b"\0\0")[i % 4])
        held.append(s)
    print("ready", flush=True)
    signal.pause()


def main():
    if sys.argv[1] == "--half-open":
        half_open(sys.argv[2], int(sys.argv[3]))
        return
    complaint = attack(sys.argv[1], int(sys.argv[2]))
    if complaint:
        sys.exit(complaint)


main()
