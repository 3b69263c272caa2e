//! Listening on a port, and saying who already does.

use std::io;
use std::net::SocketAddr;

use anyhow::Context as _;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that wait in the kernel until they are accepted; a burst of reconnecting clients
/// should not be refused.
const BACKLOG: i32 = 4096;

/// Listens on `addr`, at once and again after a restart.
///
/// `what` is told to people, such as `HTTP` or `gRPC`; `flag` is the one that changes the address.
/// Has to be called within a tokio runtime.
///
/// # Errors
/// One line that says what, where, who has the port (on Linux, where it can be known) and `flag`.
pub fn listen(addr: SocketAddr, what: &str, flag: &str) -> anyhow::Result<TcpListener> {
    match bind(addr) {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let owner = owner::of(addr).map_or_else(String::new, |owner| {
                format!(" by `{}` (pid {})", owner.name, owner.pid)
            });
            anyhow::bail!(
                "listen for {what} on {addr}: the port is in use{owner}; choose another with `{flag}`"
            )
        }
        Err(error) => Err(error).with_context(|| format!("listen for {what} on {addr} (`{flag}`)")),
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // Elsewhere than on Unix this option would let two processes share the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(target_os = "linux")]
mod owner {
    //! Finds the process behind a listening port: `/proc/net/tcp*` tells the socket's inode, and
    //! the processes' open files tell whose inode it is. Processes of other users stay unknown.

    use std::fs;
    use std::net::SocketAddr;
    use std::path::Path;

    /// `TCP_LISTEN` in the kernel's tables.
    const LISTENING: &str = "0A";

    pub(super) struct Owner {
        pub(super) name: String,
        pub(super) pid: u32,
    }

    pub(super) fn of(addr: SocketAddr) -> Option<Owner> {
        ["/proc/net/tcp", "/proc/net/tcp6"]
            .into_iter()
            .filter_map(|table| fs::read_to_string(table).ok())
            .flat_map(|table| inodes(&table, addr.port()))
            .find_map(|inode| holder(&inode))
    }

    /// Inodes of all sockets in `table` that listen on `port`, whatever their address: only one
    /// that overlaps ours can have refused it, and telling any is better than telling none.
    pub(super) fn inodes(table: &str, port: u16) -> Vec<String> {
        let port = format!("{port:04X}");
        table
            .lines()
            .skip(1)
            .filter_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
                let listens = local_port == port && *fields.get(3)? == LISTENING;
                let inode = fields.get(9)?;
                listens.then(|| (*inode).to_owned())
            })
            .collect()
    }

    fn holder(inode: &str) -> Option<Owner> {
        let socket = format!("socket:[{inode}]");
        fs::read_dir("/proc")
            .ok()?
            .filter_map(Result::ok)
            .find_map(|process| {
                let pid = process.file_name().to_str()?.parse().ok()?;
                has_open(&process.path(), &socket).then(|| Owner {
                    name: name(&process.path()),
                    pid,
                })
            })
    }

    fn has_open(process: &Path, socket: &str) -> bool {
        let Ok(files) = fs::read_dir(process.join("fd")) else {
            return false;
        };
        files
            .filter_map(Result::ok)
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|target| target.as_os_str() == socket)
    }

    fn name(process: &Path) -> String {
        fs::read_to_string(process.join("comm"))
            .map_or_else(|_| "unknown".to_owned(), |name| name.trim_end().to_owned())
    }
}

#[cfg(not(target_os = "linux"))]
mod owner {
    //! Other systems do not tell without a privileged call.

    use std::net::SocketAddr;

    pub(super) struct Owner {
        pub(super) name: String,
        pub(super) pid: u32,
    }

    pub(super) fn of(_addr: SocketAddr) -> Option<Owner> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_free_port_is_bound() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), "HTTP", "--listen").unwrap();
        assert_ne!(listener.local_addr().unwrap().port(), 0);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_busy_port_names_its_owner_and_the_flag() {
        let first = listen("127.0.0.1:0".parse().unwrap(), "HTTP", "--listen").unwrap();
        let addr = first.local_addr().unwrap();
        let error = listen(addr, "gRPC", "--grpc-listen").unwrap_err();
        let name = std::fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(
            format!("{error:#}"),
            format!(
                "listen for gRPC on {addr}: the port is in use by `{}` (pid {}); \
                 choose another with `--grpc-listen`",
                name.trim_end(),
                std::process::id()
            )
        );
    }

    #[tokio::test]
    async fn an_address_of_another_machine_names_the_flag() {
        // 192.0.2.0/24 is reserved for documentation, so no machine has it.
        let addr = "192.0.2.1:0".parse().unwrap();
        let text = format!("{:#}", listen(addr, "HTTP", "--http-listen").unwrap_err());
        assert!(
            text.starts_with("listen for HTTP on 192.0.2.1:0 (`--http-listen`): "),
            "{text}"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernels_table_tells_listening_sockets_of_a_port() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2134 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 41001 1
   1: 0100007F:2134 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 41002 1
   2: 00000000:2136 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 41003 1
";
        assert_eq!(owner::inodes(table, 8500), ["41001"]);
        assert_eq!(owner::inodes(table, 8502), ["41003"]);
        assert!(owner::inodes(table, 9999).is_empty());
        assert!(owner::inodes("nonsense\nmore nonsense", 8500).is_empty());
    }
}
