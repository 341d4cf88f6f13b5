//! What a message says, without any server; the exchanges are in the integration tests.

use proptest::prelude::*;
use simple_dns::rdata::{CNAME, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, ResourceRecord};

use super::link;
use super::message::{Answer, MAX_UDP, query, read};

const NAME: &str = "_dnslink.docs.example";

/// An answer to our question with these records: owner and text, or `>` and an alias.
fn reply(id: u16, records: &[(&'static str, &'static str)]) -> Vec<u8> {
    let asked = query(id, NAME).unwrap();
    let asked = Packet::parse(&asked).unwrap();
    let mut packet = Packet::new_reply(id);
    packet.questions.clone_from(&asked.questions);
    for (owner, text) in records {
        let rdata = match text.strip_prefix('>') {
            Some(alias) => RData::CNAME(CNAME(Name::new(alias).unwrap())),
            None => RData::TXT((*text).try_into().unwrap()),
        };
        let owner = Name::new(owner).unwrap();
        packet
            .answers
            .push(ResourceRecord::new(owner, CLASS::IN, 60, rdata));
    }
    packet.build_bytes_vec_compressed().unwrap()
}

#[test]
fn a_query_is_one_question() {
    let bytes = query(258, NAME).unwrap();
    assert_eq!(
        &bytes[..12],
        b"\x01\x02\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01"
    );
    assert!(bytes[12..].starts_with(b"\x08_dnslink\x04docs\x07example\x00\x00\x10\x00\x01"));
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!(packet.opt().unwrap().udp_packet_size, MAX_UDP);
    assert!(packet.has_flags(PacketFlag::RECURSION_DESIRED));
    assert_eq!(query(0, &"x".repeat(64)), None);
    assert_eq!(query(0, &vec!["x".repeat(60); 5].join(".")), None);
}

#[test]
fn records_of_others_do_not_count() {
    let answer = |records: &[(&'static str, &'static str)]| {
        read(&reply(9, records), 9, NAME).unwrap().answer.unwrap()
    };
    let texts = |texts: &[&str]| Answer::Texts(texts.iter().map(|t| (*t).to_owned()).collect());
    assert_eq!(
        answer(&[
            ("_DNSLINK.docs.EXAMPLE", "a"),
            ("docs.example", "b"),
            (NAME, "c")
        ]),
        texts(&["a", "c"])
    );
    assert_eq!(answer(&[("docs.example", "b")]), Answer::Nothing);
    assert_eq!(
        answer(&[
            ("b.example", "x"),
            (NAME, ">a.example"),
            ("a.example", ">B.example")
        ]),
        texts(&["x"])
    );
    assert_eq!(
        answer(&[(NAME, ">a.example")]),
        Answer::Alias("a.example".into())
    );
    let circle = [
        (NAME, ">a.example"),
        ("a.example", ">_dnslink.docs.example"),
    ];
    assert!(matches!(answer(&circle), Answer::Alias(_)));
}

#[test]
fn only_the_answer_to_our_question_is_read() {
    let good = reply(9, &[(NAME, "a")]);
    assert!(read(&good, 9, NAME).is_some());
    assert!(read(&good, 8, NAME).is_none());
    assert!(read(&good, 9, "_dnslink.other.example").is_none());
    assert!(read(&query(9, NAME).unwrap(), 9, NAME).is_none());
    assert!(read(b"", 9, NAME).is_none());
}

#[test]
fn links() {
    let shown = |text: &str| link(text).map(|target| target.to_string());
    let target = "/ipfs/bafkqaaa/%41 b";
    assert_eq!(shown(&format!("dnslink={target}")).as_deref(), Some(target));
    for other in [
        "",
        "dnslink=",
        "dnslink=bafkqaaa",
        target,
        "dnslink=/ipld/x",
    ] {
        assert_eq!(shown(other), None, "{other}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in any::<usize>(), byte in any::<u8>()) {
        let _ = read(&bytes, 9, NAME);
        let mut changed = reply(9, &[(NAME, ">a.example"), ("a.example", "dnslink=/ipfs/bafkqaaa")]);
        let at = at % changed.len();
        changed[at] = byte;
        let _ = read(&changed, 9, NAME);
        let _ = read(&changed[..at], 9, NAME);
    }
}
