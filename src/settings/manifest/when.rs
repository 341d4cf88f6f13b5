//! `when = {os, arch}`: the platforms on which an entry of a manifest holds.

use serde::Deserialize;
use toml::Spanned;

use crate::settings::document::{Document, DocumentError};

/// Operating systems by the names that Rust and the manifest give them, with other usual ones.
const SYSTEMS: &[(&str, &[&str])] = &[
    ("linux", &[]),
    ("macos", &["darwin", "osx"]),
    ("windows", &["win32"]),
    ("freebsd", &[]),
    ("netbsd", &[]),
    ("openbsd", &[]),
    ("dragonfly", &[]),
    ("solaris", &[]),
    ("illumos", &[]),
    ("android", &[]),
    ("ios", &[]),
];

/// Processor architectures, likewise.
const ARCHITECTURES: &[(&str, &[&str])] = &[
    ("x86_64", &["amd64", "x64"]),
    ("aarch64", &["arm64"]),
    ("x86", &["i386", "i686", "386"]),
    ("arm", &["armv7"]),
    ("riscv64", &["riscv64gc"]),
    ("loongarch64", &[]),
    ("powerpc64", &["ppc64", "ppc64le"]),
    ("s390x", &[]),
    ("mips64", &[]),
];

/// A platform, by the names of [`std::env::consts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Platform {
    /// The operating system.
    pub os: &'static str,
    /// The processor architecture.
    pub arch: &'static str,
}

impl Platform {
    /// The platform of this program.
    pub const HERE: Self = Self {
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
    };
}

/// A condition; an empty list asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    os: Vec<&'static str>,
    arch: Vec<&'static str>,
}

impl When {
    /// Whether it is met on this platform.
    pub fn holds(&self, platform: Platform) -> bool {
        let is_met = |list: &[&str], name| list.is_empty() || list.contains(&name);
        is_met(&self.os, platform.os) && is_met(&self.arch, platform.arch)
    }

    /// Whether some platform meets both.
    pub fn meets(&self, other: &Self) -> bool {
        let share = |one: &[&str], two: &[&str]| {
            one.is_empty() || two.is_empty() || one.iter().any(|name| two.contains(name))
        };
        share(&self.os, &other.os) && share(&self.arch, &other.arch)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhenTable {
    os: Option<Spanned<Words>>,
    arch: Option<Spanned<Words>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string or an array of strings")]
enum Words {
    One(String),
    Many(Vec<String>),
}

impl WhenTable {
    pub(super) fn read(self, document: &Document<'_>) -> Result<When, DocumentError> {
        Ok(When {
            os: names(document, self.os, SYSTEMS)?,
            arch: names(document, self.arch, ARCHITECTURES)?,
        })
    }
}

/// The names under which Rust knows what is listed. A name that nobody knows is a slip of the pen:
/// its entry would never hold.
fn names(
    document: &Document<'_>,
    words: Option<Spanned<Words>>,
    known: &[(&'static str, &[&str])],
) -> Result<Vec<&'static str>, DocumentError> {
    let Some(words) = words else {
        return Ok(Vec::new());
    };
    let span = words.span();
    let words = match words.into_inner() {
        Words::One(word) => vec![word],
        Words::Many(words) => words,
    };
    if words.is_empty() {
        return Err(document.wrong_at(&span, "an empty list holds nowhere"));
    }
    let find = |word: &String| {
        let is_it = |(name, others): &&(&'static str, &[&str])| {
            word == name || others.contains(&word.as_str())
        };
        known
            .iter()
            .find(is_it)
            .map(|(name, _)| *name)
            .ok_or_else(|| {
                let all: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                let message = format!("{word:?} is none of {}", all.join(", "));
                document.wrong_at(&span, message)
            })
    };
    words.iter().map(find).collect()
}
