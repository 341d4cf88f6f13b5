//! Answers on real sockets: status lines, headers, bodies and records of routers, as the clients read
//! them.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use fetchd::content::cid::{self, Cid};
use fetchd::content::ranges::ByteRange;
use fetchd::gateway::address::Reach;
use fetchd::gateway::client::{Client, ClientOptions, Timeouts};
use fetchd::gateway::plain::Plain;
use fetchd::gateway::request::Gateway;
use fetchd::gateway::routing::Router;

/// Answers as servers give them, with every header that is read.
pub fn seeds() -> Vec<Vec<u8>> {
    let answers = [
        "HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\nContent-Range: bytes 0-9/100\r\nETag: \"a\"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n0123456789",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nAccept-Ranges: bytes\r\nLast-Modified: Fri, 06 Nov 2026 08:49:37 GMT\r\nContent-Disposition: attachment; filename*=UTF-8''a%20b\r\nContent-Encoding: identity\r\n\r\n0123456789",
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 120\r\nSunset: Mon, 21 Sep 2026 00:00:00 GMT\r\nContent-Length: 4\r\n\r\nwait",
        "HTTP/1.1 302 Found\r\nLocation: /ipfs/other?format=raw\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.ipld.raw\r\nX-Ipfs-Roots: bafkqablimvwgy3y\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n{\"Schema\":\"peer\",\"ID\":\"12D3\",\"Addrs\":[\"/dns4/a.example/tcp/443/https\"],\"Protocols\":[\"transport-ipfs-gateway-http\"]}\n{\"Schema\":\"other\"}\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"Providers\":[{\"Schema\":\"peer\",\"ID\":null,\"Addrs\":[\"/ip4/192.0.2.1/tcp/80/http\"]}]}",
        "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */100\r\nContent-Length: 0\r\n\r\n",
    ];
    answers.map(|answer| answer.as_bytes().to_vec()).into()
}

/// Lets every client take each answer. A client that panics fails the test.
pub fn take(answers: Vec<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("a bound socket"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    for answer in answers {
        let stop = listener.try_clone().expect("a socket");
        let shown = String::from_utf8_lossy(&answer).escape_debug().to_string();
        let server = std::thread::spawn(move || serve(&stop, &answer));
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(ask(&url));
        }));
        assert!(asked.is_ok(), "a client does not survive {shown}");
        // Wakes the server, which ends on an empty request.
        let address = listener.local_addr().expect("a bound socket");
        drop(TcpStream::connect(address).expect("a server"));
        server.join().expect("a server that does not panic");
    }
}

/// Gives every request this answer, until one comes that is empty.
fn serve(listener: &TcpListener, answer: &[u8]) {
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let mut request = [0; 4096];
        match stream.read(&mut request) {
            Ok(0) | Err(_) => return,
            Ok(_) => drop(stream.write_all(answer)),
        }
    }
}

async fn ask(url: &str) {
    let patience = Duration::from_millis(200);
    let options = ClientOptions {
        timeouts: Timeouts {
            connect: patience,
            first_byte: patience,
            stall: patience,
        },
        ..ClientOptions::default()
    };
    let client = Client::new(options).expect("a client");
    let gateway = Gateway::new(client.clone(), url, Vec::new(), None).expect("a gateway");
    let cid = cid::parse("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy");
    let cid: Cid = cid.expect("a CID");
    let _ = gateway.block(&cid, 1000).await;
    if let Ok(plain) = Plain::new(client.clone(), &format!("{url}/file"), Vec::new(), None) {
        let _ = plain.look().await;
        let range = ByteRange::new(0, 10).expect("a range");
        if let Ok(mut body) = plain.range(range, 100).await {
            while let Ok(Some(_)) = body.chunk().await {}
        }
        let _ = plain.rest(5, Some(100), None).await;
    }
    let router = Router::new(client, url).expect("a router");
    if let Ok(mut providers) = router.providers(&cid, Reach::Any).await {
        while let Ok(Some(_)) = providers.next().await {}
    }
}
