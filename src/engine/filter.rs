//! Which parts of a tree are wanted: `--include` and `--exclude`.
//!
//! A pattern with a `/` is matched from the root of the tree; one without against every name. `*`
//! and `?` do not cross a `/`; `**` does. A pattern that names a directory stands for all of it.

/// The patterns; without any, everything is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// Between slashes; a pattern without any begins with `**`.
    parts: Vec<String>,
}

impl Filter {
    /// A filter of these patterns.
    pub fn new(include: &[String], exclude: &[String]) -> Self {
        let parse =
            |patterns: &[String]| patterns.iter().map(|text| Pattern::parse(text)).collect();
        Self {
            include: parse(include),
            exclude: parse(exclude),
        }
    }

    /// Whether everything is wanted.
    pub fn takes_all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Whether the file at this path is wanted. What was asked for by itself, and is no directory,
    /// is no part of a tree.
    pub fn takes_file(&self, path: &str) -> bool {
        if path.is_empty() {
            return true;
        }
        let path: Vec<&str> = path.split('/').collect();
        self.is_included(&path) && !self.is_excluded(&path)
    }

    /// Whether a file at this path, or anything below a directory there, may be wanted; `is_file`
    /// if it can be nothing but a file.
    pub fn may_hold(&self, path: &str, is_file: bool) -> bool {
        if is_file {
            return self.takes_file(path);
        }
        let path: Vec<&str> = path.split('/').collect();
        let leads_on = |pattern: &Pattern| leads_to(&pattern.parts, &path);
        let is_wanted = self.is_included(&path) || self.include.iter().any(leads_on);
        is_wanted && !self.is_excluded(&path)
    }

    fn is_included(&self, path: &[&str]) -> bool {
        self.include.is_empty() || self.include.iter().any(|pattern| pattern.covers(path))
    }

    fn is_excluded(&self, path: &[&str]) -> bool {
        self.exclude.iter().any(|pattern| pattern.covers(path))
    }
}

impl Pattern {
    fn parse(text: &str) -> Self {
        let anchored = text.trim_end_matches('/').contains('/');
        let parts = text.split('/').filter(|part| !part.is_empty());
        let parts = parts.map(str::to_owned);
        let parts = match anchored {
            true => parts.collect(),
            false => std::iter::once("**".to_owned()).chain(parts).collect(),
        };
        Self { parts }
    }

    /// Whether it names this path or a directory above it.
    fn covers(&self, path: &[&str]) -> bool {
        (1..=path.len()).any(|len| matches(&self.parts, &path[..len]))
    }
}

fn matches(pattern: &[String], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        ([any, rest @ ..], _) if any == "**" => {
            matches(rest, path) || (!path.is_empty() && matches(pattern, &path[1..]))
        }
        ([part, rest @ ..], [name, below @ ..]) => {
            fast_glob::glob_match(part, name) && matches(rest, below)
        }
        _ => false,
    }
}

/// Whether something below this directory could match.
fn leads_to(pattern: &[String], directory: &[&str]) -> bool {
    match (pattern, directory) {
        (_, []) => true,
        ([any, ..], _) if any == "**" => true,
        ([part, rest @ ..], [name, below @ ..]) => {
            fast_glob::glob_match(part, name) && leads_to(rest, below)
        }
        ([], _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> Filter {
        let owned = |patterns: &[&str]| {
            patterns
                .iter()
                .map(|&text| text.to_owned())
                .collect::<Vec<_>>()
        };
        Filter::new(&owned(include), &owned(exclude))
    }

    #[test]
    fn names_paths_and_directories() {
        let docs = filter(&["*.md", "src/**/mod.rs", "data"], &["drafts"]);
        assert!(docs.takes_file(""), "a file that was asked for by itself");
        for wanted in [
            "README.md",
            "a/b/c.md",
            "src/mod.rs",
            "src/x/y/mod.rs",
            "x/data/1.bin",
        ] {
            assert!(docs.takes_file(wanted), "{wanted}");
        }
        for unwanted in ["a/b/c.rs", "src/lib.rs", "drafts/a.md", "x/drafts/y/z.md"] {
            assert!(!docs.takes_file(unwanted), "{unwanted}");
        }
    }

    #[test]
    fn only_directories_that_may_hold_something_are_opened() {
        let one = filter(&["a/b/*.txt"], &[]);
        assert!(one.may_hold("a", false));
        assert!(one.may_hold("a/b", false));
        assert!(!one.may_hold("b", false));
        assert!(!one.may_hold("a/c", false));
        assert!(!one.may_hold("a/b/c.bin", true));
        let all_but = filter(&[], &["target/"]);
        assert!(!all_but.may_hold("x/target", false));
        assert!(all_but.may_hold("x", false));
    }
}
