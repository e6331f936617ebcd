# Hostile TFTP requests, to a server with its whole file tree.
scenario_hostile_tftp() {
    site 'dhcp = "off"' ''
    serve
    local before after
    before=$(awk '/^VmRSS/ { print $2 }' "/proc/$server/status")
    ip netns exec router python3 - >"$work/tftp.log" 2>&1 <<'END' || fail "$(cat "$work/tftp.log")"
import socket, time

SERVER = ("192.0.2.1", 69)
INITRD = b"repo/debian/debian-installer/amd64/initrd.gz"

def client(seconds=5):
    it = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    it.settimeout(seconds)
    return it

def ask(it, name, *options, opcode=b"\0\1"):
    it.sendto(opcode + b"\0".join([name, b"octet", *options]) + b"\0", SERVER)

def answer(it):
    return it.recvfrom(70000)[0]

def silence(it, seconds=0.3):
    it.settimeout(seconds)
    try:
        return it.recvfrom(70000)[0]
    except socket.timeout:
        return None

# No spelling of a name leads out of the tree.
climbs, missing = b"\0\5\0\2the name leaves the served directory\0", b"\0\5\0\1no such file\0"
for name, expected in [
    (b"../../etc/shadow", climbs),
    (b"repo/debian/../../../../../../../etc/shadow", climbs),
    (b"..\\", climbs),
    (b"\\..\\..\\etc\\shadow", climbs),
    (b"/etc/shadow", missing),
    (b"//etc//shadow", missing),
    (b"repo/debian//etc/shadow", missing),
    (b"repo/etc/shadow", missing),
    (b"repo/debian", missing),
    (b"repo/debian/debian-installer", missing),
    (b"boot.ipxe\0../../etc/shadow", b"\0\5\0\4only octet mode is supported\0"),
    (b"\0boot.ipxe", b"\0\5\0\4only octet mode is supported\0"),
    (b"boot.ipxe\n", b"\0\5\0\2the name has control characters\0"),
    (b"a" * 300, b"\0\5\0\2the name is longer than 255 bytes\0"),
    (b"\xff\xfe\xfd", None),
]:
    it = client()
    ask(it, name)
    got = answer(it)
    assert got == expected or expected is None and got[:2] == b"\0\5", (name, got)
it = client()
ask(it, b"/boot.ipxe")
assert answer(it)[:10] == b"\0\3\0\1#!ipxe", "a file of the tree"

# A write request is refused. An error, and a datagram that is not TFTP, gets no reply.
it = client()
ask(it, b"boot.ipxe", opcode=b"\0\2")
assert answer(it) == b"\0\5\0\2the server is read-only\0"
for datagram in [b"", b"\0", b"\0\1", b"\0\5\0\1no\0", b"\0\5", b"\0\4\0\7", b"\0\3\0\1x", b"\0\6a\0b\0", b"\xff" * 1400]:
    it = client()
    it.sendto(datagram, SERVER)
    got = silence(it, 0.2)
    assert got is None or datagram == b"\0\1" and got[:2] == b"\0\5", (datagram, got)

# The largest block is what a frame carries, the largest window 64. A client that never acknowledges costs no memory.
idle = []
for _ in range(48):
    it = client(20)
    ask(it, INITRD, b"blksize", b"65464", b"windowsize", b"65535")
    assert answer(it) == b"\0\6blksize\x001468\0windowsize\x0064\0"
    it.sendto(b"\0\4\0\0", SERVER)
    assert len(answer(it)) == 1472
    idle.append(it)
one = client()
for _ in range(20):
    ask(client(), INITRD)
ask(one, INITRD)
assert answer(one)[:4] in (b"\0\5\0\0", b"\0\3\0\1")

# A spoofed source address receives the first block five times at most, whatever another port sends meanwhile.
victim, other = client(), client()
for it in idle:
    it.sendto(b"\0\5\0\x08enough\0", SERVER)
ask(victim, b"boot.ipxe")
begun, received = time.monotonic(), 0
while time.monotonic() - begun < 12:
    other.sendto(b"\0\4\0\1", SERVER)
    got = silence(victim, 1)
    received += got is not None
assert 1 <= received <= 5, f"{received} datagrams for one request"
assert silence(other) is None, "the other port got a reply"
print("done")
END
    grep -q "^done$" "$work/tftp.log" || fail "$(cat "$work/tftp.log")"
    after=$(awk '/^VmHWM/ { print $2 }' "/proc/$server/status")
    [ $((after - before)) -lt 16384 ] || fail "TFTP used $((after - before)) KiB more"
    # The server still answers.
    ip netns exec router curl -s -m 10 tftp://192.0.2.1/boot.ipxe | grep -q "^#!ipxe" || fail "TFTP no longer answers"
}
