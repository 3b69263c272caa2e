//! Address search over several map vendors, spread by percentages that live in the configuration.
//!
//! A request goes to a provider chosen by its share; if that one fails, the next one steps in within
//! the same deadline. The answer has one canonical form, whichever vendor gave it. All settings that
//! matter while running come from the config server and change without a restart; see [`MapConfig`].

mod address;
mod answer;
mod command;
mod config;
mod http;
mod lookup;
mod metrics;
mod place;
mod query;
mod rank;
mod routing;
mod service;
mod settings;
mod table;
mod vendors;
mod wiring;

pub use command::{Listeners, execute, start};
pub use config::{Fault, Faults, MapConfig, MapDocument};
pub use http::{admin_router, router};
pub use service::LocationService;
pub use settings::{Cli, Command, Settings};
pub use wiring::{Environment, process_environment};
