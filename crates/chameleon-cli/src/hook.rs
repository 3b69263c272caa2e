//! What the remote's post-receive hook does: tell git-sync, and tell the pusher what became of it.
//!
//! Its lines appear at the pusher's as `remote: ...`. The push is in git whatever happens here, so
//! trouble is told and is no error.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use chameleon_client::{Api, ApiError, CommitRecord, HistoryQuery, Identity, Instance, Source};
use chameleon_model::document::{Profile, Service, layer_keys};
use git_sync::github::{Push, signed_push};
use service_kit::http_client::{self, HttpClientSettings};
use service_kit::settings::secret_from;

use crate::args::PushHookArgs;
use crate::waterfall::{Waterfall, duration_text};

/// How long the pusher is kept waiting for the outcome.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the server is asked meanwhile.
const PAUSE: Duration = Duration::from_millis(20);

/// Reads the pushed refs from standard input, as git gives them to the hook.
pub(crate) async fn run(args: &PushHookArgs, api: &Api) -> anyhow::Result<()> {
    let pushed = std::io::read_to_string(std::io::stdin()).context("read the pushed refs")?;
    for push in pushed.lines().filter_map(parse) {
        match notify(args, &push).await {
            Err(error) => println!("chameleon: git-sync does not answer, its poll will: {error:#}"),
            // Another branch, or nothing to do: git-sync says what it makes of it.
            Ok(Some(note)) => println!("chameleon: {note}"),
            Ok(None) => tell_outcome(args, api, &push).await,
        }
    }
    Ok(())
}

/// A line of git's: `<old> <new> <ref>`.
fn parse(line: &str) -> Option<Push> {
    let mut words = line.splitn(3, ' ');
    Some(Push {
        before: words.next()?.to_owned(),
        after: words.next()?.to_owned(),
        reference: words
            .next()
            .filter(|name| name.starts_with("refs/heads/"))?
            .to_owned(),
        repository: repository_name(),
    })
}

/// git runs the hook in the repository's folder.
fn repository_name() -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let name = here.file_name().unwrap_or_default().to_string_lossy();
    name.trim_end_matches(".git").to_owned()
}

/// Sends the webhook. `None` if git-sync took a commit up, else its words.
async fn notify(args: &PushHookArgs, push: &Push) -> anyhow::Result<Option<String>> {
    let secret = secret_from(None, Some(&args.secret_file), "--secret")?;
    let secret = secret.context("`--secret-file` names no secret")?;
    let signed = signed_push(push, &secret, updated_at(&push.reference));
    let client = http_client::new(&HttpClientSettings::new("chameleon-push-hook"))?;
    let request = client
        .post(&args.url)
        .headers(signed.headers)
        .body(signed.body);
    let answer = request.send().await.map_err(reqwest::Error::without_url)?;
    let status = answer.status();
    let body = answer.text().await.unwrap_or_default();
    ensure!(status.is_success(), "{status}: {}", body.trim());
    let awaits_outcome = status == reqwest::StatusCode::ACCEPTED && !is_deletion(push);
    Ok((!awaits_outcome).then(|| body.trim().to_owned()))
}

/// Says whether the push deleted its branch: git gives zeros for a commit that is not there.
fn is_deletion(push: &Push) -> bool {
    push.after.bytes().all(|byte| byte == b'0')
}

/// When git updated the ref: its file's time. A packed ref was updated just now at the latest.
fn updated_at(reference: &str) -> SystemTime {
    let modified = std::fs::metadata(Path::new(reference)).and_then(|file| file.modified());
    modified.unwrap_or_else(|_| SystemTime::now())
}

async fn tell_outcome(args: &PushHookArgs, api: &Api, push: &Push) {
    match tokio::time::timeout(PATIENCE, outcome(args, api, push)).await {
        Ok(Ok(lines)) => {
            for line in lines {
                println!("chameleon: {line}");
            }
        }
        Ok(Err(error)) => println!("chameleon: pushed; the outcome is not known: {error:#}"),
        Err(_) => {
            println!(
                "chameleon: pushed, and not applied after {PATIENCE:?}; git-sync tries on: see \
                 `chameleon status`, or its log"
            );
        }
    }
}

/// Waits for git-sync's word on the commit, and then for the instances' word.
async fn outcome(args: &PushHookArgs, api: &Api, push: &Push) -> anyhow::Result<Vec<String>> {
    loop {
        let sources = patiently(async || api.sources().await).await?;
        match verdict(&sources, &args.source, &push.after) {
            Some(Ok(())) => break,
            Some(Err(faults)) => {
                let mut lines = vec!["rejected; what was live stays live".to_owned()];
                lines.extend(faults.iter().map(|fault| format!("  {fault}")));
                return Ok(lines);
            }
            None => tokio::time::sleep(PAUSE).await,
        }
    }
    loop {
        // In this order: whoever is current by now has left its word in what is read next.
        let fleet = patiently(async || api.fleet(None, None).await).await?;
        let Some(commit) = commit_of(api, push).await? else {
            return Ok(vec!["applied; it changes no setting".to_owned()]);
        };
        if !(fleet.instances.iter()).any(|instance| is_awaited(instance, &commit)) {
            return Ok(told(&commit));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What became of `commit`, as far as it is known: applied, or rejected for these faults.
///
/// That it was applied stands in the store, so any server knows at once; git-sync's report comes to
/// other servers than the one that it was sent to a moment later.
fn verdict<'a>(
    sources: &'a [Source],
    name: &str,
    commit: &str,
) -> Option<Result<(), &'a [String]>> {
    let source = sources.iter().find(|source| *source.name.0 == *name)?;
    if source
        .commit
        .as_ref()
        .is_some_and(|applied| *applied.0 == *commit)
    {
        return Some(Ok(()));
    }
    let report = source
        .report
        .as_ref()
        .filter(|report| *report.commit.0 == *commit)?;
    Some(if report.accepted {
        Ok(())
    } else {
        Err(&report.faults)
    })
}

/// The transaction that the pushed commit led to; none, if it changed no setting.
async fn commit_of(api: &Api, push: &Push) -> anyhow::Result<Option<CommitRecord>> {
    let query = HistoryQuery {
        limit: Some(8),
        ..HistoryQuery::default()
    };
    let is_ours = |commit: &CommitRecord| {
        let git = commit.origin.git.as_ref();
        git.is_some_and(|git| *git.commit.0 == *push.after)
    };
    let commits = patiently(async || api.history(query.clone()).await).await?;
    Ok(commits.into_iter().find(is_ours))
}

/// Asks until there is an answer, as long as another try may help; the caller bounds the time.
async fn patiently<T>(ask: impl AsyncFn() -> Result<T, ApiError>) -> Result<T, ApiError> {
    loop {
        match ask().await {
            Err(error) if !error.is_final() => tokio::time::sleep(PAUSE).await,
            settled => return settled,
        }
    }
}

/// Says whether `instance` reads what `commit` changed, and has not judged it yet.
///
/// What it says of itself is not enough: a rejection may be that of an earlier state.
fn is_awaited(instance: &Instance, commit: &CommitRecord) -> bool {
    let identity = &instance.identity;
    let has_judged = (commit.deliveries.iter()).any(|delivery| {
        delivery.instance == identity.instance
            && delivery.service == identity.service
            && delivery.profile == identity.profile
    });
    !instance.current && !has_judged && reads(identity, commit)
}

fn reads(identity: &Identity, commit: &CommitRecord) -> bool {
    let names = (
        Service::new(&identity.service),
        Profile::new(&identity.profile),
    );
    let (Ok(service), Ok(profile)) = names else {
        return false;
    };
    let documents = layer_keys(&identity.prefix, &service, &profile);
    (commit.changes.iter()).any(|change| documents.iter().any(|key| key == change.key.as_str()))
}

fn told(commit: &CommitRecord) -> Vec<String> {
    let revision = commit.stamp.revision;
    let mut rejected: Vec<_> = (commit.deliveries.iter())
        .filter_map(|delivery| Some((&delivery.instance, delivery.rejected.as_ref()?)))
        .collect();
    rejected.sort_unstable();
    let applied = commit.deliveries.len() - rejected.len();
    let waterfall = Waterfall::from(commit);
    let after = waterfall.total().map(duration_text).unwrap_or_default();
    let mut lines = vec![match (applied, rejected.len()) {
        (0, 0) => format!("stored as revision {revision}; no instance reads it"),
        (n, 0) => format!("revision {revision} is in force on {n} instances after {after}"),
        (0, m) => {
            format!("revision {revision} is rejected by {m} instances; they keep what they had")
        }
        (n, m) => format!(
            "revision {revision} is in force on {n} instances; {m} reject it and keep what they had"
        ),
    }];
    lines.extend(
        rejected
            .iter()
            .map(|(name, reason)| format!("  {name}: {reason}")),
    );
    lines
}

#[cfg(test)]
mod tests {
    use chameleon_client::{Delivery, KeyChange, Stamp, SyncReport};
    use chameleon_model::{Key, Origin, Timestamp};

    use super::*;

    fn source(applied: Option<&str>, report: Option<(&str, bool)>) -> Source {
        Source {
            held: Vec::new(),
            name: "main".into(),
            commit: applied.map(Into::into),
            stamp: None,
            at: None,
            profiles: Vec::new(),
            report: report.map(|(commit, accepted)| SyncReport {
                source: "main".into(),
                commit: commit.into(),
                accepted,
                faults: vec!["x.yml:1:1: wrong".to_owned()],
                at: Timestamp::default(),
            }),
        }
    }

    #[test]
    fn a_commit_is_judged_by_the_store_first_and_by_its_own_report_only() {
        let faults = ["x.yml:1:1: wrong".to_owned()];
        for (source, expected) in [
            (source(None, None), None),
            (source(Some("new"), None), Some(Ok(()))),
            (source(Some("old"), Some(("new", true))), Some(Ok(()))),
            (
                source(Some("old"), Some(("new", false))),
                Some(Err(&faults[..])),
            ),
            (source(Some("old"), Some(("old", true))), None),
            (source(Some("new"), Some(("old", false))), Some(Ok(()))),
        ] {
            assert_eq!(
                verdict(std::slice::from_ref(&source), "main", "new"),
                expected
            );
            assert_eq!(verdict(&[source], "other", "new"), None);
        }
    }

    fn commit(key: &str) -> CommitRecord {
        CommitRecord {
            stamp: Stamp::default(),
            at: Timestamp::from(SystemTime::UNIX_EPOCH),
            origin: Origin::default(),
            source: None,
            changes: vec![KeyChange {
                key: Key::new(key).unwrap(),
                deleted: false,
            }],
            deliveries: Vec::new(),
            holds: Vec::new(),
        }
    }

    fn instance() -> Instance {
        Instance {
            identity: Identity {
                service: "location".to_owned(),
                profile: "prod".to_owned(),
                instance: "location-1".to_owned(),
                ..Identity::default()
            },
            applied: None,
            sent: None,
            rejected: Some("the state before".to_owned()),
            connected: Duration::ZERO,
            current: false,
            replica: String::new(),
        }
    }

    #[test]
    fn whoever_reads_the_change_is_awaited_until_it_has_judged() {
        let mut commit = commit("config/application.yml");
        assert!(is_awaited(&instance(), &commit));
        let current = Instance {
            current: true,
            ..instance()
        };
        assert!(!is_awaited(&current, &commit));
        commit.deliveries.push(Delivery {
            service: "location".to_owned(),
            profile: "prod".to_owned(),
            instance: "location-1".to_owned(),
            delivered: Duration::ZERO,
            applied: Duration::ZERO,
            rejected: Some("this one too".to_owned()),
        });
        assert!(!is_awaited(&instance(), &commit));
    }

    #[test]
    fn whoever_does_not_read_the_change_is_not_awaited() {
        for key in [
            "config/location-beta.yml",
            "config/schemas/location.schema.yml",
            "teams/a/config/location.yml",
        ] {
            assert!(!is_awaited(&instance(), &commit(key)), "{key}");
        }
    }
}
