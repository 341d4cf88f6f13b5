//! Faults of requests and of the bytes of their answers, and what other terminals and signals do
//! while an answer is on its way.

use std::fmt;

use crate::support::gateway::{Fault as Wrong, On, Request};

/// What happens to the n-th request.
#[derive(Debug, Clone)]
pub struct Fault {
    nth: usize,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Wrong(Wrong),
    /// Its answer stops after so many bytes, and then this happens.
    Meanwhile(u64, Act),
}

/// What is done to the process while an answer is parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Kill,
    Signal(&'static str),
    Command(&'static str),
    /// The database is locked for a moment by somebody else.
    Lock,
}

const ACTS: &[Act] = &[
    Act::Kill,
    Act::Signal("INT"),
    Act::Signal("TERM"),
    Act::Signal("USR1"),
    Act::Command("pause"),
    Act::Command("cancel"),
    Act::Command("checkpoint"),
    Act::Lock,
];

impl Fault {
    /// The rule for the gateway.
    pub fn rule(&self) -> (On, Wrong) {
        let on = On::any().nth(self.nth);
        match &self.what {
            What::Wrong(wrong) => (on, wrong.clone()),
            What::Meanwhile(after, _) => (on, Wrong::HoldAfter(*after)),
        }
    }

    /// What is done while the answer is parked, if it is one of these.
    pub fn act(&self) -> Option<Act> {
        match self.what {
            What::Wrong(_) => None,
            What::Meanwhile(_, act) => Some(act),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {} ", self.nth)?;
        match &self.what {
            What::Wrong(wrong) => write!(f, "{wrong:?}"),
            What::Meanwhile(after, act) => write!(f, "held after {after}: {act:?}"),
        }
    }
}

/// Every fault that can happen to recorded requests.
pub fn faults(requests: &[Request]) -> Vec<Fault> {
    let each = |(index, request): (usize, &Request)| {
        let windows = offsets(request.sent).into_iter().flat_map(window);
        let all = whole().into_iter().chain(windows);
        all.map(move |what| Fault {
            nth: index + 1,
            what,
        })
        .collect::<Vec<_>>()
    };
    requests.iter().enumerate().flat_map(each).collect()
}

/// What can be wrong with an answer as a whole.
fn whole() -> Vec<What> {
    let wrongs = [
        Wrong::CloseBeforeHeaders,
        Wrong::ResetBeforeHeaders,
        Wrong::StallBeforeHeaders,
        Wrong::status(404),
        Wrong::status(410),
        Wrong::status(416),
        Wrong::status(500),
        Wrong::retry_after(503, "0"),
        Wrong::retry_after(429, "0"),
        Wrong::redirect("/ipfs/loop"),
        Wrong::Html200,
        Wrong::RangeIgnored,
        Wrong::WrongRange(1),
        Wrong::OtherBlock,
        Wrong::LongBody(1000),
        Wrong::GzipHeader,
        Wrong::WrongRoot,
        Wrong::Reorder,
        Wrong::Duplicates,
        Wrong::ExtraBlocks(3),
        Wrong::TruncatedCarCleanEnd(0),
        Wrong::TruncatedCarCleanEnd(2),
    ];
    wrongs.into_iter().map(What::Wrong).collect()
}

/// What can happen after so many bytes of a body.
fn window(at: u64) -> Vec<What> {
    let wrongs = [
        Wrong::ResetAfter(at),
        Wrong::StallAfter(at),
        Wrong::ShortBody(at),
        Wrong::ShortAnswer(at),
        Wrong::FlipBit(at),
        Wrong::ErrorTextAfter(at),
    ];
    let acts = ACTS.iter().map(|&act| What::Meanwhile(at, act));
    wrongs.into_iter().map(What::Wrong).chain(acts).collect()
}

/// Offsets in a body at which something may happen: both ends, and between.
fn offsets(size: u64) -> Vec<u64> {
    let mut offsets = vec![
        0,
        1,
        size / 4,
        size / 2,
        size * 3 / 4,
        size.saturating_sub(1),
    ];
    offsets.retain(|&at| at < size);
    offsets.sort_unstable();
    offsets.dedup();
    offsets
}
