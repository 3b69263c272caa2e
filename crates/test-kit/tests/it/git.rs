//! A pushed commit is in the remote, whoever the user is.

use test_kit::git::Repository;

#[test]
fn a_pushed_commit_is_in_the_remote() {
    let repository = Repository::new();
    let first = repository.commit("config/location-beta.yml", "aMapPercentage: 100\n");
    let second = repository.commit_removal("config/location-beta.yml");
    repository.push();
    assert_ne!(first, second);
    let remote = repository.remote();
    let remote = remote.to_str().unwrap();
    let shown = format!("{first}:config/location-beta.yml");
    assert_eq!(
        repository.git(&["--git-dir", remote, "rev-parse", "main"]),
        second
    );
    assert_eq!(
        repository.git(&["--git-dir", remote, "show", &shown]),
        "aMapPercentage: 100"
    );
    assert_eq!(
        repository.git(&["log", "-1", "--format=%an <%ae>"]),
        "Test <test@example.com>"
    );
}

#[test]
#[should_panic(expected = "`git push --quiet origin main` failed: ")]
fn a_failing_command_says_what_git_said() {
    Repository::new().push();
}
