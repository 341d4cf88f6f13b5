//! The parts of the help that clap does not generate: examples, exit codes, files.

use std::fmt::Write as _;

use crate::exit;

/// Below the short help of the program.
pub(super) const PROGRAM_EXAMPLES: &str = "\
Examples:
  fetchd get bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi
  fetchd list
  fetchd resume 3

'fetchd --help' explains exit codes and files, 'fetchd <COMMAND> --help' a command.";

/// Below the long help of the program: examples, exit codes and where things are.
pub(super) fn program() -> String {
    let mut text = String::from(
        "\
Examples:
  fetchd get bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi
  fetchd get -o model.gguf ipfs://bafybei.../model.gguf
  fetchd list
  fetchd resume 3
  fetchd --json get -i sources.txt | jq 'select(.type == \"finished\").sha256'

Exit codes:
",
    );
    for kind in exit::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  {:>3}  {:<12}  {}",
            kind.code(),
            kind.name(),
            kind.meaning()
        );
    }
    text.push_str(
        "
Configuration:
  Flags win over FETCHD_<KEY> variables, these over the configuration file ('fetchd config path'),
  that over the defaults ('fetchd config show' prints all of them).
  Also read: HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE, NO_COLOR, CLICOLOR,
  CLICOLOR_FORCE, CI, IPFS_GATEWAY, IPFS_PATH and ~/.ipfs/gateway.

Values:
  Sizes: 20M = 20 × 2^20, 20MB = 20 × 10^6, 20MiB; a bare number is bytes.
  Durations: 90s, 5m, 250ms, 1h30m; a bare number is seconds.
  An ID is the number that 'fetchd list' prints. A CID, a unique prefix of at least 8 of its
  characters, or a path on disk does too.",
    );
    text
}

/// Below the help of `get`.
pub(super) const GET: &str = "\
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
  fetchd get -i sources.txt -d data --max-time 30m";

/// Below the help of `resume`.
pub(super) const RESUME: &str = "\
Proved bytes are never fetched again. Of a finished download the path is printed; a cancelled one
is an error.

Examples:
  fetchd resume 3
  fetchd resume --all
  fetchd resume --reset --gateway https://gateway.example.org 3";

/// Below the help of `run`.
pub(super) const RUN: &str = "\
Takes entries of the queue by priority, then age, several at once. One that fails for now (codes 74
and 75) waits 1 s, 5 s, 15 s, 60 s, then 5 min between tries, each up to a tenth longer, also when
fetchd is started anew; any other failure ends it. Progress begins the waits anew. Where nobody can
be reached, the rest of what asks the same providers keeps its place, untried.

Without --watch each entry is tried once, entries that are not due are left, and the exit code is
that of the downloads. With --watch it stays until SIGTERM, which makes a checkpoint and ends with 0.
Any number of them share one queue; what one of them has, no other takes.

Examples:
  fetchd run
  fetchd run --watch --jobs 2";

/// Below the help of `watch`.
pub(super) const WATCH: &str = "\
With IDs it ends when all of them have ended or rest, with the exit code of that; an entry that waits
in the queue is waited for. Without, it shows what is under way until Ctrl-C, or until nobody reads
its output. What it shows is as fresh as the last checkpoint, a few seconds at the most.

Examples:
  fetchd watch
  fetchd watch 3 4
  fetchd --json watch 3 | jq .type";

/// Below the help of `pause`.
pub(super) const PAUSE: &str = "\
Returns when the owner has acknowledged; 75 if it has not within 10 seconds. Twice is harmless.

Examples:
  fetchd pause 3
  fetchd pause ./models/llama.gguf";

/// Below the help of `cancel`.
pub(super) const CANCEL: &str = "\
Returns when the owner has acknowledged; 75 if it has not within 10 seconds. Twice is harmless.
The part file is removed unless --keep-partial is given.

Examples:
  fetchd cancel 3
  fetchd cancel --keep-partial 3 4";

/// Below the help of `checkpoint`.
pub(super) const CHECKPOINT: &str = "\
Returns when the owner has acknowledged; 75 if it has not within 10 seconds. The signal SIGUSR1 to
the process does the same.

Examples:
  fetchd checkpoint 3
  fetchd checkpoint ./models/llama.gguf";

/// Below the help of `history`.
pub(super) const HISTORY: &str = "\
Examples:
  fetchd history
  fetchd history 3
  fetchd --json history 3 | jq '.attempts[].outcome'";

/// Below the help of `prune`.
pub(super) const PRUNE: &str = "\
Finished files stay where they are. Never touches a part file that something unfinished, or another
process, may own.

Examples:
  fetchd prune --dry-run
  fetchd prune --older-than 30d
  fetchd prune 3 4";

/// Below the help of `ls`.
pub(super) const LS: &str = "\
Fetches the blocks of the directory and the first block of each entry, never a file. Leaves no
record. The size of a raw block is what its directory says.

Examples:
  fetchd ls bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi
  fetchd ls bafybei.../photos/2024
  fetchd --json ls bafybei... | jq -r '.entries[] | select(.kind == \"file\").name'";

/// Below the help of `sync`.
pub(super) const SYNC: &str = "\
Reads [[file]] tables with a source and a target, and writes what each was resolved to into the
lock, fetchd.lock beside fetchd.toml. What is unchanged on disk is kept without reading it; what was
changed or is gone is brought back. Only what fetchd itself wrote is ever replaced.

Examples:
  fetchd sync
  fetchd sync models/fetchd.toml
  fetchd sync --locked
  fetchd --json sync | jq -r 'select(.type == \"finished\").path'";

/// Below the help of `catalog`.
pub(super) const CATALOG: &str = "\
The catalogue is the file catalog.toml beside the configuration ('fetchd config path'). An entry is
fetched by its name: fetchd get @NAME. It may name catalogues from elsewhere ('add --catalog'), each
pinned by a CID or a SHA-256, or signed with an IPNS key; what they hold is kept for offline use. Of
two entries with one name the user's own wins, then that of the catalogue that is named first; the
other is @CATALOG/NAME.

Examples:
  fetchd catalog add llama-8b ipfs://bafybei.../llama.gguf --size 4.6GiB --memory 8GiB --type text
  fetchd catalog add team ipns://k51qzi5u.../catalog.toml --catalog
  fetchd catalog list
  fetchd catalog recommend --type text";

/// Below the help of `catalog list`.
pub(super) const CATALOG_LIST: &str = "\
Examples:
  fetchd catalog list
  fetchd --json catalog list | jq -r '.entries[].name'";

/// Below the help of `catalog show`.
pub(super) const CATALOG_SHOW: &str = "\
Examples:
  fetchd catalog show llama-8b
  fetchd --json catalog show llama-8b | jq -r .entry.source";

/// Below the help of `catalog add`.
pub(super) const CATALOG_ADD: &str = "\
Examples:
  fetchd catalog add readme bafkrei...
  fetchd catalog add llama-8b ipfs://bafybei.../llama.gguf --size 4.6GiB --memory 8GiB --type text
  fetchd catalog add team ipfs://bafybei.../catalog.toml --catalog
  fetchd catalog add lab ipns://k51qzi5u.../models.toml --catalog --note 'of the lab'";

/// Below the help of `catalog remove`.
pub(super) const CATALOG_REMOVE: &str = "\
Examples:
  fetchd catalog remove llama-8b
  fetchd catalog remove llama-8b team";

/// Below the help of `catalog update`.
pub(super) const CATALOG_UPDATE: &str = "\
What a CID or a SHA-256 pins is fetched once. An IPNS key is followed anew each time, and never back
to an older record. A catalogue that cannot be had, or has a mistake, stays as it was.

Examples:
  fetchd catalog update
  fetchd catalog update team
  fetchd --json catalog update | jq -r '.catalogs[] | select(.changed).name'";

/// Below the help of `catalog recommend`.
pub(super) const CATALOG_RECOMMEND: &str = "\
Prints the name on standard output, and why on standard error; no name if none fits. An entry that
does not say how much memory it takes is taken to need its size.

Examples:
  fetchd catalog recommend
  fetchd catalog recommend --type text --memory 16GiB
  fetchd --json catalog recommend | jq -r .reason";

/// Below the help of `cid`.
pub(super) const CID: &str = "\
The same CIDs that `ipfs add` gives. The usual profiles are unixfs-v0-2015 (Kubo without options),
kubo-cid-v1 and unixfs-v1-2025. Of a directory everything is taken, hidden files too (ipfs add -r
-H); symlinks in it are kept as links. A - instead of a CID: more than the profile can hold.
--car writes the blocks of one profile as a CAR, for `ipfs dag import` and for `get --gateway`.

Examples:
  fetchd cid model.gguf
  fetchd cid photos --car photos.car
  fetchd cid --profile unixfs-v1-2025 photos
  fetchd --json cid - < model.gguf | jq -r '.cids[].cid'";

/// Below the help of `verify`.
pub(super) const VERIFY: &str = "\
Reads everything and changes nothing. What was downloaded is proved without a network; for other
files and directories give the CID: nodes that are not here are asked for, and where nobody has
them, the file may still be what an importer makes of it. Downloads that only a SHA-256 proved, or
nothing, are compared with the SHA-256 that they had; proof says so.

0: every byte is right. What is there besides is listed as extra and is no damage. 65: something is
wrong or missing. 75, 69: nodes are lacking to tell. With --json one document; --all prints
{\"v\":1,\"ok\":BOOL,\"verified\":[...]} with one such object for each file or directory.

Examples:
  fetchd verify model.gguf
  fetchd verify photos bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi
  fetchd verify photos bafybei... --gateway photos.car
  fetchd --json verify --all | jq -r '.verified[] | select(.ok | not).path'";

/// Below the help of `repair`.
pub(super) const REPAIR: &str = "\
Proves everything as 'fetchd verify' does, and fetches the leaves that are wrong and the files that
are missing. A damaged file stays until the right one is renamed over it; what is there besides
stays. Each repaired file leaves a download in the records, and goes on like one where it was
interrupted: repeat the command. A file that has only a SHA-256 is fetched whole.

Examples:
  fetchd repair model.gguf
  fetchd repair 3 --gateway http://127.0.0.1:8080
  fetchd repair photos bafybei... --mirror https://files.example.org/photos";

/// Below the help of `export`.
pub(super) const EXPORT: &str = "\
Writes a CAR of version 1, depth first, each block once, with everything that can be proved from
what is on disk; asks nobody. Of a download that is not finished, the rest is left out and said.

Examples:
  fetchd export 3 -o model.car
  fetchd export ./models/llama.gguf -o /mnt/stick/llama.car";

/// Below the help of `import`.
pub(super) const IMPORT: &str = "\
Makes a download of each root of the CAR and asks nobody else. What is missing or damaged stays
missing: then the exit code is 75, the download is paused, and 'fetchd resume ID' gets the rest
from the configured gateways. Importing twice is harmless. With --json one document says what became
of each root.

Examples:
  fetchd import model.car
  fetchd import /mnt/stick/llama.car -o llama.gguf -d models";

/// Below the help of `list`.
pub(super) const LIST: &str = "\
Examples:
  fetchd list
  fetchd list --status failed --status paused
  fetchd list --all --sort updated --limit 20
  fetchd --json list --all | jq '.downloads[].path'";

/// Below the help of `show`.
pub(super) const SHOW: &str = "\
Examples:
  fetchd show 3
  fetchd --json show ./models/llama.gguf | jq .download.receipt";

/// Below the help of `gateways`.
pub(super) const GATEWAYS: &str = "\
Examples:
  fetchd gateways list
  fetchd gateways add https://gateway.example.org
  fetchd gateways disable https://gateway.example.org
  fetchd gateways check http://127.0.0.1:8080
  fetchd gateways reset";

/// Below the help of `gateways list`.
pub(super) const GATEWAYS_LIST: &str = "\
Examples:
  fetchd gateways list
  fetchd --json gateways list | jq -r '.gateways[] | select(.state == \"cooling\").until'";

/// Below the help of `gateways add`.
pub(super) const GATEWAYS_ADD: &str = "\
Examples:
  fetchd gateways add https://gateway.example.org
  fetchd gateways add http://127.0.0.1:8080 http://nas.local:8080";

/// Below the help of `gateways remove`.
pub(super) const GATEWAYS_REMOVE: &str = "\
Examples:
  fetchd gateways remove https://gateway.example.org
  fetchd gateways remove http://127.0.0.1:8080 http://nas.local:8080";

/// Below the help of `gateways enable`.
pub(super) const GATEWAYS_ENABLE: &str = "\
Examples:
  fetchd gateways enable https://gateway.example.org
  fetchd gateways enable http://127.0.0.1:8080 http://nas.local:8080";

/// Below the help of `gateways disable`.
pub(super) const GATEWAYS_DISABLE: &str = "\
Examples:
  fetchd gateways disable https://gateway.example.org
  fetchd gateways disable http://127.0.0.1:8080 http://nas.local:8080";

/// Below the help of `gateways check`.
pub(super) const GATEWAYS_CHECK: &str = "\
Examples:
  fetchd gateways check
  fetchd gateways check http://127.0.0.1:8080
  fetchd gateways check --cid bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

/// Below the help of `gateways reset`.
pub(super) const GATEWAYS_RESET: &str = "\
Examples:
  fetchd gateways reset
  fetchd gateways reset https://gateway.example.org";

/// Below the help of `config`.
pub(super) const CONFIG: &str = "\
Examples:
  fetchd config init
  fetchd config show
  FETCHD_CONNECTIONS=16 fetchd config show
  ${EDITOR:-vi} \"$(fetchd config path)\"";

/// Below the help of `config show`.
pub(super) const CONFIG_SHOW: &str = "\
Examples:
  fetchd config show
  FETCHD_CONNECTIONS=16 fetchd config show
  fetchd --json config show | jq .state_dir";

/// Below the help of `config path`.
pub(super) const CONFIG_PATH: &str = "\
Examples:
  fetchd config path
  fetchd config path --config ./ci.toml";

/// Below the help of `config init`.
pub(super) const CONFIG_INIT: &str = "\
Examples:
  fetchd config init
  fetchd config init --config ./ci.toml";

/// Below the help of `completions`.
pub(super) const COMPLETIONS: &str = "\
Examples:
  fetchd completions bash > ~/.local/share/bash-completion/completions/fetchd
  fetchd completions zsh > ~/.zfunc/_fetchd
  fetchd completions fish > ~/.config/fish/completions/fetchd.fish";

/// Below the help of `man`.
pub(super) const MAN: &str = "\
Examples:
  fetchd man | man -l -
  fetchd man gateways check | man -l -
  fetchd man --dir ~/.local/share/man/man1";
