"""The hosts on one link, and the server: a bridge with a network namespace for each host."""

import ctypes
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import time

SERVER = "10.77.0.1"
PORT = 8080
OPERATORS = 8067
ATTACKER = "10.77.0.66"
VICTIM = "10.77.0.50"
# Behind the victim, which is a router.
ROUTED = "10.78.0.5"
# The ports of transfers to hosts behind a router.
TRANSFER_PORTS = range(50_000, 51_024)
# Interfaces of the attacker with a MAC of their own: each can be a confirmed undeclared machine.
OWN = 16
# More addresses of the attacker: the server limits the connections of one.
MORE = [f"10.77.0.{number}" for number in range(130, 138)]

SERVER_MAC = "02:00:00:00:00:01"
MACS = {
    "attacker": "02:00:00:00:00:66",
    "victim": "02:00:00:00:00:50",
    "web01": "52:54:00:00:00:20",
    "db1": "52:54:00:00:00:d1",
}
ADDRESSES = {"attacker": ATTACKER, "victim": VICTIM, "web01": "10.77.0.20", "db1": "10.77.0.31"}

CONFIG = f"""
site-id = "attack"
[http]
listen = "{SERVER}:{PORT}"
[operator]
listen = "127.0.0.1:{OPERATORS}"
[tftp]
listen = "{SERVER}:69"
ports = "{TRANSFER_PORTS[0]}-{TRANSFER_PORTS[-1]}"
[paths]
state = "../state"
repos = "../files"
loaders = "../files"
"""

SITE = """
[defaults]
timezone = "Etc/UTC"
root-password-hash = "$6$exampleonly$ntM9V.0IToMoZGaR2DFalh1yTiaH8l5Pkmzu2sBb2l7Uczv0DSKMAQbSWzT2uSkCMakVMf7ww5CLBy5Ye.Fpz/"

[network.lan]
subnet = "10.77.0.0/24"
range = "10.77.0.200-10.77.0.250"
gateway = "10.77.0.1"
dns = "10.77.0.1"
domain = "lan.example"
dhcp = "server"
unknown = "discover"

[network.routed]
subnet = "10.78.0.0/24"
gateway = "10.78.0.1"
dns = "10.77.0.1"
domain = "routed.example"
dhcp = "off"
unknown = "ignore"

[repo.debian]
path = "repo/debian"
task = "debian"
vars = { mirror = "http://mirror.example/debian" }

[hook.held]
on = ["held"]
run = ["/bin/sh", "-c", "echo held >> ../hooked"]

[node.web01]
mac = "52:54:00:00:00:20"
address = "10.77.0.20"
repo = "debian"

[node.db1]
mac = "52:54:00:00:00:d1"
address = "10.77.0.31"
repo = "debian"

[node.db2]
mac = "52:54:00:00:00:d2"
serial = "SERIAL-DB2"
address = "10.77.0.32"
repo = "debian"

[node.db3]
mac = "52:54:00:00:00:d3"
address = "10.77.0.33"
repo = "debian"
"""

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
# The namespace of the server, in which this program starts.
OWN_NAMESPACE = open("/proc/self/ns/net")


def enter(namespace):
    """Moves this process into a network namespace."""
    if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class As:
    """Code in the namespace of a host. Its sockets stay there."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        with open(f"/run/netns/{self.name}") as namespace:
            enter(namespace)

    def __exit__(self, *_):
        enter(OWN_NAMESPACE)


def ip(words):
    subprocess.run(["ip", *words.split()], check=True)


class Lab:
    def __init__(self, program, core):
        self.program, self.core = program, core
        self.work = tempfile.mkdtemp(prefix="bootwright-attack-")
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.work], check=True)
        self.make_link()
        self.make_site()
        self.server = None

    def make_link(self):
        os.makedirs("/run/netns", exist_ok=True)
        # In a mount namespace of this program: nothing is left on the host.
        for directory in ["/run/netns", "/var/lib"]:
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", directory], check=True)
        ip("link set lo up")
        ip("link add br0 type bridge")
        ip(f"link set br0 address {SERVER_MAC} up")
        ip(f"address add {SERVER}/24 dev br0")
        for name, mac in MACS.items():
            ip(f"netns add {name}")
            ip(f"link add {name} type veth peer name far address {mac} netns {name}")
            ip(f"link set {name} master br0 up")
            for words in ["link set lo up", f"address add {ADDRESSES[name]}/24 dev far", "link set far up"]:
                ip(f"-n {name} {words}")
        ip(f"route add 10.78.0.0/24 via {VICTIM}")
        ip(f"-n victim address add {ROUTED}/32 dev lo")
        with As("attacker"):
            for key, value in [("arp_ignore", 1), ("arp_announce", 2)]:
                with open(f"/proc/sys/net/ipv4/conf/all/{key}", "w") as setting:
                    setting.write(str(value))
        for address in MORE:
            ip(f"-n attacker address add {address}/24 dev far")
        for number in range(OWN):
            ip(f"-n attacker link add link far name own{number} address {own_mac(number)} type macvlan mode bridge")
            ip(f"-n attacker address add {own_address(number)}/24 dev own{number}")
            ip(f"-n attacker link set own{number} up")

    def make_site(self):
        site = f"{self.work}/site"
        netboot = f"{self.work}/files/repo/debian/debian-installer/amd64"
        microkernel = f"{self.work}/state/microkernel"
        for directory in [f"{site}/policies.d", netboot, microkernel]:
            os.makedirs(directory)
        os.chmod(f"{self.work}/state", 0o700)
        for path, content in [
            (f"{site}/bootwright.toml", CONFIG),
            (f"{site}/policies.d/site.toml", SITE),
            (f"{netboot}/linux", "kernel"),
            (f"{netboot}/initrd.gz", "initrd"),
            (f"{microkernel}/vmlinuz", "kernel"),
            (f"{microkernel}/initrd", "initrd"),
            (f"{self.work}/files/snponly.efi", "MZ" + "x" * 300_000),
        ]:
            with open(path, "w") as file:
                file.write(content)

    def run(self, *words):
        command = [self.program, "--site", f"{self.work}/site", *words]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self):
        self.run("init", "--state", "new")
        self.log = open(f"{self.work}/log", "w")
        command = ["taskset", "-c", str(self.core), self.program, "serve", "--color", "never", f"{self.work}/site"]
        self.server = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
        for _ in range(200):
            try:
                socket.create_connection((SERVER, PORT), 1).close()
                break
            except OSError:
                self.check()
                time.sleep(0.05)
        with open(f"{self.work}/state/operator-token") as token:
            self.token = token.read().strip()

    def check(self):
        """Fails if the server has ended."""
        if self.server.poll() is not None:
            raise RuntimeError(f"the server has ended with {self.server.returncode}:\n{self.tail()}")

    def tail(self):
        with open(f"{self.work}/log", errors="replace") as log:
            return "".join(log.readlines()[-40:])

    def stop(self):
        if self.server is not None:
            self.server.terminate()
            self.server.wait(20)
        subprocess.run(["umount", "-l", self.work], check=True)
        shutil.rmtree(self.work)

    def resident(self):
        """The resident memory of the server in MiB."""
        with open(f"/proc/{self.server.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE") / (1 << 20)

    def journal(self):
        """The size of the journal in bytes."""
        directory = f"{self.work}/state/journal"
        files = [name for name in os.listdir(directory) if re.fullmatch(r"\d+\.jsonl", name)]
        if not files:
            raise RuntimeError(f"no segment of the journal: {os.listdir(directory)}")
        return sum(os.stat(f"{directory}/{name}").st_size for name in files)

    def nodes(self):
        """What is known about each machine, without what a request may change: its latest activity."""
        from web import Web

        body = Web(("127.0.0.1", OPERATORS), f"Authorization: Bearer {self.token}\r\n").get("/api/v1/nodes")[1]
        kept = ["declared", "state", "reason", "policy", "task", "address", "mac", "serial", "uuid", "attempt", "installs"]
        return {node["name"]: {key: node[key] for key in kept} for node in json.loads(body)}

    def hooked(self):
        """How often the hook `held` has run."""
        path = f"{self.work}/hooked"
        return open(path).read().count("held") if os.path.exists(path) else 0


def own_mac(number):
    return f"02:00:00:00:01:{number:02x}"


def own_address(number):
    return f"10.77.0.{100 + number}"


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(to_mac, from_mac, source, target, payload):
    """An Ethernet frame with a UDP datagram; addresses are pairs of an IP address and a port."""
    udp = struct.pack("!4H", source[1], target[1], 8 + len(payload), 0) + payload
    ends = socket.inet_aton(source[0]) + socket.inet_aton(target[0])
    head = struct.pack("!2B3H2BH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + ends
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    plain = lambda mac: bytes.fromhex(mac.replace(":", ""))
    return plain(to_mac) + plain(from_mac) + b"\x08\0" + head + udp


def packet_socket():
    """A socket of the attacker that sends whole frames."""
    with As("attacker"):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        raw.bind(("far", 0))
    return raw

