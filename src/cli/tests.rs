//! What the command line accepts, and the help of every command.

use std::time::Duration;

use clap::error::ErrorKind;

use super::*;
use crate::cli::values::Limit;
use crate::download::Status;

fn command(arguments: &str) -> Command {
    parsed(arguments).expect("valid arguments").command
}

fn parsed(arguments: &str) -> Result<Cli, clap::Error> {
    parse(["fetchd"].into_iter().chain(arguments.split_whitespace()))
}

/// The help at a fixed width, `path` being the command below the program.
fn help(path: &[&str], long: bool) -> String {
    let mut program = Cli::command().term_width(100);
    program.build();
    let mut command = &mut program;
    for name in path {
        command = command.find_subcommand_mut(name).expect("a command");
    }
    let text = if long {
        command.render_long_help()
    } else {
        command.render_help()
    };
    let lines: Vec<String> = text
        .to_string()
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

#[test]
fn definitions_are_consistent() {
    Cli::command().debug_assert();
}

/// The commands in the examples of a help: `$(…)` and what stands before a pipe, without the
/// variables in front.
fn examples(help: &str) -> Vec<Vec<String>> {
    let lines = help.lines().skip_while(|line| *line != "Examples:");
    let lines = lines.skip(1).take_while(|line| line.starts_with("  "));
    let words = |line: &str| shlex::split(line).expect("an example that a shell takes");
    lines
        .map(|line| line.split_once("$(").map_or(line, |(_, inner)| inner))
        .map(|line| words(&line.replace(")\"", "")))
        .map(|words| {
            let words = words.into_iter().skip_while(|word| word.contains('='));
            let ends = ["|", ">", "<", "&&"];
            words
                .take_while(|word| !ends.contains(&word.as_str()))
                .collect()
        })
        .collect()
}

#[test]
fn every_help_has_examples_that_the_parser_takes() {
    fn check(command: &clap::Command) {
        let help = [command.get_after_help(), command.get_after_long_help()];
        let name = command.get_bin_name().unwrap_or_default().to_owned();
        for help in help.into_iter().flatten() {
            let examples = examples(&help.to_string());
            assert!(examples.len() >= 2, "{name}: show two examples or more");
            for example in examples {
                assert_eq!(example[0], "fetchd", "{name}: {example:?}");
                if let Err(error) = parse(example.clone()) {
                    panic!("{name}: {example:?}: {error}");
                }
                let own = example.iter().filter(|word| !word.starts_with('-'));
                let own: Vec<&str> = own.map(String::as_str).collect();
                assert!(own.join(" ").starts_with(&name), "{name}: {example:?}");
            }
        }
        assert!(command.get_after_help().is_some(), "{name}: no examples");
        command.get_subcommands().for_each(check);
    }
    let mut program = Cli::command();
    program.build();
    check(&program);
}

#[test]
fn get_reads_its_options() {
    let Command::Get(get) = command(
        "get a b -i list.txt -d out --gateway http://g --gateway x.car --force --limit-rate 2M/s \
         --include *.md --exclude drafts --exclude tmp/** --preserve --connections 16 --max-size 1.5GiB --max-time 1h30m --sha256 \
         AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ) else {
        panic!("not get");
    };
    let expected = Get {
        sources: vec!["a".into(), "b".into()],
        input: Some("list.txt".into()),
        output: None,
        dir: Some("out".into()),
        gateway: vec!["http://g".into(), "x.car".into()],
        mirror: vec![],
        sha256sums: None,
        sha256: Some([0xaa; 32]),
        checksum: None,
        header: vec![],
        netrc: false,
        allow_unverified: false,
        include: vec!["*.md".into()],
        exclude: vec!["drafts".into(), "tmp/**".into()],
        dry_run: false,
        car: false,
        preserve: true,
        force: true,
        limit_rate: Some(Limit(Some(2 << 20))),
        connections: Some(16),
        max_size: Some(Limit(Some(3 << 29))),
        max_time: Some(Duration::from_secs(5400)),
        queue: false,
        priority: None,
        wait: false,
    };
    assert_eq!(get, expected);
}

#[test]
fn global_flags_stand_anywhere() {
    for arguments in [
        "--json -vv --config c list",
        "list --json -vv --config c",
        "--json list -v -v --config c",
    ] {
        let global = parsed(arguments).expect("valid arguments").global;
        assert_eq!(
            (global.json, global.config),
            (true, Some("c".into())),
            "{arguments}"
        );
    }
}

#[test]
fn wrong_arguments_are_usage_errors() {
    let table = [
        ("get", ErrorKind::MissingRequiredArgument),
        ("get -o x a b", ErrorKind::ArgumentConflict),
        ("--json get -o - a", ErrorKind::ArgumentConflict),
        ("-q -v list", ErrorKind::ArgumentConflict),
        ("-q list -v", ErrorKind::ArgumentConflict),
        ("get a --sha256 12", ErrorKind::ValueValidation),
        ("get a --max-size big", ErrorKind::ValueValidation),
        ("get a --max-time 0", ErrorKind::ValueValidation),
        ("get a --connections 0", ErrorKind::ValueValidation),
        ("resume", ErrorKind::MissingRequiredArgument),
        ("resume 1 --all", ErrorKind::ArgumentConflict),
        ("pause", ErrorKind::MissingRequiredArgument),
        ("cancel --keep-partial", ErrorKind::MissingRequiredArgument),
        ("list --status odd", ErrorKind::InvalidValue),
        ("show", ErrorKind::MissingRequiredArgument),
        ("--color mauve list", ErrorKind::InvalidValue),
        ("fetch", ErrorKind::InvalidSubcommand),
    ];
    for (arguments, kind) in table {
        let error = parsed(arguments).expect_err(arguments);
        assert_eq!((error.kind(), error.exit_code()), (kind, 2), "{arguments}");
    }
}

#[test]
fn lists_are_filtered_by_status() {
    let Command::List(list) =
        command("list --status failed --status in_progress --sort size --limit 5")
    else {
        panic!("not list");
    };
    assert_eq!(list.status, [Status::Failed, Status::InProgress]);
    assert_eq!((list.sort, list.limit), (SortKey::Size, Some(5)));
}

#[test]
fn an_input_file_is_a_source() {
    assert!(matches!(command("get -i -"), Command::Get(get) if get.input == Some("-".into())));
}

#[test]
fn help_of_the_program() {
    insta::assert_snapshot!(help(&[], false), @r"
    Download content by its CID from any HTTP source, and prove every byte

    Usage: fetchd [OPTIONS] <COMMAND>

    Commands:
      get          Download and prove
      resume       Go on with paused, interrupted or failed downloads
      run          Fetch what is in the queue and due
      watch        Look on at what other invocations are doing
      pause        Stop downloads at a checkpoint, from any terminal
      cancel       Give downloads up, from any terminal
      checkpoint   Make a checkpoint now and go on, from any terminal
      ls           Show what a directory holds, proved, without fetching its files
      sync         Bring every file of a manifest in place, and lock what it was resolved to
      catalog      Keep names for sources, and find what fits this machine
      cid          Print the CIDs that a file or a tree on disk has under importer profiles
      verify       Prove what is on disk against its CID, offline where that is possible
      repair       Fetch what is wrong or missing on disk, and nothing else
      export       Hand finished or unfinished work on as a CAR file
      import       Take from a CAR file all that proves right
      list         List what is not finished, or has failed
      show         Show everything that is known about one download
      history      Show what was asked of whom, newest first
      prune        Forget ended downloads, old history and their part files
      gateways     Manage the providers that content is asked of
      config       Show or begin the configuration
      completions  Print a completion script for a shell
      man          Print the manual page of the program or of a command, as roff

    Options:
      -h, --help     Print help (see more with '--help')
      -V, --version  Print version

    Global options:
          --json              Print JSON on standard output: one event a line, or one document
      -q, --quiet             Print errors and results only
      -v, --verbose...        Tell in words what the engine does; twice adds developers' traces
          --color <WHEN>      When to use colours [default: auto] [possible values: auto, always, never]
          --progress <STYLE>  How to show progress [default: bar on a terminal, otherwise plain]
                              [possible values: bar, plain, json, none]
          --config <FILE>     Configuration file to read [env: FETCHD_CONFIG]
          --state-dir <DIR>   Directory that holds fetchd's state [env: FETCHD_STATE_DIR]

    Examples:
      fetchd get bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi
      fetchd list
      fetchd resume 3

    'fetchd --help' explains exit codes and files, 'fetchd <COMMAND> --help' a command.
    ");
}

#[test]
fn long_help_of_the_program() {
    insta::assert_snapshot!(help(&[], true), @r#"
    Download content by its CID from any HTTP source, and prove every byte

    fetchd takes bytes from whoever has them, trusts nobody, proves every byte against the CID, and
    keeps its state on disk: whatever ends a download, `fetchd resume` goes on where the proof ended.

    Usage: fetchd [OPTIONS] <COMMAND>

    Commands:
      get          Download and prove
      resume       Go on with paused, interrupted or failed downloads
      run          Fetch what is in the queue and due
      watch        Look on at what other invocations are doing
      pause        Stop downloads at a checkpoint, from any terminal
      cancel       Give downloads up, from any terminal
      checkpoint   Make a checkpoint now and go on, from any terminal
      ls           Show what a directory holds, proved, without fetching its files
      sync         Bring every file of a manifest in place, and lock what it was resolved to
      catalog      Keep names for sources, and find what fits this machine
      cid          Print the CIDs that a file or a tree on disk has under importer profiles
      verify       Prove what is on disk against its CID, offline where that is possible
      repair       Fetch what is wrong or missing on disk, and nothing else
      export       Hand finished or unfinished work on as a CAR file
      import       Take from a CAR file all that proves right
      list         List what is not finished, or has failed
      show         Show everything that is known about one download
      history      Show what was asked of whom, newest first
      prune        Forget ended downloads, old history and their part files
      gateways     Manage the providers that content is asked of
      config       Show or begin the configuration
      completions  Print a completion script for a shell
      man          Print the manual page of the program or of a command, as roff

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Global options:
          --json
              Print JSON on standard output: one event a line, or one document

      -q, --quiet
              Print errors and results only

      -v, --verbose...
              Tell in words what the engine does; twice adds developers' traces

          --color <WHEN>
              When to use colours

              [default: auto]
              [possible values: auto, always, never]

          --progress <STYLE>
              How to show progress [default: bar on a terminal, otherwise plain]

              [possible values: bar, plain, json, none]

          --config <FILE>
              Configuration file to read [env: FETCHD_CONFIG]

          --state-dir <DIR>
              Directory that holds fetchd's state [env: FETCHD_STATE_DIR]

    Examples:
      fetchd get bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi
      fetchd get -o model.gguf ipfs://bafybei.../model.gguf
      fetchd list
      fetchd resume 3
      fetchd --json get -i sources.txt | jq 'select(.type == "finished").sha256'

    Exit codes:
        0  success       every byte proved and in place (or already there, or queued)
        1  internal      a bug in fetchd, or an error that no other code covers
        2  usage         bad arguments, source or id
       65  verification  bytes that cannot be proved, or a contradicting checksum
       69  not_found     no provider has it, or the path is proved absent
       73  exists        the target exists with other content, or cannot be created
       74  disk          no room, a read-only file system, or an I/O error
       75  retry         providers unreachable, rate-limited or failing; try again later
       77  refused       refused: a limit, an unsafe name, a weak hash, credentials
       78  config        configuration or state file malformed, corrupt or too new
       80  partial       several sources failed, for different reasons
       81  stopped       paused or cancelled from another terminal
      130  signal        interrupted by SIGINT after a checkpoint
      143  signal        ended by SIGTERM after a checkpoint
      141  closed        the reader of the standard output went away

    Configuration:
      Flags win over FETCHD_<KEY> variables, these over the configuration file ('fetchd config path'),
      that over the defaults ('fetchd config show' prints all of them).
      Also read: HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE, NO_COLOR, CLICOLOR,
      CLICOLOR_FORCE, CI, IPFS_GATEWAY, IPFS_PATH and ~/.ipfs/gateway.

    Values:
      Sizes: 20M = 20 × 2^20, 20MB = 20 × 10^6, 20MiB; a bare number is bytes.
      Durations: 90s, 5m, 250ms, 1h30m; a bare number is seconds.
      An ID is the number that 'fetchd list' prints. A CID, a unique prefix of at least 8 of its
      characters, or a path on disk does too.
    "#);
}

#[test]
fn help_of_get() {
    insta::assert_snapshot!(help(&["get"], false), @r#"
    Download and prove

    Usage: fetchd get [OPTIONS] [SOURCE]...

    Arguments:
      [SOURCE]...  CID, CID/path, ipfs:// or ipns:// address, or gateway URL

    Options:
      -i, --input <FILE>          Read sources from FILE, one a line (# begins a comment, - is stdin)
      -o, --output <PATH>         Name of the file, relative to --dir; - writes the bytes to stdout
      -d, --dir <DIR>             Directory to download to, created if missing
          --gateway <URL|CAR>     Ask only this gateway (URL) or CAR file; repeatable
          --mirror <URL|PATH>     Also take from this URL, file or directory, which holds the same
                                  bytes; repeatable
          --sha256 <HEX>          Also demand this SHA-256 of the file
          --checksum <ALG:HEX>    Also demand this digest of the file (sha256, sha512 or blake3)
          --sha256sums <FILE>     Also demand the SHA-256 that FILE has for the name (as sha256sum
                                  writes it, - is stdin)
          --header <NAME: VALUE>  Send this header to the source and its mirrors; repeatable, never
                                  stored
          --netrc                 Take logins for the source and its mirrors from ~/.netrc
          --allow-unverified      Keep what nothing proves; the record and the output say so
          --car                   Save the blocks, proved, as a CAR file: NAME.car, or --output
          --include <GLOB>        Of a directory, take only what matches; repeatable
          --exclude <GLOB>        Of a directory, leave out what matches; repeatable
          --preserve              Keep the modes and times that files and directories have in the DAG
          --force                 Replace other content at the target
          --dry-run               Only say what would be done: kind, size, place, providers
          --limit-rate <RATE>     Most bytes per second, all connections together (500K, 2M, off)
          --connections <N>       Most connections at once [default: 8 to 16]
          --max-size <SIZE>       Refuse content that is larger (20M, 1.5GiB, off)
          --queue                 Put it into the queue for 'fetchd run', print its id, and ask nobody
          --priority <N>          Its place in the queue: higher is earlier [default: 0]
          --wait                  If another process is fetching it, wait for that
          --max-time <TIME>       Pause after this time in all (90s, 5m, 1h30m)
      -h, --help                  Print help (see more with '--help')

    Global options:
          --json              Print JSON on standard output: one event a line, or one document
      -q, --quiet             Print errors and results only
      -v, --verbose...        Tell in words what the engine does; twice adds developers' traces
          --color <WHEN>      When to use colours [default: auto] [possible values: auto, always, never]
          --progress <STYLE>  How to show progress [default: bar on a terminal, otherwise plain]
                              [possible values: bar, plain, json, none]
          --config <FILE>     Configuration file to read [env: FETCHD_CONFIG]
          --state-dir <DIR>   Directory that holds fetchd's state [env: FETCHD_STATE_DIR]

    Prints the absolute path of each file on standard output. Nothing unproved gets a final name.
    The same source and path again is resumed, or done at once without a request.

    Examples:
      fetchd get bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi
      fetchd get -d models -o llama.gguf ipfs://bafybei.../llama.gguf
      fetchd get --gateway http://127.0.0.1:8080 --limit-rate 5M bafybei...
      fetchd get -o - bafkrei... | tar -x
      fetchd get --car -o photos.car bafybei.../photos
      fetchd --json get --dry-run bafybei...
      fetchd get --queue --priority 5 -d models bafybei...
      fetchd get -i sources.txt -d data --max-time 30m
    "#);
}

#[test]
fn help_of_resume() {
    insta::assert_snapshot!(help(&["resume"], false), @r"
    Go on with paused, interrupted or failed downloads

    Usage: fetchd resume [OPTIONS] [ID]...

    Arguments:
      [ID]...  Downloads to go on with: id, CID, unique prefix of a CID, or path

    Options:
          --all                Everything unfinished, except what was paused by hand
          --reset              Forget the attempts and reopen failed downloads; proved bytes stay
          --gateway <URL|CAR>  Ask only this gateway (URL) or CAR file from now on; repeatable
          --mirror <URL|PATH>  Also take from this URL, file or directory, which holds the same bytes;
                               repeatable
      -j, --jobs <N>           At most so many at once [default: the key jobs]
          --limit-rate <RATE>  Most bytes per second from now on (500K, 2M, off)
      -h, --help               Print help

    Global options:
          --json              Print JSON on standard output: one event a line, or one document
      -q, --quiet             Print errors and results only
      -v, --verbose...        Tell in words what the engine does; twice adds developers' traces
          --color <WHEN>      When to use colours [default: auto] [possible values: auto, always, never]
          --progress <STYLE>  How to show progress [default: bar on a terminal, otherwise plain]
                              [possible values: bar, plain, json, none]
          --config <FILE>     Configuration file to read [env: FETCHD_CONFIG]
          --state-dir <DIR>   Directory that holds fetchd's state [env: FETCHD_STATE_DIR]

    Proved bytes are never fetched again. Of a finished download the path is printed; a cancelled one
    is an error.

    Examples:
      fetchd resume 3
      fetchd resume --all
      fetchd resume --reset --gateway https://gateway.example.org 3
    ");
}

#[test]
fn help_of_pause() {
    insta::assert_snapshot!(help(&["pause"], false), @r#"
    Stop downloads at a checkpoint, from any terminal

    Usage: fetchd pause [OPTIONS] <ID>...

    Arguments:
      <ID>...  Downloads to stop: id, CID, unique prefix of a CID, or path

    Options:
      -h, --help  Print help

    Global options:
          --json              Print JSON on standard output: one event a line, or one document
      -q, --quiet             Print errors and results only
      -v, --verbose...        Tell in words what the engine does; twice adds developers' traces
          --color <WHEN>      When to use colours [default: auto] [possible values: auto, always, never]
          --progress <STYLE>  How to show progress [default: bar on a terminal, otherwise plain]
                              [possible values: bar, plain, json, none]
          --config <FILE>     Configuration file to read [env: FETCHD_CONFIG]
          --state-dir <DIR>   Directory that holds fetchd's state [env: FETCHD_STATE_DIR]

    Returns when the owner has acknowledged; 75 if it has not within 10 seconds. Twice is harmless.

    Examples:
      fetchd pause 3
      fetchd pause ./models/llama.gguf
    "#);
}

#[test]
fn help_of_cancel() {
    insta::assert_snapshot!(help(&["cancel"], false), @r#"
    Give downloads up, from any terminal

    Usage: fetchd cancel [OPTIONS] <ID>...

    Arguments:
      <ID>...  Downloads to give up: id, CID, unique prefix of a CID, or path

    Options:
          --keep-partial  Leave the part file on disk
      -h, --help          Print help

    Global options:
          --json              Print JSON on standard output: one event a line, or one document
      -q, --quiet             Print errors and results only
      -v, --verbose...        Tell in words what the engine does; twice adds developers' traces
          --color <WHEN>      When to use colours [default: auto] [possible values: auto, always, never]
          --progress <STYLE>  How to show progress [default: bar on a terminal, otherwise plain]
                              [possible values: bar, plain, json, none]
          --config <FILE>     Configuration file to read [env: FETCHD_CONFIG]
          --state-dir <DIR>   Directory that holds fetchd's state [env: FETCHD_STATE_DIR]

    Returns when the owner has acknowledged; 75 if it has not within 10 seconds. Twice is harmless.
    The part file is removed unless --keep-partial is given.

    Examples:
      fetchd cancel 3
      fetchd cancel --keep-partial 3 4
    "#);
}

#[test]
fn help_of_checkpoint() {
    insta::assert_snapshot!(help(&["checkpoint"], false), @r"
    Make a checkpoint now and go on, from any terminal

    Usage: fetchd checkpoint [OPTIONS] <ID>...

    Arguments:
      <ID>...  Downloads to make safe: id, CID, unique prefix of a CID, or path

    Options:
      -h, --help  Print help

    Global options:
          --json              Print JSON on standard output: one event a line, or one document
      -q, --quiet             Print errors and results only
      -v, --verbose...        Tell in words what the engine does; twice adds developers' traces
          --color <WHEN>      When to use colours [default: auto] [possible values: auto, always, never]
          --progress <STYLE>  How to show progress [default: bar on a terminal, otherwise plain]
                              [possible values: bar, plain, json, none]
          --config <FILE>     Configuration file to read [env: FETCHD_CONFIG]
          --state-dir <DIR>   Directory that holds fetchd's state [env: FETCHD_STATE_DIR]

    Returns when the owner has acknowledged; 75 if it has not within 10 seconds. The signal SIGUSR1 to
    the process does the same.

    Examples:
      fetchd checkpoint 3
      fetchd checkpoint ./models/llama.gguf
    ");
}

#[test]
fn help_of_history() {
    insta::assert_snapshot!(help(&["history"], false), @r"
    Show what was asked of whom, newest first

    Usage: fetchd history [OPTIONS] [ID]

    Arguments:
      [ID]  Download to tell of: id, CID, unique prefix of a CID, or path [default: all]

    Options:
      -n, --limit <N>  At most so many
      -h, --help       Print help

    Global options:
          --json              Print JSON on standard output: one event a line, or one document
      -q, --quiet             Print errors and results only
      -v, --verbose...        Tell in words what the engine does; twice adds developers' traces
          --color <WHEN>      When to use colours [default: auto] [possible values: auto, always, never]
          --progress <STYLE>  How to show progress [default: bar on a terminal, otherwise plain]
                              [possible values: bar, plain, json, none]
          --config <FILE>     Configuration file to read [env: FETCHD_CONFIG]
          --state-dir <DIR>   Directory that holds fetchd's state [env: FETCHD_STATE_DIR]

    Examples:
      fetchd history
      fetchd history 3
      fetchd --json history 3 | jq '.attempts[].outcome'
    ");
}

#[test]
fn help_of_prune() {
    insta::assert_snapshot!(help(&["prune"], false), @r"
    Forget ended downloads, old history and their part files

    Usage: fetchd prune [OPTIONS] [ID]...

    Arguments:
      [ID]...  Ended downloads to forget: id, CID, unique prefix of a CID, or path [default: all old
               ones]

    Options:
          --older-than <TIME>  Only what ended longer ago [default: the key retention; with IDs, any
                               time]
          --dry-run            Only say what would go
      -h, --help               Print help

    Global options:
          --json              Print JSON on standard output: one event a line, or one document
      -q, --quiet             Print errors and results only
      -v, --verbose...        Tell in words what the engine does; twice adds developers' traces
          --color <WHEN>      When to use colours [default: auto] [possible values: auto, always, never]
          --progress <STYLE>  How to show progress [default: bar on a terminal, otherwise plain]
                              [possible values: bar, plain, json, none]
          --config <FILE>     Configuration file to read [env: FETCHD_CONFIG]
          --state-dir <DIR>   Directory that holds fetchd's state [env: FETCHD_STATE_DIR]

    Finished files stay where they are. Never touches a part file that something unfinished, or another
    process, may own.

    Examples:
      fetchd prune --dry-run
      fetchd prune --older-than 30d
      fetchd prune 3 4
    ");
}

#[test]
fn help_of_list() {
    insta::assert_snapshot!(help(&["list"], false), @r#"
    List what is not finished, or has failed

    Usage: fetchd list [OPTIONS]

    Options:
      -a, --all              Finished and cancelled downloads too
          --status <STATUS>  Only downloads with this status; repeatable [possible values: pending,
                             in_progress, resuming, verifying, installing, paused, success, failed,
                             cancelled]
          --sort <KEY>       What to sort by [default: id] [possible values: id, created, updated,
                             status, size, path]
      -n, --limit <N>        At most so many
      -h, --help             Print help

    Global options:
          --json              Print JSON on standard output: one event a line, or one document
      -q, --quiet             Print errors and results only
      -v, --verbose...        Tell in words what the engine does; twice adds developers' traces
          --color <WHEN>      When to use colours [default: auto] [possible values: auto, always, never]
          --progress <STYLE>  How to show progress [default: bar on a terminal, otherwise plain]
                              [possible values: bar, plain, json, none]
          --config <FILE>     Configuration file to read [env: FETCHD_CONFIG]
          --state-dir <DIR>   Directory that holds fetchd's state [env: FETCHD_STATE_DIR]

    Examples:
      fetchd list
      fetchd list --status failed --status paused
      fetchd list --all --sort updated --limit 20
      fetchd --json list --all | jq '.downloads[].path'
    "#);
}

#[test]
fn help_of_show() {
    insta::assert_snapshot!(help(&["show"], false), @r#"
    Show everything that is known about one download

    Usage: fetchd show [OPTIONS] <ID>

    Arguments:
      <ID>  Download to show: id, CID, unique prefix of a CID, or path

    Options:
      -h, --help  Print help

    Global options:
          --json              Print JSON on standard output: one event a line, or one document
      -q, --quiet             Print errors and results only
      -v, --verbose...        Tell in words what the engine does; twice adds developers' traces
          --color <WHEN>      When to use colours [default: auto] [possible values: auto, always, never]
          --progress <STYLE>  How to show progress [default: bar on a terminal, otherwise plain]
                              [possible values: bar, plain, json, none]
          --config <FILE>     Configuration file to read [env: FETCHD_CONFIG]
          --state-dir <DIR>   Directory that holds fetchd's state [env: FETCHD_STATE_DIR]

    Examples:
      fetchd show 3
      fetchd --json show ./models/llama.gguf | jq .download.receipt
    "#);
}

#[test]
fn help_of_gateways() {
    insta::assert_snapshot!(help(&["gateways"], false), @r"
    Manage the providers that content is asked of

    Usage: fetchd gateways [OPTIONS] <COMMAND>

    Commands:
      list     List gateways, what they can do and how they fare
      add      Add gateways to the configured ones
      remove   Remove gateways; those of the configuration are disabled
      enable   Ask disabled gateways again
      disable  Ask gateways no longer
      check    Try what gateways can do, how fast, and what is wrong with them
      reset    Forget what was said here of gateways, and how they fared

    Options:
      -h, --help  Print help

    Global options:
          --json              Print JSON on standard output: one event a line, or one document
      -q, --quiet             Print errors and results only
      -v, --verbose...        Tell in words what the engine does; twice adds developers' traces
          --color <WHEN>      When to use colours [default: auto] [possible values: auto, always, never]
          --progress <STYLE>  How to show progress [default: bar on a terminal, otherwise plain]
                              [possible values: bar, plain, json, none]
          --config <FILE>     Configuration file to read [env: FETCHD_CONFIG]
          --state-dir <DIR>   Directory that holds fetchd's state [env: FETCHD_STATE_DIR]

    Examples:
      fetchd gateways list
      fetchd gateways add https://gateway.example.org
      fetchd gateways disable https://gateway.example.org
      fetchd gateways check http://127.0.0.1:8080
      fetchd gateways reset
    ");
    insta::assert_snapshot!(help(&["gateways", "add"], false), @r#"
    Add gateways to the configured ones

    Usage: fetchd gateways add [OPTIONS] <URL>...

    Arguments:
      <URL>...  Base URL of a gateway, as `list` prints it

    Options:
      -h, --help  Print help

    Global options:
          --json              Print JSON on standard output: one event a line, or one document
      -q, --quiet             Print errors and results only
      -v, --verbose...        Tell in words what the engine does; twice adds developers' traces
          --color <WHEN>      When to use colours [default: auto] [possible values: auto, always, never]
          --progress <STYLE>  How to show progress [default: bar on a terminal, otherwise plain]
                              [possible values: bar, plain, json, none]
          --config <FILE>     Configuration file to read [env: FETCHD_CONFIG]
          --state-dir <DIR>   Directory that holds fetchd's state [env: FETCHD_STATE_DIR]

    Examples:
      fetchd gateways add https://gateway.example.org
      fetchd gateways add http://127.0.0.1:8080 http://nas.local:8080
    "#);
}

#[test]
fn help_of_config() {
    insta::assert_snapshot!(help(&["config"], false), @r#"
    Show or begin the configuration

    Usage: fetchd config [OPTIONS] <COMMAND>

    Commands:
      show  Print each key, its value and where it comes from
      path  Print where the configuration file is looked for
      init  Write a configuration file with every key explained

    Options:
      -h, --help  Print help

    Global options:
          --json              Print JSON on standard output: one event a line, or one document
      -q, --quiet             Print errors and results only
      -v, --verbose...        Tell in words what the engine does; twice adds developers' traces
          --color <WHEN>      When to use colours [default: auto] [possible values: auto, always, never]
          --progress <STYLE>  How to show progress [default: bar on a terminal, otherwise plain]
                              [possible values: bar, plain, json, none]
          --config <FILE>     Configuration file to read [env: FETCHD_CONFIG]
          --state-dir <DIR>   Directory that holds fetchd's state [env: FETCHD_STATE_DIR]

    Examples:
      fetchd config init
      fetchd config show
      FETCHD_CONNECTIONS=16 fetchd config show
      ${EDITOR:-vi} "$(fetchd config path)"
    "#);
}

#[test]
fn help_of_completions() {
    insta::assert_snapshot!(help(&["completions"], false), @r#"
    Print a completion script for a shell

    Usage: fetchd completions [OPTIONS] <SHELL>

    Arguments:
      <SHELL>  Shell to complete for [possible values: bash, elvish, fish, powershell, zsh]

    Options:
      -h, --help  Print help

    Global options:
          --json              Print JSON on standard output: one event a line, or one document
      -q, --quiet             Print errors and results only
      -v, --verbose...        Tell in words what the engine does; twice adds developers' traces
          --color <WHEN>      When to use colours [default: auto] [possible values: auto, always, never]
          --progress <STYLE>  How to show progress [default: bar on a terminal, otherwise plain]
                              [possible values: bar, plain, json, none]
          --config <FILE>     Configuration file to read [env: FETCHD_CONFIG]
          --state-dir <DIR>   Directory that holds fetchd's state [env: FETCHD_STATE_DIR]

    Examples:
      fetchd completions bash > ~/.local/share/bash-completion/completions/fetchd
      fetchd completions zsh > ~/.zfunc/_fetchd
      fetchd completions fish > ~/.config/fish/completions/fetchd.fish
    "#);
}
