#!/usr/bin/env bash
# `bootwright try`: real firmware in QEMU, as a user without privileges, in a network namespace with only a loopback
# interface: with a server of its own, against a running server, and with a tool missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly debian=/usr/lib/debian-installer/images/12/amd64/text
readonly kernel=$debian/debian-installer/amd64/linux
# An emulated processor is as slow as its host. So the limit is a multiple of the time that the installer takes without
# `try`, from QEMU's start to its first request. `try` adds firmware, a script and two files over HTTP.
readonly times=1.5
# The goal on a fast machine, in seconds. It is reported; a slower run does not fail.
readonly goal=30
readonly longest=480

. tests/e2e/common.bash
check_requirements try <<END || exit 0
qemu-system-x86_64 qemu-system-x86
$kernel debian-installer-12-netboot-amd64
END
build_bootwright
# As root, this script makes the namespace and drops its privileges.
as_nobody=()
if [ "$(id -u)" -eq 0 ]; then
    if [ -z "${BOOTWRIGHT_E2E_INSIDE:-}" ]; then
        exec unshare --net env BOOTWRIGHT_E2E_INSIDE=1 bash "tests/e2e/$(basename "$0")"
    fi
    ip link set lo up
    as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all)
fi

work=$(mktemp -d)
server=
stop() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    [ -z "$server" ] || wait "$server" 2>/dev/null || true
    server=
}
trap 'stop; rm -rf "$work"' EXIT
mkdir "$work/home" "$work/tmp" "$work/state" "$work/bin"
# The user nobody may have no access to the build's directory.
cp "$bootwright" "$work/bin/bootwright"
cp -r examples/quickstart "$work/quickstart"
chmod -R a+rX "$work"
chmod 777 "$work/home" "$work/tmp" "$work/state"
log=$work/log

fail() {
    echo "try: $*" >&2
    tail -n 40 "$log" >&2
    exit 1
}

# Replaces this shell by bootwright, run as that user with a home and a temporary directory of its own.
become() {
    exec "${as_nobody[@]}" env -i PATH="${path:-$PATH}" HOME="$work/home" XDG_STATE_HOME="$work/state" TMPDIR="$work/tmp" \
        NO_COLOR=1 "$work/bin/bootwright" --site "$work/site" "$@"
}
bootwright() { (become "$@"); }

has() { grep -q -- "$1" "$log" || fail "expected \`$1\`"; }

# No temporary file is left, and no QEMU runs.
is_clean() {
    [ -z "$(ls "$work/tmp")" ] || fail "left behind: $(ls "$work/tmp")"
    local command
    for command in /proc/[0-9]*/cmdline; do
        # A process may end before it is read.
        if { tr '\0' ' ' <"$command"; } 2>/dev/null | grep -q "$work/tmp"; then
            fail "QEMU still runs: $command"
        fi
    done
}

# A site with one node whose task is Debian's installer.
site() {
    mkdir -p "$work/site/policies.d"
    cat >"$work/site/bootwright.toml" <<END
[http]
listen = "[::]:18080"
[operator]
listen = "127.0.0.1:18067"
[dhcp]
enabled = false
[tftp]
enabled = false
END
    cat >"$work/site/policies.d/site.toml" <<END
[network.lab]
subnet = "192.0.2.0/24"
gateway = "192.0.2.1"
dns = "192.0.2.2"
domain = "lab.example"
[repo.debian]
path = "$debian"
task = "debian"
vars.mirror = "http://192.0.2.1/repo/debian"
[node.db1]
mac = "52:54:00:00:00:01"
serial = "a, b"
repo = "debian"
address = "192.0.2.21"
END
    chmod -R a+rX "$work/site"
}

since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

# Measures the installer without `try`: QEMU gets its files and the same address, and it runs until it requests a preseed.
measure_installer() {
    local begun words=
    python3 -u - >"$log" 2>&1 <<'END' &
import socket
asked = socket.create_server(("127.0.0.1", 18081)).accept()[0]
print("asked for", asked.recv(100).split()[1].decode(), flush=True)
END
    local asked=$!
    for word in disable_autoconfig=true get_ipaddress=192.0.2.21 get_netmask=255.255.255.0 get_gateway=192.0.2.1 \
        get_nameservers=192.0.2.2 confirm_static=true get_hostname=db1; do
        words+=" netcfg/$word"
    done
    begun=$EPOCHREALTIME
    qemu-system-x86_64 -accel tcg -smp 2 -m 1024 -nodefaults -display none -machine graphics=off -kernel "$kernel" \
        -initrd "${kernel%linux}initrd.gz" -append "auto=true priority=critical url=http://192.0.2.1:18081/preseed.cfg$words" \
        -netdev user,id=n0,net=192.0.2.0/24,host=192.0.2.1,dns=192.0.2.2,dhcpstart=192.0.2.11 \
        -device virtio-net-pci,netdev=n0 -device virtio-rng-pci 2>"$work/qemu.log" &
    local machine=$!
    (sleep $longest && kill "$asked") 2>/dev/null &
    local patience=$!
    wait "$asked" || { kill "$machine" "$patience"; fail "the installer without \`try\` requests nothing within $longest s"; }
    reference=$(since "$begun")
    kill "$machine" "$patience"
    wait "$machine" 2>/dev/null || true
    has "asked for /preseed.cfg"
    echo "the installer without \`try\`: first request after $reference s"
}

# Tries db1 and measures from the command to its first document.
measured() {
    local begun=$EPOCHREALTIME
    bootwright try db1 --for 8m >"$log" 2>&1 || fail "$1: no document was read"
    seconds=$(since "$begun")
    has "document    preseed.cfg"
    has "==> preseed.cfg <=="
    has "/t/00000000000000000000000000000000/stage/installing"
    has "serial a, b"
    is_clean
    awk -v what="$1" -v s="$seconds" -v i="$reference" -v g="$goal" 'BEGIN {
        printf "%s: the first document after %s s, %.2f times the installer without `try`; ", what, s, s / i
        print "the goal of " g " s is " (s < g ? "reached" : "NOT reached") }'
    awk -v s="$seconds" -v l="$longest" 'BEGIN { exit !(s < l) }' || fail "$1: longer than $longest s"
}

site

echo "with a server of its own"
# Other load on the host may slow one of the two.
for tries in 1 2 3; do
    measure_installer
    measured "own server"
    ! awk -v s="$seconds" -v i="$reference" -v t="$times" 'BEGIN { exit !(s < i * t) }' || break
    [ "$tries" -lt 3 ] || fail "three runs took longer than $times times the installer without \`try\`"
done

echo "against a running server"
become serve >"$work/serve.log" 2>&1 &
server=$!
tries=0
until grep -q "waiting for machines.*bootwright --site .* try db1" "$work/serve.log" 2>/dev/null; do
    tries=$((tries + 1))
    [ "$tries" -lt 150 ] || { cat "$work/serve.log" >&2; fail "the server does not start"; }
    sleep 0.2
done
measured "running server"
has "using the running server at http://127.0.0.1:18080"
bootwright nodes db1 log >"$log" 2>&1
has "document    preseed.cfg"
# The document was read, so the disk may be overwritten: the machine gets no second installer without a command.
if bootwright try db1 >"$log" 2>&1; then
    fail "the machine got a second installer"
fi
has "the server sent db1 no installer but a script that boots its local disk"
is_clean
# The operator interrupts it.
bootwright reinstall db1 >"$log" 2>&1 || fail "reinstall"
become try db1 --keep >"$log" 2>&1 &
tried=$!
tries=0
until grep -q "installer (attempt 2)" "$log"; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || fail "no second attempt"
    sleep 0.2
done
kill -INT "$tried"
if wait "$tried"; then
    fail "an interrupted try exits with success"
fi
has "stopped before a document was read"
is_clean
stop

echo "stand-ins"
rm -rf "$work/site"
cp -r "$work/quickstart" "$work/site"
sed -i 's/:8080/:18080/; s/:8067/:18067/' "$work/site/bootwright.toml"
for node in web01 esx01; do
    if bootwright try "$node" >"$log" 2>&1; then
        fail "$node: try with a stand-in exits with success"
    fi
    has "installer (attempt 1)"
    has "is a stand-in of [0-9]* bytes"
    has "http://192.0.2.1:[0-9]*/boot.ipxe... ok\|$node in QEMU: UEFI"
    is_clean
done
# A BIOS starts any bytes; UEFI does not.
has "The installer cannot be started"

echo "what is missing"
mkdir "$work/empty"
path=$work/empty
status=0
bootwright try web01 >"$log" 2>&1 || status=$?
[ "$status" -eq 3 ] || fail "without QEMU the exit code is $status"
has "\`qemu-system-x86_64\` is not in PATH"
has "apt-get install qemu-system-x86 ipxe-qemu"
# A QEMU without a directory of ROMs.
printf '#!/bin/sh\necho /nonexistent\n' >"$work/empty/qemu-system-x86_64"
chmod 755 "$work/empty" "$work/empty/qemu-system-x86_64"
status=0
bootwright try web01 >"$log" 2>&1 || status=$?
[ "$status" -eq 3 ] || fail "without a ROM the exit code is $status"
has "apt-get install ipxe-qemu"
echo "try: passed"
