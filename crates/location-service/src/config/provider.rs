//! The settings of each vendor.

use secrecy::SecretString;
use url::Url;

use super::section::Section;
use crate::vendors::Vendor;

/// What a provider needs to know about its vendor.
#[derive(Debug, Clone)]
pub(crate) enum VendorSettings {
    Tmap(TmapSettings),
    Naver(NaverSettings),
}

/// How to reach TMAP.
#[derive(Debug, Clone)]
pub(crate) struct TmapSettings {
    pub(crate) app_key: SecretString,
    pub(crate) base_url: Url,
    pub(crate) key_in: KeyIn,
}

/// Where TMAP's key travels; some accounts are refused with the one, some with the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyIn {
    Header,
    Query,
}

/// How to reach NAVER's three operations, which belong to two products.
#[derive(Debug, Clone)]
pub(crate) struct NaverSettings {
    pub(crate) maps: NaverKeys,
    /// The Maps gateway: geocode and reverse geocode.
    pub(crate) base_url: Url,
    pub(crate) local: NaverKeys,
    /// The search product.
    pub(crate) local_base_url: Url,
    pub(crate) dialect: Dialect,
}

/// A key pair of one NAVER product.
#[derive(Debug, Clone)]
pub(crate) struct NaverKeys {
    pub(crate) id: SecretString,
    pub(crate) secret: SecretString,
}

/// Which generation of NAVER's search product is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// NAVER API HUB.
    Hub,
    /// NAVER Developers, until mid-2027.
    Developers,
}

const TMAP_URL: &str = "https://apis.openapi.sk.com";
const NAVER_MAPS_URL: &str = "https://maps.apigw.ntruss.com";
const NAVER_HUB_URL: &str = "https://naverapihub.apigw.ntruss.com";
const NAVER_DEVELOPERS_URL: &str = "https://openapi.naver.com";

impl VendorSettings {
    /// Reads the settings of the vendor that the section names; faults are left in the section.
    pub(crate) fn read(section: &mut Section<'_>) -> Option<Self> {
        let vendor = section.one_of(
            "vendor",
            &[("tmap", Vendor::Tmap), ("naver", Vendor::Naver)],
            None,
        );
        let Some(vendor) = vendor else {
            // Without a vendor nobody can say which of the other keys belong.
            section.ignore_rest();
            return None;
        };
        match vendor {
            Vendor::Tmap => TmapSettings::read(section).map(Self::Tmap),
            Vendor::Naver => NaverSettings::read(section).map(Self::Naver),
        }
    }

    /// The vendor that these settings are for.
    pub(crate) fn vendor(&self) -> Vendor {
        match self {
            Self::Tmap(_) => Vendor::Tmap,
            Self::Naver(_) => Vendor::Naver,
        }
    }
}

impl TmapSettings {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let app_key = section.secret("appKey");
        let base_url = section.url("baseUrl", TMAP_URL);
        let key_in = section.one_of(
            "keyIn",
            &[("header", KeyIn::Header), ("query", KeyIn::Query)],
            Some(KeyIn::Header),
        );
        Some(Self {
            app_key: app_key?,
            base_url: base_url?,
            key_in: key_in?,
        })
    }
}

impl NaverSettings {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let id = section.secret("clientId");
        let secret = section.secret("clientSecret");
        let base_url = section.url("baseUrl", NAVER_MAPS_URL);
        let dialects = [("hub", Dialect::Hub), ("developers", Dialect::Developers)];
        let dialect = section.one_of("dialect", &dialects, Some(Dialect::Hub));
        let local_default = match dialect {
            Some(Dialect::Developers) => NAVER_DEVELOPERS_URL,
            _ => NAVER_HUB_URL,
        };
        let local_base_url = section.url("localBaseUrl", local_default);
        let local = match (
            section.has("localClientId"),
            section.has("localClientSecret"),
        ) {
            (false, false) => None,
            _ => Some((
                section.secret("localClientId"),
                section.secret("localClientSecret"),
            )),
        };
        let maps = NaverKeys {
            id: id?,
            secret: secret?,
        };
        let local = match local {
            None => maps.clone(),
            Some((id, secret)) => NaverKeys {
                id: id?,
                secret: secret?,
            },
        };
        Some(Self {
            maps,
            base_url: base_url?,
            local,
            local_base_url: local_base_url?,
            dialect: dialect?,
        })
    }

    /// Everything that must not show up in a message.
    pub(crate) fn secrets(&self) -> Vec<SecretString> {
        [&self.maps, &self.local]
            .into_iter()
            .flat_map(|keys| [keys.id.clone(), keys.secret.clone()])
            .collect()
    }
}
