//! Two calls that answer one search together.

use super::VendorError;
use crate::place::Place;

/// Joins the answers of both calls; one failing does not take the other's rows away.
pub(crate) fn join(
    one: Result<Vec<Place>, VendorError>,
    other: Result<Vec<Place>, VendorError>,
    merge: impl FnOnce(Vec<Place>, Vec<Place>) -> Vec<Place>,
) -> Result<Vec<Place>, VendorError> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok(merge(one, other)),
        (Ok(rows), Err(error)) | (Err(error), Ok(rows)) => {
            if rows.is_empty() {
                Err(error)
            } else {
                tracing::debug!("carried on with half of a search: {error}");
                Ok(rows)
            }
        }
        (Err(one), Err(other)) => Err(one.worse(other)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        address::Region,
        place::Point,
        vendors::{FailureClass, Operation, Vendor},
    };

    #[test]
    fn failures_count_only_without_rows() {
        let error = |class| VendorError {
            class,
            vendor: Vendor::Naver,
            operation: Operation::Local,
            http_status: None,
            vendor_code: None,
            message: String::new(),
            elapsed: Duration::ZERO,
        };
        let rows = || {
            let point = Point::new(37.5, 127.1).expect("in Korea");
            let place = Place::new(
                Some("가게".to_owned()),
                None,
                None,
                Region::default(),
                point,
            );
            vec![place.expect("a place")]
        };
        let merge = |one: Vec<Place>, other: Vec<Place>| [one, other].concat();
        let timeout = || Err(error(FailureClass::Timeout));
        assert_eq!(join(timeout(), Ok(rows()), merge).expect("rows").len(), 1);
        assert_eq!(join(Ok(rows()), timeout(), merge).expect("rows").len(), 1);
        assert_eq!(join(Ok(rows()), Ok(rows()), merge).expect("rows").len(), 2);
        let none = join(Ok(Vec::new()), Err(error(FailureClass::Upstream)), merge);
        assert_eq!(none.expect_err("no rows").class, FailureClass::Upstream);
        let both = join(timeout(), Err(error(FailureClass::Unauthorized)), merge);
        assert_eq!(both.expect_err("no rows").class, FailureClass::Unauthorized);
    }
}
