//! Events as JSON, one object a line: the schema that scripts rely on.
//!
//! Its own structs, matched exhaustively from [`Event`], so that nothing changes unnoticed: fields
//! are only ever added, and a change here changes a snapshot.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::download::{DownloadId, Failure};
use crate::event::{Event, What};
use crate::ui::escape;
use crate::ui::state::Download;
use crate::ui::view::{PlanView, ReceiptFacts, lossy, millis};

/// The version of every object.
const VERSION: u32 = 1;
/// Time between two `progress` objects of one download.
const INTERVAL: Duration = Duration::from_millis(250);

/// One object of the event stream.
#[derive(Serialize)]
struct Object<'a> {
    v: u32,
    r#type: &'a str,
    id: Option<i64>,
    #[serde(flatten)]
    body: Body<'a>,
}

/// The fields that one type has beside those of every object.
#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Planned(&'a PlanView),
    Started {
        source: &'a str,
        resumed_from: u64,
    },
    Resolved {
        cid: Option<&'a str>,
        path: Option<String>,
        size: Option<u64>,
    },
    /// With a `message` it tells of trouble; `wait` is set if the provider is to be asked again.
    Provider {
        url: &'a str,
        message: Option<&'a str>,
        wait: Option<f64>,
    },
    Progress {
        bytes: u64,
        total: Option<u64>,
        files_done: Option<u64>,
        files_total: Option<u64>,
        rate: Option<u64>,
        eta: Option<f64>,
    },
    Rejected {
        url: &'a str,
        cid: &'a str,
        offset: Option<u64>,
    },
    Checkpoint {
        trigger: &'a str,
        bytes: u64,
    },
    Verifying {},
    Installed {
        path: String,
    },
    Finished {
        source: &'a str,
        #[serde(flatten)]
        facts: Box<ReceiptFacts>,
    },
    Failed {
        source: &'a str,
        kind: &'a str,
        exit_code: u8,
        message: &'a str,
        hint: Option<&'a str>,
        resumable: bool,
    },
    /// `paused`, `cancelled`, `queued`.
    Source {
        source: &'a str,
    },
    Done {
        exit_code: u8,
        finished: u64,
        failed: u64,
    },
}

/// The event as a line of JSON; `None` for a notice, which is for people and has no object.
///
/// `download`, which has taken the event in already, adds rate and ETA to `progress`.
pub fn event(event: &Event, download: Option<&Download>, now: Instant) -> Option<String> {
    let body = match &event.what {
        What::Progress {
            bytes,
            total,
            files,
            ..
        } => {
            let total = total.or(download.and_then(|download| download.total));
            progress(*bytes, total, *files, download, now)
        }
        What::Failed {
            source,
            failure,
            resumable,
        } => failed(source, failure, *resumable),
        what => body(what)?,
    };
    Some(object(kind(&event.what)?, event.id, body))
}

fn kind(what: &What) -> Option<&'static str> {
    Some(match what {
        What::Started { .. } => "started",
        What::Resolved { .. } => "resolved",
        What::Provider { .. } | What::Trouble { .. } => "provider",
        What::Progress { .. } => "progress",
        What::Rejected { .. } => "rejected",
        What::Checkpoint { .. } => "checkpoint",
        What::Verifying => "verifying",
        What::Installed { .. } => "installed",
        What::Finished { .. } => "finished",
        What::Failed { .. } => "failed",
        What::Paused { .. } => "paused",
        What::Cancelled { .. } => "cancelled",
        What::Notice { .. }
        | What::Request { .. }
        | What::Takeover { .. }
        | What::Supplied { .. } => return None,
    })
}

/// The fields of what needs no more than the event itself.
fn body(what: &What) -> Option<Body<'_>> {
    Some(match what {
        What::Started {
            source,
            resumed_from,
        } => Body::Started {
            source,
            resumed_from: *resumed_from,
        },
        What::Resolved { cid, path, size } => {
            let path = path.as_deref().map(lossy);
            Body::Resolved {
                cid: cid.as_deref(),
                path,
                size: *size,
            }
        }
        What::Provider { url } => Body::Provider {
            url,
            message: None,
            wait: None,
        },
        What::Trouble { url, message, wait } => {
            let wait = wait.map(|wait| millis(wait.as_secs_f64()));
            Body::Provider {
                url,
                message: Some(message),
                wait,
            }
        }
        What::Rejected { url, cid, offset } => Body::Rejected {
            url,
            cid,
            offset: *offset,
        },
        What::Checkpoint { trigger, bytes } => Body::Checkpoint {
            trigger: trigger.name(),
            bytes: *bytes,
        },
        What::Verifying => Body::Verifying {},
        What::Installed { path } => Body::Installed { path: lossy(path) },
        What::Finished {
            source, receipt, ..
        } => {
            let facts = Box::new(ReceiptFacts::from(receipt.as_ref()));
            Body::Finished { source, facts }
        }
        What::Paused { source } | What::Cancelled { source } => Body::Source { source },
        What::Progress { .. }
        | What::Failed { .. }
        | What::Notice { .. }
        | What::Request { .. }
        | What::Takeover { .. }
        | What::Supplied { .. } => return None,
    })
}

fn failed<'a>(source: &'a str, failure: &'a Failure, resumable: bool) -> Body<'a> {
    Body::Failed {
        source,
        kind: failure.kind.name(),
        exit_code: failure.kind.code(),
        message: &failure.message,
        hint: failure.hint.as_deref(),
        resumable,
    }
}

/// The `queued` event.
pub fn queued(id: DownloadId, source: &str) -> String {
    object("queued", Some(id), Body::Source { source })
}

/// The `planned` event.
pub fn planned(plan: &PlanView) -> String {
    object("planned", None, Body::Planned(plan))
}

/// The event at the very end.
pub fn done(exit_code: u8, finished: u64, failed: u64) -> String {
    object(
        "done",
        None,
        Body::Done {
            exit_code,
            finished,
            failed,
        },
    )
}

/// One document, `{"v":1,…}` around the fields of `body`, for the commands that print no events.
///
/// # Errors
/// What `body` says while it is serialised; it must be a struct or a map.
pub fn document<T: Serialize>(body: &T) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Document<'a, T> {
        v: u32,
        #[serde(flatten)]
        body: &'a T,
    }
    let json = serde_json::to_string(&Document { v: VERSION, body })?;
    Ok(escape::json(&json).into_owned())
}

/// Which `progress` objects are due: ticks may be dropped, but for the first and the last.
#[derive(Debug, Default)]
pub struct Pace {
    told: BTreeMap<Option<DownloadId>, Instant>,
}

impl Pace {
    /// Whether the event is to be written.
    pub fn is_due(&mut self, event: &Event, download: Option<&Download>, now: Instant) -> bool {
        if download.is_none_or(Download::has_ended) {
            self.told.remove(&event.id);
        }
        let What::Progress { bytes, total, .. } = event.what else {
            return true;
        };
        let total = total.or(download.and_then(|download| download.total));
        let told = self.told.get(&event.id);
        let due = told.is_none_or(|&told| now.saturating_duration_since(told) >= INTERVAL);
        if due {
            self.told.insert(event.id, now);
        }
        due || total == Some(bytes)
    }
}

fn progress(
    bytes: u64,
    total: Option<u64>,
    files: Option<(u64, u64)>,
    download: Option<&Download>,
    now: Instant,
) -> Body<'static> {
    let rate = download
        .and_then(|download| download.rate(now))
        .map(|rate| rate as u64);
    let eta = download
        .and_then(|download| download.eta(now))
        .map(|eta| millis(eta.as_secs_f64()));
    Body::Progress {
        bytes,
        total,
        files_done: files.map(|(done, _)| done),
        files_total: files.map(|(_, known)| known),
        rate,
        eta,
    }
}

fn object(r#type: &str, id: Option<DownloadId>, body: Body<'_>) -> String {
    let object = Object {
        v: VERSION,
        r#type,
        id: id.map(DownloadId::get),
        body,
    };
    let json = serde_json::to_string(&object)
        .expect("structs of strings and numbers with distinct names always serialise");
    escape::json(&json).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download::{Proof, ProviderReceipt, Receipt, Trigger};
    use crate::exit::ExitKind;
    use std::path::PathBuf;

    fn receipt() -> Receipt {
        Receipt {
            path: PathBuf::from("/data/model.bin"),
            cid: Some("bafy".to_owned()),
            size: 1024,
            sha256: Some([0xab; 32]),
            proof: Proof::Leaves,
            checksum: None,
            bytes_fetched: 1100,
            bytes_wasted: 76,
            resumed_from: 0,
            elapsed: 1.234_567,
            providers: vec![ProviderReceipt {
                url: "http://a".to_owned(),
                bytes: 1024,
                wasted: 76,
                requests: 3,
                errors: 1,
                rejected: 2,
                rungs: vec![Proof::Blocks, Proof::Leaves],
            }],
        }
    }

    fn facts() -> Vec<What> {
        let source = || "bafy\u{202e}".to_owned();
        let url = || "http://a".to_owned();
        let failure = Failure {
            kind: ExitKind::Retry,
            message: "nobody answered".to_owned(),
            hint: Some("try again later".to_owned()),
        };
        vec![
            What::Started {
                source: source(),
                resumed_from: 7,
            },
            What::Resolved {
                cid: Some("bafy".to_owned()),
                path: Some("/data/model.bin".into()),
                size: Some(1024),
            },
            What::Resolved {
                cid: Some("bafy".to_owned()),
                path: None,
                size: Some(1024),
            },
            What::Provider { url: url() },
            What::Trouble {
                url: url(),
                message: "429".to_owned(),
                wait: Some(Duration::from_millis(1500)),
            },
            What::Progress {
                bytes: 512,
                total: Some(1024),
                files: None,
                is_proved: true,
            },
            What::Rejected {
                url: url(),
                cid: "bafk".to_owned(),
                offset: Some(256),
            },
            What::Checkpoint {
                trigger: Trigger::Periodic,
                bytes: 512,
            },
            What::Verifying,
            What::Installed {
                path: "/data/model.bin".into(),
            },
            What::Notice {
                message: "for people".to_owned(),
            },
            What::Finished {
                source: source(),
                receipt: Box::new(receipt()),
                was_there: false,
            },
            What::Failed {
                source: source(),
                failure,
                resumable: true,
            },
            What::Paused { source: source() },
            What::Cancelled { source: source() },
        ]
    }

    #[test]
    fn every_event_has_its_object() {
        let now = Instant::now();
        let id = DownloadId::new(3);
        let mut lines: Vec<String> = facts()
            .into_iter()
            .filter_map(|what| event(&Event { id, what }, None, now))
            .collect();
        lines.push(queued(id.unwrap(), "bafy"));
        lines.push(done(80, 1, 2));
        insta::assert_snapshot!(lines.join("\n"), @r#"
        {"v":1,"type":"started","id":3,"source":"bafy\u202e","resumed_from":7}
        {"v":1,"type":"resolved","id":3,"cid":"bafy","path":"/data/model.bin","size":1024}
        {"v":1,"type":"resolved","id":3,"cid":"bafy","path":null,"size":1024}
        {"v":1,"type":"provider","id":3,"url":"http://a","message":null,"wait":null}
        {"v":1,"type":"provider","id":3,"url":"http://a","message":"429","wait":1.5}
        {"v":1,"type":"progress","id":3,"bytes":512,"total":1024,"files_done":null,"files_total":null,"rate":null,"eta":null}
        {"v":1,"type":"rejected","id":3,"url":"http://a","cid":"bafk","offset":256}
        {"v":1,"type":"checkpoint","id":3,"trigger":"periodic","bytes":512}
        {"v":1,"type":"verifying","id":3}
        {"v":1,"type":"installed","id":3,"path":"/data/model.bin"}
        {"v":1,"type":"finished","id":3,"source":"bafy\u202e","cid":"bafy","path":"/data/model.bin","size":1024,"sha256":"abababababababababababababababababababababababababababababababab","proof":"leaves","bytes_fetched":1100,"bytes_wasted":76,"resumed_from":0,"elapsed":1.235,"providers":[{"url":"http://a","bytes":1024,"wasted":76,"requests":3,"errors":1,"rejected":2,"rungs":["blocks","leaves"]}]}
        {"v":1,"type":"failed","id":3,"source":"bafy\u202e","kind":"retry","exit_code":75,"message":"nobody answered","hint":"try again later","resumable":true}
        {"v":1,"type":"paused","id":3,"source":"bafy\u202e"}
        {"v":1,"type":"cancelled","id":3,"source":"bafy\u202e"}
        {"v":1,"type":"queued","id":3,"source":"bafy"}
        {"v":1,"type":"done","id":null,"exit_code":80,"finished":1,"failed":2}
        "#);
    }

    #[test]
    fn progress_has_a_pace_and_an_end() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let progress = |bytes| Event {
            id: None,
            what: What::Progress {
                bytes,
                total: Some(9),
                files: None,
                is_proved: true,
            },
        };
        let download = Download::new(None, start);
        let mut due = |bytes, millis| {
            pace.is_due(
                &progress(bytes),
                Some(&download),
                start + Duration::from_millis(millis),
            )
        };
        assert_eq!(
            [due(1, 0), due(2, 249), due(3, 250), due(9, 251)],
            [true, false, true, true]
        );
    }
}
