# Seals of real disks: an old copy of the state, and a lost state, wipe nothing. A witness would detect the old copy before the
# disk does, so its position is removed.

stop_server() {
    kill "$server"
    wait "$server" || fail "the server does not stop normally"
}

# Replaces the state directory by the copy from before, as a mistaken restore does.
set_back() {
    stop_server
    rm -rf "$work/state" "$work/witness/position"
    cp -a "$work/before" "$work/state"
    serve
}

before_anything() {
    serve
    stop_server
    cp -a "$work/state" "$work/before"
    serve
}

is_held_by_its_seal() {
    await_log "failed .*sealed: its disk has an installation of " "$1"
    log_has "held .*sealed: "
    "$bootwright" --site "$work/site" nodes | grep -q "^db1 *held .*sealed: " || fail "\`nodes\` has no reason"
}

# An image machine is finished. An old copy of the state does not wipe it, a requested installation does so once, and a lost
# state is rebuilt from its disk.
scenario_seal_image() {
    local node=db1 sum
    imaging 'dhcp = "proxy"'
    router
    before_anything
    bios "${board[@]}"
    is_imaged 1
    kill "$qemu"
    wait "$qemu" 2>/dev/null || true
    dd if="$work/disk.img" bs=512 skip=2040 count=1 status=none | grep -a -q "^bootwright-seal/1/firmware/[0-9a-f]*/db1/1/" ||
        fail "the disk has no seal"

    set_back
    sum=$(sha256sum <"$work/disk.img")
    bios "${board[@]}"
    is_held_by_its_seal 240
    kill "$qemu"
    wait "$qemu" 2>/dev/null || true
    [ "$(sha256sum <"$work/disk.img")" = "$sum" ] || fail "the disk was written to"
    bios "${board[@]}"
    await_log "its own disk: held: sealed: " 240

    # It boots its own disk meanwhile. One more installation, and no third one.
    "$bootwright" --site "$work/site" reinstall db1
    power_cycle bios "${board[@]}"
    await_log "attempt  *2 opened" 240
    await_log "finished .*reported by the machine" 400
    log_has "its disk has a seal, which is overwritten: an operator requested another installation"
    power_cycle bios "${board[@]}"
    await_log "its own disk: nothing is due" 240
    [ "$(log_counts "attempt  *3 ")" -eq 0 ] || fail "it is installed a third time"

    # The state directory is lost, but for the microkernel.
    stop_server
    mv "$work/state/microkernel" "$work/microkernel"
    rm -rf "$work/state"
    mkdir -m 0700 "$work/state"
    mv "$work/microkernel" "$work/state/microkernel"
    "$bootwright" --site "$work/site" init --state from-machines
    serve
    power_cycle bios "${board[@]}"
    await_log "restored .*its disk has a seal: db1, installation 1, " 300
    "$bootwright" --site "$work/site" nodes | grep -q "^db1 *finished " || fail "it is not finished"
    await_log "its own disk: nothing is due" 300
    [ "$(log_counts "attempt ")" -eq 0 ] || fail "it is installed again"
}

# Debian's installer with a disk: its shell and its programs write the seal, and refuse the disk when the journal does not have
# the installation. The installer has no mirror here, so an early script runs what belongs to later steps.
scenario_seal_debian() {
    local node=db1 sum
    site 'dhcp = "proxy"' ''
    cat >"$work/site/templates/tasks/debian/preseed.cfg.j2" <<'END2'
{% extends "built-in/debian/preseed.cfg.j2" %}
{% block early %}
d-i preseed/early_command string wget -q -O /dev/null "{{ urls.stage("installing") }}"; wget -q -O /tmp/bootwright-disk.sh "{{ urls.document("disk.sh") }}"; sh /tmp/bootwright-disk.sh; test -s /tmp/bootwright-disk && { wget -q -O /tmp/late.sh "{{ urls.document("late.sh") }}"; sed -n '/^tell()/,/^}/p; /^# A seal is not/,$p' /tmp/late.sh > /tmp/seal.sh; sh -e /tmp/seal.sh; }; true
{% endblock %}
END2
    # The disk has one partition, from 1 MiB on, as after partitioning.
    truncate -s 64M "$work/disk.img"
    printf '\x00\x00\x00\x00\x83\x00\x00\x00\x00\x08\x00\x00\x00\x00\x01\x00' |
        dd of="$work/disk.img" bs=1 seek=446 conv=notrunc status=none
    printf '\x55\xaa' | dd of="$work/disk.img" bs=1 seek=510 conv=notrunc status=none
    # The first steps of the installer have a driver for USB only.
    local disk=(-device qemu-xhci -drive "if=none,id=d0,format=raw,file=$work/disk.img"
        -device "usb-storage,drive=d0,serial=DISK-S1,removable=off,bootindex=2")
    router
    before_anything
    bios "${disk[@]}"
    await_log "installed .*reported by the machine" 240
    ! "$bootwright" --site "$work/site" nodes db1 log | grep "the disk has no seal" || fail "there is no seal"
    kill "$qemu"
    wait "$qemu" 2>/dev/null || true
    dd if="$work/disk.img" bs=512 skip=2040 count=1 status=none | grep -a -q "^bootwright-seal/1/firmware/[0-9a-f]*/db1/1/" ||
        fail "the disk has no seal"

    set_back
    sum=$(sha256sum <"$work/disk.img")
    bios "${disk[@]}"
    is_held_by_its_seal 240
    [ "$(sha256sum <"$work/disk.img")" = "$sum" ] || fail "the disk was written to"
    "$bootwright" --site "$work/site" reinstall db1
    power_cycle bios "${disk[@]}"
    await_log "its disk has a seal, which is overwritten: an operator requested another installation" 240
    await_log "installed .*reported by the machine" 60
}
