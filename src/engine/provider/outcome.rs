//! What an answer of a provider leads to: more trust, a wait, another form, or the end of asking it.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::content::cid::Cid;
use crate::download::Proof;
use crate::engine::provider::{Out, Place, Provider, Rest, Transport, key};
use crate::gateway::backoff::Backoff;
use crate::gateway::capability::Known;
use crate::gateway::error::Advice;

/// Things that a gateway may lack before it is not asked any more.
const MAX_LACKING: usize = 4096;
/// The same for one that has brought nothing yet: enough to find out that it has some blocks and
/// not the root.
const MAX_LACKING_AT_FIRST: usize = 16;

/// What an answer of a provider led to.
#[derive(Debug, Clone, PartialEq)]
pub enum Consequence {
    /// It will be asked again after this wait.
    Wait(Duration),
    /// It will be asked again, in another form.
    OtherForm,
    /// It is not asked any more.
    Gone,
}

impl Consequence {
    /// The same with a wait until `ready` at least.
    fn at_least(self, ready: Option<Instant>, now: Instant) -> Self {
        match (self, ready) {
            (Consequence::Wait(wait), Some(ready)) => Consequence::Wait(wait.max(ready - now)),
            (other, _) => other,
        }
    }
}

/// What failures cost, from the configuration, and the time and randomness of the moment.
#[derive(Debug, Clone)]
pub struct Budget {
    /// How often and how long to wait.
    pub backoff: Backoff,
    /// A longer `Retry-After` ends with "retry later".
    pub max_wait: Duration,
    /// A number in 0..1.
    pub jitter: f64,
    /// The time.
    pub now: Instant,
}

impl Provider {
    /// It sent bytes that proved right: its budget of failures is full again.
    pub fn proved(&mut self, form: Transport, bytes: u64) {
        self.failures = 0;
        self.rest = self.rest.filter(|rest| rest.was_asked);
        self.receipt.bytes += bytes;
        if !self.receipt.rungs.contains(&form.rung()) {
            self.receipt.rungs.push(form.rung());
        }
        if !self.worked.contains(&form) {
            self.worked.push(form);
        }
        match form {
            Transport::Raw => self.capabilities.raw = Known::Yes,
            Transport::Car => self.capabilities.car = Known::Yes,
            Transport::Range => self.capabilities.range = Known::Yes,
            Transport::Whole => {}
        }
    }

    /// It sent bytes of a file that proves itself only at its end: its budget of failures is full
    /// again.
    pub fn made_progress(&mut self) {
        self.failures = 0;
        self.rest = self.rest.filter(|rest| rest.was_asked);
    }

    /// Bytes of a file that has come out right, on this rung.
    pub fn kept(&mut self, bytes: u64, rung: Proof) {
        self.receipt.bytes += bytes;
        if bytes > 0 && !self.receipt.rungs.contains(&rung) {
            self.receipt.rungs.push(rung);
        }
    }

    /// It sent a file that came out wrong: it is not asked any more.
    pub fn sent_another_file(&mut self) -> Consequence {
        self.receipt.rejected += 1;
        self.leave(Out::Lied)
    }

    /// A file of it cannot be read, which may be all that there is.
    pub fn could_not_be_read(&mut self, is_all: bool) {
        self.receipt.errors += 1;
        if is_all {
            self.leave(Out::Unreadable);
        }
    }

    /// It is of no use to this download.
    pub fn rule_out(&mut self) {
        let why = match self.place {
            Place::Local(_) => Out::Absent,
            Place::Http(_) | Place::Car(_) | Place::Plain(_) => Out::Unprovable,
        };
        self.out.get_or_insert(why);
    }

    /// It gets another chance, in another form.
    pub fn revive(&mut self) {
        self.out = None;
        self.failures = 0;
        self.rest = self.rest.filter(|rest| rest.was_asked);
    }

    /// It sent bytes that did not prove right: it is not asked in this form any more. Of a file on
    /// this machine only the one block is bad.
    pub fn lied(&mut self, form: Transport, block: &Cid) -> Consequence {
        self.receipt.rejected += 1;
        match self.place {
            Place::Http(_) | Place::Plain(_) => self.ban(form, Out::Lied),
            Place::Car(_) => {
                self.lied_once = true;
                self.lack(form, Some(block))
            }
            Place::Local(_) => Consequence::OtherForm,
        }
    }

    /// It answered with an error when it was asked for `subject`: a block, or the root of more.
    pub fn failed(
        &mut self,
        form: Transport,
        subject: Option<&Cid>,
        advice: Advice,
        budget: &Budget,
        sent: Instant,
    ) -> Consequence {
        self.receipt.errors += 1;
        match advice {
            Advice::Retry { after } => self.wait(form, after, budget, sent),
            Advice::SlowDown { after } => {
                // Who says "at once" means no limit.
                if after != Some(Duration::ZERO) {
                    self.tempo.refused(sent, budget.now);
                }
                self.wait(form, after, budget, sent)
                    .at_least(self.ready_at(budget.now), budget.now)
            }
            Advice::Elsewhere => self.ban(form, Out::Exhausted),
            Advice::Absent | Advice::Never => self.lack(form, subject),
            // What works for others is refused for this one: such as a range of a very large file.
            Advice::Unsupported if subject.is_some() && self.worked.contains(&form) => {
                self.lack(form, subject)
            }
            Advice::Unsupported => {
                self.forget_capability(form);
                self.ban(form, Out::Unprovable)
            }
            Advice::Unprovable => self.ban(form, Out::Unprovable),
            Advice::Withheld => self.ban(form, Out::Withheld),
            Advice::Retired => self.leave(Out::Retired),
            // Many serve blocks to everybody, and plain files to their own users only.
            Advice::Credentials => self.ban(form, Out::Credentials),
            Advice::Stop => self.leave(match self.place {
                Place::Http(_) | Place::Plain(_) => Out::Exhausted,
                Place::Car(_) | Place::Local(_) => Out::Unreadable,
            }),
        }
    }

    /// Whether it has brought anything that proved right, or is at hand anyway.
    fn has_served(&self) -> bool {
        !self.receipt.rungs.is_empty() || matches!(self.place, Place::Car(_) | Place::Local(_))
    }

    /// It sent a block that is larger than the limit.
    pub fn sent_too_much(&mut self, form: Transport) -> Consequence {
        self.receipt.errors += 1;
        self.ban(form, Out::TooLarge)
    }

    /// An answer that ended well but brought nothing of use.
    pub fn useless(
        &mut self,
        form: Transport,
        subject: Option<&Cid>,
        was_empty: bool,
    ) -> Consequence {
        self.receipt.errors += 1;
        match was_empty {
            true => self.lack(form, subject),
            false => self.ban(form, Out::Unprovable),
        }
    }

    /// It does not have this; it may have other things.
    fn lack(&mut self, form: Transport, subject: Option<&Cid>) -> Consequence {
        let limit = match self.place {
            Place::Car(_) | Place::Local(_) => usize::MAX,
            _ if self.has_served() => MAX_LACKING,
            Place::Http(_) | Place::Plain(_) => MAX_LACKING_AT_FIRST,
        };
        let Some(cid) = subject else {
            return self.ban(form, Out::Absent);
        };
        self.lacking.insert((form, key(cid)));
        if self.lacking.len() >= limit {
            return self.leave(Out::Absent);
        }
        Consequence::OtherForm
    }

    fn wait(
        &mut self,
        form: Transport,
        after: Option<Duration>,
        budget: &Budget,
        sent: Instant,
    ) -> Consequence {
        // Requests that were under way together fail together: that is one failure.
        if self.failed_at.is_none_or(|at| sent > at) {
            self.failures += 1;
            self.failed_at = Some(budget.now);
        }
        if self.failures > budget.backoff.max_retries {
            // What fails in one form may work in another, unless nothing ever came.
            self.failures = 0;
            return if self.receipt.rungs.is_empty() {
                self.leave(Out::Exhausted)
            } else {
                self.ban(form, Out::Exhausted)
            };
        }
        let tries = self.failures.saturating_sub(1);
        let delay = budget.backoff.delay(tries, budget.jitter);
        if let Some(after) = after {
            // Who fails again and again is not asked at once, even if he says so.
            let least = if tries > 0 { delay } else { Duration::ZERO };
            return self.rest_as_asked(after.max(least), budget.max_wait, budget.now);
        }
        self.rest_for(delay, false, budget.now);
        Consequence::Wait(delay)
    }

    pub(super) fn rest_as_asked(
        &mut self,
        wait: Duration,
        max_wait: Duration,
        now: Instant,
    ) -> Consequence {
        if wait > max_wait {
            let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
            let until = Timestamp::now().checked_add(wait);
            return self.leave(Out::WaitTooLong(until.unwrap_or(Timestamp::MAX)));
        }
        self.rest_for(wait, true, now);
        Consequence::Wait(wait)
    }

    fn rest_for(&mut self, wait: Duration, was_asked: bool, now: Instant) {
        let until = now + wait;
        if self.rest.is_none_or(|rest| rest.until < until) {
            self.rest = Some(Rest { until, was_asked });
        }
    }

    fn ban(&mut self, form: Transport, why: Out) -> Consequence {
        if !self.is_banned(form) {
            self.banned.push((form, why.clone()));
        }
        // A whole file has no other form.
        if form != Transport::Whole && self.bulk_transport(None).is_some() {
            return Consequence::OtherForm;
        }
        self.leave(why)
    }

    fn leave(&mut self, why: Out) -> Consequence {
        self.out = Some(why);
        Consequence::Gone
    }

    fn forget_capability(&mut self, form: Transport) {
        match form {
            Transport::Raw => self.capabilities.raw = Known::No,
            Transport::Car => self.capabilities.car = Known::No,
            Transport::Range => self.capabilities.range = Known::No,
            Transport::Whole => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::cid;
    use crate::gateway::capability::Capabilities;
    use crate::gateway::client::{Client, ClientOptions};
    use crate::gateway::request::Gateway;

    const URL: &str = "http://127.0.0.1:1";

    fn provider() -> Provider {
        let client = Client::new(ClientOptions::default()).unwrap();
        let gateway = Gateway::new(client, URL, Vec::new(), None).unwrap();
        let place = Place::Http(gateway);
        Provider::new(place, URL.to_owned(), Capabilities::default())
    }

    fn budget(now: Instant) -> Budget {
        Budget {
            backoff: Backoff::default(),
            max_wait: Duration::from_secs(900),
            jitter: 0.5,
            now,
        }
    }

    #[test]
    fn at_once_is_at_once_only_once() {
        let (mut provider, begin) = (provider(), Instant::now());
        let advice = Advice::Retry {
            after: Some(Duration::ZERO),
        };
        let mut waits = (1..=4).map(|second| {
            let budget = budget(begin + Duration::from_secs(second));
            let sent = budget.now;
            match provider.failed(Transport::Raw, None, advice, &budget, sent) {
                Consequence::Wait(wait) => Some(wait),
                _ => None,
            }
        });
        assert_eq!(waits.next().flatten(), Some(Duration::ZERO));
        for _ in 0..2 {
            let wait = waits.next().flatten();
            assert!(wait > Some(Duration::from_millis(500)), "{wait:?}");
        }
        assert_eq!(waits.next(), Some(None));
    }

    #[test]
    fn what_is_refused_of_one_is_not_refused_of_all() {
        let large = cid::parse("bafkqaaa").unwrap();
        let budget = budget(Instant::now());
        let refuses = |provider: &mut Provider| {
            let form = Transport::Range;
            provider.failed(form, Some(&large), Advice::Unsupported, &budget, budget.now)
        };
        let mut new = provider();
        assert_eq!(refuses(&mut new), Consequence::OtherForm);
        assert!(!new.serves(Transport::Range));
        let mut tried = provider();
        tried.proved(Transport::Range, 1);
        assert_eq!(refuses(&mut tried), Consequence::OtherForm);
        assert!(tried.serves(Transport::Range));
        assert_eq!(tried.bulk_transport(None), Some(Transport::Range));
        assert_eq!(tried.bulk_transport(Some(&large)), Some(Transport::Car));
    }
}
