//! The DAG builder is tested too: one that is wrong proves nothing.

use std::path::{Path, PathBuf};

use crate::fixtures_car::expected::{cars, parse};
use crate::fixtures_car::walker::{Blocks, read_car};
use crate::fixtures_dirs::lister;
use crate::support::client::ask;
use crate::support::dag::{
    Dag, Dir, Hash, Layout, Leaf, Recipe, Version, bucket, car_header, hostile, seeded,
};
use crate::support::gateway::Gateway;
use crate::support::{fixtures, kubo, pb};

#[test]
fn the_builder_writes_what_kubo_writes() {
    let classic = Recipe::default().leaf(Leaf::File).version(Version::V0);
    assert_eq!(
        classic.build_bytes(b"hello world").root.to_string(),
        "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"
    );
    assert_eq!(
        classic.build_bytes(b"").root.to_string(),
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"
    );
    assert_eq!(
        Dag::single(b"").root.to_string(),
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    );
    assert_eq!(
        Dag::directory(&[]).root.to_string(),
        "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
    );
}

#[test]
fn leaves_agree_with_the_vectors() {
    let Some(path) = fixtures("derived/leaf-rebuild-vectors.json") else {
        return;
    };
    let text = std::fs::read_to_string(path).expect("a readable fixture");
    let vectors: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for vector in vectors["vectors"].as_array().expect("a list") {
        let len = usize::try_from(vector["len"].as_u64().expect("a length")).expect("a small one");
        let data: Vec<u8> = (0..len)
            .map(|i| u8::try_from(i % 251).expect("below 251"))
            .collect();
        let root = |leaf, version| {
            let recipe = Recipe::default()
                .chunk(len.max(1))
                .leaf(leaf)
                .version(version);
            recipe.build_bytes(&data).root.to_string()
        };
        assert_eq!(
            root(Leaf::Raw, Version::V1),
            vector["raw_leaf_cid"],
            "{len}"
        );
        assert_eq!(
            root(Leaf::File, Version::V0),
            vector["type_file"]["cid_v0"],
            "{len}"
        );
        assert_eq!(
            root(Leaf::File, Version::V1),
            vector["type_file"]["cid_v1"],
            "{len}"
        );
        assert_eq!(
            root(Leaf::OldRaw, Version::V0),
            vector["type_raw"]["cid_v0"],
            "{len}"
        );
    }
}

/// A repository of its own for a real Kubo, and what is added to it.
struct Kubo {
    binary: PathBuf,
    home: tempfile::TempDir,
}

impl Kubo {
    fn new() -> Option<Self> {
        let kubo = Self {
            binary: kubo()?,
            home: tempfile::tempdir().expect("a temporary directory"),
        };
        kubo.run(&["init", "--profile=test"]);
        Some(kubo)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn run(&self, args: &[&str]) -> String {
        let output = std::process::Command::new(&self.binary)
            .args(args)
            .env("IPFS_PATH", self.path("repo"))
            .output()
            .expect("Kubo runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// `ipfs add` of a file or folder. Really added: `--only-hash` forgets the fanout.
    fn add(&self, flags: &str, path: &Path) -> String {
        let mut args = vec!["add", "-Q"];
        args.extend(flags.split_whitespace());
        args.push(path.to_str().expect("an ASCII path"));
        self.run(&args)
    }
}

/// `ipfs add` of the same bytes under the same settings.
#[test]
fn trees_agree_with_kubo() {
    let Some(kubo) = Kubo::new() else { return };
    let file = kubo.path("file");
    std::fs::write(&file, seeded(7, 100_000)).expect("a writable directory");
    let base = Recipe::default().seed(7).chunk(1000);
    let cases = [
        (
            base.width(174).leaf(Leaf::File).version(Version::V0),
            "--cid-version=0",
        ),
        (base.width(174), "--cid-version=1"),
        (base.width(174).version(Version::V0), "--raw-leaves"),
        (base.width(3), "--cid-version=1 --max-file-links=3"),
        (
            base.width(4).layout(Layout::Trickle),
            "--cid-version=1 --trickle --max-file-links=4",
        ),
        (
            base.width(174).hash(Hash::Blake3),
            "--cid-version=1 --hash=blake3",
        ),
        (
            base.width(174).inline(32).chunk(30),
            "--cid-version=1 --inline --inline-limit=32",
        ),
    ];
    for (recipe, flags) in cases {
        let size = if flags.contains("--inline") { 30 } else { 1000 };
        assert_eq!(
            recipe.build(100_000).root.to_string(),
            kubo.add(&format!("--chunker=size-{size} {flags}"), &file),
            "{flags}"
        );
    }
}

/// A folder of files, a folder in it and symlinks, plain and sharded.
#[test]
fn directories_agree_with_kubo() {
    let Some(kubo) = Kubo::new() else { return };
    let folder = kubo.path("tree");
    let sub = folder.join("sub");
    std::fs::create_dir_all(sub.join("empty")).expect("a writable directory");
    let write = |path: PathBuf, bytes: &[u8]| std::fs::write(path, bytes).expect("writable");
    let recipe = Recipe::default().chunk(1000).width(174);
    let names: Vec<String> = (0..400).map(|n| format!("file {n} é.txt")).collect();
    let files: Vec<Dag> = names
        .iter()
        .map(|name| {
            write(sub.join(name), name.as_bytes());
            recipe.build_bytes(name.as_bytes())
        })
        .collect();
    // Repeated chunks count again in Tsize.
    let large = [[7u8; 3000].as_slice(), &seeded(3, 2500)].concat();
    write(folder.join("large.bin"), &large);
    std::os::unix::fs::symlink("sub/file 7 é.txt", folder.join("link")).expect("a symlink");
    let build = |shard: &dyn Fn(Dir) -> Dir| {
        let sub = Dir::new()
            .entries(names.iter().zip(&files))
            .entry("empty", &shard(Dir::new()).build());
        let tree = Dir::new()
            .entry("sub", &shard(sub).build())
            .entry("large.bin", &recipe.build_bytes(&large))
            .entry("link", &Dag::symlink("sub/file 7 é.txt"));
        shard(tree).build()
    };
    let flags = "-r --cid-version=1 --chunker=size-1000";
    let plain = build(&|dir| dir);
    assert_eq!(plain.root.to_string(), kubo.add(flags, &folder));
    let wrapped = Dir::new().entry("tree", &plain).build().root.to_string();
    assert_eq!(wrapped, kubo.add(&format!("-w {flags}"), &folder));
    let threshold = "Import.UnixFSHAMTDirectorySizeThreshold";
    kubo.run(&["config", "--json", threshold, "\"1B\""]);
    for fanout in [8, 16, 256, 1024] {
        // A directory of nothing stays plain.
        let sharded = build(&|dir| {
            if dir.is_empty() {
                dir
            } else {
                dir.sharded(fanout)
            }
        });
        let flags = format!("{flags} --max-hamt-fanout={fanout}");
        assert_eq!(
            sharded.root.to_string(),
            kubo.add(&flags, &folder),
            "{fanout}"
        );
    }
}

/// One of the archives of other implementations: its root and its blocks.
fn recorded(name: &str) -> Option<(String, Blocks)> {
    let (_, bytes, expected) = cars("expected.json", "")
        .into_iter()
        .find(|(car, _, _)| car.ends_with(name))?;
    let blocks = Blocks::of(&read_car(&bytes, bytes.len()).sections);
    Some((expected["roots"][0].as_str()?.to_owned(), blocks))
}

#[test]
fn sharded_roots_are_the_recorded_ones() {
    let Some((root, blocks)) = recorded("single-layer-hamt-with-multi-block-files.car") else {
        return;
    };
    let file = "bafybeigcisqd7m5nf3qmuvjdbakl5bdnh4ocrmacaqkpuh77qjvggmt2sa";
    let file = blocks.file(&parse(&file.into())).expect("a file");
    let file = Recipe::default().chunk(256).width(174).build_bytes(&file);
    let built = Dir::new()
        .entries((1..=1000).map(|n| (format!("{n}.txt"), &file)))
        .sharded(256)
        .build();
    assert_eq!(built.root.to_string(), root);
}

#[test]
fn modes_and_times_are_the_recorded_ones() {
    let Some((root, _)) = recorded("unixfs-dir-with-mode-mtime.car") else {
        return;
    };
    let time = |dir: Dir, mode, seconds| dir.mode(mode).mtime(seconds, None).build();
    let message = |kind, seconds| pb::UnixFs {
        kind,
        mtime: Some(pb::Mtime {
            seconds,
            nanos: None,
        }),
        ..pb::UnixFs::default()
    };
    let file = |seconds| {
        Dag::of_message(&pb::UnixFs {
            filesize: Some(0),
            mode: Some(0o644),
            ..message(pb::kind::FILE, seconds)
        })
    };
    let link = Dag::of_message(&pb::UnixFs {
        data: Some("../sub2/file3".into()),
        ..message(pb::kind::SYMLINK, 1_655_158_652)
    });
    let sub2 = Dir::new().entry("file3", &file(1_655_158_642));
    let sub1 = Dir::new()
        .entry("link1", &link)
        .entry("sub2", &time(sub2, 0o755, 1_655_158_662));
    let dir2 = Dir::new().entry("sub1", &time(sub1, 0o755, 1_655_158_672));
    let dir3 = Dir::new().entry("file2", &file(1_655_158_692));
    let top = Dir::new()
        .entry("dir1", &time(Dir::new(), 0o755, 1_655_158_722))
        .entry("dir2", &time(dir2, 0o755, 1_655_158_682))
        .entry("dir3", &time(dir3, 0o755, 1_655_158_702))
        .entry("file1", &file(1_655_158_712));
    assert_eq!(time(top, 0o700, 1_655_158_632).root.to_string(), root);
}

/// What the product says of hostile directories: each is wrong in the one way that it should be.
#[test]
fn hostile_directories_are_hostile() {
    let file = Dag::single(b"x");
    let other = Dir::new().entry("y", &file).build();
    let at = |name: &str, depth| bucket(name.as_bytes(), 256, depth);
    let below = |dag: &Dag| hostile::shard(&[(at("x", 0), hostile::Slot::Shard(dag))]);
    let entry = |bucket| hostile::shard(&[(bucket, hostile::Slot::Entry("x", &file))]);
    let right = at("x", 0);
    let cases = [
        (hostile::names(&[b"a", b".."]), "the name \"..\""),
        (hostile::names(&[b"a", b"a"]), "the name \"a\" twice"),
        (entry(right ^ 1), "does not belong into bucket"),
        (below(&entry(at("x", 1) ^ 1)), "does not belong into bucket"),
        (below(&other), "it is not a shard"),
        (below(&hostile::shard_of(16, &[])), "below a root of 256"),
        (hostile::deep_shards(8), "no bits of a hash are left"),
        (
            hostile::hollow_shards(2),
            "a shard below the root that is empty",
        ),
    ];
    for (dag, expected) in cases {
        let error = lister::list(&Blocks::of_dag(&dag), &product(&dag)).expect_err(expected);
        let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
        let text: Vec<String> = chain.map(ToString::to_string).collect();
        assert!(text.join(": ").contains(expected), "{text:?}");
    }
    for sound in [entry(right), below(&entry(at("x", 1)))] {
        let listing = lister::list(&Blocks::of_dag(&sound), &product(&sound));
        assert_eq!(
            listing.map(|found| found.map(|l| l.entries.len())),
            Ok(Some(1))
        );
    }
}

fn product(dag: &Dag) -> fetchd::content::cid::Cid {
    parse(&dag.root.to_string().into())
}

/// Few blocks that unfold to much.
#[test]
fn bombs_are_small() {
    assert_eq!(hostile::deep(2000).blocks.len(), 2001);
    assert_eq!(hostile::repeating(9, 16).blocks.len(), 10);
    assert_eq!(hostile::hollow(9, 16).blocks.len(), 10);
    assert_eq!(hostile::wide(5000).blocks.len(), 2);
    assert_eq!(hostile::hollow_shards(7).blocks.len(), 8);
    assert_eq!(hostile::repeating(20, 16).tsize(), u64::MAX);
}

#[test]
fn every_tree_reads_back() {
    for layout in [Layout::Balanced, Layout::Trickle] {
        for (leaf, version, hash) in [
            (Leaf::Raw, Version::V1, Hash::Sha256),
            (Leaf::File, Version::V0, Hash::Sha256),
            (Leaf::OldRaw, Version::V1, Hash::Blake3),
        ] {
            for size in [0, 1, 99, 100, 101, 5000, 12_345] {
                let dag = Recipe::default()
                    .chunk(100)
                    .leaf(leaf)
                    .version(version)
                    .hash(hash)
                    .layout(layout)
                    .build(size);
                let gateway = Gateway::of(&dag).start();
                let reply = ask(&gateway, &format!("/ipfs/{}", dag.root), "");
                assert_eq!(
                    (reply.status(), reply.body == dag.data),
                    (200, true),
                    "{layout:?} {leaf:?} {size}"
                );
            }
        }
    }
}

#[test]
fn a_lying_root_has_a_right_hash() {
    let dag = Recipe::default().build(50_000);
    let liar = dag.with_root(|_, unixfs| unixfs.filesize = Some(1));
    assert_ne!(liar.root, dag.root);
    assert_eq!(liar.blocks.len(), dag.blocks.len());
    let same = dag.with_root(|_, _| {});
    assert_eq!(
        same.root, dag.root,
        "decoding and encoding again changes nothing"
    );
}

#[test]
fn car_headers_are_those_of_the_specification() {
    let dag = Recipe::default().build(10);
    let header = car_header(&[dag.root]);
    assert_eq!(
        &header[1..12],
        [
            0xa2, 0x65, b'r', b'o', b'o', b't', b's', 0x81, 0xd8, 0x2a, 0x58
        ]
    );
    assert_eq!(usize::from(header[0]), header.len() - 1);
    assert_eq!(
        pb::identity(&pb::identity_cid(b"hi")).as_deref(),
        Some(b"hi".as_slice())
    );
}
