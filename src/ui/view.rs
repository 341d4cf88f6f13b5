//! Records as the output shows them: plain rows, filled by the commands, read by nobody else.
//!
//! Field names and their order are what `--json` prints; [`table`](crate::ui::table) and
//! [`text`](crate::ui::text) show the same rows to people. Absent is `null`.

mod catalog;
mod disk;
mod gateway;
mod project;
mod record;

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::download::{DownloadId, Proof, Status, Trigger};

pub use catalog::*;
pub use disk::*;
pub use gateway::*;
pub use project::*;
pub use record::*;

/// A path as JSON can hold it: what is not Unicode becomes U+FFFD.
pub fn lossy(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Seconds, without digits that mean nothing.
pub fn millis(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

fn id<S: Serializer>(id: &DownloadId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(id.get())
}

fn path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

fn path_or_null<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_deref().map(lossy).serialize(serializer)
}

fn paths<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| lossy(path)))
}

fn seconds<S: Serializer>(seconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(millis(*seconds))
}

fn status<S: Serializer>(status: &Status, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(status.name())
}

fn proof_or_null<S: Serializer>(proof: &Option<Proof>, serializer: S) -> Result<S::Ok, S::Error> {
    proof.map(Proof::name).serialize(serializer)
}

fn trigger<S: Serializer>(trigger: &Trigger, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(trigger.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::json;
    use crate::ui::samples::{checked_rows, detail, gateway, view};

    #[test]
    fn documents_have_the_fields_that_scripts_rely_on() {
        let rows = [view(3, "model.bin", Status::InProgress)];
        let list = json::document(&DownloadList { downloads: &rows }).unwrap();
        insta::assert_snapshot!(list, @r#"{"v":1,"downloads":[{"id":3,"source":"bafy/a","cid":"bafy","content_path":"a","path":"/data/model.bin","kind":"file","status":"in_progress","bytes_verified":492830720,"bytes_total":1073741824,"sha256":null,"proof":"blocks","attempts":1,"error":null,"priority":0,"next_attempt_at":null,"created_at":"2023-11-14T22:13:20Z","updated_at":"2023-11-14T22:14:20Z","completed_at":null}]}"#);
        let shown = json::document(&DownloadShown {
            download: &detail(),
        })
        .unwrap();
        insta::assert_snapshot!(shown, @r#"{"v":1,"download":{"id":12,"source":"bafy/a","cid":"bafy","content_path":"a","path":"/data/a-rather-long-model-name-q4_k_m.gguf","kind":"file","status":"paused","bytes_verified":492830720,"bytes_total":1073741824,"sha256":null,"proof":"blocks","attempts":1,"error":{"kind":"retry","message":"every provider is unreachable: connection refused","hint":"fetchd resume 12"},"priority":0,"next_attempt_at":null,"created_at":"2023-11-14T22:13:20Z","updated_at":"2023-11-14T22:14:20Z","completed_at":null,"files":[{"path":"a","kind":"file","cid":null,"size":1073741824,"bytes_verified":492830720,"done":false}],"providers":[{"url":"http://a","bytes":492830720,"wasted":0,"requests":3,"errors":1,"rejected":0,"rungs":["blocks"]}],"checkpoints":[{"id":9,"trigger":"stop","bytes":492830720,"state_hash":"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a","status":"completed","created_at":"2023-11-14T22:13:20.250Z","completed_at":"2023-11-14T22:13:20.260Z"}],"receipt":null,"owner":{"run":4,"pid":99,"host":null,"heartbeat_at":null}}}"#);
        let gateways = [gateway("http://a", GatewayState::Ok)];
        let list = json::document(&GatewayList {
            gateways: &gateways,
        })
        .unwrap();
        insta::assert_snapshot!(list, @r#"{"v":1,"gateways":[{"url":"http://a","origin":"default","enabled":true,"state":"ok","until":null,"reason":null,"requests":12,"bytes":5242880,"errors":1,"rejected":0,"capabilities":{"raw":true,"car":false,"entity_bytes":null,"range":true},"latency":0.02,"throughput":12897485.0}]}"#);
        let checked = checked_rows();
        let list = json::document(&CheckedList { gateways: &checked }).unwrap();
        insta::assert_snapshot!(list, @r#"{"v":1,"gateways":[{"url":"http://127.0.0.1:8080","origin":"default","enabled":true,"state":"ok","until":null,"reason":null,"requests":12,"bytes":5242880,"errors":1,"rejected":0,"capabilities":{"raw":true,"car":false,"entity_bytes":null,"range":true},"latency":0.02,"throughput":12897485.0,"error":null,"notes":["its clock is 2 h behind ours"]},{"url":"https://gateway.example","origin":"default","enabled":true,"state":"unknown","until":null,"reason":null,"requests":12,"bytes":5242880,"errors":1,"rejected":0,"capabilities":{"raw":null,"car":null,"entity_bytes":null,"range":null},"latency":null,"throughput":12897485.0,"error":"no connection: connection refused","notes":[]}]}"#);
    }
}
