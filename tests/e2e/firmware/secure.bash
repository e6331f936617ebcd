# OVMF with Microsoft's keys, on a network whose router is the DHCP server: shim, GRUB and installer, each signed.
scenario_secure_boot() {
    site 'dhcp = "reserve"' 'secure-boot = true'
    router
    serve
    capture
    phone
    secure
    arrives 300
    story <<'END'
seen mac 52:54:00:00:00:01
node declared as db1
dhcp UEFI x64 PXE: offer 192.0.2.21 (reservation), loader shimx64.efi
dhcp UEFI x64 PXE: ack 192.0.2.21 (reservation), loader shimx64.efi
tftp shimx64.efi, N in N
tftp grubx64.efi, N in N
tftp grub/grub.cfg, N in N
facts firmware efi
bound by its own declaration
attempt 1 opened: task debian from repo debian, revision N
boot grub efi: installer (attempt 1)
tftp grub/by-mac/52:54:00:00:00:01/grub.cfg, N in N
tftp repo/debian/debian-installer/amd64/linux, N in N
tftp repo/debian/debian-installer/amd64/initrd.gz, N in N
document preseed.cfg (N)
installing reported by the machine
log info: i-am-db1-at-192.0.2.21
END
    no_phone
}

# A phone on the same network gets an address within ten seconds, from the router.
phone() {
    ip netns add phone
    ip link add to-phone type veth peer name wlan0 netns phone
    ip link set to-phone master br0 up
    ip -n phone link set wlan0 address 02:00:00:00:00:99 up
    ip netns exec phone busybox udhcpc -f -q -n -t 10 -T 1 -i wlan0 -s /bin/true -V android-dhcp-14 -x hostname:phone \
        >"$work/phone.log" 2>&1 || fail "the phone has no address: $(cat "$work/phone.log")"
    grep -q "lease of 192.0.2.1[0-5][0-9] obtained from 192.0.2.254" "$work/phone.log" || fail "$(cat "$work/phone.log")"
    ip netns delete phone
}

# Bootwright sent nothing to the phone, and does not list it.
no_phone() {
    local card="udp[36:4] = 0x02000000 and udp[40:2] = 0x0099"
    [ "$(packets "udp src port 67 and src host 192.0.2.254 and $card")" -ge 2 ] || fail "the router did not answer the phone"
    [ "$(packets "udp src port 67 and not src host 192.0.2.254 and $card")" -eq 0 ] || fail "Bootwright answered the phone"
    [ "$(packets "udp src port 67 and src host 192.0.2.1")" -ge 2 ] || fail "the capture lacks Bootwright's answers to others too"
    "$bootwright" --site "$work/site" nodes >"$work/nodes"
    grep -q "db1" "$work/nodes" || fail "nodes does not list the machine"
    ! grep -q -i "02:00:00:00:00:99\|02-00-00-00-00-99\|phone" "$work/nodes" || fail "nodes lists the phone"
}
