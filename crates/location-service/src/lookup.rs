//! One request's way over the providers: chosen by share, then whoever steps in, within one deadline.

use tokio::time::Instant;

use crate::{
    answer::Answer,
    config::ProviderName,
    metrics::Metrics,
    place::Point,
    query::SearchQuery,
    routing::{self, Draw},
    table::RoutingTable,
    vendors::{FailureClass, Vendor},
};

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) enum Lookup {
    /// Places by a text.
    Address(SearchQuery),
    /// The address at a point.
    Reverse(Point),
}

/// The kind of a lookup, as counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LookupKind {
    Address,
    Reverse,
}

impl LookupKind {
    /// The name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Reverse => "reverse",
        }
    }
}

impl Lookup {
    /// The kind of this lookup.
    pub(crate) fn kind(&self) -> LookupKind {
        match self {
            Self::Address(_) => LookupKind::Address,
            Self::Reverse(_) => LookupKind::Reverse,
        }
    }
}

/// An answer and who gave it.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) provider: ProviderName,
    pub(crate) vendor: Vendor,
    pub(crate) answer: Answer,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unserved {
    /// A vendor does not take this text or point.
    Refused,
    /// Every provider that could be asked was too slow.
    TimedOut,
    /// No provider could answer.
    Unavailable,
}

/// Asks the providers in the order that `draw` gives, until one answers or the deadline passes.
///
/// Nothing found is an answer. May be dropped at any time; the upstream call ends with it.
pub(crate) async fn serve(
    table: &RoutingTable,
    lookup: &Lookup,
    draw: Draw,
    metrics: &Metrics,
) -> Result<Served, Unserved> {
    let deadline = Instant::now() + table.deadline;
    let order = routing::order(&table.shares, draw);
    let mut only_timeouts = true;
    for (attempt, &index) in order.iter().enumerate() {
        let now = Instant::now();
        if now >= deadline {
            break;
        }
        let provider = &table.providers[index];
        let has_successor = attempt + 1 < order.len();
        let limit = routing::attempt_limit(provider.timeout, deadline - now, has_successor);
        match provider.ask(lookup, now + limit, metrics).await {
            Ok(answer) => {
                return Ok(Served {
                    provider: provider.name.clone(),
                    vendor: provider.vendor,
                    answer,
                });
            }
            Err(error) => {
                if !error.class.fails_over() {
                    return Err(Unserved::Refused);
                }
                only_timeouts &= error.class == FailureClass::Timeout;
            }
        }
    }
    Err(if only_timeouts {
        Unserved::TimedOut
    } else {
        Unserved::Unavailable
    })
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use service_kit::metrics::Registry;

    use super::*;
    use crate::{
        config::{Share, Shares},
        place::{Pin, Place},
        table::Provider,
        vendors::{MapVendor, Operation, VendorError, error::BadRequest},
    };

    /// A vendor that fails in one way, or finds nothing.
    struct Fake(Option<FailureClass>);

    impl Fake {
        async fn act(&self, deadline: Instant) -> Result<(), VendorError> {
            let Some(class) = self.0 else {
                return Ok(());
            };
            if class == FailureClass::Timeout {
                tokio::time::sleep_until(deadline).await;
            }
            Err(VendorError {
                class,
                vendor: Vendor::Tmap,
                operation: Operation::Pois,
                http_status: None,
                vendor_code: None,
                message: String::new(),
                elapsed: Duration::ZERO,
            })
        }
    }

    #[async_trait::async_trait]
    impl MapVendor for Fake {
        async fn search_address(
            &self,
            _: &SearchQuery,
            deadline: Instant,
        ) -> Result<Vec<Place>, VendorError> {
            self.act(deadline).await.map(|()| Vec::new())
        }

        async fn reverse_address(
            &self,
            _: Point,
            deadline: Instant,
        ) -> Result<Option<Pin>, VendorError> {
            self.act(deadline).await.map(|()| None)
        }
    }

    /// Asks providers `a`, `b`, ... of which the first has all the traffic; tells who answered, and when.
    async fn ask(
        timeout_ms: u64,
        vendors: &[Option<FailureClass>],
    ) -> (Result<String, Unserved>, u128) {
        let mut shares = vec![Share::NONE; vendors.len()];
        shares[0] = Share::from_percent(100.0).expect("a share");
        let providers = std::iter::zip('a'..='z', vendors).map(|(name, class)| {
            Provider::fake(
                &name.to_string(),
                Duration::from_millis(timeout_ms),
                Arc::new(Fake(*class)),
            )
        });
        let table = RoutingTable {
            revision: 1,
            shares: Shares::new(shares).expect("the whole"),
            deadline: Duration::from_millis(1500),
            providers: providers.collect(),
        };
        let metrics = Metrics::new(&Registry::new("test", "0"));
        let lookup = Lookup::Reverse(Point::new(37.5, 127.1).expect("in Korea"));
        let started = Instant::now();
        let served = serve(&table, &lookup, Draw::random(), &metrics).await;
        (
            served.map(|served| served.provider.to_string()),
            started.elapsed().as_millis(),
        )
    }

    const SILENT: Option<FailureClass> = Some(FailureClass::Timeout);
    const DOWN: Option<FailureClass> = Some(FailureClass::Connect);
    const WELL: Option<FailureClass> = None;

    #[tokio::test(start_paused = true)]
    async fn a_silent_vendor_costs_its_timeout_and_no_more() {
        assert_eq!(ask(800, &[SILENT, WELL]).await, (Ok("b".to_owned()), 800));
    }

    #[tokio::test(start_paused = true)]
    async fn a_vendor_that_is_down_costs_nothing() {
        assert_eq!(ask(800, &[DOWN, DOWN, WELL]).await, (Ok("c".to_owned()), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn even_a_timeout_as_long_as_the_deadline_leaves_time_for_another() {
        assert_eq!(
            ask(60_000, &[SILENT, WELL]).await,
            (Ok("b".to_owned()), 1000)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_holds_for_all_together() {
        assert_eq!(
            ask(800, &[SILENT, SILENT, SILENT]).await,
            (Err(Unserved::TimedOut), 1500)
        );
        assert_eq!(
            ask(800, &[SILENT, DOWN, SILENT]).await,
            (Err(Unserved::Unavailable), 1500)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_text_ends_the_way() {
        let refused = Some(FailureClass::BadRequest(BadRequest::Text));
        assert_eq!(
            ask(800, &[refused, WELL]).await,
            (Err(Unserved::Refused), 0)
        );
    }
}
