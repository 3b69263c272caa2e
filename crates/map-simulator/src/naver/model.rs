//! NAVER's answers to geocode and local search, and its error envelopes, member by member.

use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct GatewayEnvelope {
    pub(super) error: GatewayBody,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct GatewayBody {
    pub(super) error_code: String,
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) details: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct DevelopersBody {
    pub(super) error_message: String,
    pub(super) error_code: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct GeocodeRefusal {
    pub(super) status: String,
    pub(super) error_message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct GeocodeAnswer {
    pub(super) status: String,
    pub(super) meta: Meta,
    pub(super) addresses: Vec<Row>,
    pub(super) error_message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct Meta {
    pub(super) total_count: usize,
    pub(super) page: usize,
    pub(super) count: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct Row {
    pub(super) road_address: String,
    pub(super) jibun_address: String,
    pub(super) english_address: String,
    pub(super) address_elements: Vec<AddressElement>,
    /// Longitude.
    pub(super) x: String,
    /// Latitude.
    pub(super) y: String,
    /// Metres; 0 without a point to measure from.
    pub(super) distance: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct AddressElement {
    pub(super) types: [String; 1],
    pub(super) long_name: String,
    pub(super) short_name: String,
    pub(super) code: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct LocalAnswer {
    pub(super) last_build_date: String,
    pub(super) total: usize,
    pub(super) start: usize,
    pub(super) display: usize,
    pub(super) items: Vec<LocalItem>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct LocalItem {
    pub(super) title: String,
    pub(super) link: String,
    pub(super) category: String,
    pub(super) description: String,
    pub(super) telephone: String,
    pub(super) address: String,
    pub(super) road_address: String,
    pub(super) mapx: String,
    pub(super) mapy: String,
}
