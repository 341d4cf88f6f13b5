//! Giving up: nobody is left to ask.

use crate::download::{Failure, quoted};
use crate::engine::Subject;
use crate::engine::coordinator::Coordinator;
use crate::engine::provider::{Out, Provider};
use crate::exit::ExitKind;

impl Coordinator<'_> {
    /// Nobody is left to ask: the providers' own endings decide how this one is called.
    pub(super) fn give_up(&mut self) {
        if self.search() {
            return;
        }
        if self.may_fall_back() {
            self.falls_back = true;
            return;
        }
        if self.options.asks_others_later {
            return self.fail_for_now();
        }
        let kind = verdict(&self.providers);
        let failure = Failure {
            kind,
            message: why_nobody(&self.providers, kind),
            hint: Some(self.hint_for(kind)),
        };
        self.fail(failure);
    }

    /// All that is here is taken, and somebody else may have the rest.
    fn fail_for_now(&mut self) {
        let id = self.job.id;
        let proved = self.plan.proved_bytes();
        let of = self.known_size();
        let of = of.map_or_else(String::new, |size| format!(" of {size}"));
        self.fail(Failure {
            kind: ExitKind::Retry,
            message: format!(
                "not all of it is in the CAR, or not unharmed: {proved}{of} bytes are proved"
            ),
            hint: Some(format!(
                "get the rest from the configured gateways with: fetchd resume {id}"
            )),
        });
    }

    fn hint_for(&self, kind: ExitKind) -> String {
        let id = self.job.id;
        let is_too_large = |provider: &Provider| *provider.ending() == Out::TooLarge;
        if kind == ExitKind::Refused && self.providers.iter().any(is_too_large) {
            return "allow more with max_block_size in the configuration".to_owned();
        }
        if self.job.subject == Subject::File {
            return self.hint_for_file(kind);
        }
        match kind {
            ExitKind::NotFound => {
                format!("name a gateway that has it: fetchd resume {id} --reset --gateway URL")
            }
            ExitKind::Verification => {
                format!("name another gateway: fetchd resume {id} --reset --gateway URL")
            }
            ExitKind::Refused => format!(
                "name a trustless gateway, or a node of your own: fetchd resume {id} --reset --gateway http://127.0.0.1:8080"
            ),
            _ => format!(
                "try again later with: fetchd resume {id}, or name a gateway: fetchd resume {id} --gateway URL"
            ),
        }
    }
}

impl Coordinator<'_> {
    /// The same for a file without a CID: no gateway has it.
    fn hint_for_file(&self, kind: ExitKind) -> String {
        let (id, source) = (self.job.id, &self.job.source);
        let wants_login = |provider: &Provider| *provider.ending() == Out::Credentials;
        match kind {
            ExitKind::Refused if self.providers.iter().any(wants_login) => format!(
                "give credentials with --header 'Authorization: …' or --netrc: fetchd get {} …",
                quoted(source)
            ),
            ExitKind::NotFound => {
                format!("name another place that has it: fetchd resume {id} --reset --mirror URL")
            }
            ExitKind::Verification => format!(
                "check the checksum, or name another place that has the file: fetchd resume {id} --reset --mirror URL"
            ),
            ExitKind::Refused => {
                format!("name another place: fetchd resume {id} --reset --mirror URL")
            }
            _ => format!(
                "try again later with: fetchd resume {id}, or name another place: fetchd resume {id} --mirror URL"
            ),
        }
    }
}

/// What the providers' endings come to, in words.
pub(super) fn why_nobody(providers: &[Provider], kind: ExitKind) -> String {
    if providers.is_empty() {
        return "no provider is known that could have it".to_owned();
    }
    let head = match kind {
        ExitKind::NotFound => "no provider has it",
        ExitKind::Verification => "no provider sent bytes that prove right",
        ExitKind::Disk => "a file that should have it cannot be read, and nobody else has it",
        ExitKind::Refused => {
            "no provider serves it in a form that can be proved, or may serve it to us"
        }
        _ => "no provider could be reached, or all of them failed",
    };
    let each = providers
        .iter()
        .map(|provider| format!("{} {}", provider.url(), why_out(provider)));
    format!("{head}: {}", each.collect::<Vec<_>>().join("; "))
}

fn why_out(provider: &Provider) -> String {
    let why = match provider.ending() {
        Out::Absent => "does not have it",
        Out::Withheld => "withholds it",
        Out::Lied => "sent bytes that are not what was asked for",
        Out::Credentials => "wants credentials",
        Out::TooLarge => "sends a larger block than max_block_size allows",
        Out::Unprovable => "serves it in no form that can be proved",
        Out::Retired => "has been shut down",
        Out::Exhausted => "failed",
        Out::Damaged => "is cut or damaged, and lacks what is needed",
        Out::Unreadable => "cannot be read",
        Out::WaitTooLong(until) => {
            return format!("asks not to be asked before {until:.0}, longer than max_wait allows");
        }
    };
    let said = provider.last_error.as_deref();
    said.map_or_else(|| why.to_owned(), |said| format!("{why} ({said})"))
}

/// How a download ends when nobody is left to ask.
pub(super) fn verdict(providers: &[Provider]) -> ExitKind {
    verdict_of(&providers.iter().map(Provider::ending).collect::<Vec<_>>())
}

fn verdict_of(outs: &[&Out]) -> ExitKind {
    let any = |wanted: fn(&Out) -> bool| outs.iter().any(|out| wanted(out));
    let all = |wanted: fn(&Out) -> bool| outs.iter().all(|out| wanted(out));
    if outs.is_empty() || any(|out| matches!(out, Out::Exhausted | Out::WaitTooLong(_))) {
        ExitKind::Retry
    } else if any(|out| matches!(out, Out::Unreadable)) {
        ExitKind::Disk
    } else if any(|out| matches!(out, Out::Lied | Out::Damaged)) {
        ExitKind::Verification
    } else if all(|out| matches!(out, Out::Retired)) {
        ExitKind::Retry
    } else if all(|out| matches!(out, Out::Absent | Out::Retired)) {
        ExitKind::NotFound
    } else {
        ExitKind::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hopeful_ending_wins() {
        let exhausted = Out::Exhausted;
        let table: [(&[Out], ExitKind); 8] = [
            (&[], ExitKind::Retry),
            (&[Out::Absent, Out::Absent], ExitKind::NotFound),
            (&[Out::Absent, exhausted.clone()], ExitKind::Retry),
            (&[Out::Absent, Out::Lied], ExitKind::Verification),
            (&[Out::Absent, Out::Damaged], ExitKind::Verification),
            (&[Out::Absent, Out::Unreadable], ExitKind::Disk),
            (&[Out::Unreadable, exhausted], ExitKind::Retry),
            (&[Out::Credentials, Out::Withheld], ExitKind::Refused),
        ];
        for (outs, kind) in table {
            assert_eq!(
                verdict_of(&outs.iter().collect::<Vec<_>>()),
                kind,
                "{outs:?}"
            );
        }
    }
}
