//! The parts put together and served.

use axum::{Router, middleware};
use service_kit::http::{HttpLimits, serve};
use service_kit::metrics::Registry;
use service_kit::{Health, Lifecycle, admin};

use crate::faults::{Faults, Gate, Refuse, inject};
use crate::gazetteer::Gazetteer;
use crate::settings::{Addresses, Listeners, Settings};
use crate::traffic::{Stats, Traffic};
use crate::vendor::Vendor;
use crate::{control, naver, tmap};

/// A running simulator. Clones are handles to the same one; it ends with its lifecycle.
#[derive(Clone)]
pub struct Simulator {
    addresses: Addresses,
    faults: Faults,
    traffic: Traffic,
}

/// A place that every simulated vendor knows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnownPlace<'a> {
    /// No other place has it.
    pub name: &'a str,
    /// Latitude in WGS84 degrees.
    pub lat: f64,
    /// Longitude in WGS84 degrees.
    pub lng: f64,
}

/// All places of the gazetteer, in its order: what can be searched with a certain result.
pub fn known_places() -> Vec<KnownPlace<'static>> {
    Gazetteer::embedded_places()
        .iter()
        .map(|place| KnownPlace {
            name: &place.name,
            lat: place.lat,
            lng: place.lng,
        })
        .collect()
}

impl Simulator {
    /// Serves all vendors and the control port on `listeners`, as tasks of `lifecycle`.
    ///
    /// Requests that a fault keeps waiting are answered when the lifecycle is shut down.
    ///
    /// # Errors
    /// If a listener's address is not known to the system.
    pub fn start(
        settings: Settings,
        listeners: Listeners,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<Self> {
        let simulator = Self {
            addresses: listeners.addresses()?,
            faults: Faults::new(),
            traffic: Traffic::default(),
        };
        let gazetteer = Gazetteer::embedded();
        let tmap = tmap::router(gazetteer.clone(), settings.tmap_key);
        let naver = naver::router(gazetteer, settings.naver_client);
        let vendors = [
            (
                "tmap",
                listeners.tmap,
                Vendor::Tmap,
                tmap,
                tmap::refuse as Refuse,
            ),
            (
                "naver",
                listeners.naver,
                Vendor::Naver,
                naver,
                naver::refuse,
            ),
        ];
        for (name, listener, vendor, router, refuse) in vendors {
            let router = simulator.gated(vendor, router, refuse, lifecycle);
            serve(name, listener, router, HttpLimits::default(), lifecycle);
        }
        let control = simulator.control(lifecycle);
        let limits = HttpLimits::default();
        serve("control", listeners.control, control, limits, lifecycle);
        tracing::info!(
            control = %simulator.addresses.control,
            tmap = %simulator.addresses.tmap,
            naver = %simulator.addresses.naver,
            "simulating the map vendors"
        );
        Ok(simulator)
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The faults, to be switched on and off.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// How many requests each operation had since the start.
    pub fn stats(&self) -> Stats {
        self.traffic.stats()
    }

    fn gated(
        &self,
        vendor: Vendor,
        router: Router,
        refuse: Refuse,
        lifecycle: &Lifecycle,
    ) -> Router {
        let gate = Gate {
            vendor,
            refuse,
            faults: self.faults.clone(),
            traffic: self.traffic.clone(),
            soft: lifecycle.soft(),
        };
        router.layer(middleware::from_fn_with_state(gate, inject))
    }

    fn control(&self, lifecycle: &Lifecycle) -> Router {
        let registry = Registry::new("map-simulator", env!("CARGO_PKG_VERSION"));
        self.traffic.register(&registry);
        let health = Health::new(lifecycle.soft());
        control::router(self.faults.clone(), self.traffic.clone())
            .merge(admin::router(health, registry))
    }
}
