//! Catalogues that are read, edited and refused.

use std::path::Path;

use super::*;

const CID: &str = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";

fn document(text: &str) -> Document<'_> {
    Document {
        path: Path::new("catalog.toml"),
        bytes: text.as_bytes(),
    }
}

fn entry(name: &str) -> CatalogEntry {
    CatalogEntry {
        name: name.to_owned(),
        source: CID.to_owned(),
        size: Some(4 << 30),
        sha256: Some([0xab; 32]),
        kind: Some("text".to_owned()),
        memory: Some(6 << 30),
        licence: None,
        note: Some("of \"quotes\"".to_owned()),
    }
}

fn remote(name: &str) -> RemoteCatalog {
    RemoteCatalog {
        name: name.to_owned(),
        source: format!("ipfs://{CID}/team.toml"),
        sha256: None,
        note: Some("of the team".to_owned()),
    }
}

#[test]
fn what_is_added_is_read() {
    let path = Path::new("catalog.toml");
    let text = add(path, "", &entry("a")).expect("an addition");
    let text = add(path, &text, &entry("b")).expect("an addition");
    let catalog = Catalog::parse(&document(&text)).expect("a catalogue");
    assert_eq!(catalog.entries, [entry("a"), entry("b")]);
    assert!(text.contains("size = \"4GiB\""), "{text}");
}

#[test]
fn an_edit_keeps_what_it_is_not_about() {
    let path = Path::new("catalog.toml");
    let before = format!(
        "# mine\n\n[[entry]]\nsource = '{CID}' # here\nname   = \"x\"\n\n# between\n\n# the other\n[[entry]]\nname = 'y'\nsource = '{CID}' # there\n# the end\n"
    );
    let marked = format!("\u{feff}{before}");
    for text in [before.clone(), before.replace('\n', "\r\n"), marked] {
        let with = add(path, &text, &entry("z")).expect("an addition");
        assert!(with.starts_with(&text), "{with}");
        assert_eq!(remove(path, &with, "z").expect("a removal"), text);
        let with = add_remote(path, &text, &remote("team")).expect("an addition");
        assert!(with.starts_with(&text), "{with}");
        assert_eq!(remove(path, &with, "team").expect("a removal"), text);
    }
    let without = remove(path, &before, "y").expect("a removal");
    let kept = &before[..before.find("\n# the other").expect("there")];
    assert_eq!(without, format!("{kept}# the end\n"));
    let without = remove(path, &before, "x").expect("a removal");
    assert!(without.starts_with("# mine\n\n# between\n\n# the other\n[[entry]]\nname = 'y'"));
    assert_eq!(
        remove(path, &without, "y").expect("a removal"),
        "# mine\n\n# between\n# the end\n"
    );
    let tricky = format!(
        "[[entry]]\nname = 'x'\nsource = '{CID}'\nnote = \"\"\"\n# no\n# comment\"\"\"\n[[entry]]\nname = 'y'\nsource = '{CID}'\n"
    );
    let without = remove(path, &tricky, "y").expect("a removal");
    assert!(
        tricky.starts_with(&without) && without.ends_with("# comment\"\"\"\n"),
        "{without}"
    );
    let alone = "# nothing yet";
    let with = add(path, alone, &entry("a")).expect("an addition");
    assert!(with.starts_with("# nothing yet\n\n[[entry]]\n"), "{with}");
    assert_eq!(
        remove(path, &with, "a").expect("a removal"),
        "# nothing yet\n"
    );
}

#[test]
fn what_is_written_in_one_line_is_left_to_its_author() {
    let path = Path::new("catalog.toml");
    let text = format!("entry = [{{ name = 'a', source = '{CID}' }}]\n");
    let catalog = Catalog::parse(&document(&text)).expect("a catalogue");
    assert_eq!(catalog.entries.len(), 1);
    assert!(add(path, &text, &entry("b")).is_err() && remove(path, &text, "a").is_err());
    let with = add_remote(path, &text, &remote("team")).expect("an addition");
    assert_eq!(remove(path, &with, "team").expect("a removal"), text);
}

#[test]
fn a_catalogue_from_elsewhere_is_named_with_what_proves_it() {
    const KEY: &str = "k51qzi5uqu5dk3v4rmjber23h16xnr23bsggmqqil9z2gduiis5se8dht36dam";
    let sum = "ab".repeat(32);
    for (source, needs_sum) in [
        (CID, false),
        (&*format!("ipfs://{CID}/team.toml"), false),
        (
            &format!("https://gateway.example/ipfs/{CID}/team.toml"),
            false,
        ),
        (&format!("ipns://{KEY}/team.toml"), false),
        ("https://files.example.org/team.toml", true),
        ("ipns://team.example.org", true),
    ] {
        assert_eq!(
            check_remote_source(source, false).is_err(),
            needs_sum,
            "{source}"
        );
        assert_eq!(check_remote_source(source, true), Ok(()), "{source}");
        let text = format!("[[catalog]]\nname = 'team'\nsource = '{source}'\n");
        let read = Catalog::parse(&document(&text));
        assert_eq!(read.is_err(), needs_sum, "{source}");
        let text = format!("{text}sha256 = '{sum}'\n");
        let catalog = Catalog::parse(&document(&text)).expect("a catalogue");
        assert_eq!(catalog.find_remote("team"), Some(&catalog.remotes[0]));
        assert_eq!(catalog.remotes[0].sha256, Some([0xab; 32]));
    }
}

#[test]
fn mistakes_about_catalogues_have_a_place() {
    let table = |name: &str| format!("[[catalog]]\nname = '{name}'\nsource = '{CID}'\n");
    let named = format!("[[entry]]\nname = 'a'\nsource = '{CID}'\n");
    for (text, expected) in [
        (table("user"), "2:8: \"user\" stands for"),
        (table("a/b"), "2:8: \"a/b\" is no name"),
        (
            named.clone() + &table("a"),
            "5:8: the name \"a\" is that of line 2 too",
        ),
        (
            "[[catalog]]\nname = 'a'\nsource = 'https://x.example/a'\n".to_owned(),
            "3:10: a URL alone proves nothing",
        ),
        (
            "[[catalog]]\nname = 'a'\nsource = 'ipns://x.example'\n".to_owned(),
            "3:10: a DNSLink name alone proves nothing",
        ),
        (
            "[[catalog]]\nname = 'a'\nsource = '@b'\n".to_owned(),
            "3:10: the source of a catalogue is no entry",
        ),
        (table("a") + "size = 1\n", "4:1: unknown key `size`"),
        ("catalogs = []\n".to_owned(), "1:1: unknown key `catalogs`"),
        (
            (0..=MAX_REMOTES)
                .map(|index| table(&index.to_string()))
                .collect(),
            "302:8: more than 100 catalogues",
        ),
    ] {
        let error = Catalog::parse(&document(&text))
            .expect_err("a mistake")
            .to_string();
        let rest = error.strip_prefix("catalog.toml:").unwrap_or_default();
        assert!(rest.starts_with(expected), "{error}");
    }
    let nested = named + &table("b");
    let error = Catalog::parse_remote(&document(&nested)).expect_err("a mistake");
    assert_eq!(
        error.to_string(),
        "catalog.toml:5:8: a catalogue from elsewhere cannot name further ones"
    );
}

#[test]
fn mistakes_have_a_place() {
    let table =
        |name: &str, more: &str| format!("[[entry]]\nname = '{name}'\nsource = '{CID}'\n{more}\n");
    for (text, expected) in [
        (table("a b", ""), "2:8: \"a b\" is no name"),
        (table("", ""), "2:8: \"\" is no name"),
        (table("a", "size = 'x'"), "4:8: not a size"),
        (table("a", "sha256 = 'x'"), "4:10: not a SHA-256"),
        (table("a", "colour = 1"), "4:1: unknown key `colour`"),
        (
            table("a", "") + &table("a", ""),
            "6:8: the name \"a\" is that of line 2 too",
        ),
        (
            "[[entry]]\nname = 'a'\nsource = '@b'\n".to_owned(),
            "3:10: the source of an entry is no other entry",
        ),
        (table("a", "size = -1"), "4:8: not a size"),
        (table("a", "size = true"), "4:8: expected a size"),
        (table("a", "size = 0"), "4:8: must be more than zero"),
        (
            table("a", "memory = '99999999T'"),
            "4:10: larger than any size",
        ),
        (table("a", "type = 3"), "4:8: invalid type"),
        (table("a", "note = 'x"), "4:10: invalid"),
        (table("a", "name = 'b'"), "4:1: duplicate key"),
        (
            table("a", "") + "[[entry]]\nname = 'b'\n",
            "5:1: missing key `source`",
        ),
        ("[entry]\nname = 'a'\n".to_owned(), "1:1: invalid type"),
        (format!("x = {}", "[".repeat(5000)), "1:85: cannot recurse"),
        ("[[entry]]\nname = 1\n".to_owned(), "2:8: invalid type"),
        (
            "[[entry]]\nname = 'a'\nsource = ''\n".to_owned(),
            "3:10: the source is empty",
        ),
    ] {
        let error = Catalog::parse(&document(&text)).expect_err("a mistake");
        let error = error.to_string();
        let rest = error.strip_prefix("catalog.toml:").unwrap_or_default();
        assert!(rest.starts_with(expected), "{error}");
    }
}

#[test]
fn the_largest_that_fits() {
    let sized = |name: &str, size: Option<u64>, memory: Option<u64>, kind: &str| CatalogEntry {
        size,
        memory,
        kind: Some(kind.to_owned()),
        ..entry(name)
    };
    let catalog = Catalog {
        entries: vec![
            sized("small", Some(1), Some(2), "text"),
            sized("large", Some(8), Some(10), "text"),
            sized("middle", Some(4), Some(6), "Text"),
            sized("twin", Some(4), Some(6), "text"),
            sized("picture", Some(5), None, "image"),
            sized("unknown", None, None, "text"),
        ],
        remotes: Vec::new(),
    };
    let name = |kind, memory| {
        let of_kind = catalog.entries.iter().filter(|entry| entry.is_of(kind));
        largest(of_kind, |entry| entry, memory).map(|entry| &*entry.name)
    };
    assert_eq!(name(None, 100), Some("large"));
    assert_eq!(name(Some("text"), 9), Some("middle"));
    assert_eq!(name(None, 9), Some("picture"), "without a word, its size");
    assert_eq!(name(Some("text"), 2), Some("small"));
    assert_eq!(name(None, 1), None);
}
