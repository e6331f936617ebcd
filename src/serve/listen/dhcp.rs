//! The DHCP listener: receives datagrams and decides queries. `dhcp_send.rs` sends the replies.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    boot::dhcp::{DhcpMessage, DhcpParseError, DhcpPort, DhcpReply, ReplyType},
    control::ReceivedQuery,
    model::DhcpMode,
    net::{
        dhcp::{DhcpSocket, PXE_PORT, ReceivedDatagram, SERVER_PORT},
        http::Advertise,
        interfaces::Interface,
    },
    serve::{
        engine::{Engine, rogue_dhcp::MayServe},
        listen::{
            backlog::{Backlog, QueuedDatagram},
            links::Links,
            logged_clients::LoggedClients,
        },
    },
};

/// The interval between checks of the interfaces and of whether a network has DHCP on.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// The interval between attempts to bind a port that is in use.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// The size of the largest datagram that is read, in bytes.
const MAX_DATAGRAM: usize = 2_048;
/// The most datagrams that are received before some are answered.
const MAX_RECEIVED: usize = 512;
/// The most queries that are decided in one transaction.
const MAX_DECIDED: usize = 32;
/// The most transactions whose replies wait for the disk.
const MAX_PENDING_REPLIES: usize = 128;

/// The configuration of the DHCP listener.
#[derive(Debug, Clone)]
pub(crate) struct DhcpListenerConfig {
    pub(crate) advertise: Advertise,
    /// The HTTP port for machines.
    pub(crate) port: u16,
}

/// Listens on both ports while a network has DHCP on.
pub(crate) async fn run(engine: Arc<Engine>, config: DhcpListenerConfig) {
    let dhcp = engine.started_with.dhcp.effective();
    if !dhcp.enabled {
        return;
    }
    let links = Arc::new(Links::new(&engine));
    let listener = |dhcp_port, port| {
        let listener = DhcpListener {
            engine: engine.clone(),
            config: config.clone(),
            links: links.clone(),
            dhcp_port,
            port,
            pending_replies: Arc::new(Semaphore::new(MAX_PENDING_REPLIES)),
            small_clients: LoggedClients::default(),
            infiniband: LoggedClients::default(),
        };
        Arc::new(listener).run()
    };
    let pxe = listener(DhcpPort::Pxe, PXE_PORT);
    if dhcp.port_67 {
        tokio::join!(listener(DhcpPort::Dhcp, SERVER_PORT), pxe);
    } else {
        pxe.await;
    }
}

/// The listener on one port.
pub(super) struct DhcpListener {
    engine: Arc<Engine>,
    config: DhcpListenerConfig,
    pub(super) links: Arc<Links>,
    pub(super) dhcp_port: DhcpPort,
    pub(super) port: u16,
    /// Permits for transactions whose replies wait for the disk.
    pending_replies: Arc<Semaphore>,
    /// The clients whose largest message has no room for all options.
    pub(super) small_clients: LoggedClients,
    /// The relays and interfaces of messages over InfiniBand.
    infiniband: LoggedClients,
}

impl DhcpListener {
    async fn run(self: Arc<Self>) {
        let mut is_logged = false;
        loop {
            if !self.engine.has_dhcp_network() {
                tokio::time::sleep(POLL_INTERVAL).await;
                continue;
            }
            match DhcpSocket::open(self.port) {
                Ok(socket) => {
                    is_logged = false;
                    tracing::info!("DHCP: listening on port {}", self.port);
                    let socket = Arc::new(socket);
                    if let Err(error) = self.answer(&socket).await {
                        tracing::error!("DHCP: port {}: {error}", self.port);
                    }
                    drop(socket);
                    tracing::info!("DHCP: stopped listening on port {}", self.port);
                }
                Err(error) => {
                    if !is_logged {
                        self.log_bind_error(&error);
                    }
                    is_logged = true;
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        }
    }

    fn log_bind_error(&self, error: &io::Error) {
        let port = self.port;
        let help = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "start the server as root, or with CAP_NET_BIND_SERVICE and CAP_NET_RAW".into()
            }
            io::ErrorKind::AddrInUse => match crate::net::ports::udp_port_owner(port) {
                Some(owner) => format!("it is in use by {owner}"),
                None => "it is in use by another program".into(),
            },
            _ => String::new(),
        };
        let effect = match self.dhcp_port {
            DhcpPort::Dhcp => "proxy networks use port 4011 only; other networks get no answer",
            DhcpPort::Pxe => "firmware that queries the boot server gets no answer",
        };
        tracing::warn!("cannot bind DHCP port {port}: {error}; {help}; {effect}");
    }

    /// Answers queries until no network has DHCP on.
    async fn answer(self: &Arc<Self>, socket: &Arc<DhcpSocket>) -> io::Result<()> {
        let mut backlog = Backlog::default();
        let mut poll = tokio::time::interval(POLL_INTERVAL);
        loop {
            let permit = tokio::select! {
                biased;
                _ = poll.tick() => {
                    self.links.refresh(&self.engine);
                    if !self.engine.has_dhcp_network() {
                        return Ok(());
                    }
                    backlog.log_dropped();
                    None
                }
                permit = self.pending_replies.clone().acquire_owned(), if !backlog.is_empty() => {
                    Some(permit.expect("the semaphore is never closed"))
                }
                readable = socket.readable() => {
                    readable?;
                    None
                }
            };
            self.receive(socket, &mut backlog)?;
            if let Some(permit) = permit {
                let queries = self.next(&mut backlog);
                self.decide(socket, queries, permit);
                // Lets the tasks that send earlier replies run.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Moves received datagrams into the backlog.
    fn receive(&self, socket: &DhcpSocket, backlog: &mut Backlog) -> io::Result<()> {
        let mut buffer = [0; MAX_DATAGRAM];
        for _ in 0..MAX_RECEIVED {
            let Some(received) = socket.try_receive(&mut buffer)? else {
                return Ok(());
            };
            let bytes = buffer[..received.length].into();
            backlog.push(QueuedDatagram { bytes, received });
        }
        Ok(())
    }

    /// Takes the next queries from the backlog, without repeated ones.
    fn next(&self, backlog: &mut Backlog) -> Vec<IncomingQuery> {
        let mut queries = Vec::new();
        for QueuedDatagram { bytes, received } in backlog.take(MAX_DECIDED) {
            let query = match DhcpMessage::read(&bytes) {
                Ok(query) => query,
                Err(error) => {
                    self.engine.dhcp_stats.count_unreadable();
                    self.log_infiniband(error, &received);
                    continue;
                }
            };
            self.engine.dhcp_stats.count(&query);
            if !backlog.is_repeated(&query) {
                queries.extend(self.incoming(query, received));
            }
        }
        queries
    }

    /// Logs the first message over InfiniBand from a relay, or on an interface.
    fn log_infiniband(&self, error: DhcpParseError, received: &ReceivedDatagram) {
        let (sender, index) = (
            received.from.ip().octets(),
            received.interface.to_be_bytes(),
        );
        if error == DhcpParseError::InfiniBand
            && self.infiniband.is_first(&[sender, index].concat())
        {
            let from = match received.from.ip() {
                ip if ip.is_unspecified() => "an InfiniBand device".to_owned(),
                ip => format!("an InfiniBand device, from {ip},"),
            };
            tracing::warn!(
                "DHCP: no answer to {from} because machines are identified by Ethernet addresses: boot them by an Ethernet NIC, and give InfiniBand devices static addresses"
            );
        }
    }

    /// Decides the queries in one transaction. Offers are sent immediately, because they commit nothing. Other replies are sent
    /// once their events are on the disk; meanwhile, further queries are decided.
    fn decide(
        self: &Arc<Self>,
        socket: &Arc<DhcpSocket>,
        queries: Vec<IncomingQuery>,
        permit: OwnedSemaphorePermit,
    ) {
        let loaders = self.engine.loaders();
        let has = |name: &str| loaders.get(name).is_some();
        let (decided, ticket) = self.engine.transaction(|transaction| {
            let all = queries.iter().map(|one| {
                let decided = transaction.dhcp(&one.query, &has);
                (decided, transaction.addresses_ahead(&one.query))
            });
            all.collect::<Vec<_>>()
        });
        let mut pending = Vec::new();
        for (incoming, (decided, ahead)) in queries.into_iter().zip(decided) {
            self.engine.probe_in_background(ahead);
            match decided {
                Ok(answer) if answer.kind == ReplyType::Offer => {
                    self.send(socket, &incoming, &answer)
                }
                Ok(answer) => pending.push((incoming, answer)),
                Err(silence) => {
                    tracing::debug!("DHCP: no answer to {}: {silence}", incoming.query.query.mac);
                }
            }
        }
        if pending.is_empty() {
            return;
        }
        let (listener, socket) = (self.clone(), socket.clone());
        tokio::spawn(async move {
            if let Err(error) = ticket.durable().await {
                // The site declares these addresses, so they need no lease.
                pending.retain(|(incoming, answer)| listener.is_declared(incoming, answer));
                let declared = pending.len();
                tracing::error!("DHCP: {error}: only {declared} declared machines are answered");
            }
            for (incoming, answer) in pending {
                listener.send(&socket, &incoming, &answer);
            }
            drop(permit);
        });
    }

    /// Whether the site declares the address of an answer for the client's NIC.
    fn is_declared(&self, incoming: &IncomingQuery, answer: &DhcpReply) -> bool {
        let address = answer.yiaddr.map(Into::into);
        self.engine.read(|transaction| {
            let macs = address.and_then(|address| transaction.mac_declared_at(address));
            macs.is_some_and(|macs| macs.contains(&incoming.query.query.mac))
        })
    }

    /// Returns the query of a client's message. Returns `None` if this server does not answer it.
    fn incoming(&self, query: DhcpMessage, received: ReceivedDatagram) -> Option<IncomingQuery> {
        let link = self.links.at(received.interface)?;
        let Some(server_ip) = self.our_address(&link, &received, &query) else {
            tracing::debug!(
                "DHCP: no answer to {}: {} has no address in a network with DHCP",
                query.mac,
                link.name
            );
            return None;
        };
        // Queries of this server itself are not answered.
        if link
            .addresses
            .iter()
            .any(|net| net.addr() == *received.from.ip())
        {
            return None;
        }
        let Some(other_server) = self.other_server(&query, server_ip) else {
            tracing::debug!(
                "DHCP: no answer to {}: other DHCP servers on the network are not known yet",
                query.mac
            );
            return None;
        };
        let local = SocketAddr::from((server_ip, self.config.port));
        let query = ReceivedQuery {
            dhcp_port: self.dhcp_port,
            server_ip,
            base: self.config.advertise.base(local),
            other_server,
            query,
        };
        Some(IncomingQuery {
            query,
            link,
            received,
        })
    }

    /// Returns another DHCP server on the network, if there is one. The outer `None` means that this is not known yet.
    fn other_server(&self, query: &DhcpMessage, server_ip: Ipv4Addr) -> Option<Option<Ipv4Addr>> {
        let snapshot = self.engine.snapshot();
        let at = query.giaddr.unwrap_or(server_ip);
        let Some(network) = snapshot.network_at(at.into()) else {
            return Some(None);
        };
        let mode = network.body.effective().dhcp;
        // Other servers behind a relay cannot be observed.
        if query.giaddr.is_some() || mode != DhcpMode::Server {
            return Some(None);
        }
        let (others, name) = (&self.engine.rogue_dhcp, &network.name.value);
        let now = Instant::now();
        others.observe(name, query, server_ip, now);
        match others.on(name, now) {
            MayServe::Unknown => None,
            MayServe::Free => Some(None),
            MayServe::Taken(server) => Some(Some(server)),
        }
    }

    /// Returns the interface's address in a network with DHCP, or the address that a relay sent to.
    fn our_address(
        &self,
        link: &Interface,
        received: &ReceivedDatagram,
        query: &DhcpMessage,
    ) -> Option<Ipv4Addr> {
        if query.giaddr.is_some() {
            return Some(received.local);
        }
        let snapshot = self.engine.snapshot();
        let fits = |ip: &Ipv4Addr| {
            let network = snapshot.network_at((*ip).into());
            network.is_some_and(|network| network.body.effective().dhcp != DhcpMode::Off)
        };
        link.addresses.iter().map(|net| net.addr()).find(fits)
    }
}

/// A query, and the interface and addresses that it was received on.
pub(super) struct IncomingQuery {
    pub(super) query: ReceivedQuery,
    pub(super) link: Arc<Interface>,
    pub(super) received: ReceivedDatagram,
}
