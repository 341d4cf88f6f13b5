//! Rows that the tests of this module show in several ways.

use crate::download::{DownloadId, Proof, Status, Trigger};
use crate::ui::human::Time;
use crate::ui::view::{
    CapabilitiesView, CheckedView, CheckpointView, DownloadDetail, DownloadView, ErrorView,
    FileView, GatewayState, GatewayView, OwnerView, ProviderView,
};

pub fn view(id: i64, name: &str, status: Status) -> DownloadView {
    DownloadView {
        id: DownloadId::new(id).unwrap(),
        source: "bafy/a".to_owned(),
        cid: Some("bafy".to_owned()),
        content_path: Some("a".to_owned()),
        path: Some(format!("/data/{name}").into()),
        kind: Some("file".to_owned()),
        status,
        bytes_verified: 470 << 20,
        bytes_total: Some(1 << 30),
        sha256: None,
        proof: Some(Proof::Blocks),
        attempts: 1,
        error: None,
        priority: 0,
        next_attempt_at: None,
        created_at: Time::from_unix_millis(1_700_000_000_000),
        updated_at: Time::from_unix_millis(1_700_000_060_000),
        completed_at: None,
    }
}

pub fn failed(id: i64) -> DownloadView {
    let error = ErrorView {
        kind: "retry",
        message: "every provider is unreachable: connection refused".to_owned(),
        hint: Some("fetchd resume 12".to_owned()),
    };
    let mut view = view(id, "a-rather-long-model-name-q4_k_m.gguf", Status::Paused);
    view.error = Some(error);
    view
}

pub fn rows() -> Vec<DownloadView> {
    let mut unknown = view(7, "", Status::Pending);
    (unknown.path, unknown.bytes_total) = (None, None);
    unknown.source = "bafy\u{1b}[2J".to_owned();
    vec![
        view(3, "model.bin", Status::InProgress),
        unknown,
        failed(12),
    ]
}

pub fn gateway(url: &str, state: GatewayState) -> GatewayView {
    GatewayView {
        url: url.to_owned(),
        origin: "default".to_owned(),
        enabled: true,
        state,
        until: None,
        reason: None,
        requests: 12,
        bytes: 5 << 20,
        errors: 1,
        rejected: 0,
        capabilities: CapabilitiesView {
            raw: Some(true),
            car: Some(false),
            entity_bytes: None,
            range: Some(true),
        },
        latency: Some(0.02),
        throughput: Some(12_897_485.0),
    }
}

pub fn gateway_rows() -> Vec<GatewayView> {
    let mut cooling = gateway("https://gateway.example", GatewayState::Cooling);
    cooling.until = Some(Time::from_unix_millis(1_700_000_000_000));
    cooling.reason = Some("answered 429".to_owned());
    vec![gateway("http://127.0.0.1:8080", GatewayState::Ok), cooling]
}

pub fn checked_rows() -> Vec<CheckedView> {
    let mut closed = gateway("https://gateway.example", GatewayState::Unknown);
    closed.capabilities = CapabilitiesView::default();
    closed.latency = None;
    vec![
        CheckedView {
            gateway: gateway("http://127.0.0.1:8080", GatewayState::Ok),
            error: None,
            notes: vec!["its clock is 2 h behind ours".to_owned()],
        },
        CheckedView {
            gateway: closed,
            error: Some("no connection: connection refused".to_owned()),
            notes: Vec::new(),
        },
    ]
}

pub fn detail() -> DownloadDetail {
    DownloadDetail {
        download: failed(12),
        files: vec![FileView {
            path: "a".to_owned(),
            kind: "file",
            cid: None,
            size: Some(1 << 30),
            bytes_verified: 470 << 20,
            done: false,
        }],
        providers: vec![ProviderView {
            url: "http://a".to_owned(),
            bytes: 470 << 20,
            wasted: 0,
            requests: 3,
            errors: 1,
            rejected: 0,
            rungs: vec!["blocks"],
        }],
        checkpoints: vec![CheckpointView {
            id: 9,
            trigger: Trigger::Stop,
            bytes: 470 << 20,
            state_hash: "5a".repeat(32),
            status: "completed",
            created_at: Time::from_unix_millis(1_700_000_000_250),
            completed_at: Some(Time::from_unix_millis(1_700_000_000_260)),
        }],
        receipt: None,
        owner: Some(OwnerView {
            run: 4,
            pid: 99,
            host: None,
            heartbeat_at: None,
        }),
    }
}
