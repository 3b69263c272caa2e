//! Short words for transactions.

use bytes::Bytes;
use chameleon_model::{
    Key, Operation, Precondition, Prefix, RequestId, Session, SessionId, Transaction,
};
use uuid::Uuid;

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).expect("a test's key is good")
}

pub(crate) fn put(at: &str, value: &str) -> Operation {
    Operation::Put {
        key: key(at),
        value: Bytes::copy_from_slice(value.as_bytes()),
        flags: 0,
    }
}

pub(crate) fn delete(at: &str) -> Operation {
    Operation::Delete { key: key(at) }
}

pub(crate) fn delete_prefix(prefix: &str) -> Operation {
    Operation::DeletePrefix {
        prefix: Prefix::new(prefix),
    }
}

pub(crate) fn lock(at: &str, session: SessionId) -> Operation {
    Operation::Lock {
        key: key(at),
        value: Bytes::from_static(b"locked"),
        flags: 0,
        session,
    }
}

pub(crate) fn open_session(session: &Session) -> Operation {
    Operation::OpenSession(session.clone())
}

pub(crate) fn all(operations: impl IntoIterator<Item = Operation>) -> Transaction {
    Transaction {
        operations: operations.into_iter().collect(),
        ..Transaction::default()
    }
}

pub(crate) fn only(operation: Operation) -> Transaction {
    all([operation])
}

pub(crate) fn given(
    preconditions: impl IntoIterator<Item = Precondition>,
    operation: Operation,
) -> Transaction {
    Transaction {
        preconditions: preconditions.into_iter().collect(),
        ..only(operation)
    }
}

pub(crate) fn request(id: RequestId, operation: Operation) -> Transaction {
    Transaction {
        request_id: Some(id),
        ..only(operation)
    }
}

pub(crate) fn new_request() -> RequestId {
    RequestId(Uuid::new_v4())
}

pub(crate) fn session(name: &str) -> Session {
    Session {
        id: SessionId(Uuid::new_v4()),
        name: name.to_owned(),
        behavior: chameleon_model::SessionBehavior::Release,
        ttl: Some(std::time::Duration::from_millis(15_001)),
        lock_delay: std::time::Duration::from_secs(1),
        opened_by: "ada".to_owned(),
        create_revision: chameleon_model::Revision::ZERO,
    }
}
