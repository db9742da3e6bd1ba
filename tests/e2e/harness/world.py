"""A closed world: a network namespace whose every route ends in a second one where all addresses answer, with a
record of every packet that left. Needs root and iproute2."""
import contextlib
import ctypes
import ipaddress
import itertools
import os
import shutil
import socket
import struct
import subprocess
import threading

from .client import eventually

CLONE_NEWNET = 0x40000000
PACKET_OUTGOING = 4
INSIDE, GATEWAY = "198.51.100.1", "198.51.100.2"
INSIDE6, GATEWAY6 = "2001:db8:1::1", "2001:db8:1::2"
NAME_SERVER = "192.0.2.53"
DISCARD = 9  # where marks in the record are sent
# What a kernel sends for itself: neighbours, routers and group membership.
KERNEL_ICMP6 = {130, 131, 132, 133, 134, 135, 136, 137, 143}
# What it sends back for what nobody listens to.
UNREACHABLE = {(socket.IPPROTO_ICMP, 3), (socket.IPPROTO_ICMPV6, 1)}
_numbers = itertools.count()


def why_not():
    """Why there can be no closed world here; empty where there can."""
    if os.geteuid() != 0:
        return "needs root"
    if shutil.which("ip") is None:
        return "needs iproute2"
    name = f"exeat-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return "no network namespaces: " + made.stderr.strip()
    script = "ip link set lo up && ip link add exeat0 type veth peer name exeat1 && ip -6 addr show dev lo | grep -q ::1"
    tried = subprocess.run(["ip", "netns", "exec", name, "sh", "-c", script], capture_output=True, text=True,
                           check=False)
    subprocess.run(["ip", "netns", "del", name], check=False)
    return "" if tried.returncode == 0 else "no veth or no IPv6: " + tried.stderr.strip()


def _enter(path):
    libc = ctypes.CDLL(None, use_errno=True)
    with open(path, "rb") as file:
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def _tell(packet):
    """(protocol, address, port) of an IP packet that begins something; None for the rest."""
    version = packet[0] >> 4
    if version == 4:
        protocol, to, rest = packet[9], packet[16:20], packet[(packet[0] & 15) * 4:]
    elif version == 6:
        protocol, to, rest = packet[6], packet[24:40], packet[40:]
        while protocol in (0, 43, 60) and len(rest) >= 8:  # extension headers
            protocol, rest = rest[0], rest[(rest[1] + 1) * 8:]
    else:
        return ("ip", str(version), 0)
    to = str(ipaddress.ip_address(to))
    if protocol == socket.IPPROTO_TCP:
        begins = rest[13] & 0x12 == 0x02  # SYN without ACK
        return ("tcp", to, struct.unpack("!H", rest[2:4])[0]) if begins else None
    if protocol == socket.IPPROTO_UDP:
        return ("udp", to, struct.unpack("!H", rest[2:4])[0])
    if protocol == socket.IPPROTO_ICMPV6 and rest[0] in KERNEL_ICMP6:
        return None
    if (protocol, rest[0]) in UNREACHABLE:
        return None
    return (f"protocol {protocol}", to, 0)


class World:
    """While it is open, the thread that opened it and all that it starts live inside. `seen` holds what left, by
    whatever way, loopback included: ("tcp", address, port) for each attempt, ("udp", ...) for each datagram."""

    def __init__(self, ports=(80, 443)):
        number = next(_numbers)
        self._inside, self._outside = (f"exeat-{os.getpid()}-{number}{side}" for side in "io")
        self._home = f"/proc/self/task/{threading.get_native_id()}/ns/net"
        self._return_to = open(self._home, "rb")
        self._sockets, self._lock, self._draining = [], threading.Lock(), threading.Lock()
        self._seen, self._closed = [], False
        try:
            self._build()
            with self._within(self._outside):
                self._record("exeat1")
                self._answer(ports)
            _enter(f"/run/netns/{self._inside}")
            self._record("lo")
            self._answer(ports)
        except BaseException:
            self.close()
            raise

    def _build(self):
        def ip(*words):
            subprocess.run(["ip", *words], check=True, capture_output=True)
        for name in (self._inside, self._outside):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", self._inside, "link", "add", "exeat0", "type", "veth", "peer", "name", "exeat1", "netns", self._outside)
        for name, device, mine, mine6 in ((self._inside, "exeat0", INSIDE, INSIDE6),
                                          (self._outside, "exeat1", GATEWAY, GATEWAY6)):
            ip("-n", name, "addr", "add", f"{mine}/30", "dev", device)
            ip("-n", name, "addr", "add", f"{mine6}/64", "dev", device, "nodad")
            ip("-n", name, "link", "set", device, "up")
        ip("-n", self._inside, "route", "add", "default", "via", GATEWAY)
        ip("-n", self._inside, "-6", "route", "add", "default", "via", GATEWAY6)
        # In the table `main`, behind the way back to the inside.
        ip("-n", self._outside, "route", "add", "local", "default", "dev", "lo", "table", "main")
        ip("-n", self._outside, "-6", "route", "add", "local", "default", "dev", "lo", "table", "main")
        ip("-n", self._outside, "addr", "add", f"{NAME_SERVER}/32", "dev", "lo")

    @contextlib.contextmanager
    def _within(self, name):
        _enter(f"/run/netns/{name}")
        try:
            yield
        finally:
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.setns(self._return_to.fileno(), CLONE_NEWNET) == 0

    @contextlib.contextmanager
    def outside(self):
        """Sockets that this thread makes meanwhile are in the world, not inside."""
        _enter(f"/run/netns/{self._outside}")
        try:
            yield
        finally:
            _enter(f"/run/netns/{self._inside}")

    def _record(self, device):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        tap.setsockopt(socket.SOL_SOCKET, 33, 1 << 25)  # SO_RCVBUFFORCE: loses nothing
        tap.settimeout(0.5)
        tap.bind((device, 3))
        self._sockets.append(tap)
        threading.Thread(target=self._listen, args=(tap, device), daemon=True).start()

    def _listen(self, tap, device):
        while not self._closed:
            try:
                packet, source = tap.recvfrom(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            if source[2] == PACKET_OUTGOING or source[1] not in (0x0800, 0x86DD):
                continue
            told = _tell(packet)
            if told is not None:
                with self._lock:
                    self._seen.append((device, *told))

    def _answer(self, ports):
        """A listener that takes every connection, to whatever address, and keeps it open."""
        for port in ports:
            listener = socket.socket(socket.AF_INET6)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("::", port))
            listener.listen(128)
            self._sockets.append(listener)
            threading.Thread(target=self._take, args=(listener,), daemon=True).start()

    def _take(self, listener):
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            self._sockets.append(accepted)

    def swallow(self, address):
        """From now on this address is as good as not there: what is sent to it is lost."""
        family = "-6" if ":" in address else "-4"
        subprocess.run(["ip", "-n", self._outside, family, "route", "replace", "blackhole", address, "table", "main"],
                       check=True)

    def seen(self, since=0):
        """What left since then, in order; the packets of the test itself are the caller's to leave out."""
        self._drain()
        with self._lock:
            return [one[1:] for one in self._seen[since:] if one[3] != DISCARD]

    def mark(self):
        """A place in the record to look from."""
        self._drain()
        with self._lock:
            return len(self._seen)

    def _drain(self):
        """Packets keep their order: once a datagram sent now has come, all sent before have."""
        with self._draining:
            for target, device in (("203.0.113.9", "exeat1"), ("127.9.9.9", "lo")):
                before = self._count(device, target)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                    sender.sendto(b"", (target, DISCARD))
                assert eventually(lambda: self._count(device, target) > before, 60), "the record stands still"

    def _count(self, device, target):
        with self._lock:
            return self._seen.count((device, "udp", target, DISCARD))

    def close(self):
        self._closed = True
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.setns(self._return_to.fileno(), CLONE_NEWNET) == 0
        self._return_to.close()
        for name in (self._inside, self._outside):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
