//! What a file comes to, made while its bytes pass: its digests, and its root under the importer
//! profiles.

use bytes::Bytes;

use crate::content::cid::Cid;
use crate::content::hash;
use crate::content::importer::{Profile, Root};
use crate::engine::Checksum;
use crate::engine::crew::Crew;
use crate::engine::whole::Goal;

/// What is to be found out on the way.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Multihash code of a checksum besides SHA-256.
    function: Option<u64>,
    /// A root that the file may have under one of the profiles.
    root: Option<Cid>,
}

impl Wanted {
    /// What proves this goal.
    pub fn of(goal: &Goal) -> Self {
        match goal {
            Goal::Checksum(checksum) => Self {
                function: Checksum::function(checksum),
                root: None,
            },
            Goal::Profile(root) => Self {
                function: None,
                root: Some(*root),
            },
            Goal::Nothing => Self {
                function: None,
                root: None,
            },
        }
    }
}

/// What a file came to.
#[derive(Debug)]
pub struct Sums {
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its digest by the function of the checksum that was asked for.
    pub digest: Option<Vec<u8>>,
    /// The name of the importer profile under which it has the root that is wanted.
    pub profile: Option<&'static str>,
}

impl Sums {
    /// What is wrong with the file, in words.
    pub fn differ_from(&self, goal: &Goal) -> String {
        match (goal, &self.digest) {
            (Goal::Profile(_), _) => {
                "the file has another root under every known importer profile".to_owned()
            }
            (_, Some(digest)) => format!("the file has the digest {}", hash::hex(digest)),
            (_, None) => format!("the file has the SHA-256 {}", hash::hex(&self.sha256)),
        }
    }
}

/// The sums of a file, as far as its bytes have come. Of the importer profiles the usual ones come
/// first; only if none of them gives the root that is wanted are the bytes needed once more, for
/// all others.
pub struct Summer {
    wanted: Wanted,
    /// Those that are tried now.
    profiles: Vec<Profile>,
    /// Those that are left for another time.
    rest: Vec<Profile>,
    /// What the first time came to.
    first: Option<Sums>,
    crew: Crew,
}

/// What taking all bytes came to.
pub enum Summed {
    /// All that is to be found out.
    Done(Sums),
    /// The same bytes are to be given to this.
    Again(Box<Summer>),
}

impl Summer {
    /// Of no bytes yet.
    pub fn new(wanted: Wanted) -> Self {
        let [profiles, rest] = wanted.root.as_ref().map(Profile::tiers).unwrap_or_default();
        let crew = Crew::new(&profiles).with_sha256();
        Self {
            crew: match wanted.function {
                Some(code) => crew.with_digest(code),
                None => crew,
            },
            profiles,
            rest,
            first: None,
            wanted,
        }
    }

    /// The same of no bytes.
    pub fn emptied(&self) -> Self {
        Self::new(self.wanted.clone())
    }

    /// How many bytes have come.
    pub fn position(&self) -> u64 {
        self.crew.position()
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: Bytes) {
        self.crew.push(bytes);
    }

    /// That was all.
    pub fn finish(self) -> Summed {
        let totals = self.crew.finish();
        let is_wanted = |root: &Option<Root>| {
            root.zip(self.wanted.root)
                .is_some_and(|(root, wanted)| root.is(&wanted))
        };
        let matching = totals.roots.iter().position(is_wanted);
        let profile = matching.map(|index| self.profiles[index].name());
        let sums = match self.first {
            Some(first) => Sums { profile, ..first },
            None => Sums {
                sha256: totals.sha256.unwrap_or_default(),
                digest: totals.digest,
                profile,
            },
        };
        if profile.is_some() || self.rest.is_empty() {
            return Summed::Done(sums);
        }
        Summed::Again(Box::new(Self {
            wanted: self.wanted,
            crew: Crew::new(&self.rest),
            profiles: self.rest,
            rest: Vec::new(),
            first: Some(sums),
        }))
    }
}
