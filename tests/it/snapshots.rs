//! What people and scripts read, whole: standard output, standard error and exit code together.

use crate::support::dag::Dag;
use crate::support::gateway::{Features, Gateway};
use crate::support::sandbox::{Output, Sandbox};
use crate::support::scenario::{get_args, get_json};

/// The transcript of an invocation, without what changes from one run to the next.
fn seen(sandbox: &Sandbox, gateway: Option<&Gateway>, output: &Output) -> String {
    let code = output
        .code
        .map_or("signal".to_owned(), |code| code.to_string());
    let mut text = format!(
        "exit code {code}\n--- stdout\n{}--- stderr\n{}",
        output.text(),
        output.stderr
    );
    if let Some(gateway) = gateway {
        text = text.replace(gateway.url(), "[GATEWAY]");
    }
    let root = sandbox.root().to_string_lossy().into_owned();
    // Systems number their errors differently.
    let text = text.replace("(os error 61)", "(os error 111)");
    without_times(&text.replace(&root, "[ROOT]"))
}

/// Replaces points in time, durations and speeds.
fn without_times(text: &str) -> String {
    let word = |word: &str| {
        let core = word.trim_end_matches([',', ')']);
        let rest = &word[core.len()..];
        let is_time = core.len() > 18 && core.starts_with("20") && core.ends_with('Z');
        let number = core.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let is_span = ["ms", "s"].contains(&&core[number.len()..])
            && !number.is_empty()
            && number.chars().all(|c| c.is_ascii_digit() || c == '.');
        match (is_time, is_span) {
            (true, _) => format!("[TIME]{rest}"),
            (_, true) => format!("[SPAN]{rest}"),
            _ => word.to_owned(),
        }
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A gateway that serves one file in one form, so that what is asked of it is always the same.
fn plain_file() -> (Dag, Gateway) {
    let dag = Dag::single(b"hello, world");
    let gateway = Gateway::of(&dag).features(Features::RAW).start();
    (dag, gateway)
}

#[test]
fn a_success_prints_the_path() {
    let (dag, gateway) = plain_file();
    let sandbox = Sandbox::new();
    let source = dag.source();
    let args = get_args(&source, gateway.url());
    let output = sandbox.run(args);
    insta::assert_snapshot!(seen(&sandbox, Some(&gateway), &output), @r"
    exit code 0
    --- stdout
    [ROOT]/out/file
    --- stderr
    [1] fetching bafkreiajzj7e5ktorlu4putbczyssgciqnse2b67xj6l7pcmrixaqnqnlm
    [1] 12 B of bafkreiajzj7e5ktorlu4putbczyssgciqnse2b67xj6l7pcmrixaqnqnlm to [ROOT]/out/file
    [1] finished: 12 B in [SPAN], proof: blocks, from 1 provider
    ");
    let again = sandbox.run(args);
    insta::assert_snapshot!(seen(&sandbox, Some(&gateway), &again), @r"
    exit code 0
    --- stdout
    [ROOT]/out/file
    --- stderr
    [1] already there: [ROOT]/out/file, 12 B, proof: blocks
    ");
}

#[test]
fn the_events_of_a_success() {
    let (dag, gateway) = plain_file();
    let sandbox = Sandbox::new();
    let source = dag.source();
    let args = get_json(&source, gateway.url());
    let output = sandbox.run(args).exits(0);
    let mut kinds: Vec<String> = Vec::new();
    for event in output.events() {
        let kind = event["type"].as_str().expect("a type").to_owned();
        // How many ticks come is a matter of time.
        if kinds.last() != Some(&kind) && kind != "progress" {
            kinds.push(kind);
        }
    }
    insta::assert_snapshot!(kinds.join("\n"), @r"
    started
    provider
    resolved
    verifying
    checkpoint
    installed
    finished
    done
    ");
}

#[test]
fn a_wrong_cid_is_explained() {
    let sandbox = Sandbox::new();
    let get = |source: &str| seen(&sandbox, None, &sandbox.run(["get", source]));
    insta::assert_snapshot!(get("bafynonsense"), @r#"
    exit code 2
    --- stdout
    --- stderr
    error: bafynonsense: "bafynonsense" is neither a CID nor a path or URL that holds one: not valid Base32Lower: a wrong character, or cut short
    hint: give a CID, /ipfs/CID, ipfs://CID or a gateway URL of a file
    "#);
    insta::assert_snapshot!(get(""), @r"
    exit code 2
    --- stdout
    --- stderr
    error: the source is empty
    hint: give a CID, /ipfs/CID, ipfs://CID or a gateway URL of a file
    ");
    insta::assert_snapshot!(get("qmf412jqziuvutdgnb36fxfx7xg5v6kebsj4dpquhklyfd"), @r#"
    exit code 2
    --- stdout
    --- stderr
    error: qmf412jqziuvutdgnb36fxfx7xg5v6kebsj4dpquhklyfd: "qmf412jqziuvutdgnb36fxfx7xg5v6kebsj4dpquhklyfd" is neither a CID nor a path or URL that holds one: a version 0 CID ("Qm…") that was changed to one case cannot be repaired; use the version 1 form ("bafy…") of it
    hint: give a CID, /ipfs/CID, ipfs://CID or a gateway URL of a file
    "#);
}

#[test]
fn nobody_to_be_reached_is_explained() {
    let (dag, _) = plain_file();
    let sandbox = Sandbox::new();
    let output = sandbox.run([
        "get",
        &dag.source(),
        "-o",
        "file",
        "--gateway",
        "http://127.0.0.1:1",
    ]);
    insta::assert_snapshot!(seen(&sandbox, None, &output), @r"
    exit code 75
    --- stdout
    --- stderr
    [1] fetching bafkreiajzj7e5ktorlu4putbczyssgciqnse2b67xj6l7pcmrixaqnqnlm
    error: bafkreiajzj7e5ktorlu4putbczyssgciqnse2b67xj6l7pcmrixaqnqnlm: no provider could be reached, or all of them failed: http://127.0.0.1:1 failed (no connection: error sending request: client error (Connect): tcp connect error: Connection refused (os error 111))
    hint: try again later with: fetchd resume 1, or name a gateway: fetchd resume 1 --gateway URL
    ");
    let output = sandbox.run(["get", &dag.source(), "-o", "other"]);
    insta::assert_snapshot!(seen(&sandbox, None, &output), @r"
    exit code 75
    --- stdout
    --- stderr
    [2] fetching bafkreiajzj7e5ktorlu4putbczyssgciqnse2b67xj6l7pcmrixaqnqnlm
    error: bafkreiajzj7e5ktorlu4putbczyssgciqnse2b67xj6l7pcmrixaqnqnlm: no provider is known that could have it
    hint: try again later with: fetchd resume 2, or name a gateway: fetchd resume 2 --gateway URL
    ");
}

#[test]
fn what_nobody_has_is_explained() {
    let gateway = Gateway::empty().start();
    let sandbox = Sandbox::new();
    let source = Dag::single(b"nobody has this").source();
    let output = sandbox.run(get_args(&source, gateway.url()));
    insta::assert_snapshot!(seen(&sandbox, Some(&gateway), &output), @r"
    exit code 69
    --- stdout
    --- stderr
    [1] fetching bafkreiemqpndzewx4bioklzfvhtiegsfny5fxuc3nkjk2vmcpjxiammsti
    error: bafkreiemqpndzewx4bioklzfvhtiegsfny5fxuc3nkjk2vmcpjxiammsti: no provider has it: [GATEWAY] does not have it (answered 404 Not Found: bafkreiemqpndzewx4bioklzfvhtiegsfny5fxuc3nkjk2vmcpjxiammsti not found)
    hint: name a gateway that has it: fetchd resume 1 --reset --gateway URL
    ");
}

#[test]
fn what_is_in_the_way_is_explained() {
    let (dag, gateway) = plain_file();
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.target("file"), b"mine").expect("a writable sandbox");
    let output = sandbox.run(get_args(&dag.source(), gateway.url()));
    insta::assert_snapshot!(seen(&sandbox, Some(&gateway), &output), @r"
    exit code 73
    --- stdout
    --- stderr
    [1] fetching bafkreiajzj7e5ktorlu4putbczyssgciqnse2b67xj6l7pcmrixaqnqnlm
    [1] 12 B of bafkreiajzj7e5ktorlu4putbczyssgciqnse2b67xj6l7pcmrixaqnqnlm to [ROOT]/out/file
    error: bafkreiajzj7e5ktorlu4putbczyssgciqnse2b67xj6l7pcmrixaqnqnlm: [ROOT]/out/file exists and holds something else
    hint: move [ROOT]/out/file away, then go on with: fetchd resume 1; or repeat the get with --force to replace it
    ");
}

#[test]
fn records_are_shown() {
    let (dag, gateway) = plain_file();
    let sandbox = Sandbox::new();
    let get = |dag: &Dag, name: &str, url: &str| {
        sandbox.run(["get", &dag.source(), "-o", name, "--gateway", url])
    };
    get(&dag, "file", gateway.url()).exits(0);
    let other = Dag::single(b"nobody is asked");
    get(&other, "other", "http://127.0.0.1:1").exits(75);
    let seen = |args: &[&str]| seen(&sandbox, Some(&gateway), &sandbox.run(args));
    insta::assert_snapshot!(seen(&["list"]), @r"
    exit code 0
    --- stdout
    ID  STATUS  DONE  SIZE  NAME   NOTE
     2  paused     -     -  other  no provider could be reached, or all of them failed: http://127.0.0.1:1 failed (no connection: error sending request: client error (Connect): tcp connect error: Connection refused (os error 111))
    --- stderr
    ");
    insta::assert_snapshot!(seen(&["list", "--all"]), @r"
    exit code 0
    --- stdout
    ID  STATUS   DONE  SIZE  NAME   NOTE
     1  success  100%  12 B  file
     2  paused      -     -  other  no provider could be reached, or all of them failed: http://127.0.0.1:1 failed (no connection: error sending request: client error (Connect): tcp connect error: Connection refused (os error 111))
    --- stderr
    ");
    insta::assert_snapshot!(seen(&["show", "1"]), @r"
    exit code 0
    --- stdout
    id: 1
    source: bafkreiajzj7e5ktorlu4putbczyssgciqnse2b67xj6l7pcmrixaqnqnlm
    cid: bafkreiajzj7e5ktorlu4putbczyssgciqnse2b67xj6l7pcmrixaqnqnlm
    path: [ROOT]/out/file
    kind: file
    status: success
    proved: 100% (12 B of 12 B)
    sha256: 09ca7e4eaa6e8ae9c7d261167129184883644d07dfba7cbfbc4c8a2e08360d5b
    proof: blocks
    attempts: 0
    priority: 0
    created: [TIME]
    updated: [TIME]
    completed: [TIME]
    file: 12 B of 12 B
    provider: [GATEWAY]: 12 B kept, 0 B thrown away, 1 requests, 0 errors, 0 rejected
    checkpoint: [TIME] 12 B, completion, completed
    receipt: 12 B fetched, 0 B thrown away, resumed from 0 B, [SPAN]
    --- stderr
    ");
    insta::assert_snapshot!(seen(&["show", "2"]), @r"
    exit code 0
    --- stdout
    id: 2
    source: bafkreigl7lrnovgd5xhiym24vyanexmbzge3utyx4iu5iecizg2zk3gvie
    cid: bafkreigl7lrnovgd5xhiym24vyanexmbzge3utyx4iu5iecizg2zk3gvie
    path: [ROOT]/out/other
    kind: file
    status: paused
    proved: 0 B
    attempts: 0
    priority: 0
    created: [TIME]
    updated: [TIME]
    error: no provider could be reached, or all of them failed: http://127.0.0.1:1 failed (no connection: error sending request: client error (Connect): tcp connect error: Connection refused (os error 111)) (retry)
    hint: try again later with: fetchd resume 2, or name a gateway: fetchd resume 2 --gateway URL
    provider: http://127.0.0.1:1: 0 B kept, 0 B thrown away, 4 requests, 4 errors, 0 rejected
    --- stderr
    ");
    insta::assert_snapshot!(seen(&["show", "3"]), @r#"
    exit code 2
    --- stdout
    --- stderr
    error: no download is known as "3"
    hint: see them all with: fetchd list --all
    "#);
    insta::assert_snapshot!(seen(&["prune", "--older-than", "0", "--dry-run"]), @r"
    exit code 0
    --- stdout
    download 1: would be forgotten
    --- stderr
    ");
}

#[test]
fn gateways_are_listed() {
    let sandbox = Sandbox::new();
    sandbox.config("gateways = [{ url = \"http://127.0.0.1:1\" }, { url = \"https://off.example\", enabled = false }]");
    sandbox
        .run(["gateways", "add", "https://mine.example"])
        .exits(0);
    let output = sandbox.run(["gateways", "list"]);
    insta::assert_snapshot!(seen(&sandbox, None, &output), @r"
    exit code 0
    --- stdout
    URL                   STATE     ORIGIN  CAN  RECEIVED  RATE  REQUESTS  ERRORS  REJECTED
    https://mine.example  unknown   user    -         0 B     -         0       0         0
    http://127.0.0.1:1    unknown   config  -         0 B     -         0       0         0
    https://off.example   disabled  config  -         0 B     -         0       0         0
    --- stderr
    ");
    let output = sandbox.run(["--json", "gateways", "reset", "https://off.example"]);
    insta::assert_snapshot!(seen(&sandbox, None, &output), @r#"
    exit code 0
    --- stdout
    {"v":1,"gateways":[{"url":"https://mine.example","origin":"user","enabled":true,"state":"unknown","until":null,"reason":null,"requests":0,"bytes":0,"errors":0,"rejected":0,"capabilities":{"raw":null,"car":null,"entity_bytes":null,"range":null},"latency":null,"throughput":null},{"url":"http://127.0.0.1:1","origin":"config","enabled":true,"state":"unknown","until":null,"reason":null,"requests":0,"bytes":0,"errors":0,"rejected":0,"capabilities":{"raw":null,"car":null,"entity_bytes":null,"range":null},"latency":null,"throughput":null},{"url":"https://off.example","origin":"config","enabled":false,"state":"disabled","until":null,"reason":null,"requests":0,"bytes":0,"errors":0,"rejected":0,"capabilities":{"raw":null,"car":null,"entity_bytes":null,"range":null},"latency":null,"throughput":null}]}
    --- stderr
    "#);
}

#[test]
fn the_configuration_is_shown() {
    let sandbox = Sandbox::new();
    let seen = |args: &[&str]| seen(&sandbox, None, &sandbox.run(args));
    insta::assert_snapshot!(seen(&["config", "path"]), @r"
    exit code 0
    --- stdout
    [ROOT]/config.toml
    --- stderr
    ");
    insta::assert_snapshot!(seen(&["config", "show"]), @r#"
    exit code 0
    --- stdout
    # configuration file: [ROOT]/config.toml
    # state directory: [ROOT]/state
    discovery = "off"                       # file
    routers = ["https://delegated-ipfs.dev"]  # default
    dns = "system"                          # default
    download_dir = "."                      # default
    connections = 8                         # default
    jobs = 3                                # default
    per_gateway = 4                         # default
    limit_rate = "off"                      # default
    min_speed = "off"                       # default
    connect_timeout = "2s"                  # file
    first_byte_timeout = "3s"               # file
    stall_timeout = "1s"                    # file
    max_wait = "15m"                        # default
    max_retries = 3                         # default
    backoff_initial = "1ms"                 # file
    backoff_multiplier = 2.0                # default
    backoff_max = "5ms"                     # file
    max_resume_attempts = 3                 # default
    resume_threshold = 0.5                  # default
    max_source_switches = 2                 # default
    checkpoint_bytes = "64MiB"              # default
    checkpoint_interval = "2s"              # default
    file_sha256 = true                      # default
    retention = "7d"                        # default
    history_limit = 100                     # default
    max_size = "off"                        # default
    max_entries = 1000000                   # default
    max_depth = 128                         # default
    max_block_size = "2MiB"                 # default
    allow_hash = []                         # default
    progress = "auto"                       # default
    gateways = []
    --- stderr
    "#);
}

#[test]
fn the_manual_is_printed_or_written() {
    let sandbox = Sandbox::new();
    let page = sandbox.run(["man", "gateways", "check"]).exits(0).text();
    assert!(page.contains(".TH fetchd-gateways-check 1"), "{page}");
    let written = sandbox.run(["man", "--dir", "man1"]).exits(0).text();
    let names: Vec<&str> = written.lines().collect();
    assert!(names.contains(&"man1/fetchd-get.1"), "{written}");
    let on_disk = std::fs::read_dir(sandbox.target("man1")).expect("the pages");
    assert_eq!(on_disk.count(), names.len());
    sandbox.run(["man", "nothing"]).exits(2);
}
