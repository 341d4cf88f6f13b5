//! The words of `verify` and `repair`: what is right on disk, and what is not.

use std::path::Path;

use crate::download::Proof;
use crate::ui::escape;
use crate::ui::human;
use crate::ui::view::{RepairedView, VerifiedView};

/// The words of `verify`, without a line feed at its end.
pub fn verified(view: &VerifiedView) -> String {
    let shown = |path: &Path| escape::text(&path.to_string_lossy()).into_owned();
    let size = human::size(view.checked_bytes);
    let what = view.cid.as_deref().unwrap_or("no CID");
    let verdict = match (view.ok, view.bad.is_empty() && view.missing.is_empty()) {
        (true, _) => "ok",
        (false, true) => "unproved",
        (false, false) => "damaged",
    };
    let mut lines = vec![format!(
        "{verdict}: {} ({what}, {size}{})",
        shown(&view.path),
        speed(view)
    )];
    let bad = view.bad.iter().map(|bad| {
        let (first, behind) = (bad.offset, bad.offset.saturating_add(bad.length));
        let (path, what) = (shown(&bad.path), &bad.what);
        format!("  wrong: {path}: {what}, {first} to {behind}")
    });
    lines.extend(bad);
    let named = [
        ("missing", &view.missing),
        ("unproved", &view.unproved),
        ("extra", &view.extra),
    ];
    for (word, paths) in named {
        lines.extend(
            paths
                .iter()
                .map(|path| format!("  {word}: {}", shown(path))),
        );
    }
    lines.extend(view.proof.and_then(weak_proof).map(str::to_owned));
    lines.extend(
        view.error
            .as_ref()
            .map(|error| format!("  {}", escape::text(&error.message))),
    );
    lines.join("\n")
}

/// The words of `repair`, without a line feed at its end.
pub fn repaired(view: &RepairedView) -> String {
    let shown = |path: &Path| escape::text(&path.to_string_lossy()).into_owned();
    let (path, size) = (shown(&view.path), human::size(view.bytes_fetched));
    let verdict = match (view.ok, view.repaired.is_empty()) {
        (true, true) => format!("ok: {path}: nothing is wrong"),
        (true, false) => format!("repaired: {path} ({size} fetched)"),
        (false, _) => format!("damaged: {path} ({size} fetched)"),
    };
    let lines = [("repaired", &view.repaired), ("failed", &view.failed)];
    let lines = lines.iter().flat_map(|(word, paths)| {
        paths
            .iter()
            .map(move |path| format!("  {word}: {}", shown(path)))
    });
    let lines: Vec<String> = std::iter::once(verdict).chain(lines).collect();
    lines.join("\n")
}

/// How fast it went, where that says anything.
fn speed(view: &VerifiedView) -> String {
    let enough = view.checked_bytes > 1 << 20 && view.elapsed > 0.0;
    match enough {
        true => format!(
            ", {}",
            human::rate(view.checked_bytes as f64 / view.elapsed)
        ),
        false => String::new(),
    }
}

/// What a proof is worth that is less than that of each leaf.
fn weak_proof(proof: Proof) -> Option<&'static str> {
    match proof {
        Proof::Blocks | Proof::Leaves => None,
        Proof::Profile => Some("  proof: an importer gives it this CID"),
        Proof::Sha256 => Some("  proof: it has the SHA-256 that it had when it was proved"),
        Proof::Unverified => Some(
            "  proof: none; it has the SHA-256 that it had when it came, and nothing proved it then",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::json;
    use crate::ui::view::{AllVerifiedView, BadView};

    fn damaged() -> VerifiedView {
        VerifiedView {
            path: "/data/tree".into(),
            cid: Some("bafy".to_owned()),
            ok: false,
            checked_bytes: 3 << 30,
            bad: vec![BadView {
                path: "/data/tree/a\u{1b}[2J".into(),
                offset: 262_144,
                length: 262_144,
                what: "other bytes".to_owned(),
            }],
            missing: vec!["/data/tree/b".into()],
            extra: vec!["/data/tree/c".into()],
            unproved: vec!["/data/tree/d".into()],
            proof: None,
            files: 7,
            elapsed: 2.0,
            error: None,
        }
    }

    fn right(proof: Proof) -> VerifiedView {
        VerifiedView {
            ok: true,
            bad: Vec::new(),
            missing: Vec::new(),
            extra: Vec::new(),
            unproved: Vec::new(),
            proof: Some(proof),
            ..damaged()
        }
    }

    #[test]
    fn a_line_for_each_thing_that_is_wrong() {
        insta::assert_snapshot!(verified(&damaged()), @r"
        damaged: /data/tree (bafy, 3 GiB, 1.5 GiB/s)
          wrong: /data/tree/a\u{1b}[2J: other bytes, 262144 to 524288
          missing: /data/tree/b
          unproved: /data/tree/d
          extra: /data/tree/c
        ");
        insta::assert_snapshot!(verified(&right(Proof::Leaves)), @"ok: /data/tree (bafy, 3 GiB, 1.5 GiB/s)");
        insta::assert_snapshot!(verified(&right(Proof::Sha256)), @r"
        ok: /data/tree (bafy, 3 GiB, 1.5 GiB/s)
          proof: it has the SHA-256 that it had when it was proved
        ");
    }

    #[test]
    fn scripts_read_one_object_for_each() {
        let all = AllVerifiedView {
            ok: false,
            verified: vec![damaged()],
        };
        insta::assert_snapshot!(json::document(&all).unwrap(), @r#"{"v":1,"ok":false,"verified":[{"path":"/data/tree","cid":"bafy","ok":false,"checked_bytes":3221225472,"bad":[{"path":"/data/tree/a\u001b[2J","offset":262144,"length":262144,"what":"other bytes"}],"missing":["/data/tree/b"],"extra":["/data/tree/c"],"unproved":["/data/tree/d"],"proof":null,"files":7,"elapsed":2.0,"error":null}]}"#);
    }

    #[test]
    fn what_was_mended_and_what_not() {
        let view = RepairedView {
            path: "/data/tree".into(),
            cid: None,
            ok: false,
            checked_bytes: 1,
            bytes_fetched: 1 << 20,
            repaired: vec!["/data/tree/a".into()],
            failed: vec!["/data/tree/b".into()],
            extra: Vec::new(),
            elapsed: 1.0,
        };
        insta::assert_snapshot!(repaired(&view), @r"
        damaged: /data/tree (1 MiB fetched)
          repaired: /data/tree/a
          failed: /data/tree/b
        ");
    }
}
