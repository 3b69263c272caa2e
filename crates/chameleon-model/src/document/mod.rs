//! Documents: YAML read strictly, layered, filled from the environment, checked, bound and compared.
//!
//! A document's way from bytes to a service's own type:
//!
//! 1. [`Document::parse`] reads one file strictly and remembers where everything stands;
//! 2. [`layered`] merges a service's four layers into a [`Merged`] document;
//! 3. [`Merged::resolve`] fills placeholders from an environment;
//! 4. [`Resolved::bind`] decodes it into a type; checkers apply a [`Schema`] instead.
//!
//! Whatever is wrong on the way is a [`Fault`] with file, line, column and path. Everything here is
//! pure: bytes and lookups come in as arguments.
//!
//! ```
//! use chameleon_model::document::{Allowed, layered};
//!
//! let merged = layered([
//!     ("config/application.yml", Some(b"timeout: 1000\n".as_slice())),
//!     ("config/application-beta.yml", None),
//!     ("config/location.yml", Some(b"a-map-percentage: 100\nkey: ${APP_KEY:none}\n".as_slice())),
//!     ("config/location-beta.yml", Some(b"aMapPercentage: 90\n".as_slice())),
//! ])
//! .unwrap();
//! let resolved = merged.resolve(&Allowed::default(), |_| None).unwrap();
//! assert_eq!(resolved.bind::<u32>("aMapPercentage").unwrap(), 90);
//! assert_eq!(resolved.bind::<String>("key").unwrap(), "none");
//! ```

mod bind;
mod diff;
mod fault;
mod file;
mod marks;
mod merge;
mod name;
mod path;
mod placeholder;
mod print;
mod redact;
mod scalar;
mod schema;
mod yaml;

pub use diff::{Change, Difference, Differences, line_diff};
pub use fault::{Fault, Position};
pub use file::{FileError, FileName, NameError, Profile, Profiles, Service, layer_keys, split_key};
pub use merge::{Merged, layered};
pub use name::canonical;
pub use path::{Path, PathError, Segment};
pub use placeholder::{Allowed, Defaulted, Resolved};
pub use print::print;
pub use redact::{is_secret_name, redact, redact_lines};
pub use schema::{Mode, Schema};
pub use yaml::{Document, MAX_ALIASED_NODES, MAX_DEPTH, MAX_DOCUMENT_BYTES};
