# SPDX-License-Identifier: Apache-2.0
"""Our server under grpcio: rpc-grpcio.py RPC-ECHO-SERVER [TEST...]"""
import signal
import sys
import threading
import time

try:
    import grpc
except ImportError:
    print('python3-grpcio is not installed')
    sys.exit(77)

from rpc_peer import Server, any_of, run, stats_of, text_of, wait_for

OPTIONS = [('grpc.max_receive_message_length', -1), ('grpc.max_send_message_length', -1),
           ('grpc.use_local_subchannel_pool', 1)]
MB = 1000 * 1000


class Client:
    def __init__(self, server):
        self.channel = grpc.insecure_channel('unix:' + server.path, options=OPTIONS)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.channel.close()

    def unary(self, method):
        return self.channel.unary_unary(method if '/' in method else '/test.Echo/' + method)

    def down(self, *args, **kw):
        return self.channel.unary_stream('/test.Echo/Down')(*args, **kw)

    def up(self, *args, **kw):
        return self.channel.stream_unary('/test.Echo/Up')(*args, **kw)

    def bidi(self, *args, **kw):
        return self.channel.stream_stream('/test.Echo/Bidi')(*args, **kw)

    def stats(self, **kw):
        return stats_of(self.unary('Stats')(b'', timeout=10, **kw))

    def park(self, **kw):
        return self.unary('Park').future(b'', **kw)


def fails(call, code, words=None):
    try:
        call()
    except grpc.RpcError as e:
        assert e.code() == code, (e.code(), e.details())
        assert words is None or e.details() == words, e.details()
        return e
    raise AssertionError('no error')


def four_kinds(server):
    with Client(server) as c:
        reply, call = c.unary('Unary').with_call(any_of('hi', b'12345'))
        assert reply == any_of('hi', b'12345')
        assert dict(call.initial_metadata())['x-echo'] == 'yes'
        assert c.unary('Unary')(b'') == b''
        assert sum(len(m) for m in c.down(any_of('10 1000'))) == 10 * len(any_of('', bytes(1000)))
        assert list(c.down(any_of('0 0'))) == []
        assert text_of(c.up(any_of('', bytes(10)) for _ in range(10))) == '100'
        assert text_of(c.up(iter([]))) == '0'
        assert [text_of(m) for m in c.bidi(any_of(t) for t in 'abc')] == ['a', 'b', 'c']


def statuses(server):
    with Client(server) as c:
        for code in grpc.StatusCode:
            if code is not grpc.StatusCode.OK:
                fails(lambda: c.unary('Error')(any_of('50% of café ☃\n', bytes([code.value[0]]))),
                      code, '50% of café ☃\n')
        e = fails(lambda: c.unary('Error')(any_of('x', b'\x05\x01')), grpc.StatusCode.NOT_FOUND, 'x')
        assert dict(e.trailing_metadata())['grpc-status-details-bin'] == b'\x08\x05\x12\x01x'
        # Longer than what clients take as headers: cut, not lost.
        e = fails(lambda: c.unary('Error')(any_of('x' * 100000, b'\x05')),
                  grpc.StatusCode.NOT_FOUND)
        assert e.details().startswith('xxxx')
        unimplemented = grpc.StatusCode.UNIMPLEMENTED
        fails(lambda: c.unary('/test.Echo/No')(b''), unimplemented,
              'unknown method No for service test.Echo')
        fails(lambda: c.unary('/a.b.C/D')(b''), unimplemented, 'unknown service a.b.C')
        fails(lambda: c.unary('/x')(b''), unimplemented, 'malformed method name: "/x"')
        for bad in [any_of(b'\xff\xfe'), any_of('nul\0')]:
            fails(lambda: c.unary('Unary')(bad), grpc.StatusCode.INVALID_ARGUMENT)
        fails(lambda: c.unary('Unary')(b'\x0a\x7f'), grpc.StatusCode.INVALID_ARGUMENT)
        gzip = grpc.Compression.Gzip
        fails(lambda: c.unary('Unary')(any_of('x' * 1000), compression=gzip), unimplemented,
              'grpc: Decompressor is not installed for grpc-encoding "gzip"')


def metadata(server):
    with Client(server) as c:
        s = c.stats(metadata=[('containerd-namespace', 'n1'), ('containerd-lease', 'l1')])
        assert (s['namespace'], s['lease']) == ('n1', 'l1')
        assert 5000 < int(s['deadline']) < 11500
        many = [(f'key-{i}', 'v') for i in range(400)]
        fails(lambda: c.unary('Stats')(b'', metadata=many), grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert c.stats()['namespace'] == '-'


def limits(server):
    with Client(server) as c:
        most = any_of('', bytes((16 << 20) - 5))
        assert len(most) == 16 << 20
        assert c.unary('Unary')(most) == most
        fails(lambda: c.unary('Unary')(any_of('', bytes((16 << 20) - 4))),
              grpc.StatusCode.RESOURCE_EXHAUSTED,
              'grpc: received message larger than max (16777217 vs. 16777216)')
        fails(lambda: list(c.down(any_of('1 16777216'))), grpc.StatusCode.RESOURCE_EXHAUSTED,
              'grpc: trying to send message larger than max (16777221 vs. 16777216)')
        assert c.unary('Unary')(b'') == b''


def deadlines(server):
    with Client(server) as c:
        fails(lambda: c.unary('Block')(b'', timeout=0.1), grpc.StatusCode.DEADLINE_EXCEEDED)
        fails(lambda: c.unary('Park')(b'', timeout=0.1), grpc.StatusCode.DEADLINE_EXCEEDED)
        wait_for(lambda: c.stats()['cancels'] == '2')


def cancels(server):
    with Client(server) as c:
        calls = [c.unary('Block').future(b'') for _ in range(4)] + [c.park() for _ in range(4)]
        wait_for(lambda: c.stats()['parked'] == '4')
        for call in calls:
            call.cancel()
        wait_for(lambda: c.stats()['cancels'] == '8')
        stream = c.down(any_of('1000000 10000'))
        next(stream)
        stream.cancel()
        assert c.stats()['parked'] == '0'


def hang_up(server):
    with Client(server) as c:
        calls = [c.park() for _ in range(10)]
        wait_for(lambda: c.stats()['parked'] == '10')
    del calls
    with Client(server) as c:
        wait_for(lambda: c.stats()['cancels'] == '10')


def slow_reader(server):
    with Client(server) as c:
        total = 0
        for i, m in enumerate(c.down(any_of('100 1000000'))):
            total += len(m) - 4
            if i % 10 == 0:
                time.sleep(0.02)
        assert total == 100 * MB, total
        s = c.stats()
        assert int(s['peak_kb']) < 40000 + slack(s), s


def slack(stats):
    """What a sanitizer needs; an ordinary build is far below."""
    return 300000 if int(stats['rss_kb']) > 12000 else 0


def slow_handler(server):
    with Client(server) as c:
        value = bytes(MB)
        assert text_of(c.up(any_of('slow', value) for _ in range(100))) == str(100 * MB)
        s = c.stats()
        assert int(s['peak_kb']) < 40000 + slack(s), s


def both_ways(server):
    with Client(server) as c:
        value = bytes(MB)
        assert sum(len(m) - 4 for m in c.bidi(any_of('', value) for _ in range(100))) == 100 * MB
        s = c.stats()
        assert int(s['peak_kb']) < 40000 + slack(s), s


def thousand_parked(server):
    clients = [Client(server) for _ in range(4)]
    calls = [clients[i % 4].park() for i in range(1000)]
    wait_for(lambda: clients[0].stats()['parked'] == '1000', 30)
    assert int(clients[0].stats()['threads']) < 60
    clients[0].unary('Release')(b'')
    assert all(text_of(call.result(30)) == 'released' for call in calls)
    for c in clients:
        c.channel.close()


def bulk_and_health(server):
    """A hundred streams that nobody reads, and a call that must not wait for them."""
    with Client(server) as bulk, Client(server) as c:
        # Connected first, so that the streams reach the server in this order.
        bulk.stats()
        streams = [bulk.down(any_of('1000 100000')) for _ in range(100)]
        for stream in streams[:20]:
            next(stream)
        slowest = 0
        for client in [c, bulk]:
            for _ in range(50):
                start = time.monotonic()
                client.stats()
                slowest = max(slowest, time.monotonic() - start)
        assert slowest < 1, slowest
        for stream in streams:
            stream.cancel()


def threads_of_callers(server):
    with Client(server) as c:
        bad = []

        def work():
            for i in range(50):
                m = any_of(f'{i}')
                if c.unary('Unary')(m) != m:
                    bad.append(i)
        threads = [threading.Thread(target=work) for _ in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not bad


def drain(server):
    with Client(server) as c:
        go = threading.Event()

        def requests():
            yield any_of('one')
            go.wait(10)
            yield any_of('two')
        stream = c.bidi(requests())
        assert text_of(next(stream)) == 'one'
        parked = c.park()
        wait_for(lambda: c.stats()['parked'] == '1')
        server.process.send_signal(signal.SIGTERM)

        def refused():
            try:
                c.unary('Unary')(b'', timeout=5)
                return False
            except grpc.RpcError as e:
                assert e.code() == grpc.StatusCode.UNAVAILABLE, e
                return True
        wait_for(refused)
        # What was under way goes on until it is through or the grace is over.
        go.set()
        assert [text_of(m) for m in stream] == ['two']
        fails(parked.result, grpc.StatusCode.CANCELLED)
        assert server.process.wait(10) == 0


run(lambda: Server(sys.argv[1]),
    [four_kinds, statuses, metadata, limits, deadlines, cancels, hang_up, slow_reader, slow_handler,
     both_ways, thousand_parked, bulk_and_health, threads_of_callers, drain])
