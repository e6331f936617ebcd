# Faults, each on a machine of its own, all at once on three networks. Each has its own sentence in the output of `serve`, in
# the machine's log and in `nodes`. Real firmware runs where its behaviour decides; elsewhere a short script boots, which is
# minutes faster.

# A bridge with the server's address.
faults_bridge() {
    ip link add "$1" address "02:00:00:00:01:0${1#br}" type bridge forward_delay 0
    ip address add "$2" dev "$1"
    ip link set "$1" up
}

# Another DHCP server on a bridge, in a namespace of its own.
faults_server() {
    local bridge=$1 address=$2 range=$3
    ip netns add other
    ip link add other-wire type veth peer name wire netns other
    ip link set other-wire master "$bridge" up
    ip -n other address add "$address" dev wire
    ip -n other link set wire up
    ip netns exec other dnsmasq --keep-in-foreground --port=0 --interface=wire --bind-interfaces --dhcp-range="$range" \
        --dhcp-leasefile="$work/other.leases" --pid-file --conf-file=/dev/null --user=root --log-facility="$work/other.log" &
    pids+=($!)
}

faults_site() {
    rm -rf "$work/site" "$work/state" "$work/witness" "$work/small" "$work/gone"
    mkdir -p "$work/site/policies.d" "$work/small/debian-installer/amd64"
    echo kernel >"$work/small/debian-installer/amd64/linux"
    echo initrd >"$work/small/debian-installer/amd64/initrd.gz"
    cp -r "$work/small" "$work/gone"
    cat >"$work/site/bootwright.toml" <<END
site-id = "faults"
[operator]
listen = "127.0.0.1:8067"
[paths]
state = "$work/state"
witness = "$work/witness"
[limits]
installs-per-hour = 100
[run]
user = "nobody"
END
    cat >"$work/site/policies.d/site.toml" <<END
[network.beside]
subnet = "192.0.2.0/24"
dhcp = "proxy"
[network.reserved]
subnet = "198.51.100.0/25"
dhcp = "reserve"
[network.ours]
subnet = "198.51.100.128/25"
dhcp = "server"
range = "198.51.100.140-198.51.100.150"
[defaults]
root-password-hash = "\$6\$saltsalt\$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"
[repo.small]
path = "$work/small"
task = "debian"
vars.mirror = "http://mirror.example/debian"
[repo.gone]
path = "$work/gone"
task = "debian"
vars.mirror = "http://mirror.example/debian"
END
    local name number address more
    while read -r name number address more; do
        cat >>"$work/site/policies.d/site.toml" <<END
[node.$name]
mac = "52:54:00:00:00:$number"
address = "$address"
domain = "lab.example"
$more
END
    done <<'END'
no-4011 0a 192.0.2.10/24 repo = "small"
ignored 0b 192.0.2.11/24 repo = "small"
no-69 0c 198.51.100.12/25 repo = "small"
no-ack 0d 198.51.100.13/25 repo = "small"
wrong 0e 198.51.100.14/25 repo = "small"
no-http 0f 198.51.100.15/25 repo = "small"
no-file 10 198.51.100.16/25 repo = "gone"
no-driver 11 198.51.100.17/25 repo = "small"
no-kernel 12 198.51.100.18/25 repo = "small"
no-document 13 198.51.100.19/25 repo = "small"
no-loader 14 198.51.100.20/25 repo = "small"
elsewhere 15 198.51.100.160/25 repo = "small"
unseen 99 198.51.100.99/25 repo = "small"
END
    sed -i '/^\[node.wrong\]/a loader = "undionly.kpxe"' "$work/site/policies.d/site.toml"
    "$bootwright" --site "$work/site" init --state new >/dev/null
}

# A firewall's rules, each for one machine.
faults_rules() {
    nft -f - <<'END'
table inet faults {
    chain input {
        type filter hook input priority 0
        ether saddr 52:54:00:00:00:0a udp dport 4011 drop
        ether saddr 52:54:00:00:00:0c udp dport 69 drop
        ether saddr 52:54:00:00:00:0d udp dport 69 @th,64,16 4 drop
        ether saddr 52:54:00:00:00:0f tcp dport 80 drop
    }
}
END
}

# QEMU on a bridge: UEFI with the firmware's own network stack, or a BIOS with iPXE in its NIC.
faults_machine() {
    local kind=$1 bridge=$2 number=$3
    ip tuntap add "tap$number" mode tap
    ip link set "tap$number" master "$bridge" up
    local card="virtio-net-pci,netdev=n0,mac=52:54:00:00:00:$number" options
    case $kind in
        uefi)
            cp /usr/share/OVMF/OVMF_VARS_4M.fd "$work/vars-$number.fd"
            options=(-machine q35 -device "$card,romfile="
                -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd
                -drive "if=pflash,format=raw,file=$work/vars-$number.fd")
            ;;
        bios) options=(-boot n -device "$card") ;;
    esac
    qemu-system-x86_64 -accel tcg -m 512 -nodefaults -display none -monitor none -serial "file:$work/serial-$number.log" \
        -netdev "tap,id=n0,ifname=tap$number,script=no,downscript=no" -device virtio-rng-pci "${options[@]}" \
        2>"$work/qemu-$number.log" &
    faults_running[$number]=$!
    pids+=($!)
}

# Stops a machine whose sentence was found: the others need the processor.
faults_off() {
    kill "${faults_running[$1]}"
    wait "${faults_running[$1]}" || true
}

# A scripted machine: bridge, last byte of its MAC, address, and the steps of client.py.
faults_client() {
    local bridge=$1 number=$2 address=$3
    shift 3
    ip netns add "c$number"
    ip link add "c$number" type veth peer name eth0 netns "c$number" address "52:54:00:00:00:$number"
    ip link set "c$number" master "$bridge" up
    ip -n "c$number" address add "$address" dev eth0
    ip -n "c$number" link set eth0 up
    ip -n "c$number" route add default dev eth0
    ip netns exec "c$number" python3 tests/e2e/firmware/client.py eth0 "52:54:00:00:00:$number" "$@" \
        2>"$work/client-$number.log" &
    pids+=($!)
}

# Waits at most $3 seconds for a machine's sentence, and checks that the log and `nodes` have it.
faults_says() {
    local name=$1 sentence=$2 seconds=$3 begun=$SECONDS
    until grep -F -q -- "remark     $sentence" <(grep -- " $name  *remark" "$work/serve.log"); do
        if [ $((SECONDS - begun)) -ge "$seconds" ]; then
            "$bootwright" --site "$work/site" nodes "$name" log >&2 || true
            cat "$work"/client-*.log >&2
            fail "\`serve\` did not log for $name: $sentence"
        fi
        sleep 0.5
    done
    # A remark is in the journal within a second.
    begun=$SECONDS
    until "$bootwright" --site "$work/site" nodes "$name" log 2>/dev/null | grep -F -q -- "$sentence"; do
        [ $((SECONDS - begun)) -lt 10 ] || fail "$name's log lacks its sentence"
        sleep 0.5
    done
    "$bootwright" --site "$work/site" nodes "$name" --json | grep '"reason"' | grep -F -q -- "$sentence" ||
        fail "\`nodes $name\` lacks: $sentence"
    "$bootwright" --site "$work/site" nodes | grep -- "^$name " | grep -F -q -- "$sentence" || fail "\`nodes\` lacks: $sentence"
    echo "  $name: $sentence"
}

scenario_faults() {
    declare -gA faults_running=()
    faults_site
    faults_bridge br1 198.51.100.1/25
    faults_bridge br2 198.51.100.129/25
    faults_rules
    router
    faults_server br2 198.51.100.254/25 198.51.100.200,198.51.100.210,255.255.255.128,10m
    serve
    await_file "another DHCP server, 198.51.100.254" "$work/serve.log" 20
    # An image that is no longer mounted.
    rm "$work/gone/debian-installer/amd64/linux"

    # The machines whose sentences take minutes start first.
    faults_client br1 13 198.51.100.19/25 boot=198.51.100.1 fetch=2
    faults_client br1 12 198.51.100.18/25 boot=198.51.100.1
    faults_client br1 11 198.51.100.17/25 discover=7 wait=1 request=198.51.100.1,198.51.100.17 wait=1 \
        tftp=198.51.100.1,snponly.efi
    faults_client br0 0b 192.0.2.11/24 discover=7 wait=1 discover=7 wait=1 discover=7 wait=1 discover=7
    faults_client br1 14 198.51.100.20/25 discover=6
    faults_client br1 60 198.51.100.60/25 discover=7
    faults_client br2 15 198.51.100.160/25 discover=7 wait=1 request=198.51.100.254,198.51.100.200
    faults_machine bios br1 0f
    faults_machine bios br1 10
    faults_machine uefi br0 0a
    faults_says ignored "it repeats its request and accepts no offer: its firmware ignores proxy offers" 20
    faults_says no-loader "it gets no boot file: there is no loader for UEFI ia32 firmware" 20
    faults_says 52-54-00-00-00-60 "no declaration has this MAC address, and " 20
    faults_says elsewhere "it accepted an offer from another DHCP server, 198.51.100.254, and never contacted this one: " 60
    faults_says no-file "it requested repo/gone/debian-installer/amd64/linux, which does not exist: " 240
    faults_off 10
    faults_machine uefi br1 0e
    faults_says no-http "it runs iPXE, which did not load its script from http://198.51.100.1/boot.ipxe: " 240
    faults_off 0f
    faults_machine uefi br1 0d
    faults_says no-4011 "it got its address from 192.0.2.254 and sent no request to port 4011 or for a loader: " 240
    faults_off 0a
    faults_machine uefi br1 0c
    faults_says wrong "undionly.kpxe is not a program for UEFI, and its firmware is UEFI x64: " 240
    faults_off 0e
    faults_says no-ack "it requested snponly.efi over TFTP and acknowledged no block: " 240
    faults_off 0d
    faults_says no-69 "its boot file is snponly.efi, but it never requested the file: " 240
    faults_off 0c
    faults_says no-driver "it fetched snponly.efi and sent no request after that: " 120
    faults_says no-kernel "it loaded its script, but requested no kernel: " 120
    faults_says no-document "it fetched all that its script names, but its installer requested no document: " 240

    # One sentence for each fault, and none for the server as a whole.
    local name wrong
    for name in no-4011 ignored no-69 no-ack wrong no-http no-file no-driver no-kernel no-document elsewhere; do
        wrong=$(grep -- " $name  *remark" "$work/serve.log" | sed "s/.*remark *//" | sort -u | wc -l)
        [ "$wrong" -eq 1 ] || fail "$name has $wrong sentences"
    done
    ! grep -q "no DHCP message arrived\|none from a PXE client" "$work/serve.log" || fail "the server reported a network without DHCP messages"
    nft delete table inet faults
}
