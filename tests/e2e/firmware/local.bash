# An installed machine boots from its disk.

# A disk of 16 MiB that writes its name to the serial port: its boot sector does so with a BIOS, GRUB with UEFI.
disk() {
    local image=$work/disk-$1.img part=$work/disk-$1.img@@1M
    rm -f "$image"
    truncate -s 16M "$image"
    # cld; xor ax,ax; mov ds,ax; mov si,text; mov dx,COM1; next: lodsb; test al,al; jz end; out dx,al; jmp next;
    # end: hlt; jmp end; text:
    printf '\xfc\x31\xc0\x8e\xd8\xbe\x16\x7c\xba\xf8\x03\xac\x84\xc0\x74\x03\xee\xeb\xf8\xf4\xeb\xfd%s\r\n\0' \
        "the disk of $1 runs" | dd of="$image" conv=notrunc status=none
    # One partition, an EFI system partition, from the first MiB on; and the signature of a boot sector.
    printf '\x80\x00\x02\x00\xef\xff\xff\xff\x00\x08\x00\x00\x00\x78\x00\x00' |
        dd of="$image" bs=1 seek=446 conv=notrunc status=none
    printf '\x55\xaa' | dd of="$image" bs=1 seek=510 conv=notrunc status=none
    mformat -i "$part" -T 30720 -h 16 -s 63 ::
    mmd -i "$part" ::/EFI ::/EFI/BOOT ::/EFI/debian
    mcopy -i "$part" /usr/lib/shim/shimx64.efi.signed ::/EFI/BOOT/BOOTX64.EFI
    mcopy -i "$part" /usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed ::/EFI/BOOT/grubx64.efi
    printf 'echo "the disk of %s runs"\nsleep 3600\n' "$1" | mcopy -i "$part" - ::/EFI/debian/grub.cfg
}

# The disk, second in the boot order.
on_disk() { echo "-drive if=none,id=d0,format=raw,file=$work/disk-$node.img -device virtio-blk-pci,drive=d0,bootindex=2"; }

# How often a machine has booted its disk.
runs() { grep -a -c "the disk of $node runs" "$(serial)" || true; }

# Waits until a machine has booted its disk $1 times, and fails if it did so more often.
await_runs() {
    local count=$1 seconds begun=$SECONDS
    seconds=$(patient "$2")
    until [ "$(runs)" -ge "$count" ]; do
        [ $((SECONDS - begun)) -lt "$seconds" ] || fail "the disk of $node ran $(runs) times in $seconds s, and not $count"
        sleep 0.5
    done
    [ "$(runs)" -eq "$count" ] || fail "the disk of $node ran $(runs) times, and not $count"
}

# The number of lines in a node's log that match.
log_counts() { "$bootwright" --site "$work/site" nodes "$node" log 2>/dev/null | grep -c -- "$1" || true; }

# Three machines and their disks.
three() {
    local node
    site 'dhcp = "server"
range = "192.0.2.100-192.0.2.150"' ''
    cat >>"$work/site/policies.d/site.toml" <<'END'

[node.db2]
mac = "52:54:00:00:00:02"
repo = "debian"
address = "192.0.2.22"

[node.db3]
mac = "52:54:00:00:00:03"
repo = "debian"
address = "192.0.2.23"
secure-boot = true
END
    for node in db1 db2 db3; do disk "$node"; done
}

# Starts a BIOS, a UEFI, and a UEFI with Secure Boot, each with its disk. IPv6 is off, so that OVMF does not wait for it.
# shellcheck disable=SC2046
switch_on() {
    local memory=256 node v4=(-fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n)
    for node in "$@"; do
        case $node in
            db1) bios $(on_disk) ;;
            db2) uefi "${v4[@]}" $(on_disk) ;;
            db3) secure "${v4[@]}" $(on_disk) ;;
        esac
    done
}

# Installed machines go from the network to their disks, each time: BIOS, UEFI, UEFI with Secure Boot.
scenario_local_boot() {
    local node time
    three
    serve
    # One is installed by its callbacks, two by an operator's command.
    "$bootwright" --site "$work/site" play db1 --live --bios >"$work/play.log" || fail "$(cat "$work/play.log")"
    for node in db2 db3; do "$bootwright" --site "$work/site" mark "$node" installed >/dev/null; done
    switch_on db1 db2 db3
    local reset=()
    for node in db1 db2 db3; do
        (for time in 1 2 3; do
            await_runs "$time" 240
            [ "$time" -eq 3 ] || echo system_reset >"$work/$node.monitor"
        done) &
        reset+=($!)
    done
    for time in "${reset[@]}"; do wait "$time"; done
    sleep 2
    for node in db1 db2 db3; do await_runs 3 1; done
    # One network boot each time. OVMF tries HTTP between PXE and its disk. GRUB sends no number with its requests, so
    # all of them within a minute count as one boot.
    local disk="its own disk: nothing is due"
    node=db1
    log_has "installed .*reported by the machine"
    [ "$(log_counts "ipxe pcbios: $disk")" -eq 5 ] || fail "two boots of the played machine and three more are not in the log"
    node=db2
    [ "$(log_counts "ipxe efi: $disk")" -ge 3 ] || fail "three boots are not in the log"
    node=db3
    [ "$(log_counts "grub efi: $disk")" -ge 1 ] || fail "no boot is in the log"
    ! grep -q "installer (attempt" <("$bootwright" --site "$work/site" nodes db2 log) || fail "db2 got an installer"
}

# The server is killed when a machine has its entry script, or its loader. Within 200 s a BIOS boots its disk, and UEFI
# gives up PXE. OVMF then waits a minute each for HTTP over IPv4 and IPv6, its next boot entries before the disk.
scenario_server_dies() {
    local node dead
    three
    serve
    for node in db1 db2 db3; do "$bootwright" --site "$work/site" mark "$node" installed >/dev/null; done
    capture
    switch_on db1 db2 db3
    # Each machine is stopped at its point until the others have reached theirs: the BIOS with its address, UEFI with its
    # loader. The order differs, and the machine with Secure Boot requests its configuration two seconds later.
    local at=() place
    stop_at() {
        grep -q -m 1 -- "$node .*$1" < <(timeout 180 tail -n +1 -f "$work/serve.log") || fail "no \`$1\` of $node within 180 s"
        echo stop >"$work/$node.monitor"
    }
    node=db1 stop_at "iPXE, BIOS: ack" & at+=($!)
    node=db2 stop_at "tftp .*snponly.efi, " & at+=($!)
    node=db3 stop_at "tftp .*shimx64.efi, " & at+=($!)
    for place in "${at[@]}"; do wait "$place"; done
    ! grep -q "db3 .*grub.cfg" "$work/serve.log" || fail "db3 was not stopped in time"
    # From here on QEMU passes the BIOS's packets every half second, so that the server is dead before the script runs.
    echo "object_add filter-buffer,id=slow,netdev=n0,interval=500000,queue=all" >"$work/db1.monitor"
    echo cont >"$work/db1.monitor"
    grep -a -m 1 -q "^#!ipxe" \
        < <(timeout 120 tcpdump -i tap0 -l -A --immediate-mode 'tcp src port 80' 2>/dev/null) ||
        fail "db1 did not get its script within 120 s"
    kill -9 "$server"
    { wait "$server" || true; } 2>/dev/null
    dead=$SECONDS
    for node in db2 db3; do echo cont >"$work/$node.monitor"; done
    for node in db2 db3; do
        await_file 'failed to start Boot.* "UEFI PXEv4' "$(serial)" $((200 - SECONDS + dead))
        await_file ">>Start HTTP Boot over IPv4" "$(serial)" 10
    done
    node=db1
    await_runs 1 $((200 - SECONDS + dead))
    # It sent nine requests, and the host refused each connection.
    [ "$(packets "src host 192.0.2.1 and dst host 192.0.2.21 and tcp src port 80 and tcp[13] & 4 != 0")" -ge 9 ] ||
        fail "db1 did not send nine requests"
}
