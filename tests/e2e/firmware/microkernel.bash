# Undeclared machines: they boot the microkernel that `microkernel build` makes of a distribution's kernel and this program.
# It reports the hardware that QEMU's command line describes, and a policy binds the machine.

# A site with a policy for small machines. The machine that is db1 in the other scenarios is not declared.
discovering() {
    site "$1
pool = \"192.0.2.50-192.0.2.59\"
unknown = \"discover\"" ''
    sed -i '/^\[node.db1\]/,$d' "$work/site/policies.d/site.toml"
    cat >>"$work/site/policies.d/site.toml" <<'END'
[tag.small]
when = "facts.memory_mib < 2048"
[tag.broken]
when = "facts.bmc.nonsense > 7"
[tag.one-disk]
when = "(facts.disks | length) == 1"
[policy.small]
tags = ["small", "one-disk"]
accept = "discovered"
repo = "debian"
network = "lab"
addresses = "pool"
hostname = "db-{{ node.serial | lower }}"
kernel-args = ["console=ttyS0", "no_timer_check"]
END
    microkernel
}

microkernel() {
    local package=$PWD/target/tests/kernel/package size
    "$bootwright" --site "$work/site" microkernel build --kernel "$package"/boot/vmlinuz-* --modules "$package" >"$work/made" ||
        fail "the microkernel cannot be built"
    size=$(($(stat -c %s "$work/state/microkernel/vmlinuz") + $(stat -c %s "$work/state/microkernel/initrd")))
    [ "$size" -lt 40000000 ] || fail "the microkernel has $size bytes"
}

# A disk of $1 MiB, and a board with the serial number $2.
hardware() {
    truncate -s "$1M" "$work/disk.img"
    board=(-smbios "type=1,manufacturer=Example,product=Rack 1,serial=$2,uuid=3b7a1f6e-0000-4000-8000-0000000000aa"
        -smbios "type=3,asset=A-17" -smp "2,sockets=1,cores=2"
        -drive "if=none,id=d0,format=raw,file=$work/disk.img" -device "virtio-blk-pci,drive=d0,serial=DISK-$2")
}

# Compares the reported facts with QEMU's command line: serial number, firmware, memory and disk in MiB.
facts_are() {
    "$bootwright" --site "$work/site" nodes "$node" facts --json >"$work/facts.json" || fail "there are no facts"
    python3 - "$work/facts.json" "$@" <<'END' || fail "the facts are not those of QEMU's command line: $(cat "$work/facts.json")"
import json, os, sys

facts = json.load(open(sys.argv[1]))
serial, firmware, memory, size = sys.argv[2:]
expected = {
    "manufacturer": "Example",
    "product": "Rack 1",
    "serial": serial,
    "asset": "A-17",
    "uuid": "3b7a1f6e-0000-4000-8000-0000000000aa",
    "firmware": firmware,
    "secure_boot": os.environ.get("secure_boot") == "true",
    "memory_mib": int(memory),
    "memory_modules": 1,
    "sockets": 1,
    "cores": 2,
}
wrong = {name: facts.get(name) for name, value in expected.items() if facts.get(name) != value}
(nic,) = facts["nics"]
if (nic["mac"], nic["driver"], nic["link"]) != ("52:54:00:00:00:01", "virtio_net", True):
    wrong["nics"] = facts["nics"]
(disk,) = facts["disks"]
found = (disk["path"], disk["serial"], disk["size_bytes"], disk["contents"], disk["transport"])
if found != ("/dev/vda", "DISK-" + serial, int(size) << 20, "empty", "virtio"):
    wrong["disks"] = facts["disks"]
if "1af4:1000" not in facts["pci"] or "0200" not in facts["pci_classes"]:
    wrong["pci"] = facts["pci"]
if wrong:
    sys.exit(f"wrong: {wrong}")
END
}

# Waits at most $1 seconds until a policy has bound the machine and its installer reports the host name $2 and an address of
# the pool.
is_taken() {
    await_log "installing" "$1"
    await_log "i-am-$2-at-192.0.2.50" 30
    [ "$(packets "src host 192.0.2.50 and dst host 192.0.2.1 and tcp dst port 80")" -gt 0 ] ||
        fail "nothing came from the address of the pool"
}

# The first log lines of an undeclared machine with a BIOS and $1 MiB of memory.
introduced() {
    sed "s/MEMORY/$1/" <<'END'
seen mac 52:54:00:00:00:01, uuid 3b7a1f6e-0000-4000-8000-0000000000aa
remark tag `broken` is unknown: fact `bmc` is not known
remark tag `one-disk` is unknown: fact `disks` is not known
remark tag `small` is unknown: fact `memory_mib` is not known
dhcp iPXE, BIOS: offer loader http://192.0.2.1/boot.ipxe
seen serial s1, asset a-17
facts manufacturer Example, product Rack 1, serial S1, uuid 3b7a1f6e-0000-4000-8000-0000000000aa, asset A-17, firmware pcbios
boot ipxe pcbios: microkernel
facts manufacturer Example, product Rack 1, serial S1, uuid 3b7a1f6e-0000-4000-8000-0000000000aa, asset A-17, firmware pcbios, firmware_version N, secure_boot false, cpu_model N, sockets 1, cores 2, memory_mib MEMORY, memory_modules 1, 1 nics, 1 disks, 7 pci, 7 pci_classes, 0 gpus, virtualization unknown
END
}

scenario_microkernel_bios() {
    local node=db1
    discovering 'dhcp = "proxy"'
    router
    serve
    capture
    hardware 64 S1
    bios "${board[@]}"
    node=52-54-00-00-00-01
    await_log "facts .*memory_mib" 120
    facts_are S1 pcbios 1024 64
    is_taken 240 db-s1
    story < <(introduced 1024; cat <<'END'
bound by policy small, address 192.0.2.50 from the pool
attempt 1 opened: task debian from repo debian, revision N
boot ipxe pcbios: installer (attempt 1)
document preseed.cfg (N)
installing reported by the machine
log info: i-am-db-s1-at-192.0.2.50
END
    )
}

# Sends a switch's LLDP frame on a cable (IEEE 802.1AB): chassis, port, time to live, system name, end.
lldp() {
    python3 - "$1" <<'END'
import socket, struct, sys

tlv = lambda kind, value: struct.pack("!H", kind << 9 | len(value)) + value
frame = bytes.fromhex("0180c200000e" "020000000009" "88cc")
frame += tlv(1, b"\x04\x02\0\0\0\0\x09") + tlv(2, b"\x05Ethernet1/7") + tlv(3, b"\0\x78") + tlv(5, b"switch1") + tlv(0, b"")
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind((sys.argv[1], 0))
wire.send(frame.ljust(60, b"\0"))
END
}

# Prints how long after the agent's start the first report arrived. The agent's screen is its first output.
told_after() {
    local begun reported
    await_file "detecting hardware" "$work/serial.log" 120
    begun=$(date +%s%3N)
    await_log "facts .*memory_mib" 120
    reported=$("$bootwright" --site "$work/site" nodes "$node" log | sed -n 's/ *facts .*memory_mib.*//p' | head -n 1)
    reported=$(date -d "$reported" +%s%3N)
    # The file is checked every half second.
    echo "$scenario: the first report came $((reported - begun)) to $((reported - begun + 500)) ms after the agent's start"
}

# A machine that matches no policy waits, is adopted, and continues without a reset.
scenario_microkernel_adopted() {
    local node=db1
    discovering 'dhcp = "proxy"'
    router
    serve
    capture
    hardware 64 S1
    memory=2048 bios "${board[@]}"
    node=52-54-00-00-00-01
    told_after
    await_file "no policy takes it" "$work/serial.log" 30
    # A bridge does not forward LLDP, so the frame is sent from the other end of the cable.
    lldp tap0
    local begun=$SECONDS
    until "$bootwright" --site "$work/site" nodes "$node" facts | grep -q "switch1 Ethernet1/7"; do
        [ $((SECONDS - begun)) -lt 90 ] || fail "the switch is not among the facts"
        sleep 1
    done
    "$bootwright" --site "$work/site" nodes --unclaimed | grep -q "^$node " || fail "it is not listed as unclaimed"
    "$bootwright" --site "$work/site" adopt "$node" --name web7 --policy small >"$work/adopted" || fail "it cannot be adopted"
    "$bootwright" --site "$work/site" check >"$work/checked" || fail "the written file has errors: $(cat "$work/checked")"
    node=web7
    is_taken 240 web7
    story < <(introduced 2048; cat <<'END'
node declared as web7
bound by policy small, address 192.0.2.50 from the pool
attempt 1 opened: task debian from repo debian, revision N
boot ipxe pcbios: installer (attempt 1)
document preseed.cfg (N)
installing reported by the machine
log info: i-am-web7-at-192.0.2.50
END
    )
}

# Secure Boot: shim, GRUB and the kernel, each signed by the distribution, and modules that its kernel accepts.
scenario_microkernel_secure() {
    local node=db1
    discovering 'dhcp = "server"
range = "192.0.2.100-192.0.2.150"
loader = "shimx64.efi"'
    sed -i '/^\[policy.small\]/a secure-boot = true' "$work/site/policies.d/site.toml"
    serve
    capture
    hardware 64 S1
    secure "${board[@]}"
    node=52-54-00-00-00-01
    await_log "facts .*memory_mib" 240
    secure_boot=true facts_are S1 efi 1024 64
    is_taken 300 db-s1
    log_has "tftp .*microkernel/initrd"
}

scenario_microkernel_uefi() {
    local node=db1
    discovering 'dhcp = "server"
range = "192.0.2.100-192.0.2.150"'
    serve
    capture
    hardware 64 S1
    # A management controller with an address.
    python3 tests/e2e/firmware/bmc.py 9002 198.51.100.7 >"$work/bmc.log" 2>&1 &
    pids+=($!)
    uefi "${board[@]}" -chardev socket,id=bmc,host=127.0.0.1,port=9002,server=on,wait=off -device ipmi-bmc-extern,id=bmc0,chardev=bmc \
        -device isa-ipmi-kcs,bmc=bmc0
    node=52-54-00-00-00-01
    await_log "facts .*memory_mib" 240
    facts_are S1 efi 1024 64
    await_log "facts .*bmc 198.51.100.7" 60
    is_taken 300 db-s1
}

# Two machines that report the same MAC of their second NIC, as those with a network adapter that is moved, or with a BMC that has
# the same MAC in every server: they stay two machines, are adopted, and get an address each.
scenario_microkernel_shared() {
    local node other addresses
    discovering 'dhcp = "proxy"'
    router
    serve
    for node in db1 db2; do
        memory=2048 bios -smbios "type=1,serial=S${node:2},uuid=3b7a1f6e-0000-4000-8000-00000000000${node:2}" \
            -netdev user,id=n1,restrict=on -device virtio-net-pci,netdev=n1,mac=52:54:00:00:00:77
    done
    for node in 52-54-00-00-00-01 52-54-00-00-00-02; do
        await_log "facts .*2 nics" 240
    done
    "$bootwright" --site "$work/site" nodes --unclaimed >"$work/unclaimed"
    [ "$(grep -c "^52-54-" "$work/unclaimed")" -eq 2 ] || fail "there are not two machines: $(cat "$work/unclaimed")"
    other=$(for node in 52-54-00-00-00-01 52-54-00-00-00-02; do
        "$bootwright" --site "$work/site" nodes "$node" log
    done | grep -c "52:54:00:00:00:77.*does not identify" || true)
    [ "$other" -eq 1 ] || fail "the shared MAC is reported $other times instead of once"
    for node in 1 2; do
        "$bootwright" --site "$work/site" adopt "52-54-00-00-00-0$node" --name "web$node" --policy small >"$work/adopted" ||
            fail "it cannot be adopted"
    done
    "$bootwright" --site "$work/site" check >"$work/checked" || fail "the written files have errors: $(cat "$work/checked")"
    ! grep -rq "^ *mac .*00:00:77" "$work/site/policies.d" || fail "the shared MAC is declared"
    grep -rq "^ *mac .*00:00:01" "$work/site/policies.d" || fail "no MAC is declared"
    for node in web1 web2; do
        await_log "installing" 400
        await_log "i-am-$node-at-192.0.2.5[01]" 60
    done
    addresses=$(for node in web1 web2; do
        "$bootwright" --site "$work/site" nodes "$node" log | sed -n 's/.*i-am-web[12]-at-//p'
    done | sort -u | wc -l)
    [ "$addresses" -eq 2 ] || fail "they have one address"
    "$bootwright" --site "$work/site" nodes >"$work/all"
    [ "$(grep -c "^web" "$work/all")" -eq 2 ] || fail "there are other machines: $(cat "$work/all")"
}
