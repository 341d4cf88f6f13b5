//! Precedence, every key from every side, and what is refused.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::cli;
use crate::exit::ExitKind;
use crate::gateway::defaults::GATEWAYS;

/// A directory with a configuration file, and the variables of an invocation.
struct Sandbox {
    directory: TempDir,
    variables: Vec<(String, String)>,
}

impl Sandbox {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let state = ("FETCHD_STATE_DIR".to_owned(), "/state".to_owned());
        Self {
            directory,
            variables: vec![state],
        }
    }

    fn file(self, text: &str) -> Self {
        fs::write(self.directory.path().join("config.toml"), text)
            .expect("a file in a fresh directory");
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn environment(&self) -> Environment {
        let mut environment = Environment::from_variables(self.variables.clone());
        environment.config_dir = Some(self.directory.path().to_owned());
        environment.home = Some(self.directory.path().join("home"));
        environment
    }

    fn resolve(&self, arguments: &str) -> Result<Settings, SettingsError> {
        let arguments = ["fetchd"].into_iter().chain(arguments.split_whitespace());
        Settings::resolve(
            &cli::parse(arguments).expect("valid flags"),
            &self.environment(),
        )
    }

    fn settings(&self, arguments: &str) -> Settings {
        self.resolve(arguments).expect("a valid configuration")
    }

    /// The message and its exit code.
    fn refusal(&self) -> (String, ExitKind) {
        let error = self.resolve("list").expect_err("a wrong configuration");
        let text = error
            .to_string()
            .replace(&*self.directory.path().to_string_lossy(), "DIR");
        (text, error.kind())
    }
}

/// A value other than the default for every key, as the file and as the environment spell it.
const OTHER: [(&str, &str, &str); 31] = [
    ("discovery", "'always'", "off"),
    (
        "routers",
        "['https://r.example/routing/']",
        "https://a.example http://b.example",
    ),
    (
        "dns",
        "'https://dns.example/dns-query'",
        "https://other.example/dns-query",
    ),
    ("download_dir", "'/data'", "/other"),
    ("connections", "3", "5"),
    ("jobs", "2", "6"),
    ("per_gateway", "2", "6"),
    ("limit_rate", "'5M/s'", "1000"),
    ("min_speed", "1024", "2K"),
    ("connect_timeout", "1.5", "250ms"),
    ("first_byte_timeout", "'10s'", "11"),
    ("stall_timeout", "20", "1m"),
    ("max_wait", "'1h30m'", "0"),
    ("max_retries", "0", "7"),
    ("backoff_initial", "'1ms'", "2ms"),
    ("backoff_multiplier", "3", "1.5"),
    ("backoff_max", "'2m'", "3m"),
    ("max_resume_attempts", "5", "6"),
    ("resume_threshold", "0.25", "1"),
    ("max_source_switches", "4", "0"),
    ("checkpoint_bytes", "'1MB'", "2MiB"),
    ("checkpoint_interval", "'5s'", "6s"),
    ("file_sha256", "false", "yes"),
    ("retention", "'30d'", "1d"),
    ("history_limit", "10", "20"),
    ("max_size", "'1.5G'", "2G"),
    ("max_entries", "10", "20"),
    ("max_depth", "10", "20"),
    ("max_block_size", "'4M'", "1M"),
    ("allow_hash", "['sha1']", "sha1 truncated"),
    ("progress", "'plain'", "json"),
];

#[test]
fn defaults_are_those_of_the_manual() {
    let keys = Sandbox::new().settings("list").keys;
    let text: String = keys
        .entries()
        .iter()
        .map(|entry| format!("{} = {}\n", entry.key, entry.toml))
        .collect();
    insta::assert_snapshot!(text, @r#"
    discovery = "fallback"
    routers = ["https://delegated-ipfs.dev"]
    dns = "system"
    download_dir = "."
    connections = 8
    jobs = 3
    per_gateway = 4
    limit_rate = "off"
    min_speed = "off"
    connect_timeout = "5s"
    first_byte_timeout = "30s"
    stall_timeout = "30s"
    max_wait = "15m"
    max_retries = 3
    backoff_initial = "1s"
    backoff_multiplier = 2.0
    backoff_max = "1m"
    max_resume_attempts = 3
    resume_threshold = 0.5
    max_source_switches = 2
    checkpoint_bytes = "64MiB"
    checkpoint_interval = "2s"
    file_sha256 = true
    retention = "7d"
    history_limit = 100
    max_size = "off"
    max_entries = 1000000
    max_depth = 128
    max_block_size = "2MiB"
    allow_hash = []
    progress = "auto"
    "#);
}

#[test]
fn every_key_by_file_by_environment_and_in_this_order() {
    assert_eq!(
        OTHER.map(|(key, ..)| key).to_vec(),
        Keys::default()
            .entries()
            .iter()
            .map(|e| e.key)
            .collect::<Vec<_>>()
    );
    for (index, (key, in_file, in_environment)) in OTHER.into_iter().enumerate() {
        let entry = |sandbox: &Sandbox| sandbox.settings("list").keys.entries().swap_remove(index);
        let sandbox = Sandbox::new();
        let default = entry(&sandbox);
        assert_eq!(default.origin, Origin::Default, "{key}");

        let sandbox = sandbox.file(&format!("{key} = {in_file}"));
        let filed = entry(&sandbox);
        assert_eq!(filed.origin, Origin::File, "{key}");
        assert_ne!(filed.toml, default.toml, "{key}");

        let empty = entry(
            &Sandbox::new()
                .file(&format!("{key} = {in_file}"))
                .variable(&variable(key), ""),
        );
        assert_eq!(empty, filed, "an empty variable is as good as none: {key}");

        let environment = entry(&sandbox.variable(&variable(key), in_environment));
        assert_eq!(environment.origin, Origin::Environment, "{key}");
        assert_ne!(environment.toml, filed.toml, "{key}");
    }
}

#[test]
fn values_arrive_typed() {
    let text = OTHER
        .map(|(key, value, _)| format!("{key} = {value}\n"))
        .concat();
    let keys = Sandbox::new().file(&text).settings("list").keys;
    assert_eq!(keys.discovery, Discovery::Always);
    assert_eq!(keys.routers[0].as_str(), "https://r.example/routing");
    assert_eq!(keys.download_dir, Some(PathBuf::from("/data")));
    assert_eq!(
        (keys.limit_rate, keys.min_speed, keys.max_size),
        (Some(5 << 20), Some(1024), Some(3 << 29))
    );
    assert_eq!(keys.connect_timeout, Duration::from_millis(1500));
    assert_eq!(keys.max_wait, Duration::from_secs(5400));
    assert_eq!(
        (keys.checkpoint_bytes, keys.max_block_size),
        (1_000_000, 4 << 20)
    );
    assert_eq!(
        (
            keys.backoff_multiplier,
            keys.resume_threshold,
            keys.file_sha256
        ),
        (3.0, 0.25, false)
    );
    assert_eq!(
        keys.allow_hash
            .iter()
            .map(AsRef::as_ref)
            .collect::<Vec<&str>>(),
        ["sha1"]
    );
}

#[test]
fn flags_win() {
    let sandbox = Sandbox::new()
        .file("connections = 3\nlimit_rate = '1M'\nmax_size = 5\ndownload_dir = '~/down'")
        .variable("FETCHD_CONNECTIONS", "4")
        .variable("FETCHD_LIMIT_RATE", "2M");
    let quiet = sandbox.settings("get x");
    assert_eq!(
        (
            quiet.keys.connections,
            quiet.keys.limit_rate,
            quiet.keys.max_size
        ),
        (4, Some(2 << 20), Some(5))
    );
    assert_eq!(
        quiet.keys.download_dir,
        Some(sandbox.directory.path().join("home/down"))
    );

    let loud = sandbox.settings("get x --connections 5 --limit-rate off --max-size none -d ~/here");
    assert_eq!(
        (
            loud.keys.connections,
            loud.keys.limit_rate,
            loud.keys.max_size
        ),
        (5, None, None)
    );
    assert_eq!(loud.keys.download_dir, Some(PathBuf::from("~/here")));
    assert_eq!(loud.keys.origin("limit_rate"), Some(Origin::Flag));
}

#[test]
fn wrong_files_name_the_line() {
    let table = [
        (
            "connections = 3\nconections = 4\n",
            "2:1: unknown key `conections`",
        ),
        (
            "[[gateways]]\nurl = 'http://g'\ncolour = 1\n",
            "3:1: unknown key `colour`",
        ),
        (
            "\n\nconnections = 'many'",
            "3:15: expected a whole number from 1 to 256",
        ),
        (
            "connections = '8'",
            "1:15: expected a whole number from 1 to 256",
        ),
        (
            "connections = 0",
            "1:15: expected a whole number from 1 to 256",
        ),
        (
            "connections = 99999999999",
            "1:15: expected a whole number from 1 to 256",
        ),
        (
            "max_size = -1",
            "1:12: not a size like 500K, 20M, 20MB, 1.5GiB or a number of bytes",
        ),
        ("checkpoint_bytes = 0", "1:20: must be more than zero"),
        ("stall_timeout = 0", "1:17: must be more than zero"),
        (
            "stall_timeout = inf",
            "1:17: not a duration like 90s, 5m, 250ms, 1h30m or a number of seconds",
        ),
        (
            "resume_threshold = nan",
            "1:20: expected a number from 0 to 1",
        ),
        ("file_sha256 = 1", "1:15: expected true or false"),
        ("routers = 'http://r'", "1:11: expected an array of strings"),
        (
            "dns = 'udp'",
            "1:7: expected \"system\" or a URL: not a URL: relative URL without a base",
        ),
        (
            "discovery = 'on'",
            "1:13: expected \"fallback\", \"always\" or \"off\"",
        ),
        (
            "[[gateways]]\nurl = 'http://u:p@g'",
            "2:7: a URL cannot hold a user name or a password; set a header instead",
        ),
        (
            "[[gateways]]\nurl = 'ftp://g'",
            "2:7: not a URL that begins with http:// or https://",
        ),
        ("[[gateways]]\npriority = 1", "1:1: missing key `url`"),
        ("allow_hash = ['md5']", "1:14: \"md5\" is not a weak hash"),
        ("connections = 1\nconnections = 2", "2:1: duplicate key"),
        ("# é\nx", "2:2: key with no value"),
    ];
    for (text, expected) in table {
        let (message, kind) = Sandbox::new().file(text).refusal();
        assert!(
            message.starts_with(&format!("DIR/config.toml:{expected}")),
            "{text:?}: {message}"
        );
        assert_eq!(kind, ExitKind::Config);
    }
}

#[test]
fn wrong_variables_are_named() {
    let table = [
        (
            "FETCHD_CONNECTIONS",
            "many",
            "expected a whole number from 1 to 256",
        ),
        ("FETCHD_FILE_SHA256", "maybe", "expected true or false"),
        (
            "FETCHD_GATEWAYS",
            "http://a b",
            "not a URL: relative URL without a base",
        ),
        (
            "IPFS_GATEWAY",
            "localhost",
            "not a URL: relative URL without a base",
        ),
        (
            "IPFS_GATEWAY",
            "localhost:8080",
            "not a URL that begins with http:// or https://",
        ),
    ];
    for (name, value, reason) in table {
        let (message, kind) = Sandbox::new().variable(name, value).refusal();
        assert_eq!(
            (message, kind),
            (
                format!("environment variable {name}: {reason}"),
                ExitKind::Config
            )
        );
    }
    Sandbox::new()
        .variable("FETCHD_COLOUR", "mauve")
        .settings("list");
}

#[test]
fn a_named_file_must_exist_and_the_default_one_need_not() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.settings("list").config_file, None);
    for (sandbox, flag) in [
        (Sandbox::new().variable("FETCHD_CONFIG", "/none.toml"), ""),
        (sandbox, "--config /none.toml"),
    ] {
        let error = sandbox
            .resolve(&format!("{flag} list"))
            .expect_err("no such file");
        assert!(matches!(error, SettingsError::Missing { .. }), "{error}");
        assert_eq!(error.kind(), ExitKind::Config);
    }
}

#[test]
fn the_flag_names_the_state_directory_before_the_variable() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.settings("list").state_dir, PathBuf::from("/state"));
    assert_eq!(
        sandbox.settings("list --state-dir /mine").state_dir,
        PathBuf::from("/mine")
    );
    let nowhere = cli::parse(["fetchd", "list"]).expect("valid flags");
    let error = Settings::resolve(&nowhere, &Environment::default()).expect_err("no home");
    assert!(matches!(error, SettingsError::NoPlace { .. }));
}

const TWO_GATEWAYS: &str = "
[[gateways]]
url = 'https://late.example/'
headers = { Authorization = 'Bearer ${TOKEN}' }

[[gateways]]
url = 'https://early.example'
priority = 10
connections = 2
enabled = false
";

fn urls(gateways: &[GatewayEntry]) -> Vec<&str> {
    gateways
        .iter()
        .map(|gateway| gateway.url.as_str())
        .collect()
}

#[test]
fn gateways_of_the_file_replace_the_defaults() {
    assert_eq!(
        urls(&Sandbox::new().settings("list").gateways),
        GATEWAYS.map(|known| known.url)
    );

    let settings = Sandbox::new()
        .file(TWO_GATEWAYS)
        .variable("TOKEN", "t0p")
        .settings("list");
    assert_eq!(
        urls(&settings.gateways),
        ["https://early.example", "https://late.example"]
    );
    assert_eq!(
        settings.gateways[1].headers,
        [("Authorization".to_owned(), "Bearer t0p".to_owned())]
    );
    assert_eq!(
        (
            settings.gateways[0].connections,
            settings.gateways[0].enabled
        ),
        (Some(2), false)
    );
    assert!(!format!("{settings:?}").contains("t0p"));

    assert_eq!(
        Sandbox::new()
            .file("gateways = []")
            .settings("list")
            .gateways,
        []
    );
}

#[test]
fn headers_that_cannot_be_sent_are_refused() {
    let (message, kind) = Sandbox::new().file(TWO_GATEWAYS).refusal();
    let expected = "header \"Authorization\" of gateway https://late.example: environment variable TOKEN is not set";
    assert_eq!((message.as_str(), kind), (expected, ExitKind::Config));

    let (message, _) = Sandbox::new()
        .file(TWO_GATEWAYS)
        .variable("TOKEN", "se\ncret")
        .refusal();
    assert!(
        message.ends_with("the value cannot be sent in a header"),
        "{message}"
    );
    let (message, _) = Sandbox::new()
        .file("[[gateways]]\nurl='http://g'\nheaders={'a b'='x'}")
        .refusal();
    assert!(message.ends_with("not the name of a header"), "{message}");
    let (message, _) = Sandbox::new()
        .file("[[gateways]]\nurl='http://g'\n[[gateways]]\nurl='http://g/'")
        .refusal();
    assert_eq!(
        message,
        "gateway from the configuration file: http://g is listed twice"
    );
}

#[test]
fn the_environment_replaces_the_gateways_and_curls_comes_first() {
    let sandbox = Sandbox::new()
        .file(TWO_GATEWAYS)
        .variable("FETCHD_GATEWAYS", " http://a/  http://b http://a ");
    assert_eq!(
        urls(&sandbox.settings("list").gateways),
        ["http://a", "http://b"]
    );

    let ipfs = sandbox.directory.path().join("home/.ipfs");
    fs::create_dir_all(&ipfs).expect("a fresh directory");
    fs::write(ipfs.join("gateway"), "http://kubo:8080/\nignored\n").expect("a fresh file");
    assert_eq!(
        urls(&sandbox.settings("list").gateways),
        ["http://kubo:8080", "http://a", "http://b"]
    );

    let elsewhere = sandbox.directory.path().join("repo");
    fs::create_dir_all(&elsewhere).expect("a fresh directory");
    fs::write(elsewhere.join("gateway"), "http://repo").expect("a fresh file");
    let sandbox = sandbox.variable("IPFS_PATH", &elsewhere.to_string_lossy());
    assert_eq!(
        urls(&sandbox.settings("list").gateways),
        ["http://repo", "http://a", "http://b"]
    );

    let sandbox = sandbox.variable("IPFS_GATEWAY", "http://b/");
    assert_eq!(
        urls(&sandbox.settings("list").gateways),
        ["http://b", "http://a"]
    );
}

#[test]
fn flags_choose_the_providers() {
    let settings = Sandbox::new()
        .file(TWO_GATEWAYS)
        .variable("TOKEN", "t")
        .settings("list");
    let configured = settings.providers(&[]).expect("no flags");
    let enabled: Vec<bool> = configured.iter().map(|gateway| gateway.enabled).collect();
    assert_eq!(
        enabled.iter().filter(|enabled| **enabled).count(),
        1,
        "disabled ones are there too"
    );
    assert_eq!(configured, settings.gateways);

    let flags = ["https://late.example/", "x.car", "https://early.example"].map(str::to_owned);
    let named = settings.providers(&flags).expect("good flags");
    assert_eq!(
        urls(&named),
        ["https://late.example", "x.car", "https://early.example"]
    );
    assert!(
        named
            .iter()
            .all(|gateway| gateway.enabled && gateway.origin == Origin::Flag)
    );
    assert_eq!(named[0].headers.len(), 1);

    let error = settings
        .providers(&["ftp://x".to_owned()])
        .expect_err("no gateway");
    assert_eq!(error.kind(), ExitKind::Usage);
}

#[test]
fn public_gateways_have_longer_unless_configured() {
    let first_bytes = |sandbox: Sandbox| -> Vec<u64> {
        let settings = sandbox.settings("list");
        settings
            .gateways
            .iter()
            .map(|gateway| settings.first_byte_timeout(gateway).as_secs())
            .take(2)
            .collect()
    };
    assert_eq!(first_bytes(Sandbox::new()), [30, 60]);
    assert_eq!(
        first_bytes(Sandbox::new().variable("FETCHD_FIRST_BYTE_TIMEOUT", "7")),
        [7, 7]
    );
    assert_eq!(
        first_bytes(Sandbox::new().variable("FETCHD_GATEWAYS", "https://g")),
        [30]
    );
}

#[test]
fn the_template_uncommented_gives_the_defaults() {
    let text = template();
    let commented = Sandbox::new().file(&text).settings("list");
    assert_eq!(commented.keys, Keys::default());
    assert_eq!(urls(&commented.gateways), GATEWAYS.map(|known| known.url));

    let is_key = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| is_key(rest))
                .unwrap_or(line)
        })
        .collect();
    let settings = Sandbox::new()
        .file(&uncommented.join("\n"))
        .settings("list");
    for (entry, default) in settings
        .keys
        .entries()
        .into_iter()
        .zip(Keys::default().entries())
    {
        assert_eq!(
            (entry.key, &entry.toml, entry.origin),
            (default.key, &default.toml, Origin::File)
        );
    }
    assert_eq!(urls(&settings.gateways), GATEWAYS.map(|known| known.url));
    assert!(
        settings
            .gateways
            .iter()
            .all(|gateway| gateway.origin == Origin::File)
    );
}
