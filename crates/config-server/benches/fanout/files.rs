//! Whether this process may open as many connections as it needs.

use anyhow::{Context as _, ensure};

/// For standard streams, databases and whoever else needs one.
const SPARE: usize = 500;

/// Says what to do if fewer than `connections` files may be open at a time.
pub(crate) fn check(connections: usize) -> anyhow::Result<()> {
    let limits = std::fs::read_to_string("/proc/self/limits").context("read our limits")?;
    let soft = (limits.lines())
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().next())
        .context("find the limit of open files")?;
    let enough = soft == "unlimited" || soft.parse::<usize>()? >= connections + SPARE;
    ensure!(
        enough,
        "{connections} connections need more than {soft} open files: run `ulimit -n 65536` before"
    );
    Ok(())
}
