//! Which companies are simulated, and which of their operations.

use std::fmt;
use std::str::FromStr;

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// A map company whose wire format is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vendor {
    /// SK TMAP.
    Tmap,
    /// NAVER Maps and NAVER local search.
    Naver,
}

impl Vendor {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Tmap, Self::Naver];

    /// The name in paths, labels and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tmap => "tmap",
            Self::Naver => "naver",
        }
    }

    pub(crate) fn operations(self) -> &'static [Operation] {
        match self {
            Self::Tmap => &[
                Operation::Pois,
                Operation::ReverseGeocoding,
                Operation::FullAddrGeo,
                Operation::Other,
            ],
            Self::Naver => &[
                Operation::Local,
                Operation::Geocode,
                Operation::Gc,
                Operation::Other,
            ],
        }
    }
}

impl EncodeLabelValue for Vendor {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.name().encode(encoder)
    }
}

impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no simulated vendor has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown vendor `{0}`: use `tmap` or `naver`")]
pub struct UnknownVendor(String);

impl FromStr for Vendor {
    type Err = UnknownVendor;

    fn from_str(name: &str) -> Result<Self, UnknownVendor> {
        Self::ALL
            .into_iter()
            .find(|vendor| vendor.name() == name)
            .ok_or_else(|| UnknownVendor(name.to_owned()))
    }
}

/// What a request asks a vendor to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Operation {
    /// TMAP's integrated search.
    Pois,
    /// TMAP's address of a position.
    ReverseGeocoding,
    /// TMAP's position of an address.
    FullAddrGeo,
    /// NAVER's shop search, in both dialects.
    Local,
    /// NAVER's position of an address.
    Geocode,
    /// NAVER's address of a position.
    Gc,
    /// A path that is not simulated.
    Other,
}

impl EncodeLabelValue for Operation {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.name().encode(encoder)
    }
}

impl Operation {
    /// The name in labels and statistics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pois => "pois",
            Self::ReverseGeocoding => "reverse_geocoding",
            Self::FullAddrGeo => "full_addr_geo",
            Self::Local => "local",
            Self::Geocode => "geocode",
            Self::Gc => "gc",
            Self::Other => "other",
        }
    }

    /// What a request to `path` asks for.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/tmap/pois" => Self::Pois,
            "/tmap/geo/reversegeocoding" => Self::ReverseGeocoding,
            "/tmap/geo/fullAddrGeo" => Self::FullAddrGeo,
            "/search/v1/local" | "/v1/search/local.json" | "/v1/search/local.xml" => Self::Local,
            "/map-geocode/v2/geocode" => Self::Geocode,
            "/map-reversegeocode/v2/gc" => Self::Gc,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for vendor in Vendor::ALL {
            assert_eq!(vendor.name().parse(), Ok(vendor));
        }
        assert_eq!(
            "kakao".parse::<Vendor>().unwrap_err().to_string(),
            "unknown vendor `kakao`: use `tmap` or `naver`"
        );
    }
}
