//! Query parameters, as vendors read them: text, with the last of two equal names.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::gazetteer::Point;

/// The parameters of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(BTreeMap<String, String>);

/// A parameter that has a value nobody understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Invalid(pub(crate) &'static str);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::read(parts.uri.query().unwrap_or_default()))
    }
}

impl Params {
    pub(crate) fn read(query: &str) -> Self {
        Self(
            url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// The value of `name`; one that is blank is missing.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// The number of `name` within `range`, or `default` if it is missing.
    pub(crate) fn number<T: FromStr + PartialOrd>(
        &self,
        name: &'static str,
        range: RangeInclusive<T>,
        default: T,
    ) -> Result<T, Invalid> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .ok()
                .filter(|number| range.contains(number))
                .ok_or(Invalid(name)),
        }
    }

    /// The degrees of `name`, if it is given.
    pub(crate) fn degrees(&self, name: &'static str) -> Result<Option<f64>, Invalid> {
        self.text(name)
            .map(|text| degrees(text).ok_or(Invalid(name)))
            .transpose()
    }

    /// The position of `name`, given as `lng,lat`.
    pub(crate) fn lng_lat(&self, name: &'static str) -> Result<Option<Point>, Invalid> {
        self.text(name)
            .map(|text| {
                let (lng, lat) = text.split_once(',')?;
                Some(Point {
                    lat: degrees(lat)?,
                    lng: degrees(lng)?,
                })
            })
            .map(|point| point.ok_or(Invalid(name)))
            .transpose()
    }
}

fn degrees(text: &str) -> Option<f64> {
    let number: f64 = text.trim().parse().ok()?;
    (-360.0..=360.0).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_decoded_once_and_blank_is_missing() {
        let params = Params::read("q=%EC%84%9C%EC%9A%B8+%EC%97%AD&blank=%20&twice=%2525");
        assert_eq!(params.text("q"), Some("서울 역"));
        assert_eq!(params.text("blank"), None);
        assert_eq!(params.text("twice"), Some("%25"));
        assert_eq!(params.text("other"), None);
    }

    #[test]
    fn numbers_are_checked() {
        let params = Params::read("count=7&bad=x&big=300");
        assert_eq!(params.number("count", 1..=200, 20), Ok(7));
        assert_eq!(params.number("page", 1..=200, 20), Ok(20));
        assert_eq!(params.number("bad", 1..=200, 20), Err(Invalid("bad")));
        assert_eq!(params.number("big", 1..=200, 20), Err(Invalid("big")));
    }

    #[test]
    fn positions_are_longitude_first() {
        let params = Params::read("coords=127.1,37.5&one=127.1&nan=NaN,1");
        let point = params.lng_lat("coords").unwrap().unwrap();
        assert_eq!((point.lat, point.lng), (37.5, 127.1));
        assert_eq!(params.lng_lat("one"), Err(Invalid("one")));
        assert_eq!(params.lng_lat("nan"), Err(Invalid("nan")));
        assert_eq!(params.lng_lat("none"), Ok(None));
    }
}
