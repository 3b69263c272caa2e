//! Watches of the SDK, which go from one replica to the next when a stream ends.

use std::sync::Arc;

use chameleon_client::{Api, ApiSettings, Selection};
use chameleon_model::Prefix;

use super::{At, Reader};
use crate::content::Mirror;

/// Watches without end.
pub(crate) async fn run(reader: Arc<Reader>, servers: Vec<String>) {
    let settings = ApiSettings {
        servers,
        ..ApiSettings::default()
    };
    let api = Api::connect(settings).expect("the addresses are good");
    let selection = Selection::prefix(Prefix::new(reader.scope.prefix()));
    let mut watch = api.watch(&selection, None, None);
    let mut held = None;
    loop {
        // What the SDK refuses, such as a replica that lags, is an error here and not a state.
        let Ok(update) = watch.next().await else {
            continue;
        };
        let stamp = update.stamp;
        if held.is_some_and(|held| held != stamp && !stamp_follows(held, stamp)) {
            reader.complain(&format!("went back from {held:?} to {stamp}"));
        }
        held = Some(stamp);
        let mut mirror = Mirror::default();
        for (key, entry) in watch.entries() {
            mirror.put(key.as_str(), &entry.value, entry.modify_revision.0);
        }
        reader.show(At::Stamp(stamp), |shown| *shown = mirror);
    }
}

fn stamp_follows(held: chameleon_client::Stamp, next: chameleon_client::Stamp) -> bool {
    (next.epoch, next.revision) > (held.epoch, held.revision)
}
