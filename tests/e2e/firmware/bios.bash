# SeaBIOS with QEMU's iPXE, on a network whose router is the DHCP server.
scenario_bios_proxy() {
    site 'dhcp = "proxy"' ''
    router
    serve
    capture
    bios
    arrives 180
    story <<'END'
seen mac 52:54:00:00:00:01
node declared as db1
dhcp iPXE, BIOS: offer loader http://192.0.2.1/boot.ipxe
facts manufacturer QEMU, product Standard PC (i440FX + PIIX, 1996), uuid 00000000-0000-0000-0000-000000000000, firmware pcbios
bound by its own declaration
attempt 1 opened: task debian from repo debian, revision N
boot ipxe pcbios: installer (attempt 1)
document preseed.cfg (N)
installing reported by the machine
log info: i-am-db1-at-192.0.2.21
END
}
