//! Does what is wrong, the way a person or a program would, and hears what is told.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output};
use std::time::SystemTime;

use chameleon_cli::stack::SOURCE;
use git_sync::github::{Push, signed_push};
use reqwest::{Method, RequestBuilder};

use crate::rig::{Rig, chameleon};

/// Something wrong.
pub(super) enum Act {
    /// Change files and push that to the branch; `None` deletes. Is also given to `validate`.
    Push(&'static [(&'static str, Edit)]),
    /// Push what is there to another branch.
    PushTo(&'static str),
    /// A request to the Consul dialect: method, path and body.
    Consul(Method, &'static str, &'static str),
    /// The same with a path and a body that are too long to be written down.
    LongConsul(Method, fn() -> String, fn() -> String),
    /// `chameleon put` with a key and a value.
    Put(&'static str, &'static str),
    /// A webhook that is signed with another secret, or not at all.
    Webhook { signed: bool },
    /// `chameleon dev` beside the running platform.
    Dev(Trouble),
}

/// What becomes of a file.
pub(super) enum Edit {
    Write(&'static str),
    Replace(&'static str, &'static str),
    Delete,
}

/// What keeps `chameleon dev` from starting.
pub(super) enum Trouble {
    BusyPort,
    FolderBelowFile,
    StoreBelowFile,
    AbsentDatabase,
}

/// What was told, with variable parts replaced.
pub(super) struct Told {
    pub(super) status: String,
    pub(super) lines: Vec<String>,
}

pub(super) async fn perform(rig: &Rig, act: &Act) -> Told {
    let (status, text) = match act {
        Act::Push(edits) => push(rig, edits).await,
        Act::PushTo(branch) => push_to(rig, branch).await,
        Act::Consul(method, path, body) => consul(rig, method, path, (*body).to_owned()).await,
        Act::LongConsul(method, path, body) => consul(rig, method, &path(), body()).await,
        Act::Put(key, value) => {
            let server = rig.stack.addresses().grpc_url();
            let output = run(chameleon(&["put", key, value, "--server", &server])).await;
            (exited("", &output), printed(&output))
        }
        Act::Webhook { signed } => answer(webhook(rig, *signed)).await,
        Act::Dev(trouble) => dev(rig, trouble).await,
    };
    let revision = rig
        .stack
        .api()
        .status()
        .await
        .expect("the server answers")
        .head
        .revision;
    let text =
        without_variables(rig, &text).replace(&format!("revision {revision} "), "revision <n> ");
    let lines = text
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    Told { status, lines }
}

async fn push(rig: &Rig, edits: &[(&str, Edit)]) -> (String, String) {
    let repository = rig.stack.repository();
    for (file, edit) in edits {
        let path = repository.clone_dir().join(file);
        let write = |text: &str| std::fs::write(&path, text);
        match edit {
            Edit::Write(text) => write(text),
            Edit::Replace(old, new) => {
                let text = std::fs::read_to_string(&path).expect("the file is there");
                assert!(text.contains(old), "`{file}` has no `{old}`");
                write(&text.replace(old, new))
            }
            Edit::Delete => std::fs::remove_file(&path),
        }
        .unwrap_or_else(|error| panic!("change `{file}`: {error}"));
    }
    let pushed = repository
        .push("notes", &format!("{:?}", SystemTime::now()), "Bad")
        .await;
    let pushed = pushed.unwrap_or_else(|error| panic!("git refuses the push: {error:#}"));

    let folder = repository.clone_dir().join("config").display().to_string();
    let validated = run(chameleon(&[
        "validate",
        &folder,
        "--profiles",
        "dev,beta,prod",
    ]))
    .await;
    (
        exited(
            "`git push` exits with 0, `chameleon validate` with ",
            &validated,
        ),
        pushed,
    )
}

async fn push_to(rig: &Rig, branch: &str) -> (String, String) {
    let mut git = Command::new("git");
    git.arg("-C").arg(rig.stack.repository().clone_dir());
    git.args([
        "push",
        "--quiet",
        "origin",
        &format!("HEAD:refs/heads/{branch}"),
    ]);
    let output = run(git).await;
    (exited("`git push` exits with ", &output), printed(&output))
}

fn webhook(rig: &Rig, signed: bool) -> RequestBuilder {
    let push = Push {
        reference: "refs/heads/main".to_owned(),
        before: "a".repeat(40),
        after: "b".repeat(40),
        repository: "remote".to_owned(),
    };
    let mut request = signed_push(&push, &"another secret".into(), SystemTime::now());
    if !signed {
        request.headers.remove("x-hub-signature-256");
    }
    let url = rig.stack.addresses().webhook(SOURCE);
    rig.http
        .post(url)
        .headers(request.headers)
        .body(request.body)
}

async fn dev(rig: &Rig, trouble: &Trouble) -> (String, String) {
    let file = rig.folder().join("file");
    std::fs::write(&file, "").expect("a file can be written");
    let below = |name: &str| file.join(name).display().to_string();
    let mut folder = rig.folder().join("other").display().to_string();
    let mut offset = free_offset();
    let mut store = None;
    match trouble {
        Trouble::BusyPort => offset = rig.stack.addresses().http.port() - 8500,
        Trouble::FolderBelowFile => folder = below("data"),
        Trouble::StoreBelowFile => store = Some(format!("sqlite://{}", below("store.db"))),
        Trouble::AbsentDatabase => {
            store = Some("postgres://ada:hunter2@127.0.0.1:1/chameleon".to_owned());
        }
    }
    let offset = offset.to_string();
    let mut arguments = vec!["dev", "--dir", &folder, "--port-offset", &offset];
    if let Some(store) = &store {
        arguments.extend(["--store", store]);
    }
    let output = run(chameleon(&arguments)).await;
    (exited("", &output), printed(&output))
}

/// An offset at which all ports of a platform are free just now.
fn free_offset() -> u16 {
    const PORTS: [u16; 8] = [8500, 8502, 8510, 8520, 8521, 8530, 8531, 8532];
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let mut offsets = (22_000..24_000).step_by(50);
    let free = offsets.find(|offset| PORTS.into_iter().all(|port| is_free(port + offset)));
    free.expect("some ports are free")
}

async fn consul(rig: &Rig, method: &Method, path: &str, body: String) -> (String, String) {
    let url = format!("http://{}{path}", rig.stack.addresses().http);
    answer(rig.http.request(method.clone(), url).body(body)).await
}

async fn answer(request: RequestBuilder) -> (String, String) {
    let answer = request.send().await.expect("it answers");
    let status = format!("HTTP {}", answer.status().as_u16());
    (status, answer.text().await.expect("the answer is text"))
}

async fn run(command: Command) -> Output {
    let mut command = tokio::process::Command::from(command);
    command
        .kill_on_drop(true)
        .output()
        .await
        .expect("it can be run")
}

fn exited(what: &str, output: &Output) -> String {
    let code = output.status.code().expect("it ends by itself");
    match what {
        "" => format!("exit code {code}"),
        what => format!("{what}{code}"),
    }
}

fn printed(output: &Output) -> String {
    let text = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8(text).expect("it prints UTF-8")
}

/// In the words and with the number of this system.
fn connection_refused() -> String {
    let error = std::net::TcpStream::connect("127.0.0.1:1").expect_err("nobody listens there");
    error.to_string()
}

fn without_variables(rig: &Rig, text: &str) -> String {
    let name = std::fs::read_to_string("/proc/self/comm").unwrap_or_default();
    let owner = format!(" by `{}` (pid {})", name.trim_end(), std::process::id());
    let port = rig.stack.addresses().http.port();
    text.replace(&rig.folder().display().to_string(), "<folder>")
        .replace(&owner, " by `<program>` (pid <pid>)")
        .replace(&format!("127.0.0.1:{port}"), "127.0.0.1:<port>")
        .replace(&connection_refused(), "Connection refused (os error <n>)")
}
