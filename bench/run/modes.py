"""The modes: how the load generator is called for each, and what is read from its answer."""
import dataclasses

from world import DENIED, HOST, PORTS, SECURE, SECURE_PORTS


@dataclasses.dataclass(frozen=True)
class Mode:
    """`value` is a path into the generator's JSON. CPU is counted per operation, or per gigabyte where that is what
    there is of it."""
    name: str
    arguments: tuple
    title: str
    value: tuple
    unit: str
    scale: float = 1.0
    higher: bool = True
    per_gigabyte: bool = False

    def read(self, said):
        for key in self.value:
            said = said[key]
        return said * self.scale

    def done(self, said):
        """Operations, or gigabytes (10^9 octets), of the whole run: what its CPU time is divided by."""
        return said["octets_in_all"] / 1e9 if self.per_gigabyte else said["operations_in_all"]


RATE, BITS = ("rate",), ("bits_per_second",)


def _mode(name, title, *arguments, **more):
    return Mode(name, arguments, title, **{"value": RATE, "unit": "/s", **more})


TIMED = [
    _mode("connect", "new tunnels, 64 octets each way", "connect"),
    _mode("tls", "new tunnels with a full TLS 1.3 handshake", "tls"),
    _mode("hello", "new tunnels with a ClientHello only", "hello"),
    _mode("bulk-down", "8 tunnels, origin sends", "bulk-down", value=BITS, unit="Gbit/s", scale=1e-9, per_gigabyte=True),
    _mode("bulk-up", "8 tunnels, client sends", "bulk-up", value=BITS, unit="Gbit/s", scale=1e-9, per_gigabyte=True),
    _mode("bulk-both", "8 tunnels, both send", "bulk-both", value=BITS, unit="Gbit/s", scale=1e-9, per_gigabyte=True),
    _mode("pingpong", "64 octets to and fro on one tunnel, median", "pingpong", value=("latency_us", "p50"), unit="us",
          higher=False),
    _mode("pingpong-64", "the same on 64 tunnels", "pingpong", "--concurrency", "64"),
    _mode("http-1k", "plain HTTP, keep-alive, 1 KiB", "http", "--size", "1024"),
    _mode("http-64k", "plain HTTP, keep-alive, 64 KiB", "http", "--size", "65536"),
    _mode("http-close", "plain HTTP, a connection each, 1 KiB", "http-close", "--size", "1024"),
    _mode("deny", "refused CONNECTs", "deny"),
    _mode("paced", "1,000 new tunnels a second, 99th percentile", "paced", "--rate", "1000",
          value=("latency_us", "p99"), unit="us", higher=False),
]
BY_NAME = {mode.name: mode for mode in TIMED}


def command(load, mode, proxy, seconds, warm_up):
    secure = mode.name in ("tls", "hello")
    where = ["--proxy", f"127.0.0.1:{proxy.port}"] if proxy.port else ["--direct"]
    return [str(load), *mode.arguments, *where, "--host", SECURE if secure else HOST,
            "--ports", SECURE_PORTS if secure else PORTS, "--denied", DENIED,
            "--seconds", str(seconds), "--warm-up", str(warm_up)]
