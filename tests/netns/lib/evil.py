# SPDX-License-Identifier: GPL-2.0-or-later
"""A switch that turns hostile: stands before a simulator, and answers in its place, or changes what it answers."""

import http.client
import json
import socket
import threading

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def whole(body, head=HEAD):
    """An answer of HTTP."""
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def endless(piece, most, head=HEAD):
    """A body in chunks that goes on until the other side has enough, or `most` bytes."""
    yield head + b"Transfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n" % len(piece) + piece + b"\r\n"
    for _ in range(most // len(piece)):
        yield chunk


class Evil:
    """Evil(lab, ns, sim) listens on the loopback of a namespace and hands requests on to the simulator: url, requests.

    answer(request): bytes or pieces of bytes that are sent in place of the simulator's; None: it is asked. change(commands, results):
    the results that are handed back. sent: the most bytes that one answer got rid of."""

    def __init__(self, lab, ns, sim):
        self.lab, self.ns, self.sim = lab, ns, sim
        self.answer, self.change = lambda request: None, lambda commands, results: results
        self.requests = self.sent = 0
        self.connections = []
        with lab.inside(ns):
            self.sock = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.sock.getsockname()[1]}/command-api"
        lab.closers.append(self.close)
        threading.Thread(target=self._accept, daemon=True).start()

    def good(self):
        """From now on it is as the simulator is."""
        self.answer, self.change = lambda request: None, lambda commands, results: results

    def close(self):
        for s in [self.sock, *self.connections]:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def _accept(self):
        while True:
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            self.connections.append(c)
            threading.Thread(target=self._serve, args=(c,), daemon=True).start()

    def _request(self, c, data):
        """(head, body, what came behind them), None at the end of the connection."""
        while b"\r\n\r\n" not in data:
            piece = c.recv(65536)
            if not piece:
                return None
            data += piece
        head, data = data.split(b"\r\n\r\n", 1)
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        while len(data) < length:
            piece = c.recv(65536)
            if not piece:
                return None
            data += piece
        return head, data[:length], data[length:]

    def _ask(self, up, head, body):
        """The simulator's answer, changed."""
        headers = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n")[1:])
        up.request("POST", head.split()[1].decode(), body, {k: v for k, v in headers.items() if k.lower() in ("authorization", "content-type")})
        r = up.getresponse()
        text = r.read()
        answer, request = json.loads(text), json.loads(body)
        if "result" in answer:
            commands = [x if isinstance(x, str) else x["cmd"] for x in request["params"]["cmds"]]
            answer["result"] = self.change(commands, answer["result"])
            text = json.dumps(answer).encode()
        return whole(text)

    def _serve(self, c):
        with self.lab.inside(self.ns):
            up = http.client.HTTPConnection(*self.sim.http.rsplit(":", 1), timeout=10)
            up.connect()
        data = b""
        try:
            while True:
                request = self._request(c, data)
                if request is None:
                    return
                head, body, data = request
                self.requests += 1
                answer = self.answer(json.loads(body))
                answer = self._ask(up, head, body) if answer is None else answer
                sent = 0
                for piece in [answer] if isinstance(answer, bytes) else answer:
                    c.sendall(piece)
                    sent += len(piece)
                    self.sent = max(self.sent, sent)
        except (OSError, ValueError, http.client.HTTPException):
            pass
        finally:
            up.close()
            c.close()
