//! The Chameleon client: the server's API, and live, typed, validated configuration over it.

mod api;

pub use api::{
    Api, ApiError, ApiSettings, CommitOutcome, CommitRecord, Delivery, Difference, EntryDiff,
    Fleet, HistoryQuery, Identity, Instance, KeyChange, Selection, ServerStatus, Source, State,
    SyncReport, Token, Update, Watch,
};
