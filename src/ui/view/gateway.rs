//! Gateways: `gateways list` and `gateways check`.

use serde::Serialize;

use crate::gateway::capability::Capabilities;
use crate::ui::human::Time;

/// A gateway, in `gateways list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GatewayView {
    /// Base URL as given, without a trailing slash.
    pub url: String,
    /// `default`, `config`, `user` or `discovered`.
    pub origin: String,
    /// Whether it may be used.
    pub enabled: bool,
    /// How it is.
    pub state: GatewayState,
    /// Until when it cools down.
    pub until: Option<Time>,
    /// Why it is in this state.
    pub reason: Option<String>,
    /// Requests sent.
    pub requests: u64,
    /// Proved bytes that it sent.
    pub bytes: u64,
    /// Answers that failed.
    pub errors: u64,
    /// Blocks or leaves whose proof failed.
    pub rejected: u64,
    /// What it can do.
    pub capabilities: CapabilitiesView,
    /// Seconds to the first byte.
    pub latency: Option<f64>,
    /// Bytes per second.
    pub throughput: Option<f64>,
}

/// How a gateway is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayState {
    /// It answers.
    Ok,
    /// It is left alone for a while.
    Cooling,
    /// It is gone for good.
    Retired,
    /// The user does not want it.
    Disabled,
    /// It has not been asked yet.
    Unknown,
}

impl GatewayState {
    /// The stable name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            GatewayState::Ok => "ok",
            GatewayState::Cooling => "cooling",
            GatewayState::Retired => "retired",
            GatewayState::Disabled => "disabled",
            GatewayState::Unknown => "unknown",
        }
    }
}

/// What a gateway is known to honour; `None` is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CapabilitiesView {
    /// Raw blocks.
    pub raw: Option<bool>,
    /// CARs.
    pub car: Option<bool>,
    /// `entity-bytes` in a request for a CAR.
    pub entity_bytes: Option<bool>,
    /// `Range` on plain bytes.
    pub range: Option<bool>,
}

impl From<&Capabilities> for CapabilitiesView {
    fn from(known: &Capabilities) -> Self {
        Self {
            raw: known.raw.answer(),
            car: known.car.answer(),
            entity_bytes: known.entity_bytes.answer(),
            range: known.range.answer(),
        }
    }
}

/// The document of `gateways list`.
#[derive(Debug, Serialize)]
pub struct GatewayList<'a> {
    /// In the order they are asked.
    pub gateways: &'a [GatewayView],
}

/// A gateway, in `gateways check`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedView {
    /// What is known of it by now.
    #[serde(flatten)]
    pub gateway: GatewayView,
    /// Why it cannot be used; null where it can.
    pub error: Option<String>,
    /// What is strange about it all the same.
    pub notes: Vec<String>,
}

/// The document of `gateways check`.
#[derive(Debug, Serialize)]
pub struct CheckedList<'a> {
    /// In the order they were asked for.
    pub gateways: &'a [CheckedView],
}
