//! The server over real sockets, with real stores.

/// A test of each name on both stores; the function takes the store.
macro_rules! both_stores {
    ($($case:ident,)*) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case(crate::store_faults::memory().await).await;
                }
            )*
        }
        mod on_postgres {
            $(
                #[tokio::test]
                async fn $case() {
                    let database = test_kit::postgres::database().await;
                    let store = chameleon_store::open(database.url()).await.unwrap();
                    super::$case(store).await;
                }
            )*
        }
    };
}

mod access;
mod api;
mod audit;
mod bad_input;
mod binary;
mod bounds;
mod client_limits;
mod consistent;
mod consul;
mod consul_pages;
mod consul_sessions;
mod consul_txn;
mod fleet;
mod grpc_face;
mod holds;
mod keeping;
mod pages;
#[cfg(unix)]
mod poolers;
mod replicas;
mod restart;
mod shared_fleet;
mod store_faults;
mod support;
mod tls;
mod tokens;
mod transactions;
mod two_teams;
mod watches;
