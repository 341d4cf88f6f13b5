//! Giving up: nobody is left to ask.

use crate::download::Failure;
use crate::engine::coordinator::Coordinator;
use crate::engine::provider::{Out, Provider};
use crate::exit::ExitKind;

impl Coordinator<'_> {
    /// Nobody is left to ask: the providers' own endings decide how this one is called.
    pub(super) fn give_up(&mut self) {
        let kind = verdict(&self.providers);
        let failure = Failure {
            kind,
            message: self.why_nobody(kind),
            hint: Some(self.hint_for(kind)),
        };
        self.fail(failure);
    }

    fn why_nobody(&self, kind: ExitKind) -> String {
        if self.providers.is_empty() {
            return "no provider is known that could have it".to_owned();
        }
        let head = match kind {
            ExitKind::NotFound => "no provider has it",
            ExitKind::Verification => "no provider sent bytes that prove right",
            ExitKind::Refused => {
                "no provider serves it in a form that can be proved, or may serve it to us"
            }
            _ => "no provider could be reached, or all of them failed",
        };
        let each = self
            .providers
            .iter()
            .map(|provider| format!("{} {}", provider.url(), why_out(provider)));
        format!("{head}: {}", each.collect::<Vec<_>>().join("; "))
    }

    fn hint_for(&self, kind: ExitKind) -> String {
        let id = self.job.id;
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

fn why_out(provider: &Provider) -> String {
    let why = match provider.ending() {
        Out::Absent => "does not have it",
        Out::Withheld => "withholds it",
        Out::Lied => "sent bytes that are not what was asked for",
        Out::Credentials => "wants credentials",
        Out::Unprovable => "serves it in no form that can be proved",
        Out::Retired => "has been shut down",
        Out::Exhausted => "failed",
        Out::WaitTooLong(seconds) => {
            return format!("asks to wait {seconds} s, longer than max_wait allows");
        }
    };
    let said = provider.last_error.as_deref();
    said.map_or_else(|| why.to_owned(), |said| format!("{why} ({said})"))
}

/// How a download ends when nobody is left to ask.
fn verdict(providers: &[Provider]) -> ExitKind {
    let outs: Vec<&Out> = providers.iter().map(Provider::ending).collect();
    let any = |wanted: fn(&Out) -> bool| outs.iter().any(|out| wanted(out));
    let all = |wanted: fn(&Out) -> bool| outs.iter().all(|out| wanted(out));
    if outs.is_empty() || any(|out| matches!(out, Out::Exhausted | Out::WaitTooLong(_))) {
        ExitKind::Retry
    } else if any(|out| matches!(out, Out::Lied)) {
        ExitKind::Verification
    } else if all(|out| matches!(out, Out::Retired)) {
        ExitKind::Retry
    } else if all(|out| matches!(out, Out::Absent | Out::Retired)) {
        ExitKind::NotFound
    } else {
        ExitKind::Refused
    }
}
