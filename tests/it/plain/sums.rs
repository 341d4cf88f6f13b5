//! Lists of checksums, and what is said of files and their sums.

use super::{SIZE, data, failed, finished, server, url};
use crate::support::dag::{Recipe, seeded};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::sandbox::{Output, Sandbox};
use crate::support::scenario::{get_args, sha256};

fn listed(sandbox: &Sandbox, list: &str) -> String {
    let path = sandbox.root().join("SHA256SUMS");
    std::fs::write(&path, list).expect("a writable sandbox");
    path.to_str().expect("text").to_owned()
}

#[test]
fn a_list_proves_what_it_names() {
    let data = data();
    let (sum, other) = (sha256(&data), "00".repeat(32));
    let server = server(&data, None)
        .file("/b%20c", data.clone(), None)
        .start();
    for list in [
        format!("# sums\n\n{other}  other\n{sum}  file\n"),
        format!("{sum} *dir/file\r\n"),
        format!("SHA256 (./file) = {sum}\n"),
    ] {
        let sandbox = Sandbox::new();
        let list = listed(&sandbox, &list);
        let args = ["get", &url(&server), "--sha256sums", &list];
        sandbox.run(args).exits(0);
        assert!(sandbox.read("file") == data);
    }
    // Two sources, the list from standard input; and a source by the name that it gets.
    let sandbox = Sandbox::new();
    let list = format!("{sum}  file\n\\{sum}  b c\n");
    let second = format!("{}/b%20c", server.url());
    let args = ["get", &url(&server), &second, "--sha256sums", "-"];
    sandbox.fetchd(args).stdin(list).run().exits(0);
    assert!(sandbox.read("file") == data && sandbox.read("b c") == data);
    let list = listed(&sandbox, &format!("{sum}  mine\n"));
    let args = ["get", &url(&server), "-o", "mine", "--sha256sums", &list];
    sandbox.run(args).exits(0);
}

#[test]
fn what_a_list_does_not_name_is_refused() {
    let data = data();
    let server = server(&data, None).start();
    let sandbox = Sandbox::new();
    let (sum, wrong) = (sha256(&data), "00".repeat(32));
    for (list, code) in [
        (format!("{sum}  other\n"), 77),
        (format!("{sum}  a/file\n{wrong}  b/file\n"), 77),
        ("nothing\n".to_owned(), 2),
        (format!("{sum}  file\n{wrong}  file\n"), 2),
    ] {
        let path = listed(&sandbox, &list);
        let args = ["get", &url(&server), "--sha256sums", &path];
        failed(&sandbox, sandbox.run(args), code);
    }
    let args = ["get", &url(&server), "--sha256sums", "nowhere"];
    failed(&sandbox, sandbox.run(args), 2);
    assert_eq!(server.requests().len(), 0, "{}", server.story());
    let path = listed(&sandbox, &format!("{wrong}  file\n"));
    let args = ["get", &url(&server), "--sha256sums", &path];
    let output = failed(&sandbox, sandbox.run(args), 65);
    assert!(
        output.stderr.contains("check the checksum"),
        "{}",
        output.stderr
    );
}

/// With --force the checksum says which file of a URL is wanted, however it is asked for.
#[test]
fn a_new_sum_asks_for_a_new_file() {
    let (old, new) = (seeded(1, 5_000), seeded(2, 6_000));
    let server = server(&old, None).start();
    let sandbox = Sandbox::new();
    let sum = sha256(&old);
    finished(
        &sandbox,
        super::get(&sandbox, &server, &["--sha256", &sum]),
        &old,
    );
    server.put("/file", new.clone(), None);
    let sum = sha256(&new);
    let wish = ["--force", "--sha256", &sum];
    let dry = super::get(&sandbox, &server, &[&wish[..], &["--dry-run"]].concat()).exits(0);
    assert_eq!(dry.events_of("planned")[0]["action"], "fetch");
    let queued = super::get(&sandbox, &server, &[&wish[..], &["--queue"]].concat()).exits(0);
    assert_eq!(queued.events_of("queued").len(), 1);
    finished(&sandbox, sandbox.run(["--json", "run"]), &new);
    let unforced = super::get(&sandbox, &server, &["--sha256", &sha256(&old)]).exits(65);
    let dry = ["--dry-run", "--sha256", &sha256(&old)];
    let dry = super::get(&sandbox, &server, &dry).exits(65);
    let said = |output: &Output| output.events_of("failed")[0]["error"]["message"].clone();
    assert_eq!(said(&unforced), said(&dry));
}

/// With a CID the list is one more promise, which is not to be broken either.
#[test]
fn a_list_contradicts_a_cid() {
    let dag = Recipe::default().chunk(256 << 10).build(SIZE);
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let source = dag.source();
    let run = |sum: &str| {
        let list = listed(&sandbox, &format!("{sum}  file\n"));
        let args = get_args(&source, gateway.url());
        sandbox.run(args.into_iter().chain(["--sha256sums", &list]))
    };
    run(&"00".repeat(32)).exits(65);
    assert!(!sandbox.target("file").exists());
    let sent = gateway.sent();
    // The contradiction is the user's: neither it nor its end fetches anything again.
    run(&"00".repeat(32)).exits(65);
    sandbox.run(["resume", "1", "--reset"]).exits(65);
    assert_eq!(gateway.sent(), sent, "{}", gateway.story());
    run(&sha256(&dag.data)).exits(0);
    assert!(sandbox.read("file") == dag.data);
    assert_eq!(gateway.sent(), sent, "{}", gateway.story());
}

#[test]
fn messages_name_what_helps() {
    let data = data();
    let sum = sha256(&data);
    let page =
        "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>secret</body></html>";
    let refusing = Fault::Status {
        code: 401,
        headers: Vec::new(),
        body: page.into(),
    };
    let server_of = |fault| server(&data, None).on(On::any(), fault).start();
    let locked = server_of(refusing);
    let sandbox = Sandbox::new();
    let args = ["get", &url(&locked), "--sha256", &sum];
    let output = failed(&sandbox, sandbox.run(args), 77);
    for word in ["--header", "--netrc", "Sign in"] {
        assert!(output.stderr.contains(word), "{}", output.stderr);
    }
    assert!(!output.stderr.contains("secret"), "{}", output.stderr);

    let sandbox = Sandbox::new();
    let server = server(&data, None).start();
    let args = ["get", &url(&server), "--sha256", &sum];
    sandbox.run(args).exits(0);
    let again = sandbox.run(args).exits(0);
    assert!(again.stderr.contains("already there"), "{}", again.stderr);
    let digest = format!("blake3:{}", blake3::hash(&data).to_hex());
    let args = ["get", &url(&server), "-o", "b3", "--checksum", &digest];
    let output = sandbox.run(args).exits(0);
    assert!(output.stderr.contains("proof: blake3"), "{}", output.stderr);
}

/// Whoever proves the content, and wherever it goes: what contradicts it is said.
#[test]
fn another_checksum_of_a_cid_is_compared_too() {
    let dag = Recipe::default().chunk(256 << 10).width(174).build(600_000);
    let digest = format!("blake3:{}", blake3::hash(&dag.data).to_hex());
    let wrong = format!("sha512:{}", "00".repeat(64));
    let plain = Features {
        plain: true,
        ..Features::NONE
    };
    for features in [Features::RAW, plain] {
        let gateway = Gateway::of(&dag).features(features).start();
        let source = dag.source();
        for (checksum, code) in [(&digest, 0), (&wrong, 65)] {
            let sandbox = Sandbox::new();
            let get = ["get", &source, "--gateway", gateway.url()];
            let wish = ["--checksum", checksum.as_str()];
            let args = get.iter().chain(&wish);
            let output = sandbox.run(args.clone().chain(&["-o", "file"])).exits(code);
            let is_there = sandbox.target("file").exists();
            assert_eq!(is_there, code == 0, "{}", output.transcript());
            let output = sandbox.run(args.chain(&["-o", "-"])).exits(code);
            assert!(code == 65 || output.stdout == dag.data);
        }
    }
}

/// A URL may lead to another file by now: with --force the checksum says which one is wanted.
#[test]
fn another_file_is_wanted_by_another_checksum() {
    let (old, mut new) = (data(), data());
    new[0] ^= 1;
    let digest = |data: &[u8]| format!("blake3:{}", blake3::hash(data).to_hex());
    let server = server(&old, None)
        .on(On::any().from(2), Fault::FlipBit(0))
        .start();
    let (sandbox, url) = (Sandbox::new(), url(&server));
    let [before, now] = [&old, &new].map(|data| digest(data));
    let get = ["get", &url, "-o", "file", "--checksum"];
    sandbox.run(get.iter().chain(&[before.as_str()])).exits(0);
    assert!(sandbox.read("file") == old);
    sandbox.run(get.iter().chain(&[now.as_str()])).exits(65);
    let forced = [now.as_str(), "--force"];
    sandbox.run(get.iter().chain(&forced)).exits(0);
    assert!(sandbox.read("file") == new);
}

/// Finished by a run that hashed nothing, and wanted with a checksum by the next one.
#[test]
fn a_checksum_that_is_demanded_later_is_compared_too() {
    let dag = Recipe::default().chunk(256 << 10).width(174).build(600_000);
    let gateway = Gateway::of(&dag).start();
    let (sandbox, wrong) = (Sandbox::new(), "00".repeat(32));
    sandbox.config("file_sha256 = false");
    // As long as the file: only the install finds out that it is another one.
    std::fs::write(sandbox.target("file"), vec![0; dag.data.len()]).expect("a file");
    let source = dag.source();
    let get = ["get", &source, "-o", "file", "--gateway", gateway.url()];
    sandbox.run(get).exits(73);
    std::fs::remove_file(sandbox.target("file")).expect("a file");
    let output = sandbox.run(get.iter().chain(&["--sha256", &wrong]));
    failed(&sandbox, output, 65);
}
