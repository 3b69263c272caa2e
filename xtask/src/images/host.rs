//! Whether binaries that are built on this machine run in the images.

use std::process::Command;

use crate::shell;

/// The C library of the base image, Debian 12.
const BASE_GLIBC: (u32, u32) = (2, 36);

/// Why binaries of this machine do not run in the images; `None` if they do.
pub(super) fn misfit() -> Option<String> {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return Some("this machine does not run GNU/Linux".to_owned());
    }
    let mut command = Command::new("getconf");
    let Ok(said) = shell::output(command.arg("GNU_LIBC_VERSION")) else {
        return Some("the version of this machine's C library is not known".to_owned());
    };
    match glibc(&said) {
        Some(version) if version <= BASE_GLIBC => None,
        _ => Some(format!(
            "this machine's C library ({}) is newer than that of the images ({}.{})",
            said.trim(),
            BASE_GLIBC.0,
            BASE_GLIBC.1
        )),
    }
}

/// What `getconf` says: `glibc 2.36`.
fn glibc(said: &str) -> Option<(u32, u32)> {
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(glibc("glibc 2.36\n"), Some((2, 36)));
        assert!(glibc("glibc 2.9") < glibc("glibc 2.36"));
        assert_eq!(glibc("musl 1.2"), None);
    }
}
