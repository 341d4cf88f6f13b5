//! Links against rules, and against what the system does with them.

use super::*;

fn path(text: &str) -> TreePath {
    TreePath::parse(text).unwrap()
}

fn judge(links: &[(&str, &str)]) -> Result<(), UnsafeLink> {
    let mut all = Links::new(false);
    for (at, target) in links {
        all.add(&path(at), target.as_bytes())?;
    }
    all.check()
}

#[test]
fn links_that_stay() {
    for links in [
        &[("l", "f")][..],
        &[("l", "a/b/../c")],
        &[("a/l", "../f")],
        &[("a/b/l", "../../f"), ("l", "./a//b/l/.")],
        &[("l", "."), ("m", "l/f")],
        &[("a/l", "..")],
        &[("l", "none/there")],
        &[("a/up", ".."), ("l", "a/up/f")],
        &[("l", "m/../f"), ("m", "a/b")],
        // Two that go round lead nowhere.
        &[("l", "m"), ("m", "l")],
    ] {
        assert_eq!(judge(links), Ok(()), "{links:?}");
    }
}

#[test]
fn links_that_leave() {
    for links in [
        &[("l", "..")][..],
        &[("l", "/etc/passwd")],
        &[("l", "../f.0123abcd.partial/x")],
        &[("a/l", "../../f")],
        &[("l", "a/../../f")],
        &[("l", "")],
        &[("l", "a\0b")],
        &[("a/b/up", "../.."), ("l", "a/b/up/../f")],
        &[("l", "a/b/up/../f"), ("a/b/up", "../..")],
        &[
            ("a/b/up", "../.."),
            ("m", "a/b/up"),
            ("c/d/l", "../../m/../f"),
        ],
        &[("l", "l/../x")],
        &[("l", &"n".repeat(4096))],
    ] {
        assert!(judge(links).is_err(), "{links:?}");
    }
}

#[test]
fn says_which() {
    let error = judge(&[("a", "f"), ("b/c", "../../x")]).unwrap_err();
    assert_eq!(
        (error.path.as_str(), &*error.target),
        ("b/c", &b"../../x"[..])
    );
    assert_eq!(
        error.to_string(),
        r#"unsafe symlink b/c to "../../x": it leads out of the tree"#
    );
}

#[test]
fn where_names_fold_only_leading_climbs_stay() {
    let mut links = Links::new(true);
    links.add(&path("a/b/l"), b"../../f").unwrap();
    assert!(links.add(&path("l"), b"a/../f").is_err());
}

#[test]
fn many_links_are_bounded() {
    let target = vec![b'n'; MAX_TARGET];
    let mut links = Links::new(false);
    let added = (0..10_000)
        .take_while(|number| links.add(&path(&format!("l{number}")), &target).is_ok())
        .count();
    assert!((4000..5000).contains(&added), "{added}");
    // Each goes through the next one, twice: the work must not double with each.
    let mut links = Links::new(false);
    for number in 0..100 {
        let target = format!("l{0}/../l{0}", number + 1);
        links
            .add(&path(&format!("l{number}")), target.as_bytes())
            .unwrap();
    }
    assert!(links.check().is_err());
}

#[cfg(unix)]
mod against_the_system {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    /// Where links stand.
    const DIRS: [&str; 3] = ["", "a/", "a/b/"];
    /// Pieces of targets: many go down to where a link may stand, and up from there.
    const PIECES: [&str; 7] = ["..", "../..", "a", "./l", "m/..", "a/l/..", "a/b/l/.."];

    fn link() -> impl Strategy<Value = (String, String)> {
        let name = prop::sample::select(vec!["l", "m"]);
        let piece = prop::sample::select(PIECES.to_vec());
        let target = prop::collection::vec(piece, 1..3).prop_map(|pieces| pieces.join("/"));
        let dir = prop::sample::select(DIRS.to_vec());
        (dir, name, target).prop_map(|(dir, name, target)| (format!("{dir}{name}"), target))
    }

    /// Whether the real link ends in the tree, or nowhere.
    fn stays(root: &Path, link: &str) -> bool {
        fs::canonicalize(root.join(link)).map_or(true, |end| end.starts_with(root))
    }

    proptest! {
        #[test]
        fn what_is_let_through_stays(links in prop::collection::vec(link(), 1..5)) {
            let dir = tempfile::tempdir().unwrap();
            let root = fs::canonicalize(dir.path()).unwrap().join("outer/tree");
            fs::create_dir_all(root.join("a/b")).unwrap();
            let mut judged = Links::new(false);
            for (at, target) in &links {
                // Those that are refused alone are left out, so that more of the rest matters.
                if judged.add(&path(at), target.as_bytes()).is_ok() {
                    let _taken = symlink(target, root.join(at));
                }
            }
            if judged.check().is_ok() {
                for (at, _) in judged.iter() {
                    prop_assert!(stays(&root, at.as_str()), "{at} of {links:?}");
                }
            }
        }
    }
}
