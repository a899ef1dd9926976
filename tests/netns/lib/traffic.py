# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections that tell when they are moved or broken.

A server answers each line "SEQ SIZE" of a connection with "NAME COUNT SEQ PEER" (padded to SIZE
bytes): its namespace, how many lines this connection brought so far, and the peer's address. A
connection is *held* while the answers come from the same server with the next count, *moved* once
another server (or the same one for another peer) answered, *broken* once it was reset, refused or
did not answer in time. Moved and broken are for ever."""

import collections
import errno
import itertools
import select
import socket
import struct
import threading
import time

import tap
from lab import VIP4, family_of

LINE_MAX = 1 << 16


class Result(collections.namedtuple("Result", "held moved broken stalled reasons")):
    """How the connections of a pool are."""

    @property
    def total(self):
        return self.held + self.moved + self.broken + self.stalled

    @property
    def all_held(self):
        return self.held > 0 and self.held == self.total

    def __str__(self):
        text = f"{self.held} held, {self.moved} moved, {self.broken} broken"
        if self.stalled:
            text += f", {self.stalled} stalled"
        if self.reasons:
            text += " (" + "; ".join(f"{n} x {why}" for why, n in self.reasons.most_common(6)) + ")"
        return text


class Flow:
    """One connection of a pool. server, peer and state are safe to read from the test."""

    def __init__(self, src, sport):
        self.src, self.sport = src, sport
        self.sock = None
        self.state = "connecting"  # up, broken, closed
        self.reason = None
        self.moved = False
        self.server = self.peer = None
        self.count = self.sent = self.answered = 0
        self.waiting = []  # rounds that want an answer to a line with at least this number
        self.buffer = b""
        self.asked_at = 0.0

    def __repr__(self):
        return f"<{self.src} {self.sport} {self.state} on {self.server}>"


class _Round:
    def __init__(self, flows):
        self.missing = set(flows)
        self.done = threading.Event()
        if not self.missing:
            self.done.set()

    def finish(self, flow):
        self.missing.discard(flow)
        if not self.missing:
            self.done.set()


def _pad(line, size):
    return line + b" " + b"." * max(0, size - len(line) - 2) + b"\n" if size > len(line) + 1 else line + b"\n"


class _Pool:
    """What TCP and UDP have in common. Methods with _ run in the loop's thread."""

    kind = socket.SOCK_STREAM
    listeners_key = "tcp"

    def __init__(self, lab, n=200, target=VIP4, port=80, servers=None, client=None, sources=None, deadline=10):
        self.lab, self.loop, self.target, self.port = lab, lab.loop, target, port
        self.family = socket.AF_INET if family_of(target) == 4 else socket.AF_INET6
        self.client = client or lab.client
        self.sources = sources or lab.sources[family_of(target)]
        self.flows = []
        self.request_size = self.answer_size = 0
        self._interval, self._next_source = None, itertools.cycle(self.sources)
        for server in lab.servers if servers is None else servers:
            self.serve(server)
        lab.closers.append(self.close)
        if n:
            self.open(n, deadline)

    # --- for tests

    def serve(self, server):
        """Listens in that server's namespace (once per lab, address and port)."""
        known = self.lab.__dict__.setdefault("_listeners", set())
        key = (self.listeners_key, server, self.target, self.port)
        if key in known:
            return
        known.add(key)
        with self.lab.inside(server):
            s = socket.socket(self.family, self.kind | socket.SOCK_NONBLOCK)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((self.target, self.port))
        self.lab.closers.append(s.close)
        self._listen(server, s)

    def open(self, n, deadline=10, sport=None, src=None, wait=True):
        """Opens n more connections, each answered once. Returns them; those that did not work are
        broken.
        With wait=False they are only begun: exchange(flows=...) waits for them."""
        flows = []
        with self.lab.inside(self.client):
            for _ in range(n):
                flow = Flow(src or next(self._next_source), sport or self.lab.sport())
                flow.sock = socket.socket(self.family, self.kind | socket.SOCK_NONBLOCK)
                flow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                flow.sock.bind((flow.src, flow.sport))
                flows.append(flow)
        self.flows += flows
        self.loop.do(lambda: [self._connect(f) for f in flows])
        if wait:
            self._ask(flows, deadline, True)
        return flows

    def reopen(self, flows, deadline=10, wait=True):
        """The client forgets these connections without a packet on the wire (its host was reset),
        and opens new ones from the same addresses and ports, which with wait=False are only begun.
        Returns the new ones."""
        self.lab.nft(self.client, "add table inet mute\n"
                                  "add chain inet mute out { type filter hook output priority 0; }\n"
                                  f"add rule inet mute out th dport {self.port} drop\n")
        self.end(flows, reset=True)
        self.lab.nft(self.client, "delete table inet mute\n")
        fresh = []
        for f in flows:
            fresh += self.open(1, sport=f.sport, src=f.src, wait=False)
        if wait:
            self._ask(fresh, deadline, True)
        return fresh

    def exchange(self, deadline=10, give_up=True, flows=None):
        """One line there and back on every living connection, then the Result of the whole pool
        (or of `flows`).
        One that does not answer in time is broken, with give_up=False only counted as stalled."""
        chosen = self.flows if flows is None else flows
        missing = self._ask(chosen, deadline, give_up)
        return self._result(chosen, missing)

    def result(self, flows=None):
        """The Result as known now, without sending anything."""
        return self._result(self.flows if flows is None else flows, ())

    def start(self, interval=0.1):
        """From now on every connection exchanges a line each `interval` seconds, while the test
        does something else."""
        begin = self._interval is None
        self._interval = interval
        if begin:
            self.loop.call(self._tick)

    def stop(self):
        self._interval = None

    def by_server(self, flows=None):
        """How many living connections are on which server."""
        flows = self.flows if flows is None else flows
        return dict(collections.Counter(f.server for f in flows if f.state == "up"))

    def on(self, *servers):
        """The living connections on these servers."""
        return [f for f in self.flows if f.state == "up" and f.server in servers]

    def probe(self, n=50, deadline=10):
        """Opens n new connections, looks where they go, closes them. {server: how many}; None
        counts those that failed."""
        flows = self.open(n, deadline)
        counts = collections.Counter(f.server if f.state == "up" else None for f in flows)
        self.end(flows)
        return dict(counts)

    def end(self, flows=None, reset=False):
        """Closes connections (FIN, or with reset a RST); they leave the pool."""
        gone = list(self.flows if flows is None else flows)
        self.loop.do(lambda: [self._close(f, reset) for f in gone])
        dead = set(gone)
        self.flows = [f for f in self.flows if f not in dead]

    def close(self):
        self.stop()
        self.end(reset=True)

    # --- rounds

    def _ask(self, flows, deadline, give_up):
        living = [f for f in flows if f.state in ("up", "connecting")]
        rnd = _Round(living)
        self.loop.do(lambda: [self._want(f, rnd) for f in living])
        rnd.done.wait(tap.seconds(deadline))
        missing = set(rnd.missing)
        if missing and give_up:
            why = f"no answer in {tap.seconds(deadline)} s"
            self.loop.do(lambda: [self._break(f, f"{why} (was on {f.server})") for f in missing])
        return missing

    @staticmethod
    def _result(flows, missing):
        held = moved = broken = stalled = 0
        reasons = collections.Counter()
        for f in flows:
            if f.state == "broken":
                broken += 1
                reasons[f.reason] += 1
            elif f.moved:
                moved += 1
                reasons[f.reason] += 1
            elif f in missing:
                stalled += 1
            else:
                held += 1
        return Result(held, moved, broken, stalled, reasons)

    def _want(self, flow, rnd):
        if flow.state not in ("up", "connecting"):
            rnd.finish(flow)
            return
        flow.waiting.append((flow.sent + 1, rnd))
        if flow.state == "up" and flow.answered == flow.sent:
            self._send(flow)

    def _tick(self):
        interval = self._interval  # the test's thread may stop() meanwhile
        if interval is None:
            return
        for flow in self.flows:
            if flow.state == "up" and flow.answered == flow.sent:
                self._send(flow)
        self.loop.after(interval, self._tick)

    def _request(self, flow):
        return _pad(f"{flow.sent} {self.answer_size}".encode(), self.request_size)

    def _answer(self, flow, line):
        name, count, seq, peer = line.split()[:4]
        name, count, seq, peer = name.decode(), int(count), int(seq), peer.decode()
        if seq <= flow.answered:
            return  # a repetition
        if flow.server is None:
            flow.server, flow.peer = name, peer
        elif (name, peer) != (flow.server, flow.peer) or (self.counts and count != flow.count + 1):
            flow.moved = True
            flow.reason = f"{flow.server} -> {name}"
            if flow.server == name:
                flow.reason = f"{name}: another peer or count"
            flow.server, flow.peer = name, peer
        flow.count, flow.answered = count, seq
        for wanted, rnd in flow.waiting:
            if seq >= wanted:
                rnd.finish(flow)
        flow.waiting = [w for w in flow.waiting if w[0] > seq]
        if flow.waiting:
            self._send(flow)

    def _break(self, flow, why):
        if flow.state in ("broken", "closed"):
            return
        flow.state, flow.reason = "broken", why
        self._drop(flow, True)

    def _close(self, flow, reset):
        if flow.state == "up" or flow.state == "connecting":
            flow.state = "closed"
            self._drop(flow, reset)

    def _drop(self, flow, reset):
        if flow.sock:
            self.loop.remove(flow.sock)
            if reset and self.kind == socket.SOCK_STREAM:
                flow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            flow.sock.close()
            flow.sock = None
        for _, rnd in flow.waiting:
            rnd.finish(flow)
        flow.waiting = []


class TcpPool(_Pool):
    """TcpPool(lab, 200, target=VIP6, port=80): 200 connections from the client, spread over its
    addresses."""

    counts = True

    def _listen(self, server, sock):
        sock.listen(4096)

        def accept(_events):
            while True:
                try:
                    s, peer = sock.accept()
                except BlockingIOError:
                    return
                except OSError:
                    continue
                s.setblocking(False)
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                serve = _TcpServed(self.loop, server, s, peer[0])
                self.loop.add(s, select.EPOLLIN, serve.ready)

        self.loop.do(lambda: self.loop.add(sock, select.EPOLLIN, accept))
        self.lab.closers.append(lambda: self.loop.do(lambda: self.loop.remove(sock)))

    def keep_alive(self, flows):
        """From now on the client's kernel asks every second whether the other end is still there.
        A client whose request was taken, but not answered, would never send a packet again."""
        def switch_on():
            for f in flows:
                if f.state == "up":
                    f.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                    f.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
                    f.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        self.loop.do(switch_on)

    def _connect(self, flow):
        flow.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        error = flow.sock.connect_ex((self.target, self.port))
        if error not in (0, errno.EINPROGRESS):
            self._break(flow, f"connect: {errno.errorcode[error]}")
            return
        self.loop.add(flow.sock, select.EPOLLOUT, lambda events: self._ready(flow, events))

    def _ready(self, flow, events):
        if flow.state == "connecting":
            error = flow.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self._break(flow, f"{errno.errorcode[error]} (connecting)")
                return
            flow.state = "up"
            self.loop.modify(flow.sock, select.EPOLLIN)
            if flow.waiting:
                self._send(flow)
            return
        if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            self._receive(flow)

    def _receive(self, flow):
        """What broke the connection is told here. SO_ERROR would also tell, once, of an ICMP error that TCP goes on after."""
        try:
            data = flow.sock.recv(LINE_MAX)
        except BlockingIOError:
            return
        except OSError as e:
            self._break(flow, f"{errno.errorcode[e.errno]} (was on {flow.server})")
            return
        if not data:
            self._break(flow, f"closed by {flow.server}")
            return
        flow.buffer += data
        while b"\n" in flow.buffer and flow.state == "up":
            line, flow.buffer = flow.buffer.split(b"\n", 1)
            self._answer(flow, line)

    def _send(self, flow):
        flow.sent += 1
        flow.asked_at = time.monotonic()
        try:
            flow.sock.send(self._request(flow))  # small enough for an empty socket buffer
        except OSError as e:
            self._break(flow, f"{errno.errorcode[e.errno]} (was on {flow.server})")


class _TcpServed:
    """The server's side of one connection."""

    def __init__(self, loop, name, sock, peer):
        self.loop, self.name, self.sock, self.peer = loop, name, sock, peer
        self.count, self.buffer = 0, b""

    def ready(self, _events):
        try:
            data = self.sock.recv(LINE_MAX)
            if not data:
                raise ConnectionResetError
            self.buffer += data
            while b"\n" in self.buffer:
                line, self.buffer = self.buffer.split(b"\n", 1)
                seq, size = line.split()[:2]
                self.count += 1
                answer = f"{self.name} {self.count} {int(seq)} {self.peer}".encode()
                self.sock.send(_pad(answer, int(size)))
        except BlockingIOError:
            pass
        except OSError:
            self.loop.remove(self.sock)
            self.sock.close()


class UdpPool(_Pool):
    """The same over UDP; a line without an answer is repeated every 0.3 s."""

    kind = socket.SOCK_DGRAM
    listeners_key = "udp"
    counts = False  # repetitions count too

    def _listen(self, server, sock):
        counts = collections.Counter()

        def ready(_events):
            while True:
                try:
                    data, peer = sock.recvfrom(LINE_MAX)
                    seq, size = data.split()[:2]
                    counts[peer] += 1
                    answer = f"{server} {counts[peer]} {int(seq)} {peer[0]}:{peer[1]}".encode()
                    sock.sendto(_pad(answer, int(size)), peer)
                except BlockingIOError:
                    return
                except (OSError, ValueError):
                    continue

        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.loop.do(lambda: self.loop.add(sock, select.EPOLLIN, ready))
        self.lab.closers.append(lambda: self.loop.do(lambda: self.loop.remove(sock)))

    def _connect(self, flow):
        flow.sock.connect((self.target, self.port))
        flow.state = "up"
        self.loop.add(flow.sock, select.EPOLLIN, lambda events: self._receive(flow))

    def _receive(self, flow):
        while flow.state == "up":
            try:
                data = flow.sock.recv(LINE_MAX)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error: the repetition decides
            self._answer(flow, data)

    def _send(self, flow):
        flow.sent += 1
        self._emit(flow)

    def _emit(self, flow):
        seq = flow.sent
        try:
            flow.sock.send(self._request(flow))
        except OSError:
            pass

        def again():
            if flow.state == "up" and flow.answered < seq == flow.sent:
                self._emit(flow)

        self.loop.after(0.3, again)
