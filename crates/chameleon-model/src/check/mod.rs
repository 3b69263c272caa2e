//! The one verdict on configuration that git-sync, the config server and `chameleon validate` share.
//!
//! * [`check_folder`] judges a whole folder, as git-sync and `chameleon validate` see it;
//! * [`check_affected`] judges what a transaction touches, as the config server sees it;
//! * [`check_own_document`] judges one document alone, for writes through the Consul dialect.

mod affected;
mod folder;
mod own;
mod verdict;

pub use affected::check_affected;
pub use folder::check_folder;
pub use own::{check_own_document, schema_key};
pub use verdict::Verdict;

#[cfg(test)]
mod tests;
