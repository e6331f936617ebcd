"""A management controller for QEMU's `ipmi-bmc-extern`: it reports its device id, and an address on its second channel.

The wire format is QEMU's (hw/ipmi/ipmi_bmc_extern.c): sequence number, network function, command, data, checksum. 0xa0 ends a
message and 0xa1 a command for QEMU itself; both bytes are escaped within a message.
"""
import socket
import sys
import time

END_OF_MESSAGE, END_OF_WORD, ESCAPE = 0xA0, 0xA1, 0xAA
ADDRESS = bytes(int(part) for part in sys.argv[2].split("."))
APP, TRANSPORT = 0x06, 0x0C


def answer(netfn, command, data):
    if (netfn, command) == (APP, 0x01):  # Get Device ID
        return bytes([0, 0x20, 1, 1, 0, 0x02, 0x8F, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    if netfn == APP and command in (0x2E, 0x30, 0x31):  # set enables, clear flags, get flags
        return bytes([0, 0])
    if (netfn, command) == (APP, 0x2F):  # get enables
        return bytes([0, 0])
    if (netfn, command) == (TRANSPORT, 0x02) and len(data) == 4 and data[1] == 3:  # Get LAN, IP address
        return bytes([0, 0x11]) + (ADDRESS if data[0] == 2 else bytes(4)) if data[0] < 3 else bytes([0xCC])
    return bytes([0xC1])  # unknown


def checksum(message):
    return -sum(message) & 0xFF


def escaped(message):
    out = bytearray()
    for byte in message:
        out += bytes([ESCAPE, byte | 0x10]) if byte in (END_OF_MESSAGE, END_OF_WORD, ESCAPE) else bytes([byte])
    return bytes(out) + bytes([END_OF_MESSAGE])


def serve(wire):
    message, is_escaped = bytearray(), False
    while piece := wire.recv(4096):
        for byte in piece:
            if byte == END_OF_MESSAGE:
                number, head, command = message[:3]
                said = answer(head >> 2, command, bytes(message[3:-1]))
                reply = bytes([number, head | 1 << 2, command]) + said
                wire.sendall(escaped(reply + bytes([checksum(reply)])))
                message.clear()
            elif byte == END_OF_WORD:
                message.clear()
            elif byte == ESCAPE:
                is_escaped = True
            else:
                message.append(byte & ~0x10 if is_escaped else byte)
                is_escaped = False


# QEMU 7.2 crashes if its controller connects before its interface exists, so QEMU listens and this script connects.
print("connecting to QEMU", flush=True)
for _ in range(1200):
    try:
        serve(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
    except ConnectionError:
        time.sleep(0.1)
