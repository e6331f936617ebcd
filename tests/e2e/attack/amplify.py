"""What a host gets in whose name the attacker sends TFTP requests."""

import random
import select
import socket
import time

from lab import MACS, PORT, ROUTED, SERVER, SERVER_MAC, TRANSFER_PORTS, VICTIM, As, frame, packet_socket

MAX_AMPLIFICATION = 5

PLAIN = b"\0\1snponly.efi\0octet\0"
WITH_OPTIONS = b"\0\1snponly.efi\0octet\0blksize\x001468\0windowsize\x0064\0tsize\x000\0"


ACKNOWLEDGEMENTS = [b"\0\4" + block.to_bytes(2, "big") for block in range(300)]
# How long answers are awaited: an address that acknowledges nothing is given up after 2 s.
PATIENCE = 2.3


class Forged:
    """Requests in the name of one port of the victim."""

    def __init__(self, name, source, packets):
        """`packets` are pairs of a port of the server and a payload."""
        self.name, self.packets = name, packets
        self.source = (source, random.randrange(20_000, 60_000))
        self.received = 0
        with As("victim"):
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
            self.socket.bind(self.source)

    def send(self, raw):
        for port, payload in self.packets:
            raw.send(frame(SERVER_MAC, MACS["attacker"], self.source, (SERVER, port), payload))
            time.sleep(0.001)

    def receive(self):
        self.received += len(self.socket.recv(65_536))

    def amplification(self):
        """The bytes of TFTP that the source address got for each byte that the attacker sent."""
        return self.received / sum(len(payload) for _, payload in self.packets)


def run(rows):
    raw = packet_socket()
    with As("victim"):
        # The server has the MAC of the victim, as after any packet of it.
        known = socket.create_connection((SERVER, PORT), 2)
    forged = []
    for name, source in [("a host on the link", VICTIM), ("a host behind a router", ROUTED)]:
        plain, with_options = (69, PLAIN), (69, WITH_OPTIONS)
        acknowledgements = [(69, one) for one in ACKNOWLEDGEMENTS]
        guesses = [(port, ACKNOWLEDGEMENTS[0]) for port in TRANSFER_PORTS]
        forged += [
            Forged(f"TFTP for {name}, one request", source, [plain]),
            Forged(f"TFTP for {name}, six requests", source, [plain] * 6),
            Forged(f"TFTP for {name}, options", source, [with_options]),
            Forged(f"TFTP for {name}, 300 acknowledgements", source, [with_options, *acknowledgements]),
            Forged(f"TFTP for {name}, 1,024 guessed ports", source, [with_options, *guesses]),
        ]
    for one in forged:
        one.send(raw)
    by_socket = {one.socket: one for one in forged}
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for ready in select.select(by_socket, [], [], 0.05)[0]:
            by_socket[ready].receive()
    for one in forged:
        rows.add(f"{one.name}: bytes for a byte", one.amplification(), MAX_AMPLIFICATION, "{:.1f}")
        one.socket.close()
    known.close()
