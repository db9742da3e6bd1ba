"""Honest clients and a thief, all the time, while something is done to the proxy."""
import threading
import time

from .client import client_hello
from .origin import echo, http_handler, response
from .proxy import loopback, policy_of

HOST, DENIED = "origin.corp.example", "denied.corp.example"


class Load:
    """Honest requests to an allowed origin and, beside them, every kind of request for one that is denied: that one
    records what it got, which is to be nothing. `lost` holds what honest clients saw besides answers."""

    def __init__(self, origin):
        self.web = origin(http_handler(lambda request: response()))
        self.echo = origin(echo)
        self.forbidden = origin(echo)
        self.served, self.refused, self.lost, self.passed = 0, 0, [], []
        self._ended = threading.Event()
        self._threads = []

    def policy(self, **more):
        return {**policy_of(agent=[{"host": HOST, "ports": [self.web.port, self.echo.port], "tls": "any"}],
                            addresses=[loopback()]), **more}

    def start(self, proxy, honest=2, thieves=1):
        self._threads = [threading.Thread(target=self._run, args=(self._ask, proxy), daemon=True) for _ in range(honest)]
        self._threads += [threading.Thread(target=self._run, args=(self._steal, proxy), daemon=True) for _ in range(thieves)]
        for thread in self._threads:
            thread.start()
        return self

    def _run(self, act, proxy):
        while not self._ended.is_set():
            try:
                act(proxy)
            except (OSError, EOFError) as error:
                self.lost.append(error)
                time.sleep(0.02)

    def _ask(self, proxy):
        with proxy.client(timeout=30) as client:
            for _ in range(3):
                self._count(client.get(f"http://{HOST}:{self.web.port}/").status)
        with proxy.client(timeout=30) as client:
            if not self._count(client.connect(f"{HOST}:{self.echo.port}").status):
                return
            client.send(b"ping")
            assert client.read_exactly(4) == b"ping"

    def _count(self, status):
        if status == 200:
            self.served += 1
        else:
            self.lost.append(status)
        return status == 200

    def _steal(self, proxy):
        port = self.forbidden.port
        with proxy.client(timeout=30) as client:
            for target in (f"http://{DENIED}:{port}/", f"http://{HOST}:{port}/", f"http://127.0.0.1:{port}/"):
                self._note(client.get(target).status)
        with proxy.client(timeout=30) as client:
            self._note(client.connect(f"{HOST}:{port}", behind=client_hello(HOST)).status)

    def _note(self, status):
        if status == 200:
            self.passed.append(status)
        else:
            self.refused += 1

    def end(self):
        """Asserts that nothing passed that was not allowed."""
        self._ended.set()
        for thread in self._threads:
            thread.join(60)
        assert not self.passed and not self.forbidden.connections and self.refused
