# A blank disk gets a Debian image that cloud-init configures, twice: the second time because `installs` is 2.

# A site with one node that gets the image; $1 is the network's mode.
imaging() {
    site "$1" ''
    sed -i '/^\[repo.debian\]/,$d' "$work/site/policies.d/site.toml"
    cat >>"$work/site/policies.d/site.toml" <<END
[repo.debian]
path = "$PWD/target/tests/image"
task = "image"
vars = { image = "disk.raw.zst", sha256 = "$(cut -d ' ' -f 1 target/tests/image/SHA256SUMS)" }

[node.db1]
mac = "52:54:00:00:00:01"
repo = "debian"
address = "192.0.2.21"
kernel-args = ["no_timer_check"]
ssh-keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG5DzIGZQt8lBHXMP5/p83B5U36zyJDNPIHSRiFHBSZT example@bootwright"]
first-boot = ["templates/who.sh.j2"]
disk = { serial = "DISK-S1" }
broker = "commands"
installs = 1

[broker.commands]
kind = "script"
commands = ["test -x /usr/local/sbin/bootwright-first-boot", "touch /handed-over"]
END
    cat >"$work/site/templates/who.sh.j2" <<'END'
curl -fsS "{{ urls.base }}/t/{{ urls.token }}/log/info/i-am-$(hostname --fqdn)-at-$(ip -4 -o addr show scope global | sed 's/.*inet //; s,/.*,,')"
END
    microkernel
    truncate -s 1500M "$work/disk.img"
    truncate -s 64M "$work/other.img"
    board=(-smp 2 -device virtio-scsi-pci
        -drive "if=none,id=d0,format=raw,file=$work/disk.img" -device "virtio-blk-pci,drive=d0,serial=DISK-S1,bootindex=2"
        -drive "if=none,id=d1,format=raw,file=$work/other.img" -device "scsi-hd,drive=d1,serial=DISK-S2")
}

# Waits until $2 lines of the node's log match $1, and fails if there are more, or a failure is logged.
await_count() {
    local text=$1 count=$2 seconds begun=$SECONDS
    seconds=$(patient "$3")
    until [ "$(log_counts "$text")" -ge "$count" ]; do
        [ $((SECONDS - begun)) -lt "$seconds" ] || fail "no \`$text\` for the time number $count within $seconds s"
        [ "$(log_counts " failed ")" -eq 0 ] || fail "it failed"
        sleep 1
    done
    [ "$(log_counts "$text")" -eq "$count" ] || fail "\`$text\` is in the log more than $count times"
}

# Waits until attempt $1 is finished and the machine has reported its host name and its address. With a system on the disk,
# OVMF takes more than a minute from a reset to its first DHCP message.
is_imaged() {
    await_count "attempt  *$1 opened" 1 240
    await_count "installed .*reported by the machine" "$1" 300
    await_count "finished .*reported by the machine" "$1" 300
    await_count "stage  *handed-over" "$1" 5
    await_count "i-am-db1.lab.example-at-192.0.2.21" "$1" 5
}

# From a blank disk to a machine that reports from its static address. This is the first part of `image_bios`, for runs
# that leave that out.
scenario_image_once() {
    imaging 'dhcp = "proxy"'
    router
    serve
    capture
    local node=db1
    bios "${board[@]}"
    is_imaged 1
    is_at_its_address
}

is_at_its_address() {
    [ "$(packets "src host 192.0.2.21 and dst host 192.0.2.1 and tcp dst port 80")" -gt 0 ] ||
        fail "nothing came from the static address"
    cmp "$work/other.img" <(head -c 64M /dev/zero) || fail "the other disk was written to"
}

# From a blank disk to a machine that reports from its static address; then a second time, and not a third time. The
# arguments are the command that starts the machine.
twice() {
    local node=db1
    "$@"
    is_imaged 1
    is_at_its_address
    sed -i 's/^installs = 1/installs = 2/' "$work/site/policies.d/site.toml"
    power_cycle "$@"
    is_imaged 2
    local before
    before=$(log_counts "its own disk: nothing is due")
    power_cycle "$@"
    await_count "its own disk: nothing is due" $((before + 1)) 240
    [ "$(log_counts "attempt  *3 ")" -eq 0 ] || fail "it is installed a third time"
}

scenario_image_bios() {
    imaging 'dhcp = "proxy"'
    router
    serve
    capture
    twice bios "${board[@]}"
}

scenario_image_uefi() {
    imaging 'dhcp = "proxy"'
    router
    serve
    capture
    twice uefi -fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n "${board[@]}"
}

# A truncated image: the machine reports it, and the first MiB of its disk is zero. When the image is complete, the next
# attempt writes it.
scenario_image_broken() {
    local node=db1 images=$work/images
    imaging 'dhcp = "proxy"'
    mkdir "$images"
    head -c 40M target/tests/image/disk.raw.zst >"$images/disk.raw.zst"
    sed -i "s,^path = .*,path = \"$images\"," "$work/site/policies.d/site.toml"
    printf 'an older system' | dd of="$work/disk.img" conv=notrunc status=none
    router
    serve
    bios "${board[@]}"
    await_log "failed .*the image is incomplete after .* bytes" 180
    [ "$(log_counts "installed")" -eq 0 ] || fail "it counts as installed"
    cmp <(head -c 1M "$work/disk.img") <(head -c 1M /dev/zero) || fail "the disk's first MiB is not clear"
    cmp "$work/other.img" <(head -c 64M /dev/zero) || fail "the other disk was written to"
    cp target/tests/image/disk.raw.zst "$images/new" && mv "$images/new" "$images/disk.raw.zst"
    power_cycle bios "${board[@]}"
    await_log "attempt  *2 opened" 240
    await_log "installed .*reported by the machine" 180
}

# A disk that shares an array or a volume group with a kept disk: `wipe` changes nothing, and neither disk is written to.
scenario_image_guard() {
    local node=db1 set group sums
    imaging 'dhcp = "proxy"'
    sed -i 's/^disk = .*/disk = { serial = "DISK-S1", wipe = true }\nkeep = "DISK-S2"/' "$work/site/policies.d/site.toml"
    router
    serve
    for set in md-raid1 vg-two; do
        mkdir "$work/$set"
        python3 tests/fixtures/disks/pack.py --unpack "tests/fixtures/disks/$set.gz" "$work/$set"
        cp "$work/$set/a" "$work/disk.img"
        cp "$work/$set/b" "$work/other.img"
        sums=$(cat "$work/disk.img" "$work/other.img" | sha256sum)
        case $set in
            md-raid1) group="the RAID array server1:home" ;;
            vg-two) group="the volume group data" ;;
        esac
        bios "${board[@]}"
        await_log "failed .*the disk belongs to $group, together with /dev/sda" 240
        kill "$qemu"
        wait "$qemu" 2>/dev/null || true
        [ "$(cat "$work/disk.img" "$work/other.img" | sha256sum)" = "$sums" ] || fail "a disk of $set was written to"
    done
}
