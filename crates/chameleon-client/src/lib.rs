#![doc = include_str!("../README.md")]

mod api;
mod builder;
mod chameleon;
mod configuration;
mod engine;
mod follow;
mod last_good;
mod live;
mod outcomes;

pub use api::{
    Api, ApiError, ApiSettings, CommitEffects, CommitOutcome, CommitRecord, Delivery, Difference,
    EntryDiff, Fleet, HeldKey, HistoryQuery, HoldChange, Identity, Instance, IssuedToken,
    KeyChange, RolledBack, Secret, Selection, ServerStatus, Source, State, SyncReport, Tls, Token,
    TokenInfo, Update, Watch,
};
pub use builder::{Builder, ConnectError};
pub use chameleon::{BindError, Chameleon};
pub use chameleon_model::document::Fault;
pub use chameleon_model::{Revision, Stamp};
pub use configuration::{Configuration, Violation};
pub use engine::{ClientState, Rejection};
pub use live::{Changed, Changes, Frame, Live, Loaded};
