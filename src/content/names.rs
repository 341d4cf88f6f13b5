//! From a name to content: where names point, and the chain from one to the next.
//!
//! Pure: [`Chain::next`] says what must be looked up, the caller looks it up and gives the answer
//! to [`Chain::answer`]. Invariant: every chain ends, after [`MAX_STEPS`] names at most, and at a
//! name that comes again.

#[cfg(test)]
mod tests;

use std::fmt;

use crate::content::cid::{self, Cid};
use crate::content::source::{self, ContentSource, Root, Source, SourceError};

/// Most names of one chain, as in other implementations.
pub const MAX_STEPS: usize = 32;

/// Where a name points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where the path starts.
    pub root: Root,
    /// Names below the root.
    pub path: Vec<String>,
}

/// Why a value points nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No value: the name is in use, but not for content.
    #[error("it points to nothing")]
    Empty,
    /// Neither `/ipfs/…` nor `/ipns/…`.
    #[error("its value is not a content path")]
    NotAPath,
    /// A content path that cannot be one.
    #[error("its value is not a content path")]
    Malformed(#[source] SourceError),
}

impl Target {
    /// Content without a path.
    pub fn of(cid: Cid) -> Self {
        let root = if cid.codec() == cid::codec::LIBP2P_KEY {
            Root::Ipns(cid::text(&cid))
        } else {
            Root::Ipfs(cid)
        };
        Self {
            root,
            path: Vec::new(),
        }
    }

    /// Reads `/ipfs/<CID>[/path]` or `/ipns/<name>[/path]`, taken as it is: nothing in it is
    /// decoded.
    ///
    /// # Errors
    /// [`TargetError::NotAPath`] and [`TargetError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let is_path = ["/ipfs/", "/ipns/"]
            .iter()
            .any(|namespace| text.starts_with(namespace));
        // White space around what a user types does not count, in a signed value it does.
        if !is_path || text.ends_with(char::is_whitespace) {
            return Err(TargetError::NotAPath);
        }
        match source::parse(text).map_err(TargetError::Malformed)? {
            Source::Content(ContentSource { root, path, .. }) => Ok(Self { root, path }),
            Source::Url(_) | Source::Catalog(_) => Err(TargetError::NotAPath),
        }
    }

    /// The same of bytes, which may be no text.
    pub(crate) fn parse_bytes(bytes: &[u8]) -> Result<Self, TargetError> {
        std::str::from_utf8(bytes)
            .map_err(|_| TargetError::NotAPath)
            .and_then(Self::parse)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.root {
            Root::Ipfs(cid) => write!(f, "/ipfs/{}", cid::text(cid))?,
            Root::Ipns(name) => write!(f, "/ipns/{name}")?,
        }
        self.path
            .iter()
            .try_for_each(|segment| write!(f, "/{segment}"))
    }
}

/// A name to look up, in its canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// A key, as a CID with the codec `libp2p-key`: signed records tell where it points.
    Key(Cid),
    /// A domain in lower case: the DNS tells where it points.
    Domain(String),
}

impl Name {
    /// The name behind `/ipns/`, which must be one.
    fn new(text: &str) -> Self {
        match source::ipns_key(text) {
            Some(key) => Self::Key(key),
            None => Self::Domain(text.to_ascii_lowercase()),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => f.write_str(&cid::text(key)),
            Self::Domain(domain) => f.write_str(domain),
        }
    }
}

/// One name that was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The name: a [`Name::Key`] was proved by its record, a [`Name::Domain`] is the word of the
    /// DNS alone.
    pub name: Name,
    /// Where it points, without the path that was asked for.
    pub target: Target,
    /// The sequence number of its signed record; `None` for the word of the DNS.
    pub sequence: Option<u64>,
}

/// Content that a chain of names led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The root.
    pub cid: Cid,
    /// Names below the root: those of the chain first, then those that were asked for.
    pub path: Vec<String>,
    /// How we got there; empty if there was no name at all.
    pub steps: Vec<Step>,
}

/// What a chain needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Where this name points.
    LookUp(Name),
    /// Nothing.
    Done(Resolved),
}

/// Why a chain leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// More than [`MAX_STEPS`] names.
    #[error("the name leads to more than {MAX_STEPS} further names")]
    TooLong,
    /// A name that comes again.
    #[error("the name {name} leads back to itself")]
    Cycle {
        /// It.
        name: String,
    },
}

/// The way from a name to content.
#[derive(Debug, Clone)]
pub struct Chain {
    at: Target,
    steps: Vec<Step>,
}

impl Chain {
    /// A chain from `root`, for `path` below it.
    pub fn new(root: Root, path: Vec<String>) -> Self {
        Self {
            at: Target { root, path },
            steps: Vec::new(),
        }
    }

    /// What must be looked up, or where the chain ends.
    ///
    /// # Errors
    /// A [`ChainError`] if it does not end well.
    pub fn next(&self) -> Result<Next, ChainError> {
        let name = match &self.at.root {
            Root::Ipfs(cid) => {
                return Ok(Next::Done(Resolved {
                    cid: *cid,
                    path: self.at.path.clone(),
                    steps: self.steps.clone(),
                }));
            }
            Root::Ipns(name) => Name::new(name),
        };
        if self.steps.iter().any(|step| step.name == name) {
            return Err(ChainError::Cycle {
                name: name.to_string(),
            });
        }
        if self.steps.len() == MAX_STEPS {
            return Err(ChainError::TooLong);
        }
        Ok(Next::LookUp(name))
    }

    /// Goes on: this is what was found of the name that [`Chain::next`] asked for.
    pub fn answer(&mut self, step: Step) {
        let mut path = step.target.path.clone();
        path.append(&mut self.at.path);
        self.at = Target {
            root: step.target.root.clone(),
            path,
        };
        self.steps.push(step);
    }
}
