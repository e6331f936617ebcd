#!/usr/bin/env bash
# Real firmware in QEMU boots from a real server.
#
# usage: tests/e2e/firmware.sh list | all | SCENARIO...
#
# PATIENCE=N multiplies the time limits by N, for a slow or busy machine. Each scenario runs in network and mount
# namespaces of its own, which end with it. `tests/run` runs two at a time.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/e2e/common.bash

# What a scenario needs: a command or a file, and its Debian package.
requirements() {
    cat <<'END'
root -
qemu-system-x86_64 qemu-system-x86
ip iproute2
unshare util-linux
python3 python3
dnsmasq dnsmasq-base
tcpdump tcpdump
/usr/share/OVMF/OVMF_CODE_4M.fd ovmf
/usr/lib/ipxe/snponly.efi ipxe
/usr/lib/ipxe/qemu/pxe-virtio.rom ipxe-qemu
/usr/lib/shim/shimx64.efi.signed shim-signed
/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed grub-efi-amd64-signed
/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/linux debian-installer-12-netboot-amd64
END
    case $1 in
        faults) echo nft nftables ;;
        hostile_tftp) echo curl curl ;;
        local_boot | server_dies) echo mformat mtools ;;
        relay) echo dhcrelay isc-dhcp-relay ;;
        secure_boot) echo busybox busybox ;;
        image_* | seal_image) printf '%s\n' "$PWD/target/tests/kernel -" "$PWD/target/tests/image -" ;;
        microkernel_*) echo "$PWD/target/tests/kernel -" ;;
    esac
}

if [ -z "${BOOTWRIGHT_E2E_INSIDE:-}" ]; then
    mapfile -t all < <(sed -n 's/^scenario_\([a-z0-9_]*\)() {$/\1/p' tests/e2e/firmware/*.bash | sort)
    [ ${#all[@]} -gt 0 ] || { echo "firmware: there is no scenario" >&2; exit 1; }
    case ${1:-} in
        '') sed -n 's/^# usage/usage/p' "$0" >&2; exit 2 ;;
        list) printf '%s\n' "${all[@]}"; exit ;;
        all) set -- "${all[@]}" ;;
    esac
    for scenario in "$@"; do
        [[ " ${all[*]} " == *" $scenario "* ]] || { echo "firmware: there is no scenario $scenario" >&2; exit 2; }
    done
    build_bootwright
    for scenario in "$@"; do
        check_requirements "$scenario" < <(requirements "$scenario") || continue
        unshare --net --mount env BOOTWRIGHT_E2E_INSIDE=1 bash "tests/e2e/$(basename "$0")" "$scenario"
    done
    exit
fi
mount -t tmpfs none /run
mkdir -p /run/netns

build_bootwright
readonly bootwright
readonly debian=/usr/lib/debian-installer/images/12/amd64/text
work=$(mktemp -d)
chmod 755 "$work"
pids=()
stop_all() {
    local pid
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    pids=()
}
trap 'stop_all; rm -rf "$work"' EXIT

fail() {
    echo "firmware: $scenario: $*" >&2
    local file node
    for file in serve.log router.log relay.log neighbour.log qemu.log serial.log serial-{db2,db3}.log; do
        [ ! -s "$work/$file" ] || { echo "--- $file" >&2; tail -n 40 "$work/$file" | tr -d '\r\033' >&2; }
    done
    for node in $(sed -n 's/^\[node\.\(.*\)\]$/\1/p' "$work/site/policies.d/site.toml"); do
        echo "--- nodes $node log" >&2
        "$bootwright" --site "$work/site" nodes "$node" log >&2 || true
    done
    exit 1
}

# The seconds that a scenario waits for something, on a machine that is slower by the factor PATIENCE.
patient() { echo $(($1 * ${PATIENCE:-1})); }

# Waits for a line in a node's log, at most $2 seconds.
await_log() {
    local text=$1 seconds begun=$SECONDS
    seconds=$(patient "$2")
    until "$bootwright" --site "$work/site" nodes "${node:-db1}" log 2>/dev/null | grep -q -- "$text"; do
        [ $((SECONDS - begun)) -lt "$seconds" ] || fail "no \`$text\` in the log within $seconds s"
        sleep 0.5
    done
}

# Waits for a text in a file, at most $3 seconds.
await_file() {
    local text=$1 file=$2 seconds begun=$SECONDS
    seconds=$(patient "$3")
    until grep -a -q -- "$text" "$file" 2>/dev/null; do
        [ $((SECONDS - begun)) -lt "$seconds" ] || fail "no \`$text\` in $(basename "$file") within $seconds s"
        sleep 0.5
    done
}

log_has() { "$bootwright" --site "$work/site" nodes "${node:-db1}" log | grep -q -- "$1" || fail "the log lacks \`$1\`"; }

# Compares a node's whole log with standard input, line by line. Timestamps are removed, sizes and durations become N, and
# a line that firmware repeats is compared once.
story() {
    diff <(cat) <("$bootwright" --site "$work/site" nodes "${node:-db1}" log | awk '
        { $1 = $2 = ""; sub(/^ +/, ""); gsub(/[0-9.]+ (B|kB|MB)/, "N"); gsub(/in [0-9.]+ s/, "in N")
        gsub(/firmware_version [^,]*/, "firmware_version N"); gsub(/cpu_model [^,]*/, "cpu_model N"); sub(/revision .*/, "revision N") }
        !seen[$0]++') >"$work/story" || fail "the log (>) differs from the story (<)
$(cat "$work/story")"
}

# A bridge with the server's address, taps for three machines, and a router in a namespace of its own.
network() {
    ip link set lo up
    # A bridge without a MAC address of its own has the lowest one of its ports, and changes it when a port is added. A
    # peer then sends to the old address until its ARP entry expires.
    ip link add br0 address 02:00:00:00:00:f0 type bridge forward_delay 0
    ip address add 192.0.2.1/24 dev br0
    ip link set br0 up
    local tap
    for tap in tap0 tap1 tap2; do
        ip tuntap add dev "$tap" mode tap
        ip link set "$tap" master br0 up
    done
    ip netns add router
    ip link add wire type veth peer name wire netns router
    ip link set wire master br0 up
    ip -n router address add 192.0.2.254/24 dev wire
    ip -n router link set wire up
    ip -n router link set lo up
    python3 tests/e2e/firmware/neighbour.py br0 2>"$work/neighbour.log" &
    pids+=($!)
}

# The router's own DHCP server; the arguments are further options of dnsmasq.
router() {
    ip netns exec router dnsmasq --keep-in-foreground --log-dhcp --log-facility="$work/router.log" --port=0 \
        --interface=wire --bind-interfaces --dhcp-range=192.0.2.100,192.0.2.150,10m --dhcp-option=3,192.0.2.254 \
        --dhcp-leasefile="$work/router.leases" --pid-file --conf-file=/dev/null --user=root "$@" &
    pids+=($!)
}

# A site with one Debian node; $1 is text for the network, with its mode, $2 text for the node. On a busy host an emulated
# timer is late, and the kernel's timer check would panic: hence `no_timer_check`.
site() {
    rm -rf "$work/site" "$work/state" "$work/witness"
    mkdir -p "$work/site/policies.d" "$work/site/templates/tasks/debian"
    cat >"$work/site/bootwright.toml" <<END
site-id = "firmware"
[operator]
listen = "127.0.0.1:8067"
[paths]
state = "$work/state"
witness = "$work/witness"
[run]
user = "nobody"
END
    cat >"$work/site/policies.d/site.toml" <<END
[network.lab]
subnet = "192.0.2.0/24"
gateway = "192.0.2.254"
dns = "192.0.2.254"
domain = "lab.example"
$1

[repo.debian]
path = "$debian"
task = "debian"
vars.mirror = "http://192.0.2.1/repo/debian"

[node.db1]
mac = "52:54:00:00:00:01"
repo = "debian"
address = "192.0.2.21"
kernel-args = ["console=ttyS0", "no_timer_check"]
$2
END
    # The installer reports its host name and its address.
    cat >"$work/site/templates/tasks/debian/preseed.cfg.j2" <<'END'
{% extends "built-in/debian/preseed.cfg.j2" %}
{% block early %}
d-i preseed/early_command string wget -q -O /dev/null "{{ urls.stage("installing") }}"; wget -q -O /dev/null "{{ urls.base }}/t/{{ urls.token }}/log/info/i-am-$(hostname)-at-$(ip -4 -o addr show scope global | sed 's/.*inet //; s,/.*,,')"; true
{% endblock %}
END
    "$bootwright" init --state new "$work/site" >/dev/null 2>&1 || "$bootwright" --site "$work/site" init --state new >/dev/null
}

serve() {
    # What an earlier server has written does not count.
    rm -f "$work/serve.log"
    "$bootwright" serve "$work/site" >"$work/serve.log" 2>&1 &
    server=$!
    pids+=("$server")
    await_file "waiting for machines" "$work/serve.log" 30
    # Every thread runs as nobody, with CAP_NET_BIND_SERVICE and CAP_NET_RAW.
    local task status threads=0
    for task in /proc/"$server"/task/*; do
        # A thread may end before its status is read.
        status=$(cat "$task/status" 2>/dev/null) || continue
        threads=$((threads + 1))
        grep -q "^Uid:.65534.65534.65534.65534$" <<<"$status" || fail "a thread does not run as nobody: $status"
        for kind in Eff Prm; do
            grep -q "^Cap$kind:.0000000000002400$" <<<"$status" || fail "a thread has other capabilities: $status"
        done
    done
    [ "$threads" -gt 1 ] || fail "the status of the server's threads cannot be read"
}

capture() {
    tcpdump -i br0 -U -w "$work/wire.pcap" 2>/dev/null &
    pids+=($!)
    sleep 1
}

# How many packets of a kind were on the wire.
packets() { tcpdump -r "$work/wire.pcap" "$@" 2>/dev/null | wc -l; }

# Starts the machine $node, or db1, with a NIC of its own. QEMU's monitor reads its commands from NAME.monitor. There is no
# display: an installer that draws on one takes twice the time.
machine() {
    local name=${node:-db1} serial
    serial=$(serial)
    : >"$serial"
    rm -f "$work/$name.monitor"
    mkfifo "$work/$name.monitor"
    # shellcheck disable=SC2086
    ${in:-} qemu-system-x86_64 -accel tcg -m "${memory:-1024}" -nodefaults -display none -monitor stdio -serial "file:$serial" \
        -netdev "tap,id=n0,ifname=tap$((${name#db} - 1)),script=no,downscript=no" -device virtio-rng-pci "$@" \
        <>"$work/$name.monitor" >/dev/null 2>>"$work/qemu.log" &
    qemu=$!
    pids+=("$qemu")
}

# Switches the machine that was started last off, and starts it again with this command. An emulator that has run one
# system for long runs the next one slowly after a reset; after a power cycle it does not.
power_cycle() {
    kill "$qemu"
    wait "$qemu" 2>/dev/null || true
    "$@"
}

# The file with the output of a machine's serial port.
serial() {
    local name=${node:-db1}
    [ "$name" = db1 ] && echo "$work/serial.log" || echo "$work/serial-$name.log"
}

# The NIC of a machine. `romfile=` removes QEMU's boot ROM, so that the firmware's own network stack boots.
card() { echo "virtio-net-pci,netdev=n0,mac=52:54:00:00:00:0${node:2},bootindex=1"; }

bios() { machine -device "$(node=${node:-db1} card)" "$@"; }

# OVMF with its own network stack. Its variables survive a power cycle.
uefi() {
    local node=${node:-db1}
    [ -e "$work/vars-$node.fd" ] || cp /usr/share/OVMF/OVMF_VARS_4M.fd "$work/vars-$node.fd"
    machine -machine q35 -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd \
        -drive "if=pflash,format=raw,file=$work/vars-$node.fd" -device "$(card),romfile=" "$@"
}

# OVMF with Secure Boot and Microsoft's keys.
secure() {
    local node=${node:-db1}
    cp /usr/share/OVMF/OVMF_VARS_4M.ms.fd "$work/vars-$node.fd"
    machine -machine q35,smm=on -global driver=cfi.pflash01,property=secure,value=on \
        -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.secboot.fd \
        -drive "if=pflash,format=raw,file=$work/vars-$node.fd" -device "$(card),romfile=" "$@"
}

# Waits until the installer reports its host name and its static address; $1 is the time limit in seconds.
arrives() {
    await_log "installing" "$1"
    await_log "i-am-db1-at-192.0.2.21" 30
    [ "$(packets "src host 192.0.2.21 and dst host 192.0.2.1 and tcp dst port 80")" -gt 0 ] ||
        fail "nothing came from the static address"
    log_has "boot .*installer (attempt 1)"
    log_has "document .*preseed.cfg"
    # A boot without a problem has no remark.
    ! "$bootwright" --site "$work/site" nodes db1 log | grep " remark " || fail "there is a remark"
}

# shellcheck source=/dev/null
for file in tests/e2e/firmware/*.bash; do . "$file"; done

scenario=$1
network
begun=$SECONDS
"scenario_$scenario"
stop_all
echo "$scenario: passed in $((SECONDS - begun)) s"
