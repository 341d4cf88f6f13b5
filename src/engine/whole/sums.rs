//! What a file comes to, made while its bytes pass: its digests, and its root under the importer
//! profiles.

use bytes::Bytes;

use crate::content::cid::Cid;
use crate::content::hash::{self, FileSha256, Hasher};
use crate::content::importer::{Importer, Profile, Root};
use crate::engine::Checksum;
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

/// The sums of a file, as far as its bytes have come.
pub struct Summer {
    wanted: Wanted,
    profiles: Vec<Profile>,
    position: u64,
    sha256: FileSha256,
    digest: Option<Hasher>,
    importer: Importer,
}

impl Summer {
    /// Of no bytes yet.
    pub fn new(wanted: Wanted) -> Self {
        let profiles = wanted.root.as_ref().map(Profile::candidates);
        let profiles = profiles.unwrap_or_default();
        Self {
            position: 0,
            sha256: FileSha256::new(),
            digest: wanted.function.and_then(Hasher::new),
            importer: Importer::new(&profiles),
            profiles,
            wanted,
        }
    }

    /// The same of no bytes.
    pub fn emptied(&self) -> Self {
        Self::new(self.wanted.clone())
    }

    /// How many bytes have come.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &Bytes) {
        self.position += bytes.len() as u64;
        self.sha256.update(bytes);
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        if !self.profiles.is_empty() {
            self.importer.push(bytes);
        }
    }

    /// That was all.
    pub fn finish(self) -> Sums {
        let import = self.importer.finish();
        let matching = self.wanted.root.as_ref().and_then(|wanted| {
            let is_wanted = |root: &Option<Root>| root.as_ref().is_some_and(|root| root.is(wanted));
            let index = import.roots.iter().position(is_wanted)?;
            self.profiles.get(index).map(Profile::name)
        });
        Sums {
            sha256: self.sha256.finish(),
            digest: self.digest.map(Hasher::finish),
            profile: matching,
        }
    }
}
