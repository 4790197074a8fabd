//! The master key changes, and wherever that is cut short, both open all there is until it is complete.

use std::path::PathBuf;
use std::sync::Arc;

use kernel::time::Timestamp;
use kernel::workload::Person;
use serde_json::{Value, json};
use store::log::{ContentReader, DiskLog, Durability, LogOptions, SigningKeys};

use super::*;
use crate::clock::SystemClock;
use crate::config::checked::SecretSource;

const SECRET: &[u8] = b"a secret that stands in no file";
const NOW: Timestamp = Timestamp::from_millis(1_795_233_600_000);

/// A state folder with every kind of key in it, under one master key.
struct State {
    folder: PathBuf,
    part: AuditPart,
    old: String,
    database: Database,
}

impl Drop for State {
    fn drop(&mut self) {
        let _left = fs::remove_dir_all(&self.folder);
    }
}

fn master(text: &str) -> MasterKey {
    MasterKey::from_text(text).unwrap()
}

impl State {
    async fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("parapet-rekey-{name}-{}", std::process::id()));
        let _absent = fs::remove_dir_all(&folder);
        for inner in ["tls", "egress", "token-keys"] {
            fs::create_dir_all(folder.join(inner)).unwrap();
        }
        let part = AuditPart {
            folder: folder.join("audit"),
            origin: None,
            durability: Durability::Process,
            master_key: None,
            listen: None,
            witnesses: Vec::new(),
            witnessed: Vec::new(),
        };
        let old =
            audit::master_key(&part, &folder).await.map(|_| fs::read_to_string(master_path(&folder)).unwrap()).unwrap();
        let by = master(&old);
        for key in kept_keys(&folder) {
            key.keep(&by, SECRET).unwrap();
        }
        let wrapped = by.wrap_text("egress authority c", SECRET).unwrap();
        let authority = json!([{ "certificate": "c", "wrapped": wrapped, "signs_from_ms": 0 }]);
        fs::write(folder.join("egress/authorities.json"), authority.to_string()).unwrap();
        for name in ["current", "previous"] {
            let token_key = format!("7\nclosed {}", by.wrap_text("key of tokens", SECRET).unwrap());
            fs::write(folder.join("token-keys").join(name), token_key).unwrap();
        }
        let database = Database::open(&folder.join("parapet.db")).await.unwrap();
        let state = Self { folder, part, old, database };
        let log = state.open_log(&state.old).await;
        let mut batch = Batch::default();
        let person = Person("dana@example.com".into());
        let event = Event::Admin { by: Some(&person), action: "test", object: "o", reason: Some("words") };
        batch.push(&Entry { at: NOW, event });
        log.append(&batch).await.unwrap();
        log.close().await;
        state
    }

    async fn open_log(&self, by: &str) -> DiskLog {
        let keys = SigningKeys::open(&audit::keys_path(&self.folder), master(by), None, NOW).unwrap();
        let lock = LogLock::take(&self.part.folder).unwrap();
        let options = LogOptions { durability: Durability::Process, ..LogOptions::default() };
        DiskLog::open_locked(lock, options, Arc::new(SystemClock), keys).await.unwrap().0
    }

    /// The files with keys in them, but for the store.
    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = kept_keys(&self.folder).iter().map(|key| key.path().to_owned()).collect();
        let others = [
            "audit.keys",
            "egress/authorities.json",
            "token-keys/current",
            "token-keys/previous",
            "audit/content/keys",
        ];
        files.extend(others.map(|name| self.folder.join(name)));
        files
    }

    /// Every key that stands closed in these files.
    fn closed(&self) -> Vec<String> {
        let texts =
            self.files().into_iter().map(|path| fs::read_to_string(path).unwrap()).collect::<Vec<_>>().join("\n");
        let parts = texts.split(|letter: char| !letter.is_ascii_alphanumeric() && !"+/=".contains(letter));
        parts.filter(|part| part.len() >= 79).map(str::to_owned).collect()
    }

    /// For each file: does all of it open?
    fn opens(&self, by: &str) -> Vec<bool> {
        let (by_key, read) = (master(by), |name: &str| fs::read_to_string(self.folder.join(name)).unwrap());
        let mut opens: Vec<bool> = kept_keys(&self.folder).iter().map(|key| key.read(&by_key).is_ok()).collect();
        opens.push(SigningKeys::open(&audit::keys_path(&self.folder), master(by), None, NOW).is_ok());
        let authorities: Value = serde_json::from_str(&read("egress/authorities.json")).unwrap();
        opens.push(by_key.unwrap_text("egress authority c", authorities[0]["wrapped"].as_str().unwrap()).is_ok());
        for name in ["token-keys/current", "token-keys/previous"] {
            let text = read(name);
            let (made, closed) = text.split_once("\nclosed ").unwrap();
            opens.push(made == "7" && by_key.unwrap_text("key of tokens", closed).is_ok());
        }
        let contents = ContentReader::new(&self.part.folder, master(by));
        let found =
            store::log::search(&self.part.folder, store::log::Filter::default(), store::log::Order::OldestFirst)
                .unwrap();
        let mut said = found.with_contents(Some(contents)).map(|found| found.unwrap().entry["reason"] == "words");
        opens.push(said.next().unwrap());
        opens
    }

    /// As a start does it.
    async fn start(&self) -> anyhow::Result<Option<Rekeyed>> {
        let lock = LogLock::take(&self.part.folder)?;
        let by = audit::master_key(&self.part, &self.folder).await?;
        close_anew(&self.part, &self.folder, &lock, &by, &self.database).await
    }

    fn holds(&self, secret: &str) -> bool {
        fn below(folder: &Path, secret: &[u8]) -> bool {
            fs::read_dir(folder).unwrap().flatten().any(|entry| match entry.file_type().unwrap().is_dir() {
                true => below(&entry.path(), secret),
                false => fs::read(entry.path()).unwrap().windows(secret.len()).any(|window| window == secret),
            })
        }
        below(&self.folder, secret.as_bytes())
    }
}

#[tokio::test]
async fn whatever_cuts_it_short_both_open_until_it_is_complete() {
    for cut in 0..=9 {
        let state = State::new(&format!("cut-{cut}")).await;
        assert_eq!((state.start().await.unwrap(), state.opens(&state.old)), (None, vec![true; 9]));
        let before = state.closed();
        assert_eq!(before.len(), 10, "{before:?}");
        may_begin(&state.part, &state.folder).unwrap();
        begin(&state.part, &state.folder).unwrap();
        for waits in [may_begin(&state.part, &state.folder), begin(&state.part, &state.folder)] {
            assert_eq!(waits, Err(MasterKeyRefusal::Waiting));
        }
        let both = fs::read_to_string(master_path(&state.folder)).unwrap();
        let new = MasterKey::newest_text(&both).to_owned();
        assert_eq!(state.opens(&both), [true; 9]);
        // One of the files cannot be replaced, or none fails and the process ends before the change is entered.
        if let Some(file) = state.files().get(cut) {
            let obstacle = PathBuf::from(format!("{}.new", file.display()));
            // It leads nowhere: there is nothing to overwrite, and no file can be made there.
            std::os::unix::fs::symlink(state.folder.join("none/none"), &obstacle).unwrap();
            state.start().await.unwrap_err();
            fs::remove_file(&obstacle).unwrap();
        } else {
            assert_eq!(state.start().await.unwrap(), Some(Rekeyed { closed: 10, left: 0 }));
        }
        assert_eq!(state.opens(&both), [true; 9], "{cut}");
        assert_eq!(fs::read_to_string(master_path(&state.folder)).unwrap(), both);

        let done = state.start().await.unwrap();
        assert_eq!(done.map(|done| done.left), Some(0));
        let log = state.open_log(&both).await;
        // It is not entered, so the old one is not dropped.
        log.close().await;
        complete(&state.part, &state.folder, &log, &SystemClock, done).await.unwrap_err();
        assert_eq!(fs::read_to_string(master_path(&state.folder)).unwrap(), both);
        drop(log);
        let log = state.open_log(&both).await;
        complete(&state.part, &state.folder, &log, &SystemClock, done).await.unwrap();
        log.close().await;
        assert_eq!(fs::read_to_string(master_path(&state.folder)).unwrap(), new);
        assert_eq!((state.opens(&new), state.opens(&state.old)), (vec![true; 9], vec![false; 9]), "{cut}");
        for secret in before.iter().chain([&state.old]) {
            assert!(!state.holds(secret), "{cut}: {secret}");
        }
        // A crash may leave any of them, and people may take the old one away before the next start.
        for file in state.files().into_iter().chain([master_path(&state.folder)]) {
            fs::write(format!("{}.old", file.display()), &state.old).unwrap();
        }
        drop(log);
        assert_eq!(state.start().await.unwrap(), None);
        assert!(!state.holds(&state.old));
        assert_eq!(state.opens(&new), [true; 9]);
    }
}

#[tokio::test]
async fn what_opens_under_no_key_is_left_as_it_is() {
    let state = State::new("left").await;
    begin(&state.part, &state.folder).unwrap();
    let path = pdp::kept_key(&state.folder).path().to_owned();
    pdp::kept_key(&state.folder).keep(&master(&"c".repeat(64)), SECRET).unwrap();
    let lost = fs::read(&path).unwrap();
    assert_eq!(state.start().await.unwrap(), Some(Rekeyed { closed: 9, left: 1 }));
    assert_eq!(fs::read(&path).unwrap(), lost);
}

#[tokio::test]
async fn a_master_key_of_others_is_not_written() {
    let mut state = State::new("others").await;
    state.part.master_key = Some(SecretSource::File(master_path(&state.folder)));
    assert_eq!(begin(&state.part, &state.folder), Err(MasterKeyRefusal::Configured));
    let both = format!("{} {}", "d".repeat(64), state.old);
    fs::write(master_path(&state.folder), &both).unwrap();
    let done = state.start().await.unwrap();
    let log = state.open_log(&both).await;
    complete(&state.part, &state.folder, &log, &SystemClock, done).await.unwrap();
    log.close().await;
    assert_eq!(fs::read_to_string(master_path(&state.folder)).unwrap(), both);
    assert_eq!(state.opens(&"d".repeat(64)), [true; 9]);
    state.part.master_key = None;
    drop(log);
    // A link leads to where others keep it.
    let elsewhere = state.folder.join("elsewhere");
    fs::rename(master_path(&state.folder), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, master_path(&state.folder)).unwrap();
    let done = state.start().await.unwrap();
    assert_eq!(done, Some(Rekeyed::default()));
    let log = state.open_log(&both).await;
    complete(&state.part, &state.folder, &log, &SystemClock, done).await.unwrap();
    fs::write(&elsewhere, "d".repeat(64)).unwrap();
    assert_eq!(begin(&state.part, &state.folder), Err(MasterKeyRefusal::Configured));
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "d".repeat(64));
    fs::remove_file(master_path(&state.folder)).unwrap();
    assert_eq!(begin(&state.part, &state.folder), Err(MasterKeyRefusal::Unwritable));
}
