//! IPNS against a real Kubo: what it publishes under keys of every type is found and believed.
//!
//! Needs the binary that `FETCHD_KUBO` names; skipped without it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use fetchd::commands::resolve::{Lookup, Named, resolve};
use fetchd::content::cid;
use fetchd::content::source::Root;
use fetchd::gateway::client::{Client, ClientOptions};
use fetchd::gateway::dnslink::Resolver;
use fetchd::gateway::request::Gateway;
use fetchd::gateway::routing::Router;
use fetchd::settings::Discovery;
use fetchd::store::Store;

use crate::support;

/// How long Kubo may take to start.
const START: Duration = Duration::from_secs(60);

struct Kubo {
    binary: PathBuf,
    home: tempfile::TempDir,
    daemon: Option<Child>,
}

impl Drop for Kubo {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

impl Kubo {
    /// A repository of its own, not started.
    fn new(binary: PathBuf) -> Self {
        let kubo = Self {
            binary,
            home: tempfile::tempdir().expect("a folder"),
            daemon: None,
        };
        kubo.run(&["init", "--profile=test"]);
        for (key, value) in [
            ("Addresses.Swarm", "[]"),
            ("Addresses.API", "\"/ip4/127.0.0.1/tcp/0\""),
            ("Addresses.Gateway", "\"/ip4/127.0.0.1/tcp/0\""),
            ("Routing.Type", "\"none\""),
            ("Gateway.ExposeRoutingAPI", "true"),
        ] {
            kubo.run(&["config", "--json", key, value]);
        }
        kubo
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env("HOME", self.home.path())
            .env("IPFS_PATH", self.home.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("Kubo runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Starts the daemon; the URL of its gateway.
    fn start(&mut self) -> String {
        let mut command = self.command(&["daemon", "--offline"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.daemon = Some(command.spawn().expect("Kubo starts"));
        let until = Instant::now() + START;
        loop {
            // The file is written once the gateway listens.
            match std::fs::read_to_string(self.home.path().join("gateway")) {
                Ok(url) if !url.is_empty() => return url.trim().to_owned(),
                _ => assert!(Instant::now() < until, "Kubo does not start"),
            }
            std::thread::yield_now();
        }
    }

    fn import(&self, name: &str, kind: u8, private: &[u8]) -> String {
        let len = u8::try_from(private.len()).expect("a short key");
        let file = self.home.path().join(name);
        std::fs::write(&file, [&[8, kind, 18, len], private].concat()).expect("written");
        let file = file.to_str().expect("text");
        let format = "--format=libp2p-protobuf-cleartext";
        self.run(&["key", "import", "--allow-any-key-type", format, name, file])
    }
}

/// Keys that Kubo makes, and keys that it only takes.
fn keys(kubo: &Kubo) -> Vec<String> {
    let ecdsa = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
    let ecdsa = ecdsa.private_key().as_der().expect("DER");
    vec![
        kubo.run(&["key", "gen", "--type=ed25519", "one"]),
        kubo.run(&["key", "gen", "--type=rsa", "--size=2048", "two"]),
        kubo.import("three", 2, &[0x11; 32]),
        kubo.import("four", 3, ecdsa.as_ref()),
    ]
}

fn look_up(state: &Path, gateways: &[&str], routers: &[&str], name: &str) -> Named {
    let client = Client::new(ClientOptions::default()).expect("a client");
    let store = Store::open(state).expect("a store");
    let gateway = |url: &&str| Gateway::new(client.clone(), url, vec![], None).expect("a URL");
    let router = |url: &&str| Router::new(client.clone(), url).expect("a URL");
    let lookup = Lookup {
        store: &store,
        gateways: gateways.iter().map(gateway).collect(),
        routers: routers.iter().map(router).collect(),
        discovery: Discovery::Always,
        resolver: Resolver::system(),
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(resolve(
            &lookup,
            Root::Ipns(name.to_owned()),
            vec!["x".into()],
        ))
        .unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

#[test]
fn what_kubo_publishes_is_believed() {
    let Some(binary) = support::kubo() else {
        return;
    };
    let mut kubo = Kubo::new(binary);
    let keys = keys(&kubo);
    let url = kubo.start();
    let first = "bafkqaddwgevxmmraojswg33smq";
    let second = "bafkqadtwgiww63tmpeqhezldn5zgi";
    for (index, key) in keys.iter().enumerate() {
        let publish = |path: &str| {
            let key = format!("--key={key}");
            kubo.run(&[
                "name",
                "publish",
                "--allow-offline",
                "--resolve=false",
                &key,
                path,
            ])
        };
        let state = tempfile::tempdir().expect("a folder");
        publish(&format!("/ipfs/{first}/a"));
        let named = look_up(state.path(), &[&url], &[], key);
        assert_eq!(cid::text(&named.resolved.cid), first, "{key}");
        assert_eq!(named.resolved.path, ["a", "x"]);
        // A later value is seen at once, through the router too.
        publish(&format!("/ipfs/{second}"));
        let named = look_up(state.path(), &[], &[&url], key);
        assert_eq!(cid::text(&named.resolved.cid), second, "{key}");
        // One name may stand for another.
        if let Some(before) = index.checked_sub(1).map(|before| &keys[before]) {
            publish(&format!("/ipns/{before}"));
            let named = look_up(state.path(), &[&url], &[], key);
            assert!(named.resolved.steps.len() > 1, "{named:?}");
            assert_eq!(cid::text(&named.resolved.cid), second, "{key}");
        }
    }
}
