//! The fault gateway: a trustless and path gateway on 127.0.0.1 that fails as it is told, and
//! remembers every request.
//!
//! ```ignore
//! let gateway = Gateway::of(&dag).on(On::car().nth(1), Fault::ResetAfter(1000)).start();
//! let output = sandbox.fetchd(["get", &dag.source(), "--gateway", gateway.url()]).run();
//! assert_eq!(gateway.count(Kind::Car), 2);
//! ```
//!
//! A fault comes from the first rule that matches; what no rule matches is answered honestly.
//! `HoldAfter` parks a response after so many bytes: [`Gateway::held`] waits until that is so, which
//! is a point where a process can be killed without a race.

mod answer;
mod fault;
mod walk;
mod wire;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use super::dag::Dag;
use answer::{Answer, Site};
use fault::{Delivery, Rule};

pub use fault::{Fault, On};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `?format=raw`
    Raw,
    /// `?format=car`
    Car,
    /// Plain bytes, a range of them.
    Range,
    /// Plain bytes, all of them.
    Plain,
}

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    pub kind: Kind,
    pub range: Option<String>,
    pub if_range: Option<String>,
    pub user_agent: Option<String>,
    pub accept: Option<String>,
    pub accept_encoding: Option<String>,
    /// All of them, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Number of the connection that it came on, from 0.
    pub connection: usize,
    /// Status of the answer (meant, where the fault sends none).
    pub status: u16,
    /// Bytes of the body that went into the socket.
    pub sent: u64,
}

impl Request {
    /// A parameter of the query, as it stands there.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// Path and query.
    pub fn target(&self) -> String {
        format!("{}?{}", self.path, self.query)
    }

    fn classify(&self) -> Kind {
        let accepts = |kind: &str| {
            self.accept
                .as_deref()
                .is_some_and(|accept| accept.contains(kind))
        };
        match self.param("format") {
            Some("raw") => Kind::Raw,
            Some("car") => Kind::Car,
            None if accepts("application/vnd.ipld.raw") => Kind::Raw,
            None if accepts("application/vnd.ipld.car") => Kind::Car,
            _ if self.range.is_some() => Kind::Range,
            _ => Kind::Plain,
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connection,
            method,
            status,
            sent,
            ..
        } = self;
        let range = self.range.as_deref().unwrap_or_default();
        write!(
            f,
            "#{connection} {method} {} {range} → {status}, {sent} bytes",
            self.target()
        )
    }
}

/// What a gateway can do; the rest it answers with 406, or as if nothing had been asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    pub raw: bool,
    pub car: bool,
    pub entity_bytes: bool,
    pub range: bool,
    pub plain: bool,
    /// A format that it does not know gives the plain file instead of 406.
    pub formats_ignored: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self::ALL
    }
}

impl Features {
    pub const ALL: Self = Self {
        raw: true,
        car: true,
        entity_bytes: true,
        range: true,
        plain: true,
        formats_ignored: false,
    };
    pub const NONE: Self = Self {
        raw: false,
        car: false,
        entity_bytes: false,
        range: false,
        plain: false,
        formats_ignored: false,
    };
    /// Raw blocks and nothing else.
    pub const RAW: Self = Self {
        raw: true,
        ..Self::NONE
    };
    /// Whoever serves all blocks, in each of the ways to do it: all ways, by blocks, by CARs.
    pub const WHOEVER: [Self; 3] = [
        Self::ALL,
        Self {
            car: false,
            range: false,
            ..Self::ALL
        },
        Self {
            raw: false,
            range: false,
            ..Self::ALL
        },
    ];
    /// Blocks and CARs, no plain files.
    pub const TRUSTLESS: Self = Self {
        raw: true,
        car: true,
        entity_bytes: true,
        ..Self::NONE
    };
    /// CARs, whole ones only.
    pub const WHOLE_CAR: Self = Self {
        car: true,
        ..Self::NONE
    };
    /// Plain files with ranges, as any web server has them.
    pub const PLAIN: Self = Self {
        plain: true,
        range: true,
        formats_ignored: true,
        ..Self::NONE
    };
    /// Plain files, always whole.
    pub const PLAIN_WHOLE: Self = Self {
        plain: true,
        formats_ignored: true,
        ..Self::NONE
    };
}

/// Says what a gateway has and how it fails.
#[derive(Debug, Default)]
pub struct Builder {
    site: Site,
    rules: Vec<Rule>,
}

impl Builder {
    /// Adds the blocks of a DAG.
    pub fn dag(mut self, dag: &Dag) -> Self {
        self.site.add_dag(dag);
        self
    }

    /// Adds a plain file at a path of its own, as a mirror has it.
    pub fn file(self, path: &str, bytes: impl Into<Bytes>, etag: Option<&str>) -> Self {
        self.site
            .add_file(path.into(), bytes.into(), etag.map(str::to_owned));
        self
    }

    pub fn features(mut self, features: Features) -> Self {
        self.site.features = features;
        self
    }

    /// Adds a rule; earlier rules win.
    pub fn on(mut self, on: On, fault: Fault) -> Self {
        self.rules.push(Rule::new(on, fault));
        self
    }

    /// Starts it on a port of its own.
    pub fn start(self) -> Gateway {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared {
            site: self.site,
            rules: Mutex::new(self.rules),
            log: Mutex::default(),
            parked: Mutex::new(0),
            parking: Condvar::new(),
            released: watch::Sender::new(0),
        });
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn({
            let shared = shared.clone();
            move || run(listener, shared, stopped)
        });
        Gateway {
            url: format!("http://{address}"),
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

fn run(listener: TcpListener, shared: Arc<Shared>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a non-blocking socket");
        let accept = async {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let _ = stream.set_nodelay(true);
                tokio::spawn(wire::serve(stream, connection, shared.clone()));
            }
        };
        tokio::select! {
            () = accept => {}
            _ = stopped => {}
        }
    });
}

/// A running gateway; stops when dropped.
#[derive(Debug)]
pub struct Gateway {
    url: String,
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Gateway {
    /// A builder for a gateway that has everything of this DAG.
    pub fn of(dag: &Dag) -> Builder {
        Builder::default().dag(dag)
    }

    /// A builder for a gateway that has nothing.
    pub fn empty() -> Builder {
        Builder::default()
    }

    /// A URL where nothing listens: connections are refused.
    pub fn refusing() -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        format!("http://{}", listener.local_addr().expect("a bound socket"))
    }

    /// Base URL, without a trailing slash.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.log).clone()
    }

    /// Everything that was asked, a line each, for messages of failed tests.
    pub fn story(&self) -> String {
        self.requests()
            .iter()
            .map(|request| format!("{request}\n"))
            .collect()
    }

    /// How many requests of a kind came.
    pub fn count(&self, kind: Kind) -> usize {
        lock(&self.shared.log)
            .iter()
            .filter(|request| request.kind == kind)
            .count()
    }

    /// Bytes of bodies that went into sockets so far.
    pub fn sent(&self) -> u64 {
        lock(&self.shared.log)
            .iter()
            .map(|request| request.sent)
            .sum()
    }

    /// Puts another version of a file at a path.
    pub fn put(&self, path: &str, bytes: impl Into<Bytes>, etag: Option<&str>) {
        let site = &self.shared.site;
        site.add_file(path.into(), bytes.into(), etag.map(str::to_owned));
    }

    /// Adds a rule behind the others.
    pub fn add(&self, on: On, fault: Fault) {
        lock(&self.shared.rules).push(Rule::new(on, fault));
    }

    /// Whether a request met one of the rules.
    pub fn has_applied_a_rule(&self) -> bool {
        lock(&self.shared.rules).iter().any(|rule| rule.has_applied)
    }

    /// Forgets all rules: honest from now on.
    pub fn heal(&self) {
        lock(&self.shared.rules).clear();
    }

    /// Waits until a response is parked.
    pub fn held(&self) {
        assert!(
            self.held_within(PATIENCE),
            "no response was parked:\n{}",
            self.story()
        );
    }

    /// Waits so long for a response to be parked; says whether one is.
    pub fn held_within(&self, patience: Duration) -> bool {
        let parked = lock(&self.shared.parked);
        let (_guard, waited) = self
            .shared
            .parking
            .wait_timeout_while(parked, patience, |parked| *parked == 0)
            .unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }

    /// Lets all parked responses go on.
    pub fn release(&self) {
        self.shared.released.send_modify(|round| *round += 1);
    }

    /// Lets what is parked go on, and is honest from now on.
    pub fn let_go(&self) {
        self.heal();
        self.release();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the test and the connections share.
#[derive(Debug)]
struct Shared {
    site: Site,
    rules: Mutex<Vec<Rule>>,
    log: Mutex<Vec<Request>>,
    parked: Mutex<usize>,
    parking: Condvar,
    released: watch::Sender<u64>,
}

impl Shared {
    fn plan(&self, request: &Request) -> (Answer, Delivery) {
        let mut answer = self.site.answer(request);
        let Some(fault) = fault::choose(&mut lock(&self.rules), request) else {
            return (answer, Delivery::default());
        };
        if let (Fault::Missing(cid), Kind::Raw) = (&fault, request.kind) {
            if request.path.contains(&cid.to_string()) {
                answer = Answer::text(404, Vec::new(), "block not found\n".into());
            }
            return (answer, Delivery::default());
        }
        if let Fault::HoldAtTotal(total) = fault {
            let sent = lock(&self.log).iter().map(|request| request.sent).sum();
            return (answer, Delivery::hold(total.saturating_sub(sent)));
        }
        let delivery = fault::spoil(fault, &mut answer, || {
            let whole = Request {
                range: None,
                ..request.clone()
            };
            self.site.answer(&whole)
        });
        (answer, delivery)
    }

    fn record(&self, mut request: Request, status: u16) -> usize {
        request.status = status;
        let mut log = lock(&self.log);
        log.push(request);
        log.len() - 1
    }

    /// Sends and counts in one step, as seen by readers of the log.
    fn counted(&self, index: usize, send: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        let mut log = lock(&self.log);
        let sent = send()?;
        log[index].sent += sent as u64;
        Ok(sent)
    }

    /// Parks the caller until the next release; it counts as parked as long as it waits.
    async fn park(&self) {
        let mut released = self.released.subscribe();
        let _place = Place::take(self);
        // The sender lives as long as `self`.
        let _ = released.changed().await;
    }
}

/// A place among the parked, given back when dropped.
struct Place<'a>(&'a Shared);

impl<'a> Place<'a> {
    fn take(shared: &'a Shared) -> Self {
        *lock(&shared.parked) += 1;
        shared.parking.notify_all();
        Self(shared)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *lock(&self.0.parked) -= 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
