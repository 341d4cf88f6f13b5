//! Which record of a name to believe, and what to say when there is none. Pure.

use jiff::Timestamp;

use crate::commands::error::CommandError;
use crate::content::cid::Cid;
use crate::content::ipns::Record;
use crate::exit::ExitKind;
use crate::gateway::error::{Advice, Fault, GatewayError};
use crate::store::IpnsRow;

/// Most answers that a message repeats.
const MAX_SHOWN: usize = 3;

/// The newest record that was seen before.
#[derive(Debug)]
pub(super) struct Known {
    sequence: u64,
    seen: Timestamp,
    /// The record, as long as it is valid.
    record: Option<Record>,
}

/// Somebody's answer that is no record.
#[derive(Debug)]
pub(super) struct Refusal {
    /// What it means for the name.
    pub(super) meaning: Meaning,
    /// Who answered, and what.
    pub(super) text: String,
}

/// What an answer without a record means for the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// There is no record there.
    Absent,
    /// Nothing: records are not served there.
    NotServed,
    /// Nothing: the place is closed for good.
    Closed,
    /// Nothing: we may not ask.
    Forbidden,
    /// There may be one, another time.
    Later,
    /// What was sent proves nothing.
    Invalid,
    /// We cannot ask as things are configured.
    Misconfigured,
}

impl Meaning {
    /// The meaning of a failed exchange.
    pub(super) fn of(error: &GatewayError, advice: Advice) -> Self {
        match advice {
            _ if matches!(error.fault, Fault::TooLarge { .. }) => Self::Invalid,
            Advice::Absent | Advice::Never => Self::Absent,
            Advice::Unsupported | Advice::Unprovable => Self::NotServed,
            Advice::Retired => Self::Closed,
            Advice::Credentials | Advice::Withheld => Self::Forbidden,
            Advice::Retry { .. } | Advice::SlowDown { .. } | Advice::Elsewhere => Self::Later,
            Advice::Stop => Self::Misconfigured,
        }
    }
}

/// The record to believe.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) record: Record,
    /// What is strange about it.
    pub(super) notice: Option<String>,
}

impl Known {
    /// What the store remembers of `key`, proved once more.
    pub(super) fn new(key: &Cid, row: IpnsRow, now: Timestamp) -> Self {
        Self {
            sequence: row.sequence,
            seen: row.seen,
            record: Record::verify(key, &row.record, now).ok(),
        }
    }

    /// Its record, if its owner lets it be used without looking for a newer one.
    fn fresh(self, now: Timestamp) -> Option<Record> {
        let record = self.record?;
        let age = now.duration_since(self.seen).unsigned_abs();
        (age < record.ttl()?).then_some(record)
    }
}

/// Picks between the best record that was found now and the one seen before. An older record than
/// the one seen before may be an attack by whoever sends it, and is used only if that one has
/// expired.
pub(super) fn choose(
    name: &str,
    found: Option<Record>,
    known: Option<Known>,
    refusals: &[Refusal],
    now: Timestamp,
) -> Result<Choice, CommandError> {
    let Some(found) = found else {
        return match known.and_then(|known| known.fresh(now)) {
            Some(record) => Ok(Choice {
                record,
                notice: Some(format!(
                    "nobody sends a valid record of {name} now; the one seen before is still good, and is used"
                )),
            }),
            None => Err(no_record(name, refusals)),
        };
    };
    let Some(known) = known else {
        return Ok(plain(found));
    };
    let is_rolled_back = found.sequence() < known.sequence;
    match known.record {
        Some(record) if is_rolled_back => Ok(Choice {
            notice: Some(format!(
                "only older records of {name} are sent (sequence {}) than one seen before (sequence {}); that one is used",
                found.sequence(),
                known.sequence
            )),
            record,
        }),
        Some(record) if record.rank(&found).is_gt() => Ok(plain(record)),
        None if is_rolled_back => Ok(Choice {
            notice: Some(format!(
                "the record of {name} is older (sequence {}) than one seen before (sequence {}), which has expired",
                found.sequence(),
                known.sequence
            )),
            record: found,
        }),
        _ => Ok(plain(found)),
    }
}

fn plain(record: Record) -> Choice {
    Choice {
        record,
        notice: None,
    }
}

/// Somebody who can be asked later counts most, then who sent what is no proof.
fn no_record(name: &str, refusals: &[Refusal]) -> CommandError {
    let any = |meaning| refusals.iter().any(|refusal| refusal.meaning == meaning);
    let all = |meanings: &[Meaning]| {
        refusals
            .iter()
            .all(|refusal| meanings.contains(&refusal.meaning))
    };
    let another = "name another gateway with --gateway";
    let later = "try again later, or name another gateway with --gateway";
    let (kind, what, hint) = if refusals.is_empty() {
        let what = "nobody can be asked for the signed record of";
        (ExitKind::Retry, what, "name a gateway with --gateway")
    } else if any(Meaning::Later) || all(&[Meaning::Closed]) {
        (ExitKind::Retry, "cannot get the signed record of", later)
    } else if any(Meaning::Misconfigured) {
        let hint = "look at the configuration with: fetchd config show";
        (ExitKind::Config, "cannot get the signed record of", hint)
    } else if any(Meaning::Invalid) {
        let what = "nobody sends a valid record of";
        (ExitKind::Verification, what, another)
    } else if any(Meaning::Absent) && all(&[Meaning::Absent, Meaning::NotServed, Meaning::Closed]) {
        let hint = "check the name, or name another gateway with --gateway";
        (ExitKind::NotFound, "nobody has a signed record of", hint)
    } else {
        let what = "nobody hands out the signed record of";
        (ExitKind::Refused, what, another)
    };
    let answers: Vec<&str> = refusals
        .iter()
        .take(MAX_SHOWN)
        .map(|refusal| &*refusal.text)
        .collect();
    let message = if answers.is_empty() {
        format!("{what} {name}")
    } else {
        format!("{what} {name} ({})", answers.join("; "))
    };
    CommandError::new(kind, message).hint(hint)
}
