//! A gateway over TLS that speaks HTTP/2 and HTTP/1.1, with one certificate for this machine.
//!
//! It keeps what the client said first on each connection: that is where HTTP/2 announces its
//! windows.

mod recorder;

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_RANGE, CONTENT_TYPE, RANGE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::dag::Dag;
use recorder::{Recorder, Words};

/// The certificate, for `SSL_CERT_FILE`.
pub fn certificate() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/tls/cert.pem")
}

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Number of the connection, from 0.
    pub connection: usize,
    pub version: Version,
    pub target: String,
    pub range: Option<String>,
}

/// A running gateway; dropping it closes every connection.
pub struct TlsGateway {
    url: String,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    blocks: HashMap<String, Bytes>,
    files: HashMap<String, Bytes>,
    /// Raw blocks are answered only when so many are asked for at once; the first is exempt.
    gate: Option<Barrier>,
    requests: Mutex<Vec<Seen>>,
    /// What came first on each connection.
    words: Mutex<Vec<Words>>,
}

impl TlsGateway {
    /// A gateway of these DAGs. With `together`, blocks are answered only that many at a time, but
    /// for the very first.
    pub fn start(dags: &[&Dag], together: Option<usize>) -> Self {
        let mut shared = Shared {
            gate: together.map(Barrier::new),
            ..Shared::default()
        };
        for dag in dags {
            let root = dag.root.to_string();
            shared.files.insert(root, Bytes::from(dag.data.clone()));
            for (cid, block) in &dag.blocks {
                shared.blocks.insert(cid.to_string(), block.clone());
            }
        }
        let shared = Arc::new(shared);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, served) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            url: format!("https://localhost:{port}"),
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.shared.requests.lock().expect("no panic").clone()
    }

    /// The first bytes of each connection that speaks HTTP/2, after TLS.
    pub fn http2_openings(&self) -> Vec<Vec<u8>> {
        let words = self.shared.words.lock().expect("no panic");
        let openings = words
            .iter()
            .map(|words| words.lock().expect("no panic").clone());
        openings
            .filter(|bytes| bytes.starts_with(b"PRI * HTTP/2.0"))
            .collect()
    }
}

impl Drop for TlsGateway {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("a socket");
    let acceptor = TlsAcceptor::from(Arc::new(config()));
    let mut tasks = tokio::task::JoinSet::new();
    for connection in 0.. {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        tasks.spawn(serve(
            acceptor.clone(),
            stream,
            connection,
            Arc::clone(&shared),
        ));
    }
}

fn config() -> ServerConfig {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/cert.pem"));
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/key.pem"));
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.expect("PEM")], key.expect("PEM"))
        .expect("a key of this certificate");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, connection: usize, shared: Arc<Shared>) {
    // The client may go away, or not trust us.
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let (recorder, words) = Recorder::new(stream);
    shared.words.lock().expect("no panic").push(words);
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.answer(connection, request).await) }
    });
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(recorder), service)
        .await;
}

impl Shared {
    async fn answer(&self, connection: usize, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let range = request.headers().get(RANGE);
        let range = range
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let is_first = {
            let mut requests = self.requests.lock().expect("no panic");
            requests.push(Seen {
                connection,
                version: request.version(),
                target: request.uri().to_string(),
                range: range.clone(),
            });
            requests.len() == 1
        };
        let cid = request.uri().path().trim_start_matches("/ipfs/");
        match request.uri().query() {
            Some("format=raw") => {
                if let Some(gate) = self.gate.as_ref().filter(|_| !is_first) {
                    gate.wait().await;
                }
                found(self.blocks.get(cid), "application/vnd.ipld.raw")
            }
            None => match (self.files.get(cid), range) {
                (Some(file), Some(range)) => part(file, &range),
                (file, _) => found(file, "application/octet-stream"),
            },
            Some(_) => status(StatusCode::NOT_ACCEPTABLE),
        }
    }
}

fn found(bytes: Option<&Bytes>, media_type: &'static str) -> Response<Full<Bytes>> {
    let Some(bytes) = bytes else {
        return status(StatusCode::NOT_FOUND);
    };
    let mut response = Response::new(Full::new(bytes.clone()));
    let media_type = hyper::header::HeaderValue::from_static(media_type);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

/// `bytes=a-b`, both there and within the file.
fn part(file: &Bytes, range: &str) -> Response<Full<Bytes>> {
    let ends = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'));
    let ends = ends.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    let Some((first, last)) = ends.filter(|&(a, b): &(usize, usize)| a <= b && b < file.len())
    else {
        return status(StatusCode::RANGE_NOT_SATISFIABLE);
    };
    let mut response = Response::new(Full::new(file.slice(first..=last)));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let value = format!("bytes {first}-{last}/{}", file.len());
    let value = value.parse().expect("a header value");
    response.headers_mut().insert(CONTENT_RANGE, value);
    response
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    response
}
