//! NAVER's answer to reverse geocode, member by member.

use serde::Serialize;

use crate::gazetteer::Point;

#[derive(Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct GcAnswer {
    pub(super) status: Status,
    pub(super) results: Vec<GcResult>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct Status {
    pub(super) code: u16,
    pub(super) name: String,
    pub(super) message: String,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct GcResult {
    pub(super) name: String,
    pub(super) code: Code,
    pub(super) region: Region,
    /// Only of `addr` and `roadaddr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) land: Option<Land>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct Code {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) mapping_id: String,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct Region {
    pub(super) area0: Area,
    pub(super) area1: Area,
    pub(super) area2: Area,
    pub(super) area3: Area,
    pub(super) area4: Area,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct Area {
    pub(super) name: String,
    pub(super) coords: Coords,
    /// Short form, only of the province.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) alias: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct Coords {
    pub(super) center: Center,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct Center {
    pub(super) crs: String,
    pub(super) x: f64,
    pub(super) y: f64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct Land {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) number1: String,
    pub(super) number2: String,
    pub(super) addition0: Addition,
    pub(super) addition1: Addition,
    pub(super) addition2: Addition,
    pub(super) addition3: Addition,
    pub(super) addition4: Addition,
    /// The road, only of `roadaddr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    pub(super) coords: Coords,
}

#[derive(Default, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct Addition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) value: String,
}

impl Coords {
    /// What stands where there is no position.
    pub(super) fn none() -> Self {
        Self {
            center: Center {
                crs: String::new(),
                x: 0.0,
                y: 0.0,
            },
        }
    }

    /// A position, rounded to the seven digits that NAVER has.
    pub(super) fn at(point: Point) -> Self {
        let rounded = |degrees: f64| (degrees * 1e7).round() / 1e7;
        Self {
            center: Center {
                crs: "EPSG:4326".to_owned(),
                x: rounded(point.lng),
                y: rounded(point.lat),
            },
        }
    }
}

impl Area {
    /// A level of a region; one without a name has no position either.
    pub(super) fn new(name: &str, center: Point) -> Self {
        let coords = if name.is_empty() {
            Coords::none()
        } else {
            Coords::at(center)
        };
        Self {
            name: name.to_owned(),
            coords,
            alias: None,
        }
    }
}
