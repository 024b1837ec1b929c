# SPDX-License-Identifier: Apache-2.0
"""Bytes no gRPC client would send: rpc-raw.py RPC-ECHO-SERVER [TEST...]. After each, the server
still answers."""
import os
import shutil
import socket
import struct
import subprocess
import sys
import time

from rpc_peer import Server, any_of, run, wait_for

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
PRIORITY = 2
END_STREAM, ACK, END_HEADERS = 1, 1, 4
ENHANCE_YOUR_CALM = 11


def frame(kind, flags=0, stream=0, payload=b''):
    return struct.pack('>I', len(payload))[1:] + bytes([kind, flags]) + struct.pack('>I', stream) + payload


def hpack_int(n):
    if n < 127:
        return bytes([n])
    out, n = b'\x7f', n - 127
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def block(*pairs):
    return b''.join(b'\x00' + hpack_int(len(k)) + k + hpack_int(len(v)) + v for k, v in pairs)


def request(method=b'Unary', *more):
    return block((b':method', b'POST'), (b':scheme', b'http'), (b':path', b'/test.Echo/' + method),
                 (b':authority', b'x'), (b'content-type', b'application/grpc'), *more)


def message(data):
    return b'\0' + struct.pack('>I', len(data)) + data


class Raw:
    def __init__(self, server, hello=PREFACE + frame(SETTINGS)):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(server.path)
        self.buf = b''
        if hello:
            self.sock.sendall(hello)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def send(self, data):
        """False once the peer has closed."""
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False

    def frames(self):
        """What comes until the peer closes."""
        while True:
            while len(self.buf) >= 9 and len(self.buf) >= 9 + (n := int.from_bytes(self.buf[:3], 'big')):
                kind, flags = self.buf[3], self.buf[4]
                stream = int.from_bytes(self.buf[5:9], 'big')
                payload, self.buf = self.buf[9:9 + n], self.buf[9 + n:]
                yield kind, flags, stream, payload
            try:
                more = self.sock.recv(65536)
            except ConnectionError:
                return
            if not more:
                return
            self.buf += more

    def wait(self, kind, stream=None):
        for f in self.frames():
            if f[0] == kind and (stream is None or f[2] == stream):
                return f
        raise AssertionError(f'closed before a frame of type {kind}')

    def closed(self):
        return all(True for _ in self.frames())

    def goaway(self):
        """The code of the GOAWAY that ends the connection."""
        code = None
        for kind, _, _, payload in self.frames():
            if kind == GOAWAY:
                code = int.from_bytes(payload[4:8], 'big')
        return code


def answers(server):
    with Raw(server) as r:
        r.send(frame(HEADERS, END_HEADERS, 1, request()) +
               frame(DATA, END_STREAM, 1, message(any_of('alive'))))
        return any_of('alive') in r.wait(DATA, 1)[3]


def rss_kb(server):
    with open(f'/proc/{server.process.pid}/status') as f:
        return next(int(line.split()[1]) for line in f if line.startswith('VmRSS'))


def cpu_ticks(server):
    with open(f'/proc/{server.process.pid}/stat') as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return int(fields[11]) + int(fields[12])


def idle(server):
    ticks = cpu_ticks(server)
    time.sleep(0.3)
    return cpu_ticks(server) - ticks < 2


def garbage(server):
    for junk in [b'GET / HTTP/1.1\r\nHost: x\r\n\r\n', b'\0' * 24, os.urandom(4096),
                 PREFACE[:-1] + b'x', PREFACE + b'\xff' * 100,
                 PREFACE + frame(SETTINGS) + b'\0\0\0\xff' * 1000,
                 PREFACE + frame(HEADERS, END_HEADERS, 1, request()),
                 PREFACE + frame(SETTINGS) + frame(DATA, 0, 1, b'idle stream'),
                 PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 2, request()),
                 PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 1, b'\xff' * 50),
                 PREFACE + frame(SETTINGS, 0, 0, b'12345')]:
        with Raw(server, junk) as r:
            r.sock.shutdown(socket.SHUT_WR)
            assert r.closed()
        assert answers(server), junk


def half_open(server):
    start = time.monotonic()
    quiet = [Raw(server, hello) for hello in
             [b'', PREFACE[:10], PREFACE, PREFACE + frame(SETTINGS)[:5]]]
    for r in quiet:
        assert r.closed()
    assert 0.2 < time.monotonic() - start < 5
    with Raw(server) as r:
        # Who has said hello may stay without a word.
        r.wait(SETTINGS)
        time.sleep(0.5)
        r.send(frame(PING, 0, 0, b'12345678'))
        assert r.wait(PING)[3] == b'12345678'


def half_open_cost(server):
    assert answers(server)
    before = rss_kb(server)
    quiet = [Raw(server, b'') for _ in range(500)]
    assert answers(server)
    assert rss_kb(server) - before < 1500 or rss_kb(server) > 30000, (before, rss_kb(server))
    wait_for(lambda: idle(server))
    for r in quiet:
        r.sock.close()


def too_many_connections(server):
    quiet = [Raw(server, b'') for _ in range(1024)]
    with Raw(server, b'') as r:
        assert r.closed()
    for r in quiet:
        r.sock.close()
    wait_for(lambda: answers_or_closed(server))


def answers_or_closed(server):
    try:
        return answers(server)
    except (AssertionError, OSError):
        return False


def pings(server):
    with Raw(server) as r:
        for i in range(100):
            r.send(frame(PING, 0, 0, struct.pack('>Q', i)))
            while True:
                f = r.wait(PING)
                if f[1] & ACK:
                    break
            assert f[3] == struct.pack('>Q', i)


def flood(server, junk):
    """Junk without end, until the server closes; the reason it gave."""
    with Raw(server) as r:
        r.sock.settimeout(0.01)
        end = time.monotonic() + 10
        code, open_ = None, True
        while open_:
            assert time.monotonic() < end, 'the flood was not cut off'
            try:
                r.sock.send(junk)
            except TimeoutError:
                pass
            except OSError:
                open_ = False
            try:
                for kind, _, _, payload in r.frames():
                    if kind == GOAWAY:
                        code = int.from_bytes(payload[4:8], 'big')
                open_ = False
            except TimeoutError:
                pass
    assert answers(server)
    return code


def ping_flood(server):
    assert flood(server, frame(PING, 0, 0, b'12345678') * 500) == ENHANCE_YOUR_CALM


def settings_flood(server):
    assert flood(server, frame(SETTINGS) * 100) == ENHANCE_YOUR_CALM


def priority_flood(server):
    assert flood(server, frame(PRIORITY, 0, 1, b'\0\0\0\3\1') * 500) == ENHANCE_YOUR_CALM


def rapid_reset(server):
    with Raw(server) as r:
        code = None
        for i in range(1, 40000, 2):
            if not r.send(frame(HEADERS, END_HEADERS, i, request(b'Park')) +
                          frame(DATA, END_STREAM, i, message(b'')) +
                          frame(RST_STREAM, 0, i, b'\0\0\0\x08')):
                break
        else:
            raise AssertionError('never cut off')
        code = r.goaway()
    assert code in (ENHANCE_YOUR_CALM, None), code
    assert answers(server)


def empty_data(server):
    with Raw(server) as r:
        r.send(frame(HEADERS, END_HEADERS, 1, request()))
        sent = all(r.send(frame(DATA, 0, 1) * 100) for _ in range(1000))
        assert not sent
    assert answers(server)


def large_headers(server):
    with Raw(server) as r:
        # Within a frame, but too many fields: an answer, and the connection goes on.
        many = block(*[(b'k%d' % i, b'v') for i in range(400)])
        r.send(frame(HEADERS, END_HEADERS, 1, request() + many) +
               frame(DATA, END_STREAM, 1, message(b'')))
        r.wait(HEADERS, 1)
        r.send(frame(HEADERS, END_HEADERS, 3, request()) +
               frame(DATA, END_STREAM, 3, message(any_of('x'))))
        r.wait(DATA, 3)
    with Raw(server) as r:
        # Without end.
        r.send(frame(HEADERS, 0, 1, request()))
        piece = frame(CONTINUATION, 0, 1, block((b'key', b'v' * 16000)))
        assert not all(r.send(piece) for _ in range(1000))
    before = rss_kb(server)
    assert answers(server)
    assert rss_kb(server) - before < 2000


def unfinished(server):
    """Promises of large messages cost what was sent of them."""
    before = rss_kb(server)
    conns = [Raw(server) for _ in range(10)]
    for r in conns:
        for i in range(1, 201, 2):
            r.send(frame(HEADERS, END_HEADERS, i, request(b'Up')) +
                   frame(DATA, 0, i, b'\0\0\xff\xff\xff' + b'x' * 10))
    assert answers(server)
    assert rss_kb(server) - before < 100000
    for r in conns:
        r.sock.close()
    with Raw(server) as r:
        r.send(frame(HEADERS, END_HEADERS, 1, request()) +
               frame(DATA, END_STREAM, 1, b'\0\0\0\0\x10abc'))
        r.wait(HEADERS, 1)


def never_reads(server):
    """Who asks and never reads is waited for without work or memory."""
    before = rss_kb(server)
    conns = [Raw(server) for _ in range(5)]
    for r in conns:
        for i in range(1, 9, 2):
            r.send(frame(HEADERS, END_HEADERS, i, request(b'Down')) +
                   frame(DATA, END_STREAM, i, message(any_of('10000 100000'))))
    assert answers(server)
    wait_for(lambda: idle(server))
    after = rss_kb(server)
    assert after - before < 100000, (before, after)
    for r in conns:
        r.sock.close()


def http_statuses(server):
    if not shutil.which('curl'):
        return
    for args, status in [(['-X', 'POST', '-H', 'content-type: text/plain'], '415'),
                         (['-X', 'POST', '-H', 'content-type: application/grpcx'], '415'),
                         (['-H', 'content-type: application/grpc'], '405'),
                         (['-X', 'POST', '-H', 'content-type: application/grpc+proto'], '200')]:
        out = subprocess.run(['curl', '-s', '--max-time', '5', '--http2-prior-knowledge',
                              '--unix-socket', server.path, '-o', '/dev/null', '-w',
                              '%{http_code}', *args, 'http://x/test.Echo/Unary'],
                             capture_output=True, text=True).stdout
        assert out == status, (args, out)


if __name__ == '__main__':
    run(lambda: Server(sys.argv[1], {'HANDSHAKE_MS': '300'}), [half_open])
    run(lambda: Server(sys.argv[1]),
        [garbage, half_open_cost, too_many_connections, pings, ping_flood, settings_flood,
         priority_flood, rapid_reset, empty_data, large_headers, unfinished,
         never_reads, http_statuses])
