//! Which program of this host uses a port, and whether the port can be bound.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::OnceLock,
};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket, Type};

/// The owners of sockets that [`remember_udp_owners`] read. A socket keeps its inode.
static REMEMBERED: OnceLock<BTreeMap<String, PortOwner>> = OnceLock::new();

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// A process that has a port open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortOwner {
    /// The kernel's name for it, at most 15 characters.
    pub name: String,
    pub pid: u32,
    /// The systemd service that it runs in: `dnsmasq.service`.
    pub unit: Option<String>,
}

/// A socket that is bound to a port, in the network namespace of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundSocket {
    pub address: IpAddr,
    /// None when only root may read it.
    pub owner: Option<PortOwner>,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

impl fmt::Display for PortOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

impl Protocol {
    /// The kernel's socket tables for IPv4 and IPv6.
    fn tables(self) -> [&'static str; 2] {
        match self {
            Protocol::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
            Protocol::Udp => ["/proc/net/udp", "/proc/net/udp6"],
        }
    }
}

/// Returns the program that uses a UDP port, as `dnsmasq (pid 812)`; none when the port is free or the program cannot be
/// determined.
pub fn udp_port_owner(port: u16) -> Option<String> {
    // Without the tables the owner is not known.
    let sockets = bound_sockets(Protocol::Udp, port).unwrap_or_default();
    let mut owners = sockets.into_iter().filter_map(|socket| socket.owner);
    owners.next().map(|owner| owner.to_string())
}

/// Reads the programs that use these UDP ports. A process that gives up capabilities afterwards cannot read them of other processes,
/// but still names these.
pub fn remember_udp_owners(ports: &[u16]) {
    let mut wanted = BTreeMap::new();
    for table in Protocol::Udp.tables() {
        // Without the tables the owners are not known.
        let text = fs::read_to_string(table).unwrap_or_default();
        let sockets = ports
            .iter()
            .flat_map(|port| sockets_of(&text, Protocol::Udp, *port));
        wanted.extend(sockets.map(|(address, inode)| (link(&inode), address)));
    }
    if !wanted.is_empty() {
        REMEMBERED.get_or_init(|| owners(&wanted));
    }
}

/// Lists the sockets that are bound to a port; of TCP only those that listen. Sockets of this process are left out.
pub fn bound_sockets(protocol: Protocol, port: u16) -> io::Result<Vec<BoundSocket>> {
    let mut sockets = Vec::new();
    for table in protocol.tables() {
        match fs::read_to_string(table) {
            Ok(text) => sockets.extend(sockets_of(&text, protocol, port)),
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if sockets.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: BTreeMap<String, IpAddr> = sockets
        .into_iter()
        .map(|(address, inode)| (link(&inode), address))
        .collect();
    let own = own_sockets(&wanted);
    let owners = owners(&wanted);
    let of_others = wanted
        .into_iter()
        .filter(|(link, _)| owners.contains_key(link) || !own.contains(link));
    Ok(of_others
        .map(|(link, address)| BoundSocket {
            address,
            owner: owners
                .get(&link)
                .or_else(|| REMEMBERED.get()?.get(&link))
                .cloned(),
        })
        .collect())
}

/// Binds a port as this server would, and closes it at once. It does not listen, so no connection is accepted and lost.
///
/// `is_shared`: with SO_REUSEADDR, as for DHCP, so that another program may use the port too.
pub fn try_bind(protocol: Protocol, address: SocketAddr, is_shared: bool) -> io::Result<()> {
    let kind = match protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
    };
    let open = |address: SocketAddr| {
        let socket = Socket::new(Domain::for_address(address), kind, None)?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        if is_shared || protocol == Protocol::Tcp {
            setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        }
        socket.bind(&address.into())
    };
    let is_all = address.is_ipv6() && address.ip().is_unspecified();
    match open(address) {
        Err(error) if is_all && error.kind() != io::ErrorKind::AddrInUse => {
            // A kernel without IPv6.
            open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        result => result,
    }
}

/// The target of an open file's link in /proc that is this socket.
fn link(inode: &str) -> String {
    format!("socket:[{inode}]")
}

/// The sockets of a port in one of the kernel's tables: the second field of a line is the address and the port, the
/// fourth the state, the tenth the inode.
fn sockets_of(table: &str, protocol: Protocol, port: u16) -> Vec<(IpAddr, String)> {
    // TCP_LISTEN of the kernel's tcp_states.h.
    const LISTENS: &str = "0A";
    let socket = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, own) = fields.get(1)?.split_once(':')?;
        let matches = u16::from_str_radix(own, 16) == Ok(port)
            && (protocol == Protocol::Udp || *fields.get(3)? == LISTENS);
        matches.then(|| Some((address_of(address)?, fields.get(9)?.to_string())))?
    };
    table.lines().skip(1).filter_map(socket).collect()
}

/// Parses an address of the kernel's tables: 32-bit words in this machine's byte order, in hexadecimal.
fn address_of(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match text.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let mut octets = [0; 16];
            for (at, piece) in octets.chunks_mut(4).enumerate() {
                piece.copy_from_slice(&word(at * 8)?);
            }
            Some(Ipv6Addr::from(octets).to_canonical())
        }
        _ => None,
    }
}

/// Which of these sockets belong to this process.
fn own_sockets(wanted: &BTreeMap<String, IpAddr>) -> Vec<String> {
    links(Path::new("/proc/self"))
        .filter(|link| wanted.contains_key(link))
        .collect()
}

/// The owners of these sockets, without this process.
fn owners(wanted: &BTreeMap<String, IpAddr>) -> BTreeMap<String, PortOwner> {
    let mut found = BTreeMap::new();
    // Without /proc no process is found.
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        for link in links(&process.path()).filter(|link| wanted.contains_key(link)) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let name = name.trim().to_string();
            let unit = unit(&process.path());
            found.entry(link).or_insert(PortOwner { name, pid, unit });
        }
    }
    found
}

/// The service of a process: the last segment of its control group's path, `0::/system.slice/x.service`.
fn unit(process: &Path) -> Option<String> {
    let groups = fs::read_to_string(process.join("cgroup")).ok()?;
    let mut names = groups.lines().filter_map(|line| line.rsplit('/').next());
    names
        .find(|name| name.ends_with(".service"))
        .map(String::from)
}

/// The open files of a process; none when it has ended or may not be read.
fn links(process: &Path) -> impl Iterator<Item = String> + use<> {
    let open = fs::read_dir(process.join("fd")).into_iter().flatten();
    open.flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok()?.to_str().map(String::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let udp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n \
             41: 00000000:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 7101 2 0000000000000000 0\n \
             42: 017A A8C0:0043 broken\n \
             43: 010200C0:0045 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 7102 2 0000000000000000 0\n";
        let tcp = "  sl  local_address                         remote_address                        st tx_queue\n \
              0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7201 1\n \
              1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 7202 1\n \
              2: B80D0120000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7203 1\n";
        for (table, protocol, port, expected) in [
            (udp, Protocol::Udp, 67, vec!["0.0.0.0 7101"]),
            (udp, Protocol::Udp, 69, vec!["192.0.2.1 7102"]),
            (udp, Protocol::Udp, 4011, vec![]),
            (tcp, Protocol::Tcp, 80, vec![":: 7201", "2001:db8::1 7203"]),
            ("", Protocol::Tcp, 80, vec![]),
        ] {
            let found = sockets_of(table, protocol, port);
            let found: Vec<String> = found
                .iter()
                .map(|(address, inode)| format!("{address} {inode}"))
                .collect();
            // The tables use the byte order of the machine that wrote them.
            if cfg!(target_endian = "little") {
                assert_eq!(found, expected, "{protocol} {port}");
            }
        }
    }

    #[test]
    fn a_port_that_is_in_use_cannot_be_bound() {
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let listening = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        for (protocol, address) in [
            (Protocol::Udp, taken.local_addr().unwrap()),
            (Protocol::Tcp, listening.local_addr().unwrap()),
        ] {
            let error = try_bind(protocol, address, false).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{protocol}");
            // The socket belongs to this process.
            assert_eq!(
                bound_sockets(protocol, address.port()).unwrap(),
                [],
                "{protocol}"
            );
        }
        let free = listening.local_addr().unwrap();
        drop(listening);
        try_bind(Protocol::Tcp, free, false).unwrap();
    }
}
