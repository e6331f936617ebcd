//! DHCP's end in the server: datagrams in, decisions, datagrams out.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    boot::dhcp::{Destination, DhcpMessage, DhcpPort, DhcpReply, ReplyType},
    control::ReceivedQuery,
    model::DhcpMode,
    net::{
        dhcp::{CLIENT_PORT, DhcpSocket, PXE_PORT, ReceivedDatagram, SERVER_PORT, UdpRoute},
        http::Advertise,
        interfaces::Interface,
    },
    serve::{
        engine::{Engine, rogue_dhcp::MayServe},
        listen::{
            backlog::{Backlog, Waiting},
            links::Links,
        },
    },
};

/// Between two looks at whether a network wants DHCP, and at the interfaces.
const LOOK: Duration = Duration::from_secs(2);
/// A port that could not be had is tried again after this.
const AGAIN: Duration = Duration::from_secs(10);
/// The largest datagram that is read, in bytes.
const LARGEST: usize = 2_048;
/// So many datagrams are taken in before some are answered, and so many are decided in one turn.
const ARRIVED: usize = 512;
const AT_ONCE: usize = 32;
/// So many turns wait for the disk at most.
const WAITING: usize = 128;

/// What DHCP needs besides the engine.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) advertise: Advertise,
    /// The machines' port.
    pub(crate) port: u16,
}

/// Answers on both ports as long as a network wants it.
pub(crate) async fn run(engine: Arc<Engine>, setting: Setting) {
    let dhcp = &engine.started_with.dhcp;
    if dhcp.enabled.as_ref().is_some_and(|at| !at.value) {
        return;
    }
    let with_67 = dhcp.port_67.as_ref().is_none_or(|at| at.value);
    let links = Arc::new(Links::new(&engine));
    let service = |door, port| {
        let service = Service {
            engine: engine.clone(),
            setting: setting.clone(),
            links: links.clone(),
            door,
            port,
            waiting: Arc::new(Semaphore::new(WAITING)),
        };
        Arc::new(service).run()
    };
    let pxe = service(DhcpPort::Pxe, PXE_PORT);
    if with_67 {
        tokio::join!(service(DhcpPort::Dhcp, SERVER_PORT), pxe);
    } else {
        pxe.await;
    }
}

/// One port.
struct Service {
    engine: Arc<Engine>,
    setting: Setting,
    links: Arc<Links>,
    door: DhcpPort,
    port: u16,
    /// Answers that wait for the disk.
    waiting: Arc<Semaphore>,
}

impl Service {
    async fn run(self: Arc<Self>) {
        let mut told = false;
        loop {
            if !self.engine.has_dhcp_network() {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            match DhcpSocket::open(self.port) {
                Ok(socket) => {
                    told = false;
                    tracing::info!("DHCP answers on port {}", self.port);
                    let socket = Arc::new(socket);
                    if let Err(error) = self.answer(&socket).await {
                        tracing::error!("DHCP on port {}: {error}", self.port);
                    }
                    drop(socket);
                    tracing::info!("DHCP has left port {}", self.port);
                }
                Err(error) => {
                    if !told {
                        self.cannot(&error);
                    }
                    told = true;
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    fn cannot(&self, error: &io::Error) {
        let port = self.port;
        let help = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "start it as root, or with CAP_NET_BIND_SERVICE and CAP_NET_RAW".into()
            }
            io::ErrorKind::AddrInUse => match crate::net::ports::udp_port_owner(port) {
                Some(holder) => format!("{holder} has it"),
                None => "another program has it".into(),
            },
            _ => String::new(),
        };
        let rest = match self.door {
            DhcpPort::Dhcp => "proxy networks use port 4011 only, the others get no answer",
            DhcpPort::Pxe => "firmware that asks the boot server itself gets no answer",
        };
        tracing::warn!("cannot bind DHCP port {port}: {error}; {help}; {rest}");
    }

    /// Answers until no network wants it any more.
    async fn answer(self: &Arc<Self>, socket: &Arc<DhcpSocket>) -> io::Result<()> {
        let mut backlog = Backlog::default();
        let mut look = tokio::time::interval(LOOK);
        loop {
            let room = tokio::select! {
                biased;
                _ = look.tick() => {
                    self.links.refresh(&self.engine);
                    if !self.engine.has_dhcp_network() {
                        return Ok(());
                    }
                    backlog.tell_dropped();
                    None
                }
                room = self.waiting.clone().acquire_owned(), if !backlog.is_empty() => {
                    Some(room.expect("it is never closed"))
                }
                readable = socket.readable() => {
                    readable?;
                    None
                }
            };
            self.take_in(socket, &mut backlog)?;
            if let Some(room) = room {
                let questions = self.next(&mut backlog);
                self.decide(socket, questions, room);
                // The answers before have their turn.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Takes in what has arrived.
    fn take_in(&self, socket: &DhcpSocket, backlog: &mut Backlog) -> io::Result<()> {
        let mut buffer = [0; LARGEST];
        for _ in 0..ARRIVED {
            let Some(arrived) = socket.try_receive(&mut buffer)? else {
                return Ok(());
            };
            let datagram = buffer[..arrived.length].into();
            backlog.push(Waiting { datagram, arrived });
        }
        Ok(())
    }

    /// Takes out what is next, as far as it is a question that was not asked a moment ago.
    fn next(&self, backlog: &mut Backlog) -> Vec<Question> {
        let mut questions = Vec::new();
        for Waiting { datagram, arrived } in backlog.take(AT_ONCE) {
            let Ok(query) = DhcpMessage::read(&datagram) else {
                self.engine.dhcp_stats.count_unreadable();
                continue;
            };
            self.engine.dhcp_stats.count(&query);
            if !backlog.repeats(&query) {
                questions.extend(self.question(query, arrived));
            }
        }
        questions
    }

    /// Decides at once. An offer promises nothing and leaves at once, too; other answers leave when what they rest on
    /// is on the disk, and others are decided meanwhile.
    fn decide(
        self: &Arc<Self>,
        socket: &Arc<DhcpSocket>,
        questions: Vec<Question>,
        room: OwnedSemaphorePermit,
    ) {
        let loaders = self.engine.loaders();
        let has = |name: &str| loaders.get(name).is_some();
        let (decided, ticket) = self.engine.transaction(|transaction| {
            let all = questions.iter().map(|one| {
                let decided = transaction.dhcp(&one.ask, &has);
                (decided, transaction.addresses_ahead(&one.ask))
            });
            all.collect::<Vec<_>>()
        });
        let mut resting = Vec::new();
        for (question, (decided, ahead)) in questions.into_iter().zip(decided) {
            self.engine.probe_ahead(ahead);
            match decided {
                Ok(answer) if answer.kind == ReplyType::Offer => {
                    self.send(socket, &question, &answer)
                }
                Ok(answer) => resting.push((question, answer)),
                Err(silence) => {
                    tracing::debug!("DHCP: no answer to {}: {silence}", question.ask.query.mac);
                }
            }
        }
        if resting.is_empty() {
            return;
        }
        let (service, socket) = (self.clone(), socket.clone());
        tokio::spawn(async move {
            if let Err(error) = ticket.durable().await {
                tracing::error!("DHCP: no answer to {} machines: {error}", resting.len());
                return;
            }
            for (question, answer) in resting {
                service.send(&socket, &question, &answer);
            }
            drop(room);
        });
    }

    /// What a client's message asks the engine; nothing when it is none to us.
    fn question(&self, query: DhcpMessage, arrived: ReceivedDatagram) -> Option<Question> {
        let link = self.links.at(arrived.interface)?;
        let Some(us) = self.our_address(&link, &arrived, &query) else {
            tracing::debug!(
                "DHCP: no answer to {}: {} has no address in a network with DHCP",
                query.mac,
                link.name
            );
            return None;
        };
        // What we ask ourselves is no question to us.
        if link
            .addresses
            .iter()
            .any(|net| net.addr() == *arrived.from.ip())
        {
            return None;
        }
        let Some(other) = self.other(&query, us) else {
            tracing::debug!(
                "DHCP: no answer to {}: other DHCP servers on the network are not known yet",
                query.mac
            );
            return None;
        };
        let local = SocketAddr::from((us, self.setting.port));
        let ask = ReceivedQuery {
            door: self.door,
            us,
            base: self.setting.advertise.base(local),
            other,
            query,
        };
        Some(Question { ask, link, arrived })
    }

    /// The other server of the network, where there is one; nothing when it was not looked yet.
    fn other(&self, query: &DhcpMessage, us: Ipv4Addr) -> Option<Option<Ipv4Addr>> {
        let snapshot = self.engine.snapshot();
        let at = query.giaddr.unwrap_or(us);
        let Some(network) = snapshot.network_at(at.into()) else {
            return Some(None);
        };
        let mode = network.body.dhcp.as_ref();
        // Behind a relay nobody else can be heard.
        if query.giaddr.is_some() || mode.is_none_or(|at| at.value != DhcpMode::Server) {
            return Some(None);
        }
        let (others, name) = (&self.engine.rogue_dhcp, &network.name.value);
        let now = Instant::now();
        others.observe(name, query, us, now);
        match others.on(name, now) {
            MayServe::Unknown => None,
            MayServe::Free => Some(None),
            MayServe::Taken(server) => Some(Some(server)),
        }
    }

    /// The address that the interface has in a network that wants DHCP, or the one that a relay reached.
    fn our_address(
        &self,
        link: &Interface,
        arrived: &ReceivedDatagram,
        query: &DhcpMessage,
    ) -> Option<Ipv4Addr> {
        if query.giaddr.is_some() {
            return Some(arrived.local);
        }
        let snapshot = self.engine.snapshot();
        let fits = |ip: &Ipv4Addr| {
            let network = snapshot.network_at((*ip).into());
            let mode = network.and_then(|network| network.body.dhcp.as_ref());
            mode.is_some_and(|at| at.value != DhcpMode::Off)
        };
        link.addresses.iter().map(|net| net.addr()).find(fits)
    }

    fn send(&self, socket: &DhcpSocket, question: &Question, answer: &DhcpReply) {
        if let Err(error) = self.try_send(socket, question, answer) {
            let mac = question.ask.query.mac;
            tracing::warn!("DHCP: the answer to {mac} was not sent: {error}");
        }
    }

    fn try_send(
        &self,
        socket: &DhcpSocket,
        question: &Question,
        answer: &DhcpReply,
    ) -> io::Result<()> {
        let Question { ask, link, arrived } = question;
        let bytes = answer.datagram(&ask.query);
        let (us, index) = (ask.us, Some(link.index));
        let everybody = SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT);
        match answer.destination {
            Destination::Relay(relay) => {
                socket.send(&bytes, SocketAddrV4::new(relay, SERVER_PORT), us, None)
            }
            Destination::Client(client) => {
                // Whoever asks the boot server hears at the port that it asked from.
                let port = match self.door {
                    DhcpPort::Pxe => arrived.from.port(),
                    DhcpPort::Dhcp => CLIENT_PORT,
                };
                socket.send(&bytes, SocketAddrV4::new(client, port), us, None)
            }
            Destination::Broadcast
                if self.door == DhcpPort::Pxe && !arrived.from.ip().is_unspecified() =>
            {
                socket.send(&bytes, arrived.from, us, None)
            }
            Destination::Broadcast => socket.send(&bytes, everybody, us, index),
            Destination::Mac(address) => {
                let way = UdpRoute {
                    from: us,
                    from_port: self.port,
                    to: address,
                    to_port: CLIENT_PORT,
                    mac: ask.query.mac,
                };
                let sent = self.links.send(link, &way, &bytes);
                // Without the right to send frames, everybody hears it.
                sent.or_else(|_| socket.send(&bytes, everybody, us, index))
            }
        }
    }
}

/// A question to the engine, and how it came.
struct Question {
    ask: ReceivedQuery,
    link: Arc<Interface>,
    arrived: ReceivedDatagram,
}
