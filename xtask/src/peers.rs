//! The programs that the fan-out is compared with: Consul 1.8 and etcd 3.5.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::shell;

/// The variable by which a benchmark is told the folder whose `bin` has the programs.
pub(crate) const VARIABLE: &str = "CHAMELEON_PEERS";

/// What is needed.
const PROGRAMS: [&str; 2] = ["consul", "etcd"];

/// Debian's packages of them, with the releases that carry these versions.
const PACKAGES: [&str; 3] = ["consul/bullseye", "etcd-server/sid", "etcd-client/sid"];

/// The releases of [`PACKAGES`].
const RELEASES: [&str; 2] = ["bullseye", "sid"];

/// The folder whose `bin` has the programs; `None` if those in `PATH` are to be used. What is found
/// nowhere is fetched into `target/peers`, and nothing else on the machine changes.
///
/// # Errors
/// With what to do, if the programs are neither there nor can be fetched.
pub(crate) fn find_or_fetch() -> anyhow::Result<Option<PathBuf>> {
    let given = std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty());
    if let Some(folder) = given.map(PathBuf::from) {
        if !is_complete(&folder) {
            bail!(
                "{VARIABLE}: `{}` has not both `bin/consul` and `bin/etcd`",
                folder.display()
            );
        }
        return Ok(Some(folder));
    }
    let in_path = |program: &&str| !shell::folders_with(program).is_empty();
    if PROGRAMS.iter().all(in_path) {
        return Ok(None);
    }
    let folder = shell::root().join("target/peers");
    if !is_complete(&folder) {
        fetch(&folder).with_context(|| {
            format!(
                "fetch Consul 1.8 and etcd 3.5, which are not in `PATH`; \
                 or set {VARIABLE} to a folder with `bin/consul` and `bin/etcd`"
            )
        })?;
    }
    Ok(Some(folder))
}

fn is_complete(folder: &Path) -> bool {
    PROGRAMS
        .iter()
        .all(|program| folder.join("bin").join(program).is_file())
}

/// Unpacks Debian's packages into `folder`, with an apt state of its own.
fn fetch(folder: &Path) -> anyhow::Result<()> {
    if shell::folders_with("apt-get").is_empty() || shell::folders_with("dpkg").is_empty() {
        bail!("they come as Debian's packages, and this is no Debian");
    }
    if !shell::is_root() {
        bail!("only root may use apt-get");
    }
    let sources = sources()?;
    let mirror = mirror(&sources).context("apt's sources name no Debian mirror")?;
    eprintln!("peers: unpacking Debian's packages of Consul 1.8 and etcd 3.5 into target/peers");

    for part in [
        "apt/lists/partial",
        "apt/cache/archives/partial",
        "debs",
        "root",
        "bin",
    ] {
        let part = folder.join(part);
        std::fs::create_dir_all(&part).with_context(|| format!("create `{}`", part.display()))?;
    }
    let lines = RELEASES.map(|release| format!("deb {mirror} {release} main\n"));
    std::fs::write(folder.join("apt/sources.list"), lines.concat()).context("write the sources")?;

    shell::output(apt_get(folder).arg("update"))?;
    let debs = folder.join("debs");
    shell::output(
        apt_get(folder)
            .arg("download")
            .args(PACKAGES)
            .current_dir(&debs),
    )?;
    for deb in std::fs::read_dir(&debs).context("read the packages")? {
        let mut unpack = Command::new("dpkg");
        unpack.arg("-x").arg(deb?.path()).arg(folder.join("root"));
        shell::output(&mut unpack)?;
    }
    for program in PROGRAMS {
        let unpacked = folder.join("root/usr/bin").join(program);
        std::fs::copy(&unpacked, folder.join("bin").join(program))
            .with_context(|| format!("copy `{}`", unpacked.display()))?;
    }
    Ok(())
}

/// apt-get with everything that it keeps in `folder`; packages' signatures are checked as ever.
fn apt_get(folder: &Path) -> Command {
    let apt = folder.join("apt");
    let option = |name: &str, path: &str| format!("{name}={}", apt.join(path).display());
    let mut command = Command::new("apt-get");
    command.arg("--quiet=2");
    for option in [
        option("Dir::Etc::sourcelist", "sources.list"),
        option("Dir::State::lists", "lists"),
        option("Dir::Cache", "cache"),
        String::from("Dir::Etc::sourceparts=/dev/null"),
        // Its unprivileged user may not write into our folder.
        String::from("APT::Sandbox::User=root"),
    ] {
        command.arg("-o").arg(option);
    }
    command
}

/// The text of all of apt's sources.
fn sources() -> anyhow::Result<String> {
    let mut text = std::fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    let Ok(parts) = std::fs::read_dir("/etc/apt/sources.list.d") else {
        return Ok(text);
    };
    for part in parts {
        let path = part.context("read apt's sources")?.path();
        let is_source = path
            .extension()
            .is_some_and(|extension| extension == "list" || extension == "sources");
        if is_source {
            text.push('\n');
            text += &std::fs::read_to_string(&path)
                .with_context(|| format!("read `{}`", path.display()))?;
        }
    }
    Ok(text)
}

/// The first mirror of Debian itself, not of its security updates or of anybody else's packages.
fn mirror(sources: &str) -> Option<&str> {
    let lines = sources.lines().map(str::trim_start);
    lines
        .filter(|line| line.starts_with("URIs:") || line.starts_with("deb "))
        .flat_map(str::split_whitespace)
        .filter(|word| word.starts_with("http://") || word.starts_with("https://"))
        .map(|url| url.trim_end_matches('/'))
        .find(|url| url.ends_with("/debian"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sources: &str, expected: Option<&str>) {
        assert_eq!(mirror(sources), expected, "{sources}");
    }

    #[test]
    fn the_mirror_is_debians_own() {
        check("", None);
        check(
            "Types: deb\nURIs: http://mirror.invalid/debian/\nSuites: stable",
            Some("http://mirror.invalid/debian"),
        );
        check(
            "deb https://vendor.invalid/apt stable main\n\
             deb http://mirror.invalid/debian-security stable main\n\
             deb [arch=amd64] http://mirror.invalid/debian stable main",
            Some("http://mirror.invalid/debian"),
        );
        check("# deb http://mirror.invalid/debian stable main", None);
        check("deb-src http://mirror.invalid/debian stable main", None);
    }
}
