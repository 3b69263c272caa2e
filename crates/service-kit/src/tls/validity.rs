//! When a certificate ends.
//!
//! Read by hand: rustls does not tell it, and a whole X.509 parser would bring a dozen crates for one
//! date. What is read here was accepted by rustls before.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version, which may be left out.
const CONTEXT_0: u8 = 0xa0;

/// The certificate's `notAfter`; `None` if it can't be read.
pub(super) fn ends(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let mut outer = Reader(certificate.as_ref());
    let mut certificate = Reader(outer.take(SEQUENCE)?);
    let mut fields = Reader(certificate.take(SEQUENCE)?);
    if fields.0.first() == Some(&CONTEXT_0) {
        fields.any()?;
    }
    let (_serial, _algorithm, _issuer) = (fields.any()?, fields.any()?, fields.any()?);
    let mut validity = Reader(fields.take(SEQUENCE)?);
    let _not_before = validity.any()?;
    let (tag, text) = validity.any()?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// DER: a tag, a length, so many bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            rest = after;
            (digits.iter()).try_fold(0_usize, |length, &digit| {
                (length.checked_mul(256)).map(|length| length + usize::from(digit))
            })?
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    fn take(&mut self, expected: u8) -> Option<&'a [u8]> {
        let (tag, value) = self.any()?;
        (tag == expected).then_some(value)
    }
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, the forms that RFC 5280 allows.
fn time(tag: u8, text: &str) -> Option<SystemTime> {
    let digits = text.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let year: u64 = digits.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 } else { 1900 } + year, digits.get(2..)?)
        }
        GENERALIZED_TIME => (digits.get(..4)?.parse().ok()?, digits.get(4..)?),
        _ => return None,
    };
    if rest.len() != 10 {
        return None;
    }
    let part = |at: usize| -> Option<u64> { rest.get(at..at + 2)?.parse().ok() };
    let days = days_since_1970(year, part(0)?, part(2)?)?;
    let seconds = ((days * 24 + part(4)?) * 60 + part(6)?) * 60 + part(8)?;
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// By years that begin in March, so that the leap day is the last.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject as _;
    use test_kit::tls::Authority;

    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_read() {
        let authority = Authority::new("ours");
        for (issued, seconds) in [
            // 2021-01-01, and 4096-01-01, which takes the longer form.
            (authority.expired_server(&["a"]), 1_609_459_200),
            (authority.server(&["a"]), 67_090_118_400),
        ] {
            let der = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
            let end = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(ends(&der), Some(end));
            let bytes = der.as_ref();
            for cut in 0..bytes.len().min(200) {
                assert_eq!(ends(&CertificateDer::from(&bytes[..cut])), None);
            }
        }
    }

    #[test]
    fn times_are_read_in_both_forms() {
        let seconds = |tag, text| {
            let time = time(tag, text)?;
            Some(time.duration_since(UNIX_EPOCH).unwrap().as_secs())
        };
        for (tag, text, expected) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "000229120102Z", Some(951_825_662)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (UTC_TIME, "0001010000Z", None),
            (UTC_TIME, "001301000000Z", None),
            (UTC_TIME, "00é101000000Z", None),
            (GENERALIZED_TIME, "20500101000000", None),
            (0x04, "20500101000000Z", None),
        ] {
            assert_eq!(seconds(tag, text), expected, "{text}");
        }
    }
}
