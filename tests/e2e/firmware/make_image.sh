#!/usr/bin/env bash
# Makes a disk image of a Debian that cloud-init finishes, in the directory that is named: disk.raw.zst and its checksum in
# SHA256SUMS. It boots with a BIOS and with UEFI, its partitions are not numbered in a row, and it fills its disk.
set -euo pipefail
out=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sources=(/etc/apt/sources.list /etc/apt/sources.list.d/debian.sources)
given=()
for file in "${sources[@]}"; do
    [ ! -s "$file" ] || given+=("$file")
done

mmdebstrap --quiet --variant=minbase --mode=root --format=directory \
    --include=linux-image-cloud-amd64,systemd-sysv,cloud-init,ifupdown,iproute2,curl,udev,dbus \
    --aptopt='APT::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    bookworm "$work/root" "${given[@]}"
echo 'LABEL=root / ext4 defaults 0 1' >"$work/root/etc/fstab"
echo 'datasource_list: [NoCloud, None]' >"$work/root/etc/cloud/cloud.cfg.d/90-image.cfg"
rm -f "$work/root/etc/hostname" "$work/root/etc/machine-id"
touch "$work/root/etc/machine-id"

# The boot partition: what a BIOS and what UEFI starts of it lead to the same kernel.
readonly args="root=LABEL=root ro console=ttyS0 no_timer_check quiet"
mkdir -p "$work/boot/EFI/BOOT" "$work/boot/loader/entries"
cp "$work"/root/boot/vmlinuz-* "$work/boot/linux"
cp "$work"/root/boot/initrd.img-* "$work/boot/initrd"
cp /usr/lib/systemd/boot/efi/systemd-bootx64.efi "$work/boot/EFI/BOOT/BOOTX64.EFI"
cp /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/boot"
printf 'timeout 0\ndefault debian\n' >"$work/boot/loader/loader.conf"
printf 'title Debian\nlinux /linux\ninitrd /initrd\noptions %s\n' "$args" >"$work/boot/loader/entries/debian.conf"
printf 'DEFAULT debian\nLABEL debian\nLINUX /linux\nINITRD /initrd\nAPPEND %s\n' "$args" >"$work/boot/syslinux.cfg"

boot=$(($(du -sm "$work/boot" | cut -f 1) + 12))
root=$(($(du -sm "$work/root" | cut -f 1) * 5 / 4 + 64))
truncate -s $((boot + root + 2))M "$work/disk.raw"
sfdisk --quiet "$work/disk.raw" <<TABLE
label: gpt
15 : start=1MiB, size=${boot}MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, attrs=LegacyBIOSBootable
1 : start=$((boot + 1))MiB, size=${root}MiB, type=L
TABLE
dd if=/usr/lib/syslinux/mbr/gptmbr.bin of="$work/disk.raw" conv=notrunc status=none
truncate -s "${boot}M" "$work/boot.raw"
mkfs.vfat -F 32 -h 2048 -n BOOT "$work/boot.raw" >/dev/null
mcopy -i "$work/boot.raw" -s "$work"/boot/* ::/
syslinux --install "$work/boot.raw"
truncate -s "${root}M" "$work/root.raw"
mke2fs -q -t ext4 -L root -d "$work/root" "$work/root.raw"
dd if="$work/boot.raw" of="$work/disk.raw" bs=1M seek=1 conv=notrunc,sparse status=none
dd if="$work/root.raw" of="$work/disk.raw" bs=1M seek=$((boot + 1)) conv=notrunc,sparse status=none

mkdir -p "$out"
zstd --quiet -3 --force "$work/disk.raw" -o "$out/disk.raw.zst"
(cd "$out" && sha256sum disk.raw.zst >SHA256SUMS)
