//! What clients ask about the server itself: its agent, its catalog of one node, its leader.

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use chameleon_model::Revision;
use serde_json::{Value, json};

use super::answer::{json as answer, with_read_headers};
use super::duration::jittered;
use super::error::Refused;
use super::query::{DATACENTER, Query};
use super::{Face, NODE, admit, other_method};

/// The id of the one node there is.
const NODE_ID: &str = "c4a3e1e0-0000-4000-8000-000000000001";
/// The release of Consul whose dialect is spoken; some clients choose by it what they send.
const DIALECT: &str = "1.8.7";
const METHODS: &str = "OPTIONS,GET";

/// One of the endpoints that are only read.
#[derive(Clone, Copy)]
pub(super) enum Page {
    /// `/v1/agent/self`
    Agent,
    /// `/v1/catalog/nodes`
    Nodes,
    /// `/v1/catalog/datacenters`
    Datacenters,
    /// `/v1/status/leader`
    Leader,
    /// `/v1/status/peers`
    Peers,
}

impl Page {
    /// Answers a call of any method.
    pub(super) async fn serve(self, State(face): State<Face>, request: Request) -> Response {
        let (head, _body) = request.into_parts();
        if let Some(response) = other_method(&head.method, METHODS) {
            return response;
        }
        let result = self.read(&face, &head).await;
        result.unwrap_or_else(Refused::into_response)
    }

    async fn read(self, face: &Face, head: &Parts) -> Result<Response, Refused> {
        let query = Query::of(&head.uri);
        admit(face, &query, head)?;
        match self {
            Self::Agent => Ok(answer(query.layout(), &agent(face))),
            Self::Nodes => {
                query.check_consistency()?;
                unchanging(face, &query, &[node(face)]).await
            }
            Self::Datacenters => unchanging(face, &query, &[DATACENTER]).await,
            Self::Leader => {
                query.check_datacenter()?;
                Ok(answer(query.layout(), &face.leader()))
            }
            Self::Peers => {
                query.check_datacenter()?;
                let leader = face.leader();
                let peers: &[String] = if leader.is_empty() { &[] } else { &[leader] };
                Ok(answer(query.layout(), &peers))
            }
        }
    }
}

/// Answers what never changes; a call that waits for a change has its wait.
async fn unchanging(
    face: &Face,
    query: &Query<'_>,
    value: &impl serde::Serialize,
) -> Result<Response, Refused> {
    if let Some(wait) = query.wait()? {
        tokio::select! {
            () = tokio::time::sleep(jittered(wait.limit)) => {}
            () = face.soft.cancelled() => {}
        }
    }
    Ok(with_read_headers(
        answer(query.layout(), value),
        face,
        Revision::ZERO,
    ))
}

fn agent(face: &Face) -> Value {
    json!({
        "Config": {
            "Datacenter": DATACENTER,
            "NodeName": NODE,
            "NodeID": NODE_ID,
            "Revision": concat!("chameleon-", env!("CARGO_PKG_VERSION")),
            "Server": true,
            "Version": DIALECT,
        },
        "DebugConfig": {},
        "Coord": { "Vec": [0, 0, 0, 0, 0, 0, 0, 0], "Error": 1.5, "Adjustment": 0, "Height": 0.000_01 },
        "Member": {
            "Name": NODE,
            "Addr": face.address.ip(),
            "Port": face.address.port(),
            "Tags": { "dc": DATACENTER, "id": NODE_ID, "role": "consul", "build": DIALECT },
            "Status": 1,
            "ProtocolMin": 1,
            "ProtocolMax": 5,
            "ProtocolCur": 2,
            "DelegateMin": 2,
            "DelegateMax": 5,
            "DelegateCur": 4,
        },
        "Stats": {},
        "Meta": { "consul-network-segment": "" },
    })
}

fn node(face: &Face) -> Value {
    let ip = face.address.ip();
    json!({
        "ID": NODE_ID,
        "Node": NODE,
        "Address": ip,
        "Datacenter": DATACENTER,
        "TaggedAddresses": { "lan": ip, "lan_ipv4": ip, "wan": ip, "wan_ipv4": ip },
        "Meta": { "consul-network-segment": "" },
        "CreateIndex": 1,
        "ModifyIndex": 1,
    })
}
