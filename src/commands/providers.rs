//! The providers of one download: named, configured or default ones, minus those that are gone,
//! best first.

mod secrets;

use std::collections::HashMap;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;
use url::Url;

use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::options::Recorded;
use crate::commands::providers::secrets::Secrets;
use crate::content::source::{self, Source};
use crate::disk::place::Target;
use crate::download::chain;
use crate::engine::{self, LocalFiles, Place, Provider, Tempo};
use crate::exit::ExitKind;
use crate::gateway::address::Reach;
use crate::gateway::capability::{Capabilities, Known};
use crate::gateway::car_file::{CarFile, CarFileError};
use crate::gateway::client::{Client, ClientOptions, Timeouts};
use crate::gateway::defaults;
use crate::gateway::error::{GatewayError, without_credentials};
use crate::gateway::plain::Plain;
use crate::gateway::rate::RateLimit;
use crate::gateway::request::Gateway;
use crate::gateway::routing::Router;
use crate::settings::{Discovery, Environment, GatewayEntry, Origin, Settings, check_proxies};
use crate::store::{self, GatewayRow, Store};

/// How long the local node may take to accept a connection before it counts as absent.
const LOCAL_PROBE: Duration = Duration::from_millis(300);

/// Providers, and what the user should know about those that were left out.
pub struct Providers {
    /// Whom to ask, in this order.
    pub list: Vec<Provider>,
    /// One sentence for each that was left out for good.
    pub notices: Vec<String>,
    /// Whether there are others, who are not to be asked this time.
    pub asks_others_later: bool,
}

/// What all downloads of one invocation share: the connections and the limits of their speed.
#[derive(Clone)]
pub struct Network {
    client: Client,
    settings: Settings,
    store: Store,
    secrets: Secrets,
    /// One for each rate that was asked for, since it counts for all downloads together.
    rates: Arc<Mutex<HashMap<u64, Arc<RateLimit>>>>,
}

impl Network {
    /// Nothing is connected, or even read from disk, before the first request.
    pub fn new(context: &Context) -> Result<Self, CommandError> {
        let keys = &context.settings.keys;
        let timeouts = Timeouts {
            connect: keys.connect_timeout,
            first_byte: keys.first_byte_timeout,
            stall: keys.stall_timeout,
        };
        check_proxies(&Environment::of_process())?;
        let client = Client::new(ClientOptions {
            timeouts,
            ..ClientOptions::default()
        })
        .map_err(|error| CommandError::new(ExitKind::Config, chain(&error)))?;
        Ok(Self {
            client,
            settings: context.settings.clone(),
            store: context.store.clone(),
            secrets: Secrets::default(),
            rates: Arc::default(),
        })
    }

    /// The same connections, with headers for the source, where that is a URL, and its mirrors.
    #[must_use]
    pub fn with_headers(mut self, headers: Vec<(String, String)>) -> Self {
        self.secrets.headers = headers;
        self
    }

    /// The connections.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where further providers can be found; nowhere if the user named those to be asked. A router
    /// of a private network may name providers of private networks.
    ///
    /// # Errors
    /// Code 78 for a router that cannot be used.
    pub fn discovery(
        &self,
        recorded: &Recorded,
    ) -> Result<Option<engine::Discovery>, CommandError> {
        let keys = &self.settings.keys;
        if !recorded.gateways.is_empty()
            || recorded.url.is_some()
            || keys.discovery == Discovery::Off
        {
            return Ok(None);
        }
        let routers = keys.routers.iter().map(|url| {
            let host = Url::parse(url.as_str()).ok();
            let host = host.as_ref().and_then(Url::host);
            let is_public = host.is_some_and(|host| Reach::Public.allows_host(&host));
            let reach = if is_public { Reach::Public } else { Reach::Any };
            let router = Router::new(self.client.clone(), url.as_str());
            router.map(|router| (router, reach)).map_err(|error| {
                let message = format!("cannot use {}: {}", error.url, chain(&error));
                CommandError::new(ExitKind::Config, message)
            })
        });
        Ok(Some(engine::Discovery {
            routers: routers.collect::<Result<_, _>>()?,
            client: self.client.clone(),
            rate: self.rate(recorded),
            is_eager: keys.discovery == Discovery::Always,
        }))
    }

    /// The providers for a download. May take long: a CAR file is read whole the first time.
    ///
    /// # Errors
    /// Code 2 for a gateway that cannot be used, 65 for a file that is no CAR, 74 for one that
    /// cannot be read.
    pub fn providers(&self, recorded: &Recorded) -> Result<Providers, CommandError> {
        if let Some(url) = &recorded.url {
            return self.plain_providers(url, recorded);
        }
        let known = self.store.gateways().wait()?;
        let are_named = !recorded.gateways.is_empty();
        let mut entries = self.settings.providers(&recorded.gateways)?;
        if !are_named {
            add_known(&mut entries, &known, &recorded.hints);
        }
        let mut providers = Providers {
            list: Vec::new(),
            notices: Vec::new(),
            asks_others_later: false,
        };
        for entry in entries {
            let row = known.iter().find(|row| row.url == entry.url);
            let notices = &mut providers.notices;
            if is_gone(&entry, notices) || (!are_named && !is_usable(&entry, row, notices)) {
                continue;
            }
            match self.provider(&entry, row, recorded) {
                Ok(provider) => {
                    providers.notices.extend(row.and_then(waits));
                    providers.list.push(provider);
                }
                // A CAR that was imported long ago need not be there for ever.
                Err(error) if is_hint(&entry, recorded) && file_path(&entry.url).is_some() => {
                    providers.notices.push(error.message);
                }
                Err(error) => return Err(error),
            }
        }
        self.add_mirrors(&mut providers, recorded)?;
        doubt_memory(&mut providers.list);
        Ok(providers)
    }

    /// The same without blocking anybody: on a thread of its own, which cannot be broken off and
    /// which nobody waits for after a signal.
    ///
    /// # Errors
    /// As [`Network::providers`].
    pub async fn ready(&self, recorded: &Recorded) -> Result<Providers, CommandError> {
        self.aside(recorded, Self::providers).await
    }

    /// Makes the gateways and mirrors ready that are named here, and no others, as [`Network::ready`]
    /// does: whether they can be used at all.
    ///
    /// # Errors
    /// As [`Network::providers`].
    pub async fn check(&self, named: &Recorded) -> Result<(), CommandError> {
        self.aside(named, Self::check_named).await
    }

    fn check_named(&self, named: &Recorded) -> Result<(), CommandError> {
        // Without names those of the configuration would be meant.
        if !named.gateways.is_empty() {
            for entry in self.settings.providers(&named.gateways)? {
                if !is_gone(&entry, &mut Vec::new()) {
                    self.provider(&entry, None, named)?;
                }
            }
        }
        for mirror in &named.mirrors {
            if file_path(mirror).is_none() {
                self.plain(mirror, named)?;
            }
        }
        Ok(())
    }

    async fn aside<T: Send + 'static>(
        &self,
        recorded: &Recorded,
        work: fn(&Self, &Recorded) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        let (network, recorded) = (self.clone(), recorded.clone());
        let (answer, done) = oneshot::channel();
        std::thread::spawn(move || answer.send(work(&network, &recorded)));
        done.await.unwrap_or_else(|_| {
            Err(CommandError::new(
                ExitKind::Internal,
                "the providers could not be made ready",
            ))
        })
    }

    /// A plain file and its mirrors.
    fn plain_providers(&self, url: &str, recorded: &Recorded) -> Result<Providers, CommandError> {
        let mut providers = Providers {
            list: vec![self.plain(url, recorded)?],
            notices: Vec::new(),
            asks_others_later: false,
        };
        self.add_mirrors(&mut providers, recorded)?;
        Ok(providers)
    }

    fn add_mirrors(
        &self,
        providers: &mut Providers,
        recorded: &Recorded,
    ) -> Result<(), CommandError> {
        for mirror in &recorded.mirrors {
            let Some(path) = file_path(mirror) else {
                providers.list.push(self.plain(mirror, recorded)?);
                continue;
            };
            match LocalFiles::open(&path) {
                Ok(files) => providers.list.push(Provider::new(
                    Place::Local(Arc::new(files)),
                    mirror.clone(),
                    Capabilities::default(),
                )),
                // A file that was named long ago need not be there for ever.
                Err(error) => {
                    let message = format!("{mirror} is left out: {}", chain(&error));
                    providers.notices.push(message);
                }
            }
        }
        Ok(())
    }

    fn plain(&self, url: &str, recorded: &Recorded) -> Result<Provider, CommandError> {
        let bad = |error: &GatewayError| {
            CommandError::usage(format!("cannot use {}: {}", error.url, chain(error)))
                .hint("give the URL of the file itself, as http:// or https://")
        };
        let rate = self.rate(recorded);
        let headers = self.secrets.headers.clone();
        let plain = Plain::new(self.client.clone(), url, headers, rate);
        let mut plain = plain.map_err(|error| bad(&error))?;
        if recorded.netrc
            && let Some(login) = self.secrets.login(url)?
        {
            plain = plain.with_login(login);
        }
        let row = self.store.gateway(plain.server()).wait()?;
        let place = Place::Plain(plain);
        let provider = Provider::new(place, without_credentials(url), Capabilities::default());
        Ok(match row {
            Some(row) => self.as_limited(provider, &row),
            None => provider,
        })
    }

    fn provider(
        &self,
        entry: &GatewayEntry,
        row: Option<&GatewayRow>,
        recorded: &Recorded,
    ) -> Result<Provider, CommandError> {
        let capabilities = row.map_or_else(Capabilities::default, |row| {
            row.capabilities(Timestamp::now())
        });
        if let Some(path) = file_path(&entry.url) {
            let index = self.settings.state_dir.join("cars");
            let car = CarFile::open(&path, &index).map_err(|error| car_error(&path, &error))?;
            return Ok(Provider::new(
                Place::Car(Arc::new(car)),
                entry.url.clone(),
                Capabilities::default(),
            ));
        }
        let (url, configured) = (&entry.url, &entry.headers);
        let headers = match is_source(url, recorded) {
            true => {
                let secrets = &self.secrets;
                secrets.for_gateway(url, configured, recorded.netrc)?
            }
            false => configured.clone(),
        };
        let gateway = Gateway::new(self.client.clone(), url, headers, self.rate(recorded));
        let gateway = gateway.map_err(|error| {
            let message = format!("cannot use {url} as a gateway: {}", chain(&error));
            CommandError::usage(message)
                .hint("give the URL of a gateway, or the path of a CAR file")
        })?;
        let origin = origin(entry.origin);
        // Mostly it is known, and a write would say nothing new.
        if row.is_none_or(|row| row.origin < origin) {
            self.store.upsert_gateway(url, origin).wait()?;
        }
        let gateway = gateway.with_first_byte_timeout(self.settings.first_byte_timeout(entry));
        let provider = Provider::new(Place::Http(gateway), url.clone(), capabilities);
        Ok(match row {
            Some(row) => self.as_remembered(provider, row),
            None => provider,
        })
    }

    /// With what earlier downloads learnt of its speed and of its limits.
    fn as_remembered(&self, mut provider: Provider, row: &GatewayRow) -> Provider {
        provider.latency = row.latency.unwrap_or_default();
        provider.throughput = row.throughput.unwrap_or_default();
        self.as_limited(provider, row)
    }

    /// With the pace that it allows, and the wait that it asked for.
    fn as_limited(&self, mut provider: Provider, row: &GatewayRow) -> Provider {
        let now = Timestamp::now();
        provider.tempo = Tempo::new(row.pace(now));
        match row.rests_until(now) {
            Some(until) => provider.resting_until(until, self.settings.keys.max_wait),
            None => provider,
        }
    }

    fn rate(&self, recorded: &Recorded) -> Option<Arc<RateLimit>> {
        let rate = recorded.limit_rate(self.settings.keys.limit_rate)?;
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = rates
            .entry(rate)
            .or_insert_with(|| Arc::new(RateLimit::new(rate)));
        Some(Arc::clone(limit))
    }
}

/// Where memory knows of nobody who serves what proves itself, it is not believed who does not: one
/// bad answer to one form must not end every later try before it has begun.
fn doubt_memory(providers: &mut [Provider]) {
    let proves = |known: &Capabilities| known.raw == Known::Yes || known.car == Known::Yes;
    if providers
        .iter()
        .any(|provider| proves(&provider.capabilities))
    {
        return;
    }
    for provider in providers {
        provider.capabilities = Capabilities {
            raw: Known::Unknown,
            car: Known::Unknown,
            ..provider.capabilities
        };
    }
}

/// Why a CAR file is no provider: not there, no CAR, or not readable.
fn car_error(path: &Path, error: &CarFileError) -> CommandError {
    let kind = match error {
        CarFileError::NotCar { .. } => ExitKind::Verification,
        CarFileError::Disk(error) if error.is_absent() => ExitKind::Usage,
        CarFileError::Disk(_) | CarFileError::TooLarge { .. } => ExitKind::Disk,
    };
    let message = format!(
        "cannot use {} as a provider: {}",
        path.display(),
        chain(error)
    );
    CommandError::new(kind, message).hint("give the URL of a gateway, or the path of a CAR file")
}

/// Adds what the user added by `gateways add`, before the rest, and the hints of gateway URLs,
/// after it; drops what the configuration or, over it, the user has disabled.
fn add_known(entries: &mut Vec<GatewayEntry>, known: &[GatewayRow], hints: &[String]) {
    let is_listed =
        |entries: &[GatewayEntry], url: &str| entries.iter().any(|entry| entry.url == url);
    let added = known.iter().filter(|row| row.origin == store::Origin::User);
    for (index, row) in added
        .filter(|row| !is_listed(entries, &row.url))
        .enumerate()
        .collect::<Vec<_>>()
    {
        entries.insert(index, GatewayEntry::plain(row.url.clone(), Origin::File));
    }
    for hint in hints {
        if !is_listed(entries, hint) {
            entries.push(GatewayEntry::plain(hint.clone(), Origin::Flag));
        }
    }
    entries.retain(|entry| {
        let row = known.iter().find(|row| row.url == entry.url);
        row.and_then(|row| row.enabled).unwrap_or(entry.enabled)
    });
}

fn is_hint(entry: &GatewayEntry, recorded: &Recorded) -> bool {
    recorded.gateways.is_empty() && is_source(&entry.url, recorded)
}

/// Whether it is the gateway whose URL was given as the source.
fn is_source(gateway: &str, recorded: &Recorded) -> bool {
    recorded.hints.iter().any(|hint| hint == gateway)
}

/// Whether anything that was typed gets the headers of the command line: a URL among the sources,
/// unless other gateways are to be asked in its place, or among the mirrors.
pub fn takes_headers(sources: &[String], gateways: &[String], mirrors: &[String]) -> bool {
    let is_asked = |hint: &String| {
        let mut named = gateways.iter().map(|url| url.trim_end_matches('/'));
        gateways.is_empty() || named.any(|url| url == hint)
    };
    let takes = |source: &String| match source::parse(source) {
        Ok(Source::Content(content)) => content.hint.as_ref().is_some_and(is_asked),
        // Where an entry of a catalog leads is looked up later, and what is no source is refused.
        Ok(Source::Url(_) | Source::Catalog(_)) | Err(_) => true,
    };
    let is_url = |mirror: &String| file_path(mirror).is_none();
    sources.iter().any(takes) || mirrors.iter().any(is_url)
}

/// Whether its host is known to serve nobody any more, whoever names it.
fn is_gone(entry: &GatewayEntry, notices: &mut Vec<String>) -> bool {
    let host = Url::parse(&entry.url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned));
    let retired = host.as_deref().and_then(defaults::retired);
    notices.extend(retired.map(|retired| {
        format!(
            "{} is gone since {}: {}",
            retired.host, retired.since, retired.advice
        )
    }));
    retired.is_some()
}

fn is_usable(entry: &GatewayEntry, row: Option<&GatewayRow>, notices: &mut Vec<String>) -> bool {
    if let Some(row) = row.filter(|row| row.retired_since.is_some()) {
        notices.push(format!(
            "{} serves programs no more and is not asked",
            row.url
        ));
        return false;
    }
    entry.origin != Origin::Default || !entry.is_local() || listens(&entry.url)
}

/// That a provider asked to be left alone for a while, where that is not over.
fn waits(row: &GatewayRow) -> Option<String> {
    let until = row.rests_until(Timestamp::now())?;
    let url = &row.url;
    Some(format!("{url} asks not to be asked before {until:.0}"))
}

/// Whether anything listens at the address of a local node.
fn listens(url: &str) -> bool {
    let Some(url) = Url::parse(url).ok() else {
        return false;
    };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return false;
    };
    let addresses = (host, port).to_socket_addrs().into_iter().flatten();
    addresses
        .into_iter()
        .any(|address| TcpStream::connect_timeout(&address, LOCAL_PROBE).is_ok())
}

/// Looks at the files among the mirrors that the user has just named.
///
/// # Errors
/// Code 2 for one that is not there, or is neither a file nor a directory.
pub fn check_mirrors(mirrors: &[String]) -> Result<(), CommandError> {
    for mirror in mirrors {
        if let Some(path) = file_path(mirror)
            && let Err(error) = LocalFiles::open(&path)
        {
            let message = format!("cannot use {mirror} as a mirror: {}", chain(&error));
            return Err(CommandError::usage(message)
                .hint("give a URL, or the path of a file or directory that holds the same bytes"));
        }
    }
    Ok(())
}

/// Fails unless what is named as a gateway and is a file on this machine begins as a CAR does. Asks
/// nobody, and reads no more of it.
///
/// # Errors
/// Code 2, or 74 for what the disk cannot read.
pub fn check_cars(gateways: &[String]) -> Result<(), CommandError> {
    for path in gateways.iter().filter_map(|gateway| file_path(gateway)) {
        CarFile::check(&path).map_err(|error| {
            let refused = car_error(&path, &error);
            match error {
                CarFileError::NotCar { .. } => CommandError {
                    kind: ExitKind::Usage,
                    ..refused
                },
                _ => refused,
            }
        })?;
    }
    Ok(())
}

/// Gateways and mirrors as a record keeps them: a file by its absolute path, since `resume` may run
/// elsewhere.
pub fn recordable(gateways: &[String]) -> Vec<String> {
    let absolute = |gateway: &String| {
        let path = file_path(gateway).filter(|_| !gateway.starts_with("file:"))?;
        let target = Target::at(&path).ok()?;
        Some(target.path().to_str()?.to_owned())
    };
    gateways
        .iter()
        .map(|gateway| absolute(gateway).unwrap_or_else(|| gateway.clone()))
        .collect()
}

/// The file on this machine that a provider's name means, if it is one.
fn file_path(url: &str) -> Option<PathBuf> {
    if url.starts_with("file:") {
        return Url::parse(url).ok()?.to_file_path().ok();
    }
    (!url.contains("://")).then(|| Path::new(url).to_path_buf())
}

/// The store's word for who names a gateway.
pub fn origin(origin: Origin) -> store::Origin {
    match origin {
        Origin::Default => store::Origin::Default,
        Origin::File | Origin::Environment => store::Origin::Config,
        Origin::Flag => store::Origin::Discovered,
    }
}
