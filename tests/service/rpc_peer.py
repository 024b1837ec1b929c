# SPDX-License-Identifier: Apache-2.0
"""What the foreign clients of rpc-echo-server share: the server, messages, waiting, checks."""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time


def varint(n):
    out = b''
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def any_of(text='', value=b''):
    """A google.protobuf.Any by hand."""
    text = text.encode() if isinstance(text, str) else text
    return ((b'\x0a' + varint(len(text)) + text if text else b'') +
            (b'\x12' + varint(len(value)) + value if value else b''))


def text_of(message):
    """The type_url of an Any whose text is shorter than 16 kB."""
    if not message:
        return ''
    size, at = message[1], 2
    if size & 128:
        size, at = size & 127 | message[2] << 7, 3
    return message[at:at + size].decode()


def stats_of(message):
    return dict(re.findall(r'(\w+)=(\S+)', text_of(message)))


def wait_for(what, seconds=10):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, 'waited too long'
        time.sleep(0.005)


class Server:
    """rpc-echo-server in a directory of its own."""

    def __init__(self, program, env=None):
        self.dir = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.dir.name, 's')
        self.process = subprocess.Popen([program, self.path], stdout=subprocess.PIPE,
                                        env=dict(os.environ, **(env or {})))
        assert self.process.stdout.readline() == b'ready\n'

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.dir.cleanup()
        assert code == 0, f'server ended with {code}'


def run(server, tests):
    """Each test with a server of its own; the first failure ends the program with a trace."""
    only = sys.argv[2:]
    for test in tests:
        if only and test.__name__ not in only:
            continue
        start = time.monotonic()
        with server() as s:
            test(s)
        print(f'ok {test.__name__} {time.monotonic() - start:.2f}s', flush=True)
