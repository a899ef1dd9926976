# SPDX-License-Identifier: GPL-2.0-or-later
"""One epoll loop in one thread: all sockets of all namespaces of a lab live in it."""

import collections
import heapq
import itertools
import os
import select
import threading
import time
import traceback


class Loop:
    """Handlers run in the loop's thread only; other threads hand work in with call()."""

    def __init__(self):
        self._epoll = select.epoll()
        self._handlers, self._socks = {}, {}
        self._calls = collections.deque()
        self._timers = []
        self._order = itertools.count()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="loop", daemon=True)
        self._thread.start()

    def add(self, sock, events, handler):
        """handler(events) whenever the socket is ready. In the loop's thread only, like modify()
        and remove()."""
        self._handlers[sock.fileno()], self._socks[sock.fileno()] = handler, sock
        self._epoll.register(sock.fileno(), events)

    def modify(self, sock, events):
        self._epoll.modify(sock.fileno(), events)

    def remove(self, sock):
        fd = sock.fileno()
        if fd >= 0 and self._handlers.pop(fd, None):
            del self._socks[fd]
            self._epoll.unregister(fd)

    def after(self, delay, fn):
        """fn() after so many seconds."""
        heapq.heappush(self._timers, (time.monotonic() + delay, next(self._order), fn))

    def call(self, fn):
        """From any thread: fn() soon, in the loop's thread."""
        self._calls.append(fn)
        os.eventfd_write(self._wake, 1)

    def do(self, fn, timeout=30):
        """From another thread: fn() in the loop's thread, and its result (or its exception)."""
        done = threading.Event()
        box = []

        def work():
            try:
                box.append((True, fn()))
            except Exception as e:  # pylint: disable=broad-except
                box.append((False, e))
            done.set()

        self.call(work)
        if not done.wait(timeout):
            raise TimeoutError("the loop does not answer")
        ok, value = box[0]
        if not ok:
            raise value
        return value

    def close(self):
        """Ends the thread and closes every socket that is left (an open one would keep its
        namespace alive)."""
        if not self._ended:
            self._ended = True
            self.call(lambda: None)
            self._thread.join(5)
            for sock in self._socks.values():
                sock.close()
            self._handlers, self._socks = {}, {}
            self._epoll.close()
            os.close(self._wake)

    def _run(self):
        while not self._ended:
            delay = 1.0
            if self._timers:
                delay = min(delay, max(0.0, self._timers[0][0] - time.monotonic()))
            for fd, events in self._epoll.poll(delay):
                if fd == self._wake:
                    os.eventfd_read(self._wake)
                    continue
                handler = self._handlers.get(fd)
                if handler:
                    self._guard(handler, events)
            while self._calls:
                self._guard(self._calls.popleft())
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                self._guard(heapq.heappop(self._timers)[2])

    @staticmethod
    def _guard(fn, *args):
        try:
            fn(*args)
        except Exception:  # pylint: disable=broad-except
            print("# the loop: " + traceback.format_exc().replace("\n", "\n# "), flush=True)
