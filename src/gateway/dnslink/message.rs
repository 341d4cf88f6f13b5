//! Messages of the DNS: one question for TXT records, and its answer. Pure.
//!
//! Sources: RFC 1035, RFC 6891.

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

/// The largest message that there is.
pub(super) const MAX_MESSAGE: usize = 65_535;

/// The largest answer that we want over UDP: no more than passes everywhere in one piece.
pub(super) const MAX_UDP: u16 = 1232;

/// Most aliases followed within one answer.
const MAX_ALIASES: usize = 16;

/// What the DNS says about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Its TXT records, the strings of each joined; those that are no text are left out.
    Texts(Vec<String>),
    /// It stands for another name, whose records were not sent along.
    Alias(String),
    /// It does not exist, or has no such records.
    Nothing,
}

/// An answer to our question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    /// Whether there is more than fitted.
    pub(super) is_truncated: bool,
    /// What it says, or the response code of a failure.
    pub(super) answer: Result<Answer, String>,
}

/// The question for the TXT records of `name`, recursion desired; `None` if no message can hold
/// that name.
pub(super) fn query(id: u16, name: &str) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    *packet.opt_mut() = Some(OPT {
        opt_codes: Vec::new(),
        udp_packet_size: MAX_UDP,
        version: 0,
    });
    packet.questions.push(Question::new(
        Name::new(name).ok()?,
        QTYPE::TYPE(TYPE::TXT),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    packet.build_bytes_vec().ok()
}

/// Reads an answer; `None` if it is malformed, or not an answer to this very question.
pub(super) fn read(bytes: &[u8], id: u16, name: &str) -> Option<Reply> {
    let packet = Packet::parse(bytes).ok()?;
    let is_reply = packet.id() == id && packet.has_flags(PacketFlag::RESPONSE);
    let is_ours = match packet.questions.as_slice() {
        [question] => {
            is_same(&question.qname, name)
                && question.qtype == QTYPE::TYPE(TYPE::TXT)
                && question.qclass == QCLASS::CLASS(CLASS::IN)
        }
        // Some servers repeat no question where they fail.
        [] => packet.rcode() != RCODE::NoError,
        _ => false,
    };
    if !is_reply || !is_ours {
        return None;
    }
    let answer = match packet.rcode() {
        RCODE::NoError => Ok(answer(&packet, name)),
        RCODE::NameError => Ok(Answer::Nothing),
        code => Err(format!("{code:?}")),
    };
    Some(Reply {
        is_truncated: packet.has_flags(PacketFlag::TRUNCATION),
        answer,
    })
}

/// The records of `name`, or of the last name of its chain of aliases.
fn answer(packet: &Packet<'_>, name: &str) -> Answer {
    let mut owner = name.to_owned();
    for _ in 0..=MAX_ALIASES {
        let texts = texts(packet, &owner);
        if !texts.is_empty() {
            return Answer::Texts(texts);
        }
        match alias(packet, &owner) {
            Some(target) => owner = target,
            None if owner == name => return Answer::Nothing,
            None => return Answer::Alias(owner),
        }
    }
    // In circles: to ask for this name again leads nowhere, and there is a limit to that.
    Answer::Alias(owner)
}

fn texts(packet: &Packet<'_>, owner: &str) -> Vec<String> {
    let records = packet
        .answers
        .iter()
        .filter(|record| record.class == CLASS::IN && is_same(&record.name, owner));
    records
        .filter_map(|record| match &record.rdata {
            RData::TXT(txt) => String::try_from(txt.clone()).ok(),
            _ => None,
        })
        .collect()
}

fn alias(packet: &Packet<'_>, owner: &str) -> Option<String> {
    packet.answers.iter().find_map(
        |record| match (&record.rdata, is_same(&record.name, owner)) {
            (RData::CNAME(target), true) => Some(target.0.to_string()),
            _ => None,
        },
    )
}

/// Names of the DNS differ in more than the case of their ASCII letters.
fn is_same(name: &Name<'_>, text: &str) -> bool {
    name.to_string().eq_ignore_ascii_case(text)
}
