# OVMF's PXE on a network where Bootwright is the DHCP server.
scenario_uefi_server() {
    site 'dhcp = "server"
range = "192.0.2.100-192.0.2.150"' ''
    serve
    capture
    uefi
    arrives 300
    story <<'END'
seen mac 52:54:00:00:00:01
node declared as db1
dhcp UEFI x64 PXE: offer 192.0.2.21 (reservation), loader snponly.efi
dhcp UEFI x64 PXE: ack 192.0.2.21 (reservation), loader snponly.efi
tftp snponly.efi, N in N
dhcp iPXE, UEFI x64: offer 192.0.2.21 (reservation), loader http://192.0.2.1/boot.ipxe
dhcp iPXE, UEFI x64: ack 192.0.2.21 (reservation), loader http://192.0.2.1/boot.ipxe
facts manufacturer QEMU, product Standard PC (Q35 + ICH9, 2009), uuid 00000000-0000-0000-0000-000000000000, firmware efi
bound by its own declaration
attempt 1 opened: task debian from repo debian, revision N
boot ipxe efi: installer (attempt 1)
document preseed.cfg (N)
installing reported by the machine
log info: i-am-db1-at-192.0.2.21
END
}

# A router that offers one boot file to every client, also to iPXE.
scenario_one_boot_file() {
    site 'dhcp = "off"' ''
    router --dhcp-boot=snponly.efi,,192.0.2.1
    serve
    capture
    uefi
    arrives 300
}

# A second DHCP server on a network that Bootwright serves: Bootwright offers no addresses, and logs why.
scenario_second_server() {
    site 'dhcp = "server"
range = "192.0.2.160-192.0.2.170"' ''
    router
    serve
    await_file "another DHCP server, 192.0.2.254, answers on network lab" "$work/serve.log" 20
    stop_all
    serve
    sleep 8
    ! grep -q "another DHCP server" "$work/serve.log" || fail "the other server is gone, and still reported"
}
