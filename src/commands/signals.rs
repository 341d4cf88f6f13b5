//! What the operating system asks of this process, for as long as it transfers.
//!
//! One channel for the whole process: a signal that arrives between two downloads, or while
//! providers are made ready, is read by whoever looks next. The first one ends the work in order;
//! an interrupt after that leaves at once, whatever the process is doing.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::exit::ExitKind;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Checkpoint and end, with the exit code of this kind.
    End(ExitKind),
    /// Checkpoint and go on.
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "only a signal of Unix asks for it")
    )]
    Checkpoint,
}

/// The signals of this process.
pub struct Signals {
    receiver: UnboundedReceiver<Asked>,
    /// What ended it, once something has.
    ended_by: Option<ExitKind>,
}

impl Signals {
    /// Watches from now on.
    ///
    /// # Errors
    /// When the system gives no thread, or refuses the handlers.
    pub fn watch() -> std::io::Result<Self> {
        let (sender, receiver) = unbounded_channel();
        watch(sender)?;
        Ok(Self {
            receiver,
            ended_by: None,
        })
    }

    /// Why the work is to end, if it is. Does not wait; a wish for a checkpoint is passed over,
    /// since nothing is under way.
    pub fn end(&mut self) -> Option<ExitKind> {
        while let Ok(asked) = self.receiver.try_recv() {
            self.note(asked);
        }
        self.ended_by
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Asked {
        match self.receiver.recv().await {
            Some(asked) => {
                self.note(asked);
                asked
            }
            None => std::future::pending().await,
        }
    }

    fn note(&mut self, asked: Asked) {
        if let Asked::End(kind) = asked {
            self.ended_by.get_or_insert(kind);
        }
    }
}

/// Lets writes beyond the limit of `ulimit -f` fail, instead of ending the process: a full disk
/// is an error with a message, and so is this.
pub fn survive_file_size_limit() {
    #[cfg(unix)]
    {
        // A handler that does nothing is enough; the flag is read by nobody. Where it is refused,
        // the signal does what it always does.
        let flag = std::sync::Arc::default();
        let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, flag);
    }
}

#[cfg(unix)]
fn watch(sender: UnboundedSender<Asked>) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use crate::ui::screen;

    /// `timeout` and some shells send the same signal twice within an instant; only what comes
    /// later is impatience.
    const TWICE: Duration = Duration::from_millis(100);

    let code = i32::from(ExitKind::Interrupted.code());
    // What the parent has set to be ignored stays so: `nohup fetchd get … &` outlives its terminal.
    let ignored = ignored_signals();
    let wanted = [SIGINT, SIGTERM, SIGHUP, SIGUSR1]
        .into_iter()
        .filter(|signal| ignored & 1 << (signal - 1) == 0);
    let mut signals = signal_hook::iterator::Signals::new(wanted)?;
    // From the second interrupt on, not even a terminal that takes nothing keeps the process here.
    let is_leaving = Arc::new(AtomicBool::new(false));
    if ignored & 1 << (SIGINT - 1) == 0 {
        signal_hook::flag::register_conditional_shutdown(SIGINT, code, Arc::clone(&is_leaving))?;
    }
    let serve = move || {
        let mut ended: Option<Instant> = None;
        for signal in signals.forever() {
            let asked = match signal {
                SIGUSR1 => Asked::Checkpoint,
                SIGINT => Asked::End(ExitKind::Interrupted),
                _ => Asked::End(ExitKind::Terminated),
            };
            match ended {
                Some(since) if signal == SIGINT && since.elapsed() > TWICE => {
                    is_leaving.store(true, Ordering::Relaxed);
                    screen::abandon();
                    signal_hook::low_level::exit(code);
                }
                Some(_) => {}
                None if sender.send(asked).is_err() => return,
                None => ended = (asked != Asked::Checkpoint).then(Instant::now),
            }
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(serve)?;
    Ok(())
}

/// The signals that this process was started to ignore, one bit each, from signal 1 upwards;
/// none where the system does not say.
#[cfg(unix)]
fn ignored_signals() -> u64 {
    const MAX_STATUS_BYTES: u64 = 64 << 10;
    let status = std::path::Path::new("/proc/self/status");
    let text = crate::disk::whole_file::read_small(status, MAX_STATUS_BYTES).unwrap_or_default();
    mask(&String::from_utf8_lossy(&text)).unwrap_or(0)
}

#[cfg(unix)]
fn mask(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(not(unix))]
fn watch(sender: UnboundedSender<Asked>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let serve = move || {
        runtime.block_on(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                if sender.send(Asked::End(ExitKind::Interrupted)).is_err() {
                    return;
                }
            }
        });
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(serve)?;
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = "Name:\tfetchd\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001003\n";
        assert_eq!(mask(status), Some(0x1003));
        assert_eq!(mask("Name:\tfetchd\n"), None);
    }

    #[test]
    fn the_first_reason_to_end_stays() {
        let (sender, receiver) = unbounded_channel();
        let mut signals = Signals {
            receiver,
            ended_by: None,
        };
        assert_eq!(signals.end(), None);
        for asked in [
            Asked::Checkpoint,
            Asked::End(ExitKind::Terminated),
            Asked::End(ExitKind::Interrupted),
        ] {
            sender.send(asked).expect("a receiver");
        }
        assert_eq!(signals.end(), Some(ExitKind::Terminated));
        assert_eq!(signals.end(), Some(ExitKind::Terminated));
    }
}
