//! Watches by gRPC that stay with their replica. They check what the SDK would refuse, and more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chameleon_model::Stamp;
use chameleon_proto::v1;
use tokio::time::sleep;
use tokio_stream::StreamExt as _;

use super::{At, Reader};
use crate::writers::client;

/// Between a stream's end and the next.
const PAUSE: Duration = Duration::from_millis(30);

/// One state as it came.
struct Whole {
    stamp: Stamp,
    base: Option<Stamp>,
    puts: Vec<v1::Entry>,
    deletes: Vec<String>,
}

/// Watches without end, resuming with what is held.
pub(crate) async fn run(reader: Arc<Reader>, grpc: SocketAddr) {
    let mut client = client(grpc);
    loop {
        let subscribe = v1::Subscribe {
            prefixes: vec![reader.scope.prefix().to_owned()],
            last: reader.stamp().map(Into::into),
            ..v1::Subscribe::default()
        };
        let message = v1::watch_request::Message::Subscribe(subscribe);
        let first = v1::WatchRequest {
            message: Some(message),
        };
        let requests = tokio_stream::iter([first]).chain(tokio_stream::pending());
        if let Ok(stream) = client.watch(requests).await {
            follow(&reader, stream.into_inner()).await;
        }
        sleep(PAUSE).await;
    }
}

/// Takes over the states of one stream until it ends, or a state is refused.
async fn follow(reader: &Reader, mut states: tonic::Streaming<v1::State>) {
    let mut first = true;
    let mut partial: Option<Whole> = None;
    while let Ok(Some(chunk)) = states.message().await {
        let Some(stamp) = chunk.stamp.map(Stamp::from) else {
            return reader.complain("received a state without a stamp");
        };
        let base = chunk.base.map(Stamp::from);
        let whole = partial.get_or_insert_with(|| Whole {
            stamp,
            base,
            puts: Vec::new(),
            deletes: Vec::new(),
        });
        if (whole.stamp, whole.base) != (stamp, base) {
            return reader.complain("received chunks of two states mixed");
        }
        whole.puts.extend(chunk.puts);
        whole.deletes.extend(chunk.deletes);
        if !chunk.more
            && let Some(whole) = partial.take()
        {
            if !accept(reader, whole, first) {
                return;
            }
            first = false;
        }
    }
}

/// Takes over a state; false if it is refused.
fn accept(reader: &Reader, whole: Whole, first: bool) -> bool {
    let Whole {
        stamp,
        base,
        puts,
        deletes,
    } = whole;
    let held = reader.stamp();
    if base.is_some() && base != held {
        reader.complain(&format!("holds {held:?} and received a change of {base:?}"));
        return false;
    }
    if let Some(held) = held {
        // A stream begins with what the client has, if there is nothing new.
        let again = stamp == held;
        if again && (!first || (base.is_some() && puts.len() + deletes.len() > 0)) {
            reader.complain(&format!("saw {stamp} twice"));
            return false;
        }
        if !again && !held.may_advance_to(stamp) {
            // A new server on a promoted copy can't know of anything newer; but nobody follows it.
            if first && base.is_none() && reader.shared.has_promoted() {
                reader.shared.refuse();
            } else {
                reader.complain(&format!("was sent back from {held} to {stamp}"));
            }
            return false;
        }
    }
    reader.show(At::Stamp(stamp), |mirror| {
        if base.is_none() {
            *mirror = crate::content::Mirror::default();
        }
        for key in &deletes {
            mirror.delete(key);
        }
        for entry in &puts {
            mirror.put(&entry.key, &entry.value, entry.modify_revision);
        }
    });
    true
}
