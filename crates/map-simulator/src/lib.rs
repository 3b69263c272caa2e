//! The map vendors' wire formats over a small gazetteer, with faults that can be switched on.
//!
//! TMAP and NAVER each have a listener of their own and answer as their documentation and recorded
//! answers say, down to the text in which they refuse; a control listener switches faults. The
//! crate shares no type with the service that calls the vendors, so that a misreading of a format
//! cannot hide on both sides.

mod control;
mod faults;
mod gazetteer;
mod naver;
mod params;
mod settings;
mod simulator;
mod tmap;
mod traffic;
mod vendor;

pub use faults::{Fault, FaultError, Faults};
pub use settings::{Addresses, Listeners, NaverClient, Settings, SimulatorArgs};
pub use simulator::{KnownPlace, Simulator, known_places};
pub use traffic::{OperationStats, Stats};
pub use vendor::{UnknownVendor, Vendor};
