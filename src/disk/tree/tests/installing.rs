//! Final names, replacement, and crashes in between.

use super::*;

fn built() -> Place {
    let mut place = Place::new();
    place.tree.make_dir(&path("a")).unwrap();
    place.write("a/new", b"new");
    place.tree.full_sync().run().unwrap();
    place
}

fn old_target(place: &Place) {
    fs::create_dir_all(place.target().join("b/empty")).unwrap();
    fs::write(place.target().join("b/old"), "old").unwrap();
}

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn is_new(target: &Path) -> bool {
    fs::read(target.join("a/new")).is_ok_and(|bytes| bytes == b"new") && !target.join("b").exists()
}

#[test]
fn gives_the_final_name() {
    let place = built();
    let target = place.target();
    place.tree.install(&target).unwrap();
    assert!(is_new(&target));
    assert_eq!(names(place.dir.path()), BTreeSet::from(["tree".to_owned()]));
    assert_eq!(names(&target), BTreeSet::from(["a".to_owned()]));
}

#[test]
fn replaces_nothing_unasked() {
    for make in [
        |target: &Path| fs::create_dir(target),
        |target: &Path| fs::write(target, ""),
    ] {
        let place = built();
        let (part, target) = (place.part(), place.target());
        make(&target).unwrap();
        assert!(matches!(
            place.tree.install(&target),
            Err(DiskError::Exists { .. })
        ));
        assert!(is_new(&part) && target.exists());
    }
}

#[test]
fn replaces_what_is_known() {
    let place = built();
    old_target(&place);
    let target = place.target();
    let mut asked = Vec::new();
    let mut is_known = |entry: &WalkEntry| {
        asked.push(entry.path.clone());
        true
    };
    place.tree.replace(&target, &mut is_known).unwrap();
    let old = Path::new("b").join("old");
    assert_eq!(asked, [old.clone(), old], "before and after");
    assert!(is_new(&target));
    assert_eq!(names(place.dir.path()), BTreeSet::from(["tree".to_owned()]));
}

#[test]
fn keeps_what_is_unknown() {
    let place = built();
    old_target(&place);
    let (part, target) = (place.part(), place.target());
    let error = place.tree.replace(&target, &mut |_| false).unwrap_err();
    assert!(error.is_uncreatable());
    assert!(matches!(error, DiskError::Unknown { ref path } if path.ends_with("b/old")));
    assert!(is_new(&part) && target.join("b/old").exists());
}

/// Knows what is old, and makes something else beside it as soon as it is asked.
fn while_looked_at(target: &Path) -> impl FnMut(&WalkEntry) -> bool {
    let late = target.join("b/late");
    move |entry| {
        // In the new tree there is no such directory.
        let _ = fs::write(&late, "mine");
        entry.path.ends_with("old")
    }
}

#[test]
fn what_comes_while_the_trees_change_places_is_kept() {
    use crate::disk::tree::install::{aside, replace_in_steps};
    for in_steps in [false, true] {
        let place = built();
        old_target(&place);
        let (part, target) = (place.part(), place.target());
        let mut is_known = while_looked_at(&target);
        let error = if in_steps {
            fs::write(target.join("b/late"), "mine").unwrap();
            replace_in_steps(&part, &target, &mut is_known).unwrap_err()
        } else {
            place.tree.replace(&target, &mut is_known).unwrap_err()
        };
        assert!(matches!(error, DiskError::Unknown { ref path } if *path == target.join("b/late")));
        assert_eq!(fs::read(target.join("b/late")).unwrap(), b"mine");
        assert!(target.join("b/old").exists() && is_new(&part) && !aside(&part).exists());
    }
}

#[test]
fn a_file_makes_way() {
    let place = built();
    let target = place.target();
    fs::write(&target, "a file").unwrap();
    place.tree.replace(&target, &mut |_| false).unwrap();
    assert!(is_new(&target));
    assert_eq!(names(place.dir.path()), BTreeSet::from(["tree".to_owned()]));
}

#[test]
fn nothing_there_needs_no_replacement() {
    let place = built();
    let target = place.target();
    place.tree.replace(&target, &mut |_| false).unwrap();
    assert!(is_new(&target));
}

/// Systems that cannot exchange: each state that a crash can leave is mended.
#[test]
fn replacement_in_steps() {
    use crate::disk::tree::install::{aside, replace_in_steps};
    let place = built();
    old_target(&place);
    let (part, target) = (place.part(), place.target());
    let old = aside(&part);
    assert!(old.as_os_str().len() < part.as_os_str().len());

    // Killed after the old tree was moved: it comes back, and the part is untouched.
    fs::rename(&target, &old).unwrap();
    settle(&part, &target).unwrap();
    assert!(target.join("b/old").exists() && is_new(&part) && !old.exists());
    settle(&part, &target).unwrap();

    // Killed after the new tree came: the old one goes.
    fs::rename(&target, &old).unwrap();
    fs::rename(&part, &target).unwrap();
    settle(&part, &target).unwrap();
    assert!(is_new(&target) && !old.exists());

    fs::rename(&target, &part).unwrap();
    old_target(&place);
    replace_in_steps(&part, &target, &mut |_| true).unwrap();
    assert!(is_new(&target) && !old.exists() && !part.exists());

    // Somebody took the name before the new tree could: all three stay, and the old one is named.
    fs::rename(&target, &part).unwrap();
    old_target(&place);
    fs::rename(&target, &old).unwrap();
    fs::write(&target, "somebody else's").unwrap();
    settle(&part, &target).unwrap();
    assert!(old.join("b/old").exists() && is_new(&part));
    let error = replace_in_steps(&part, &target, &mut |_| true).unwrap_err();
    assert!(matches!(error, DiskError::Exists { ref path } if *path == old));
    assert_eq!(fs::read(&target).unwrap(), b"somebody else's");
}

#[test]
fn removal_of_anything() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("x");
    remove_tree(&at).unwrap();
    fs::write(&at, "").unwrap();
    remove_tree(&at).unwrap();
    fs::create_dir_all(at.join("a/b/c")).unwrap();
    fs::write(at.join("a/b/f"), "").unwrap();
    remove_tree(&at).unwrap();
    assert!(!at.exists());
}
