use proptest::prelude::*;

use super::*;

const CID: &str = "bafkqaddwgevxmmraojswg33smq";
const KEY: &str = "k51qzi5uqu5dk3v4rmjber23h16xnr23bsggmqqil9z2gduiis5se8dht36dam";
const PEER_ID: &str = "12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d";

fn target(text: &str) -> Target {
    Target::parse(text).unwrap()
}

/// Follows a chain through these answers, each of which must be asked for.
fn follow(start: &str, answers: &[(&str, &str)]) -> Result<Resolved, ChainError> {
    let Target { root, path } = target(start);
    let mut chain = Chain::new(root, path);
    for (expected, to) in answers {
        match chain.next()? {
            Next::LookUp(name) => {
                assert_eq!(name.to_string(), *expected);
                chain.answer(Step {
                    name,
                    target: target(to),
                    sequence: None,
                });
            }
            done => panic!("{done:?}"),
        }
    }
    match chain.next()? {
        Next::Done(resolved) => Ok(resolved),
        more => panic!("{more:?}"),
    }
}

#[test]
fn content_needs_no_name() {
    let resolved = follow(&format!("/ipfs/{CID}/a/b"), &[]).unwrap();
    assert_eq!(cid::text(&resolved.cid), CID);
    assert_eq!(resolved.path, ["a", "b"]);
    assert!(resolved.steps.is_empty());
}

#[test]
fn paths_are_joined_in_the_order_of_the_names() {
    let resolved = follow(
        "/ipns/Docs.Example/c/d",
        &[
            ("docs.example", &format!("/ipns/{PEER_ID}/b")),
            (KEY, &format!("/ipfs/{CID}/a")),
        ],
    )
    .unwrap();
    assert_eq!(resolved.path, ["a", "b", "c", "d"]);
    assert_eq!(cid::text(&resolved.cid), CID);
    let steps: Vec<(bool, String)> = resolved
        .steps
        .iter()
        .map(|step| (matches!(step.name, Name::Key(_)), step.target.to_string()))
        .collect();
    let expected = [
        (false, format!("/ipns/{PEER_ID}/b")),
        (true, format!("/ipfs/{CID}/a")),
    ];
    assert_eq!(steps, expected);
}

#[test]
fn circles_end_whatever_form_a_name_has() {
    let cycle = |name: &str| Err(ChainError::Cycle { name: name.into() });
    assert_eq!(
        follow("/ipns/a.example", &[("a.example", "/ipns/A.Example/x")]),
        cycle("a.example")
    );
    assert_eq!(
        follow(
            &format!("/ipns/{KEY}"),
            &[
                (KEY, "/ipns/a.example"),
                ("a.example", &format!("/ipns/{PEER_ID}"))
            ]
        ),
        cycle(KEY)
    );
}

#[test]
fn chains_have_a_limit() {
    let names: Vec<(String, String)> = (0..=MAX_STEPS)
        .map(|n| (format!("n{n}.example"), format!("/ipns/n{}.example", n + 1)))
        .collect();
    let mut answers: Vec<(&str, &str)> = names.iter().map(|(a, b)| (&**a, &**b)).collect();
    assert_eq!(
        follow("/ipns/n0.example", &answers),
        Err(ChainError::TooLong)
    );
    let end = format!("/ipfs/{CID}");
    answers.truncate(MAX_STEPS);
    answers[MAX_STEPS - 1].1 = &end;
    assert!(follow("/ipns/n0.example", &answers).is_ok());
}

#[test]
fn targets_are_read_to_the_letter() {
    assert_eq!(
        Target::of(cid::parse(KEY).unwrap()).to_string(),
        format!("/ipns/{KEY}")
    );
    assert_eq!(
        target(&format!("/ipfs/{CID}/%2f/é?x#y")).path,
        ["%2f", "é?x#y"]
    );
    assert_eq!(target(&format!("/ipfs/{CID}/a/../b//.")).path, ["b"]);
    for wrong in [
        "",
        "/",
        "ipfs/x",
        CID,
        &format!(" /ipfs/{CID}"),
        &format!("/ipfs/{CID} "),
        &format!("ipfs://{CID}"),
        &format!("https://{CID}.ipfs.example"),
        "/ipld/x",
        "@name",
    ] {
        assert_eq!(Target::parse(wrong), Err(TargetError::NotAPath), "{wrong}");
    }
    for malformed in [
        "/ipfs/",
        "/ipfs/x",
        "/ipns/",
        "/ipns/nodots",
        &format!("/ipfs/{CID}/.."),
        &format!("/ipfs/{CID}/a\0"),
    ] {
        let error = Target::parse(malformed).unwrap_err();
        assert!(matches!(error, TargetError::Malformed(_)), "{malformed}");
    }
    assert_eq!(
        Target::parse_bytes(b"/ipfs/\xff"),
        Err(TargetError::NotAPath)
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in "(/ip[fn]s/)?\\PC{0,60}") {
        if let Ok(target) = Target::parse(&text) {
            let again = Target::parse(&target.to_string());
            prop_assert_eq!(again, Ok(target));
        }
    }
}
