//! Secrets from all three sources, and what is said when there is none.

use std::fs;
use std::path::Path;

use super::*;

fn shell(script: &str) -> SecretSource {
    SecretSource::Command { program: "/bin/sh".into(), arguments: vec!["-c".to_owned(), script.to_owned()] }
}

async fn check(source: &SecretSource, expected: Result<&str, &str>) {
    match (source.read().await, expected) {
        (Ok(secret), Ok(expected)) => assert_eq!(secret.expose(), expected),
        (Err(error), Err(expected)) => assert_eq!(error.to_string(), expected),
        (found, expected) => panic!("{source:?}: {found:?} instead of {expected:?}"),
    }
}

#[tokio::test]
async fn from_commands() {
    for (script, expected) in [
        ("echo hunter2", Ok("hunter2")),
        ("printf 'a b\\n\\n'", Ok("a b\n")),
        ("printf 'windows\\r\\n'", Ok("windows")),
        ("printf ''", Err("the secret is empty")),
        ("echo", Err("the secret is empty")),
        ("printf '\\377'", Err("the secret is not text")),
        ("printf 'a\\0b'", Err("the secret is not text")),
        ("echo hunter2; echo hunter2 >&2; exit 3", Err("the secret command `/bin/sh` failed with exit code 3")),
        ("kill -9 $$", Err("the secret command `/bin/sh` failed")),
        ("head -c 70000 /dev/zero", Err("the secret is longer than 65536 bytes")),
    ] {
        check(&shell(script), expected).await;
    }
    // No shell reads the arguments.
    let literal = SecretSource::Command { program: "/bin/echo".into(), arguments: vec!["$HOME;id".to_owned()] };
    check(&literal, Ok("$HOME;id")).await;
    let missing = SecretSource::Command { program: "/nonexistent".into(), arguments: vec![] };
    check(&missing, Err("the secret command `/nonexistent` cannot be run: entity not found")).await;
}

#[tokio::test]
async fn a_command_that_hangs_is_given_up() {
    let error = shell("exec sleep 60").read_within(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error, SecretError::TimedOut { program: "/bin/sh".into(), within: Duration::from_millis(50) });
}

#[tokio::test]
async fn from_files_and_the_environment() {
    let path = std::env::temp_dir().join(format!("parapet-secret-{}", std::process::id()));
    for (content, expected) in [
        ("hunter2\n".to_owned(), Ok("hunter2")),
        (String::new(), Err("the secret is empty")),
        ("x".repeat(LONGEST + 1), Err("the secret is longer than 65536 bytes")),
    ] {
        fs::write(&path, content).unwrap();
        check(&SecretSource::File(path.clone()), expected).await;
    }
    fs::remove_file(&path).unwrap();
    let gone = format!("the secret file `{}` cannot be read: entity not found", path.display());
    check(&SecretSource::File(path), Err(&gone)).await;

    let unset = "the environment has no variable `PARAPET_TEST_UNSET`";
    check(&SecretSource::Environment("PARAPET_TEST_UNSET".to_owned()), Err(unset)).await;
    // Cargo sets this one for every test.
    let set = SecretSource::Environment("CARGO_MANIFEST_DIR".to_owned()).read().await.unwrap();
    assert!(Path::new(set.expose()).join("Cargo.toml").exists());
}

#[tokio::test]
async fn is_never_shown() {
    let secret = shell("echo hunter2").read().await;
    assert!(!format!("{secret:?}").contains("hunter2"));
}
