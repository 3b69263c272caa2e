//! The `chameleon.v1` gRPC contract: generated code, and its conversions to the model.
//!
//! [`v1`] is generated from `proto/chameleon/v1/chameleon.proto`. The conversions check what the
//! wire can't: a key that is no key becomes an [`Invalid`] that names the field.

mod audit;
mod codec;
mod convert;

pub use codec::{framed, messages};
pub use convert::{
    Invalid, commit_requests, commit_response, source_name, state_chunks, transaction,
    without_values,
};

/// Messages, client and server of `chameleon.v1`, as generated.
#[expect(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::large_enum_variant,
    reason = "generated; the .proto file has the words"
)]
pub mod v1 {
    tonic::include_proto!("chameleon.v1");
}

/// The compiled .proto files, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("chameleon_v1");
