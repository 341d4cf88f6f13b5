//! What a gateway can do wrong, and to which requests.

use std::time::{Duration, Instant};

use super::answer::{Answer, Body};
use super::{Kind, Request};
use crate::support::dag::{Hash, Version, cid_of, seeded};
use crate::support::pb::{self, Cid};

/// One way to fail a request. Faults after so many bytes spare bodies that are no longer than that.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The connection ends, cleanly, before any header.
    CloseBeforeHeaders,
    /// Reset before any header: what a refused connection looks like once it was accepted.
    ResetBeforeHeaders,
    /// Silence for ever after the request.
    StallBeforeHeaders,
    /// Reset after this many bytes of the body.
    ResetAfter(u64),
    /// Silence for ever after this many bytes of the body.
    StallAfter(u64),
    /// After this many bytes of the body the response is parked until [`super::Gateway::release`].
    HoldAfter(u64),
    /// The same, after this many bytes of all bodies together that the gateway has sent.
    HoldAtTotal(u64),
    /// The body in pieces of this many bytes, each after the pause.
    Drip { piece: usize, pause: Duration },
    /// Zero bytes without end, after the honest body.
    Endless,
    /// A CAR that goes on for ever with sound blocks that nobody asked for.
    EndlessBlocks,
    /// Another status, with headers and body.
    Status {
        code: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// 200 with a web page.
    Html200,
    /// 200 and the whole file, whatever range was asked for.
    RangeIgnored,
    /// A `Content-Range` that starts this many bytes later than what was asked for, over the bytes
    /// that were asked for.
    WrongRange(u64),
    /// The right `Content-Length`, and a clean close after this many bytes.
    ShortBody(u64),
    /// A body and a `Content-Length` that are both cut to this many bytes.
    ShortAnswer(u64),
    /// A body and a `Content-Length` with this many bytes too many.
    LongBody(usize),
    /// One bit of the content is wrong: the lowest of the byte at this offset (modulo length). In a
    /// CAR the offset counts the bytes of blocks only.
    FlipBit(u64),
    /// Other bytes of the same length in place of the (last) block.
    OtherBlock,
    /// A CAR that ends, cleanly, after this many sections.
    TruncatedCarCleanEnd(usize),
    /// The sections of a CAR backwards.
    Reorder,
    /// Every section of a CAR twice.
    Duplicates,
    /// Without this block: 404 for it alone, left out of a CAR.
    Missing(Cid),
    /// This many sound blocks that nobody asked for, at the start of a CAR.
    ExtraBlocks(usize),
    /// A sound CAR of something else.
    WrongRoot,
    /// `Content-Encoding: gzip` over bytes that are no such thing.
    GzipHeader,
    /// A `Content-Type` of somebody's choice over an honest body.
    ContentType(&'static str),
    /// Text of an error in the middle of a body that began well, then a clean end.
    ErrorTextAfter(u64),
}

impl Fault {
    /// A status with a short text.
    pub fn status(code: u16) -> Self {
        Fault::Status {
            code,
            headers: Vec::new(),
            body: format!("scripted answer {code}\n"),
        }
    }

    /// A status that says when to come again.
    pub fn retry_after(code: u16, value: impl Into<String>) -> Self {
        Self::status(code).with_header("Retry-After", value)
    }

    /// What the retired public gateways answer.
    pub fn sunset(date: &str) -> Self {
        Self::retry_after(429, "900").with_header("Sunset", date)
    }

    /// A redirect.
    pub fn redirect(location: impl Into<String>) -> Self {
        Self::status(302).with_header("Location", location)
    }

    /// Adds a header to a status.
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        if let Fault::Status { headers, .. } = &mut self {
            headers.push((name.into(), value.into()));
        }
        self
    }
}

/// Which requests a fault applies to; counting starts at 1 and counts what this selector matches.
#[derive(Debug, Clone, Default)]
pub struct On {
    kind: Option<Kind>,
    contains: Option<String>,
    from: usize,
    to: Option<usize>,
    every: Option<usize>,
    sooner_than: Option<Duration>,
}

impl On {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests of one kind.
    pub fn kind(kind: Kind) -> Self {
        Self {
            kind: Some(kind),
            ..Self::default()
        }
    }

    /// Requests for raw blocks.
    pub fn raw() -> Self {
        Self::kind(Kind::Raw)
    }

    /// Requests for CARs.
    pub fn car() -> Self {
        Self::kind(Kind::Car)
    }

    /// Requests for a range of plain bytes.
    pub fn range() -> Self {
        Self::kind(Kind::Range)
    }

    /// Requests for a whole plain file.
    pub fn plain() -> Self {
        Self::kind(Kind::Plain)
    }

    /// Only requests whose path or query holds this text.
    pub fn with(self, text: impl Into<String>) -> Self {
        Self {
            contains: Some(text.into()),
            ..self
        }
    }

    /// Only the n-th.
    pub fn nth(self, n: usize) -> Self {
        Self {
            from: n,
            to: Some(n),
            ..self
        }
    }

    /// Only the first n.
    pub fn first(self, n: usize) -> Self {
        Self {
            from: 1,
            to: Some(n),
            ..self
        }
    }

    /// The n-th and all later ones.
    pub fn from(self, n: usize) -> Self {
        Self {
            from: n,
            to: None,
            ..self
        }
    }

    /// Every n-th.
    pub fn every(self, n: usize) -> Self {
        Self {
            every: Some(n),
            ..self
        }
    }

    /// Those that come sooner than this after the last one to which it did not apply: what a limit
    /// on the rate of requests refuses.
    pub fn sooner_than(self, pause: Duration) -> Self {
        Self {
            sooner_than: Some(pause),
            ..self
        }
    }

    fn selects(&self, request: &Request) -> bool {
        self.kind.is_none_or(|kind| kind == request.kind)
            && self
                .contains
                .as_ref()
                .is_none_or(|text| request.target().contains(text.as_str()))
    }

    fn counts(&self, n: usize, since_passed: Option<Duration>) -> bool {
        n >= self.from
            && self.to.is_none_or(|to| n <= to)
            && self.every.is_none_or(|every| n.is_multiple_of(every))
            && self
                .sooner_than
                .is_none_or(|pause| since_passed.is_some_and(|since| since < pause))
    }
}

/// A fault, armed: it counts the requests that its selector matches.
#[derive(Debug)]
pub(super) struct Rule {
    on: On,
    fault: Fault,
    seen: usize,
    pub(super) has_applied: bool,
    /// When a request that it matches was last spared.
    passed: Option<Instant>,
}

impl Rule {
    pub(super) fn new(on: On, fault: Fault) -> Self {
        Self {
            on,
            fault,
            seen: 0,
            has_applied: false,
            passed: None,
        }
    }
}

/// The first fault that applies; every rule counts every request that it matches.
pub(super) fn choose(rules: &mut [Rule], request: &Request) -> Option<Fault> {
    let mut chosen = None;
    for rule in rules.iter_mut().filter(|rule| rule.on.selects(request)) {
        rule.seen += 1;
        let since_passed = rule.passed.map(|passed| passed.elapsed());
        if !rule.on.counts(rule.seen, since_passed) {
            rule.passed = Some(Instant::now());
        } else if chosen.is_none() {
            rule.has_applied = true;
            chosen = Some(rule.fault.clone());
        }
    }
    chosen
}

/// How a response goes over the wire, once its content stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Delivery {
    /// Nothing is sent, not even headers, before `then`.
    pub(super) mute: bool,
    /// Bytes of the body before `then`.
    pub(super) stop_after: Option<u64>,
    pub(super) then: Then,
    pub(super) drip: Option<(usize, Duration)>,
}

/// What happens where a delivery stops.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Then {
    #[default]
    Finish,
    Close,
    Reset,
    Stall,
    Hold,
    Zeros,
    Blocks,
}

impl Delivery {
    fn stopping(after: u64, then: Then) -> Self {
        Self {
            stop_after: Some(after),
            then,
            ..Self::default()
        }
    }

    pub(super) fn hold(after: u64) -> Self {
        Self::stopping(after, Then::Hold)
    }

    fn mute(then: Then) -> Self {
        Self {
            mute: true,
            ..Self::stopping(0, then)
        }
    }
}

/// Spoils an honest answer. `whole` is the answer to the same request without its range.
pub(super) fn spoil(fault: Fault, answer: &mut Answer, whole: impl FnOnce() -> Answer) -> Delivery {
    match fault {
        Fault::CloseBeforeHeaders => return Delivery::mute(Then::Close),
        Fault::ResetBeforeHeaders => return Delivery::mute(Then::Reset),
        Fault::StallBeforeHeaders => return Delivery::mute(Then::Stall),
        Fault::ResetAfter(n) => return Delivery::stopping(n, Then::Reset),
        Fault::StallAfter(n) => return Delivery::stopping(n, Then::Stall),
        Fault::HoldAfter(n) => return Delivery::hold(n),
        Fault::ShortBody(n) => return Delivery::stopping(n, Then::Close),
        Fault::Drip { piece, pause } => {
            return Delivery {
                drip: Some((piece, pause)),
                ..Delivery::default()
            };
        }
        Fault::Endless => return endless(answer, Then::Zeros),
        Fault::EndlessBlocks => return endless(answer, Then::Blocks),
        Fault::Status {
            code,
            headers,
            body,
        } => *answer = Answer::text(code, headers, body),
        Fault::Html200 => *answer = html(),
        Fault::RangeIgnored => *answer = whole(),
        Fault::WrongRange(by) => answer.shift_content_range(by),
        Fault::GzipHeader => answer.header("Content-Encoding", "gzip"),
        Fault::ContentType(value) => answer.header("Content-Type", value),
        other => spoil_content(other, &mut answer.body),
    }
    Delivery::default()
}

fn endless(answer: &mut Answer, then: Then) -> Delivery {
    answer.chunked = true;
    Delivery::stopping(u64::MAX, then)
}

fn html() -> Answer {
    let headers = vec![("Content-Type".into(), "text/html; charset=utf-8".into())];
    Answer::text(
        200,
        headers,
        "<!DOCTYPE html><title>Checking your browser</title>\n".into(),
    )
}

fn spoil_content(fault: Fault, body: &mut Body) {
    match (fault, body) {
        (Fault::FlipBit(at), body) => flip_bit(body, at),
        (Fault::OtherBlock, Body::Plain(bytes)) => *bytes = seeded(0xbad, bytes.len()).into(),
        (Fault::OtherBlock, Body::Car { sections, .. }) => {
            if let Some((_, block)) = sections.last_mut() {
                *block = seeded(0xbad, block.len()).into();
            }
        }
        (Fault::ShortAnswer(n), body) => {
            let bytes = body.to_bytes();
            *body = Body::Plain(
                bytes.slice(..bytes.len().min(usize::try_from(n).unwrap_or(usize::MAX))),
            );
        }
        (Fault::LongBody(extra), body) => {
            *body = Body::Plain(
                [body.to_bytes().as_ref(), &vec![b'x'; extra]]
                    .concat()
                    .into(),
            );
        }
        (Fault::ErrorTextAfter(n), body) => {
            let bytes = body.to_bytes();
            let cut = bytes.len().min(usize::try_from(n).unwrap_or(usize::MAX));
            let text = b"\n\n[Gateway Error: Response truncated]";
            *body = Body::Plain([&bytes[..cut], text].concat().into());
        }
        (fault, Body::Car { roots, sections }) => spoil_car(&fault, roots, sections),
        // The remaining faults are of CARs; `Missing` of single blocks is the answer's business.
        (_, Body::Plain(_)) => {}
    }
}

fn spoil_car(fault: &Fault, roots: &mut Vec<Cid>, sections: &mut Vec<(Cid, bytes::Bytes)>) {
    match fault {
        Fault::TruncatedCarCleanEnd(n) => sections.truncate(*n),
        Fault::Reorder => sections.reverse(),
        Fault::Duplicates => {
            *sections = sections
                .iter()
                .flat_map(|section| [section.clone(), section.clone()])
                .collect()
        }
        Fault::Missing(cid) => sections.retain(|(known, _)| known.hash() != cid.hash()),
        Fault::ExtraBlocks(n) => {
            sections.splice(..0, (0..*n).map(|n| stranger(n as u64)));
        }
        Fault::WrongRoot => {
            let other = stranger(u64::MAX);
            *roots = vec![other.0];
            *sections = vec![other];
        }
        _ => {}
    }
}

fn flip_bit(body: &mut Body, at: u64) {
    let flip = |bytes: &mut bytes::Bytes, at: usize| {
        let mut copy = bytes.to_vec();
        copy[at] ^= 1;
        *bytes = copy.into();
    };
    match body {
        Body::Plain(bytes) if !bytes.is_empty() => {
            let at = at % bytes.len() as u64;
            flip(bytes, usize::try_from(at).expect("below a length"));
        }
        Body::Plain(_) => {}
        Body::Car { sections, .. } => {
            let total: u64 = sections.iter().map(|(_, block)| block.len() as u64).sum();
            let mut left = at.checked_rem(total).unwrap_or(0);
            for (_, block) in sections {
                if left < block.len() as u64 {
                    return flip(block, usize::try_from(left).expect("below a length"));
                }
                left -= block.len() as u64;
            }
        }
    }
}

/// A sound block that no test asks for.
pub(super) fn stranger(n: u64) -> (Cid, bytes::Bytes) {
    let block = seeded(n ^ 0x5712_a46e, 512);
    (
        cid_of(Version::V1, Hash::Sha256, pb::RAW, &block),
        block.into(),
    )
}
