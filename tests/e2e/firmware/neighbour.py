"""Answers router solicitations on a link (RFC 4861): there is no router and no DHCPv6.

Without an answer, iPXE repeats its solicitation for 16 seconds at each boot.
"""

import socket
import struct
import sys

ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"
SOLICITATION, ADVERTISEMENT = 133, 134

link = socket.if_nametoindex(sys.argv[1])
wire = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
wire.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, sys.argv[1].encode())
group = socket.inet_pton(socket.AF_INET6, ALL_ROUTERS) + struct.pack("@I", link)
wire.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
wire.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
# The kernel fills in the checksum. The hop limit is unspecified, the router lifetime 0.
nothing = struct.pack("!BBHBBHII", ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0)
while True:
    if wire.recv(1500)[0] == SOLICITATION:
        try:
            wire.sendto(nothing, (ALL_NODES, 0, 0, link))
        except OSError as error:
            # The link is down, or has no address yet: iPXE sends the next solicitation.
            print(error, file=sys.stderr)
