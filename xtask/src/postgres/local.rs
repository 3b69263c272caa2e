//! A server from programs on this machine, with a database folder of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use super::{Durability, SETTINGS, password};
use crate::shell;

/// The oldest version that can drop a database together with its connections.
const OLDEST: u32 = 13;

/// Folders of PostgreSQL's programs outside `PATH`: a parent, the start of the folder's name, and
/// the way from there to the programs.
const PLACES: &[(&str, &str, &str)] = &[
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// How often a port that was free a moment ago may turn out to be taken.
const PORT_TRIES: usize = 3;

/// A running server on a loopback port; stopped and removed with this value.
pub(crate) struct LocalServer {
    programs: Programs,
    password: String,
    /// Nothing as long as the server does not run.
    port: Option<u16>,
    /// Last, so that the server has ended before its folder goes.
    folder: TempDir,
}

/// PostgreSQL's programs, and the user that runs them.
struct Programs {
    folder: PathBuf,
    version: String,
    user: User,
}

/// PostgreSQL refuses to run as root.
#[derive(Clone, Debug, PartialEq, Eq)]
enum User {
    Ourselves,
    Other { name: String, uid: u32, gid: u32 },
}

/// The folder of programs that work.
pub(super) fn programs() -> anyhow::Result<PathBuf> {
    let folder = TempDir::new().context("make a folder")?;
    Ok(Programs::find(&User::of_owner(folder.path())?)?.folder)
}

impl LocalServer {
    /// Makes a database folder and starts a server on it.
    ///
    /// # Errors
    /// If no programs are found, or they do not work; with what they said.
    pub(crate) fn start(durability: Durability) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("chameleon-postgres-").context("make a folder")?;
        let programs = Programs::find(&User::of_owner(folder.path())?)?;
        let password = password()?;
        let password_file = folder.path().join("password");
        std::fs::write(&password_file, &password).context("write the password")?;
        programs.user.give(&[folder.path(), &password_file])?;

        let data = folder.path().join("data");
        let mut initdb = programs.command("initdb");
        initdb
            .arg("--pgdata")
            .arg(&data)
            .args(["--username=postgres", "--auth=password", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync"])
            .arg("--pwfile")
            .arg(&password_file);
        shell::output(&mut initdb)?;
        std::fs::remove_file(&password_file).context("remove the password's file")?;

        let mut server = Self {
            programs,
            password,
            port: None,
            folder,
        };
        let mut tries = 1;
        while let Err(error) = server.launch(durability) {
            if tries == PORT_TRIES {
                return Err(error);
            }
            tries += 1;
        }
        Ok(server)
    }

    fn launch(&mut self, durability: Durability) -> anyhow::Result<()> {
        let port = free_port()?;
        let settings = SETTINGS.iter().chain(durability.settings());
        let mut options = format!("-h 127.0.0.1 -p {port} -k ''");
        for setting in settings {
            options.push_str(" -c ");
            options.push_str(setting);
        }
        let log = self.folder.path().join("log");
        let mut pg_ctl = self.programs.command("pg_ctl");
        pg_ctl
            .args(["start", "--silent", "--wait", "--timeout=60", "--pgdata"])
            .arg(self.data())
            .arg("--log")
            .arg(&log)
            .args(["--options", &options])
            // The server keeps what it inherits, and would keep a pipe open for ever.
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let status = pg_ctl.status().context("run `pg_ctl start`")?;
        if !status.success() {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            let last = log.lines().next_back().unwrap_or("nothing was logged");
            bail!("`pg_ctl start` ended with {status}: {last}");
        }
        self.port = Some(port);
        Ok(())
    }

    /// The URL of the server's superuser.
    pub(crate) fn url(&self) -> String {
        let password = &self.password;
        let port = self.port.expect("a server that was started has a port");
        format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres?sslmode=disable")
    }

    /// What runs here, for people.
    pub(crate) fn origin(&self) -> String {
        let user = match &self.programs.user {
            User::Ourselves => String::new(),
            User::Other { name, .. } => format!(" as user {name}"),
        };
        format!(
            "{} from {}, in a temporary folder{user}",
            self.programs.version,
            self.programs.folder.display()
        )
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        if self.port.is_none() {
            return;
        }
        let mut pg_ctl = self.programs.command("pg_ctl");
        pg_ctl
            .args(["stop", "--silent", "--mode=immediate", "--pgdata"])
            .arg(self.data())
            .stdin(Stdio::null());
        if let Err(error) = shell::output(&mut pg_ctl) {
            eprintln!("warning: failed to stop Postgres: {error:#}");
        }
    }
}

impl Programs {
    fn find(user: &User) -> anyhow::Result<Self> {
        let mut refusal = None;
        for folder in candidates() {
            let mut programs = Self {
                folder,
                version: String::new(),
                user: user.clone(),
            };
            match programs.probe() {
                Ok(version) => {
                    programs.version = version;
                    return Ok(programs);
                }
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        Err(refusal
            .unwrap_or_else(|| anyhow::anyhow!("no `initdb` on PATH or in the usual places")))
    }

    /// The version, if all programs start.
    fn probe(&self) -> anyhow::Result<String> {
        for program in ["postgres", "pg_ctl"] {
            shell::output(self.command(program).arg("--version"))?;
        }
        let text = shell::output(self.command("initdb").arg("--version"))?;
        let version =
            version(&text).with_context(|| format!("understand the version `{}`", text.trim()))?;
        if version < OLDEST {
            bail!(
                "PostgreSQL {version} in `{}` is too old: {OLDEST} or newer is needed",
                self.folder.display()
            );
        }
        Ok(format!("PostgreSQL {version}"))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.folder.join(program));
        // A folder that another user can enter, and messages that can be read.
        command.current_dir("/").env("LC_ALL", "C");
        // These would send the programs to another server.
        for name in ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGOPTIONS"] {
            command.env_remove(name);
        }
        self.user.run(&mut command);
        command
    }
}

impl User {
    /// Who has to run the server, if we own the file at `path`.
    #[cfg(unix)]
    fn of_owner(path: &Path) -> anyhow::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = path.metadata().context("look at the temporary folder")?;
        if metadata.uid() != 0 {
            return Ok(Self::Ourselves);
        }
        let users = std::fs::read_to_string("/etc/passwd").context("read `/etc/passwd`")?;
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| Self::named(name, &users))
            .context("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`")
    }

    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "the Unix twin can fail")]
    fn of_owner(_path: &Path) -> anyhow::Result<Self> {
        Ok(Self::Ourselves)
    }

    fn named(name: &str, users: &str) -> Option<Self> {
        users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let found = *fields.first()? == name;
            let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
            found.then(|| Self::Other {
                name: name.to_owned(),
                uid,
                gid,
            })
        })
    }

    fn run(&self, command: &mut Command) {
        #[cfg(unix)]
        if let Self::Other { uid, gid, .. } = self {
            use std::os::unix::process::CommandExt as _;
            // Leaves root's other groups as well.
            command.uid(*uid).gid(*gid);
        }
    }

    fn give(&self, paths: &[&Path]) -> anyhow::Result<()> {
        #[cfg(unix)]
        if let Self::Other { name, uid, gid } = self {
            for path in paths {
                std::os::unix::fs::chown(path, Some(*uid), Some(*gid))
                    .with_context(|| format!("give `{}` to user `{name}`", path.display()))?;
            }
        }
        Ok(())
    }
}

/// Folders with PostgreSQL's programs: those on `PATH`, then the newest of the usual places.
fn candidates() -> Vec<PathBuf> {
    let mut others: Vec<(u32, PathBuf)> = PLACES
        .iter()
        .flat_map(|(parent, prefix, inner)| {
            let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
            entries.filter_map(move |entry| {
                let name = entry.file_name();
                let version = leading_number(name.to_str()?.strip_prefix(prefix)?)?;
                let folder = entry.path().join(inner);
                folder.join("initdb").is_file().then_some((version, folder))
            })
        })
        .collect();
    others.sort_by(|one, two| two.cmp(one));
    let mut folders = shell::folders_with("initdb");
    folders.extend(others.into_iter().map(|(_, folder)| folder));
    folders
}

/// The major version in `initdb (PostgreSQL) 15.6 (Debian 15.6-0+deb12u1)`.
fn version(text: &str) -> Option<u32> {
    leading_number(text.split_once("(PostgreSQL) ")?.1)
}

fn leading_number(text: &str) -> Option<u32> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..digits].parse().ok()
}

/// A port that is free now; somebody else may take it before we do.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
    let addr = listener.local_addr().context("find a free port")?;
    Ok(addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_understood() {
        assert_eq!(
            version("initdb (PostgreSQL) 15.6 (Debian 15.6-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(version("initdb (PostgreSQL) 18beta2"), Some(18));
        assert_eq!(version("initdb: command not found"), None);
    }

    #[test]
    fn users_are_found_by_their_whole_name() {
        let users = "root:x:0:0:root:/root:/bin/bash\nbroken\n\
                     postgres2:x:7:7::/:/bin/sh\npostgres:x:101:104:admin,,,:/var:/bin/bash\n";
        let expected = User::Other {
            name: "postgres".to_owned(),
            uid: 101,
            gid: 104,
        };
        assert_eq!(User::named("postgres", users), Some(expected));
        assert_eq!(User::named("nobody", users), None);
    }
}
