"""A machine on the link `card`: it asks for an address as firmware does, then for the script over TFTP and HTTP."""

import socket
import struct
import urllib.request

SERVER = "192.0.2.2"
MAC = bytes.fromhex("525400000001")
XID = b"\x12\x34\x56\x78"


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def discover():
    """A DISCOVER of UEFI x64 in its frame, without the flag that asks for a broadcast."""
    options = bytes([53, 1, 1, 93, 2, 0, 7, 94, 3, 1, 3, 16, 60, 32]) + b"PXEClient:Arch:00007:UNDI:003016"
    bootp = struct.pack("!4B4s2H16s", 1, 1, 6, 0, XID, 0, 0, b"") + MAC.ljust(16, b"\0") + bytes(192)
    data = bootp + b"\x63\x82\x53\x63" + options + b"\xff"
    udp = struct.pack("!4H", 68, 67, 8 + len(data), 0) + data
    ip = struct.pack("!2B3H2BH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return b"\xff" * 6 + MAC + b"\x08\x00" + ip + udp


def offer():
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    link.bind(("card", 0))
    link.settimeout(1)
    for _ in range(10):
        link.send(discover())
        try:
            while True:
                frame = link.recv(2048)
                if frame[23] == 17 and frame[36:38] == b"\x00\x44" and frame[46:50] == XID:
                    return frame
        except TimeoutError:
            pass
    raise SystemExit("no offer came")


frame = offer()
assert frame[:6] == MAC, f"the offer went to {frame[:6].hex(':')}, not to the card alone"
assert socket.inet_ntoa(frame[58:62]) == "192.0.2.21", "another address was offered"

tftp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
tftp.settimeout(5)
tftp.sendto(b"\0\1autoexec.ipxe\0octet\0", (SERVER, 69))
answer, sender = tftp.recvfrom(2048)
assert sender == (SERVER, 69) and answer[:4] == b"\0\3\0\1" and answer[4:].startswith(b"#!ipxe"), answer
tftp.sendto(b"\0\4\0\1", sender)

script = urllib.request.urlopen(f"http://{SERVER}/boot.ipxe", timeout=5).read()
assert script.startswith(b"#!ipxe"), script
print("an offer in a frame, a script over TFTP and one over HTTP")
