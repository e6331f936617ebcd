#!/usr/bin/env bash
# The systemd unit of examples/systemd: systemd verifies it, and the server runs with its user, its capabilities and its
# system calls. systemd does not run here, so this script reads the unit's settings and applies them itself.
set -euo pipefail
cd "$(dirname "$0")/../.."

. tests/e2e/common.bash
check_requirements systemd <<'END' || exit 0
root -
systemd-analyze systemd
strace strace
setpriv util-linux
python3 python3
ip iproute2
END
build_bootwright
if [ -z "${BOOTWRIGHT_E2E_INSIDE:-}" ]; then
    exec unshare --net --mount env BOOTWRIGHT_E2E_INSIDE=1 bash "tests/e2e/$(basename "$0")"
fi

readonly bootwright
readonly unit=$PWD/examples/systemd/bootwright.service
work=$(mktemp -d)
chmod 755 "$work"
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

fail() {
    echo "systemd: $*" >&2
    [ ! -s "$work/serve.log" ] || tail -n 30 "$work/serve.log" >&2
    exit 1
}

# The value of a key of the unit. The values of a repeated key are joined.
setting() { sed -n "s/^$1=//p" "$unit" | tr '\n' ' ' | sed 's/ $//'; }

# Mounts of this script's own, as on a fresh machine.
mount -t tmpfs none /usr/local/bin
install -m 0755 "$bootwright" /usr/local/bin/bootwright
mkdir -p "$work/etc"
cp /etc/passwd "$work/etc/passwd"
echo "bootwright:x:4711:4711::/var/lib/bootwright:/usr/sbin/nologin" >>"$work/etc/passwd"
mount --bind "$work/etc/passwd" /etc/passwd
mount -t tmpfs none /var/lib

# systemd has no warning, and a low exposure level (0 is the best, 10 the worst).
found=$(systemd-analyze verify "$unit" 2>&1) || fail "systemd rejects the unit: $found"
[ -z "$found" ] || fail "systemd has a warning: $found"
exposure=$(systemd-analyze security --offline=true --threshold=25 "$unit") ||
    fail "the unit exposes too much: $(tail -n 1 <<<"$exposure")"
sed -n 's/^.*Overall exposure level for bootwright.service: \([0-9.]*\).*/exposure \1 of 10/p' <<<"$exposure"

# The example site, set up as its README says.
ip link set lo up
ip link add br0 address 02:00:00:00:00:f0 type bridge
ip address add 192.0.2.2/24 dev br0
ip link set br0 up
ip link add wire type veth peer name card
ip link set wire master br0 up
ip link set card up
mkdir -p "$work/examples"
cp -r examples/systemd examples/quickstart "$work/examples"
site=$work/examples/systemd
sed -i '1i site-id = "systemd"' "$site/bootwright.toml"
/usr/local/bin/bootwright --site "$site" init --state new
chown -R bootwright: /var/lib/bootwright /var/lib/bootwright-witness
mkdir "$work/trace"
chown bootwright: "$work/trace"

# Starts the server as the unit does: its user, its capabilities, no new privileges.
lower() { tr '[:upper:]' '[:lower:]' <<<"$1" | sed 's/cap_/+/g; s/ /,/g'; }
bounding=$(setting CapabilityBoundingSet)
[ "$(setting NoNewPrivileges)" = yes ] || fail "the unit allows new privileges"
command=$(setting ExecStart)
[ "$command" = "/usr/local/bin/bootwright serve /etc/bootwright/site" ] || fail "the unit starts $command"
setpriv --reuid "$(id -u bootwright)" --regid 4711 --clear-groups --no-new-privs \
    --bounding-set="-all,$(lower "$bounding")" --inh-caps="-all,$(lower "$bounding")" \
    --ambient-caps="-all,$(lower "$(setting AmbientCapabilities)")" \
    strace -f -qq -e signal=none -o "$work/trace/calls" /usr/local/bin/bootwright serve "$site" >"$work/serve.log" 2>&1 &
tracer=$!
for _ in $(seq 150); do
    ! grep -q "waiting for machines" "$work/serve.log" 2>/dev/null || break
    sleep 0.2
done
grep -q "waiting for machines" "$work/serve.log" || fail "it does not start"
server=$(ps -o pid= --ppid "$tracer" | tr -d ' ')
threads=0
for task in /proc/"$server"/task/*; do
    # A thread may end before its status is read.
    status=$(cat "$task/status" 2>/dev/null) || continue
    threads=$((threads + 1))
    for kind in Eff Prm Bnd; do
        grep -q "^Cap$kind:.0000000000002400$" <<<"$status" || fail "other capabilities: $status"
    done
    grep -q "^NoNewPrivs:.1$" <<<"$status" || fail "a thread may get new privileges"
done
[ "$threads" -gt 1 ] || fail "the status of the server's threads cannot be read"

# It works: HTTP, DHCP with a frame to a NIC that has no address, TFTP, an edit, an operator's command.
python3 tests/e2e/systemd/client.py || fail "a request to the server fails"
/usr/local/bin/bootwright --site "$site" hold shelf1 || fail "an operator's command fails"
/usr/local/bin/bootwright --site "$site" nodes shelf1 log | grep -q "dhcp .*offer 192.0.2.21" || fail "the offer is not in the log"
sed -i 's/home.example/house.example/' "$site/policies.d/home.toml"
for _ in $(seq 100); do
    ! /usr/local/bin/bootwright --site "$site" explain shelf1 | grep -q house.example || break
    sleep 0.2
done
/usr/local/bin/bootwright --site "$site" explain shelf1 | grep -q house.example || fail "an edit does not go live"
kill "$server"
wait "$tracer" || fail "the server does not exit with success"
server=

# The unit allows each system call that the server made.
python3 tests/e2e/systemd/calls.py "$unit" "$work/trace/calls" || fail "the unit forbids a system call that the server makes"
