//! What is tortured: for each scenario what there is, what happens before, and the command that
//! meets the fault.

use crate::support::dag::{Dag, Recipe, seeded};
use crate::support::gateway::{Builder, Fault, Features, Gateway, On};
use crate::support::scenario::sha256;
use crate::trees::sample::{Listing, Sample, Stands};

use super::network::Act;
use super::place::Place;

/// Bytes of the file that most scenarios fetch: a few checkpoints' worth.
const SIZE: usize = 1_300_000;
/// Where the gateway stops sending, where something happens half-way.
const HALF: u64 = 600_000;

/// One thing that users do, which must survive everything.
pub struct Scenario {
    pub name: &'static str,
    content: Content,
    /// One gateway for each.
    features: Vec<Features>,
    /// Done before, without faults.
    pub before: fn(&Place),
    /// The command that meets the fault.
    pub command: fn(&Place) -> Vec<String>,
    /// What happens to it half-way, in scenarios that are about that.
    pub half_way: Option<(u64, Act)>,
    /// Names of what it makes; the first is the path of its record.
    pub makes: &'static [&'static str],
    /// Whether a record goes on with `resume` and the providers that it remembers.
    pub resumes: bool,
    /// Whether its events are those of a download.
    pub has_events: bool,
    /// Whether the gateways can send the rest of something.
    pub goes_on: bool,
}

/// What the gateways have.
enum Content {
    File(Dag),
    Tree(Sample),
    Plain(Vec<u8>),
}

impl Scenario {
    fn new(name: &'static str, content: Content, features: &[Features]) -> Self {
        Self {
            name,
            content,
            features: features.to_vec(),
            before: |_| {},
            command: |place| place.get("file", &[]),
            half_way: None,
            makes: &["file"],
            resumes: true,
            has_events: true,
            goes_on: true,
        }
    }

    fn file(name: &'static str, features: Features) -> Self {
        Self::new(name, Content::File(dag()), &[features])
    }

    /// Whether one process alone does it.
    pub fn is_alone(&self) -> bool {
        !matches!(self.half_way, Some((_, Act::Command(_))))
    }

    /// The gateways, not yet started.
    pub fn gateways(&self) -> Vec<Builder> {
        let builder = |features: &Features| match &self.content {
            Content::File(dag) => Gateway::of(dag).features(*features),
            Content::Tree(sample) => Gateway::of(&sample.dag()).features(*features),
            Content::Plain(bytes) => {
                Gateway::empty()
                    .features(*features)
                    .file("/file", bytes.clone(), Some("\"a\""))
            }
        };
        self.features.iter().map(builder).collect()
    }

    /// What is asked for, at a gateway of this URL.
    pub fn source(&self, url: &str) -> String {
        match &self.content {
            Content::File(dag) => dag.source(),
            Content::Tree(sample) => sample.dag().source(),
            Content::Plain(_) => format!("{url}/file"),
        }
    }

    /// The content as a CAR.
    pub fn car(&self) -> Vec<u8> {
        match &self.content {
            Content::File(dag) => dag.car(),
            Content::Tree(sample) => sample.dag().car(),
            Content::Plain(_) => Vec::new(),
        }
    }

    /// What must stand at a name that it makes.
    pub fn expected(&self, name: &str) -> Listing {
        if name.ends_with(".car") {
            return Listing::from([(name.to_owned(), Stands::File(self.car()))]);
        }
        self.content(name)
    }

    /// The content, under a name.
    pub fn content(&self, name: &str) -> Listing {
        let stands = match &self.content {
            Content::File(dag) => Stands::File(dag.data.clone()),
            Content::Plain(bytes) => Stands::File(bytes.clone()),
            Content::Tree(sample) => {
                let below = sample.expected.iter();
                let mut all: Listing = below
                    .map(|(path, stands)| (format!("{name}/{path}"), stands.clone()))
                    .collect();
                all.insert(name.to_owned(), Stands::Directory);
                return all;
            }
        };
        Listing::from([(name.to_owned(), stands)])
    }
}

fn dag() -> Dag {
    Recipe::default().chunk(64 << 10).width(8).build(SIZE)
}

/// As the usual importers write it.
fn usual() -> Dag {
    Recipe::default().chunk(256 << 10).width(174).build(SIZE)
}

fn tree() -> Sample {
    let small = |seed| Recipe::default().seed(seed).build(4_000);
    let files: Vec<Dag> = (10..25).map(small).collect();
    let below = Sample::new().files((0..15).map(|n| format!("{n}.bin")).zip(&files));
    Sample::new()
        .file(
            "large.bin",
            &Recipe::default().chunk(64 << 10).width(8).build(500_000),
        )
        .dir("below", &below.clone())
        .dir("sharded", &below.sharded(8))
        .dir("empty", &Sample::new())
        .link("link", "below/3.bin")
}

/// Killed half-way, and the gateway is sound again.
fn killed(place: &Place) {
    place.stop_at(HALF, &place.command(), Act::Kill);
}

fn resume_first(_: &Place) -> Vec<String> {
    ["--json", "resume", "1"].map(str::to_owned).into()
}

/// All of them.
pub fn all() -> Vec<Scenario> {
    let get_tree = |place: &Place| place.get("tree", &[]);
    let mut all = vec![
        Scenario::file("range", Features::ALL),
        Scenario::file("car", Features::TRUSTLESS),
        Scenario::file("blocks", Features::RAW),
        Scenario {
            goes_on: false,
            ..Scenario::file("whole car", Features::WHOLE_CAR)
        },
        Scenario::new("profile", Content::File(usual()), &[Features::PLAIN]),
        Scenario::new(
            "two gateways",
            Content::File(dag()),
            &[Features::ALL, Features::TRUSTLESS],
        ),
    ];
    for (name, features) in [("tree", Features::ALL), ("tree of blocks", Features::RAW)] {
        all.push(Scenario {
            command: get_tree,
            makes: &["tree"],
            ..Scenario::new(name, Content::Tree(tree()), &[features])
        });
    }
    for (name, features) in [
        ("https", Features::PLAIN),
        ("https, no ranges", Features::PLAIN_WHOLE),
    ] {
        all.push(Scenario {
            command: |place| {
                let sum = sha256(&seeded(7, SIZE));
                place.get("file", &["--sha256", &sum])
            },
            ..Scenario::new(name, Content::Plain(seeded(7, SIZE)), &[features])
        });
    }
    all.extend(second_runs());
    all.extend(cars());
    all.extend(stops());
    all
}

/// What goes on after something else.
fn second_runs() -> Vec<Scenario> {
    let resume = |scenario: Scenario, before: fn(&Place)| Scenario {
        before,
        command: resume_first,
        ..scenario
    };
    let tree_killed = |place: &Place| place.stop_at(HALF / 2, &place.get("tree", &[]), Act::Kill);
    vec![
        resume(Scenario::file("resume by range", Features::ALL), |place| {
            place.stop_at(HALF, &place.get("file", &[]), Act::Kill);
        }),
        resume(Scenario::file("resume by blocks", Features::RAW), |place| {
            place.stop_at(HALF, &place.get("file", &[]), Act::Kill);
        }),
        Scenario {
            before: tree_killed,
            command: resume_first,
            makes: &["tree"],
            ..Scenario::new(
                "resume of a tree",
                Content::Tree(tree()),
                &[Features::TRUSTLESS],
            )
        },
        Scenario {
            before: killed,
            ..Scenario::file("get again", Features::TRUSTLESS)
        },
        Scenario {
            before: |place| place.put("file", b"other content"),
            command: |place| place.get("file", &["--force"]),
            ..Scenario::file("force", Features::ALL)
        },
    ]
}

/// CARs in and out.
fn cars() -> Vec<Scenario> {
    vec![
        Scenario {
            command: |place| place.get("file.car", &["--car"]),
            makes: &["file.car"],
            ..Scenario::file("get as a car", Features::TRUSTLESS)
        },
        Scenario {
            before: |place| place.run(&place.get("file", &[])),
            command: |_| {
                ["--json", "export", "1", "--force", "-o", "out.car"]
                    .map(str::to_owned)
                    .into()
            },
            makes: &["out.car"],
            resumes: false,
            has_events: false,
            ..Scenario::file("export", Features::ALL)
        },
        Scenario {
            before: |place| place.put("in.car", &place.scenario().car()),
            command: |_| {
                ["--json", "import", "in.car", "-o", "file"]
                    .map(str::to_owned)
                    .into()
            },
            resumes: false,
            has_events: false,
            ..Scenario::file("import", Features::ALL)
        },
        Scenario {
            before: |place| place.put("in.car", &place.scenario().car()),
            command: |_| {
                ["--json", "import", "in.car", "-o", "tree"]
                    .map(str::to_owned)
                    .into()
            },
            makes: &["tree"],
            resumes: false,
            has_events: false,
            ..Scenario::new("import of a tree", Content::Tree(tree()), &[Features::ALL])
        },
    ]
}

/// What is stopped half-way.
fn stops() -> Vec<Scenario> {
    let acts = [
        ("pause", Act::Command("pause")),
        ("cancel", Act::Command("cancel")),
        ("checkpoint", Act::Command("checkpoint")),
        ("signal", Act::Signal("TERM")),
    ];
    let stopped = |(name, act)| Scenario {
        half_way: Some((HALF, act)),
        ..Scenario::file(name, Features::TRUSTLESS)
    };
    acts.map(stopped).into()
}

/// The rule that stops a gateway half-way.
pub fn stop_rule(at: u64) -> (On, Fault) {
    (On::any(), Fault::HoldAtTotal(at))
}
