//! The authority while the gateway runs, by a clock that is moved: what clients are told, when, and by which one hosts are vouched for.

use kernel::audit::AppendError;
use store::memory::{MemoryLog, StoppedClock};

use super::*;

const START: kernel::time::Timestamp = kernel::time::Timestamp::from_secs(1_795_233_600);
const DAY: Duration = Duration::from_secs(86_400);

struct State(PathBuf);

impl State {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("parapet-egress-rotation-{name}-{}", std::process::id()));
        let _absent = fs::remove_dir_all(&path);
        Self(path)
    }

    /// The authorities that clients are told to trust, and whether the bundle holds them, too.
    fn told(&self) -> Vec<String> {
        let told = fs::read_to_string(authority_path(&self.0)).unwrap();
        let bundle = fs::read_to_string(bundle_path(&self.0)).unwrap();
        assert!(bundle.contains(&told), "the bundle is behind");
        let certificates = tls::certificates(told.as_bytes()).unwrap();
        certificates.iter().map(certificates::fingerprint).collect()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _left = fs::remove_dir_all(&self.0);
    }
}

fn open_at(state: &State, clock: &Arc<StoppedClock>) -> (Rotation, Vec<Step>) {
    let master = Arc::new(MasterKey::from_text(&"a".repeat(64)).unwrap());
    let clock: Arc<dyn Clock> = Arc::<StoppedClock>::clone(clock);
    Rotation::open(&state.0, false, master, clock).unwrap()
}

#[test]
fn the_next_one_is_told_a_month_before_it_signs() {
    let (state, clock) = (State::new("time"), Arc::new(StoppedClock::at(START)));
    let (rotation, steps) = open_at(&state, &clock);
    let authority = rotation.authority();
    let first = state.told();
    assert_eq!(steps, [Step::Made(first[0].clone())]);
    let until = authority.until().unwrap();
    let shown = authority.server("api.example").unwrap();
    // Nothing happens for two years.
    clock.advance(700 * DAY);
    assert_eq!((rotation.look().unwrap(), state.told()), (Vec::new(), first.clone()));
    clock.advance(40 * DAY);
    let made = rotation.look().unwrap();
    let both = state.told();
    assert_eq!((made.as_slice(), both.len(), &both[0]), (&[Step::Made(both[1].clone())][..], 2, &first[0]));
    assert_eq!(authority.until(), Some(until), "the one before signs");
    clock.advance(29 * DAY);
    assert!(rotation.look().unwrap().is_empty() && authority.until() == Some(until));
    clock.advance(2 * DAY);
    assert_eq!(rotation.look().unwrap(), [Step::Signs(both[1].clone())]);
    assert!(authority.until().unwrap() > until);
    assert!(!Arc::ptr_eq(&shown, &authority.server("api.example").unwrap()));
    assert_eq!((rotation.look().unwrap(), state.told()), (Vec::new(), both.clone()), "both count");
    // A start finds what is running.
    let (again, steps) = open_at(&state, &clock);
    assert!(steps.is_empty() && again.authority().until() == authority.until());
    clock.advance(365 * DAY);
    assert_eq!((rotation.look().unwrap(), state.told()), (Vec::new(), vec![both[1].clone()]));
}

/// Where clients cannot be told, the one before goes on, and the month begins when they can.
#[test]
fn nothing_changes_where_clients_cannot_be_told() {
    let (state, clock) = (State::new("untold"), Arc::new(StoppedClock::at(START)));
    let (rotation, _first) = open_at(&state, &clock);
    let (authority, path) = (rotation.authority(), authority_path(&state.0));
    let until = authority.until();
    // A folder in the file's place cannot be replaced by a file.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    clock.advance(740 * DAY);
    assert!(rotation.look().is_err());
    clock.advance(40 * DAY);
    assert!(rotation.look().is_err() && authority.until() == until);
    fs::remove_dir(&path).unwrap();
    assert!(matches!(&rotation.look().unwrap()[..], [Step::Made(_)]));
    assert!(state.told().len() == 2 && authority.until() == until);
    clock.advance(31 * DAY);
    assert!(matches!(&rotation.look().unwrap()[..], [Step::Signs(_)]));
}

#[tokio::test]
async fn each_step_is_entered() {
    let (log, clock) = (MemoryLog::default(), StoppedClock::at(START));
    enter(&log, &clock, &[Step::Made("aa".to_owned()), Step::Signs("bb".to_owned())]).await;
    let entries = log.entries();
    let said: Vec<_> = entries.iter().map(|entry| (&entry["action"], &entry["object"], &entry["by"])).collect();
    let action = serde_json::Value::from("egress authority");
    assert_eq!(
        said,
        [(&action, &"aa".into(), &serde_json::Value::Null), (&action, &"bb".into(), &serde_json::Value::Null)]
    );
}

#[tokio::test]
async fn nothing_is_stepped_while_the_log_takes_nothing() {
    let (state, clock, log) = (State::new("unentered"), Arc::new(StoppedClock::at(START)), MemoryLog::default());
    let (rotation, _first) = open_at(&state, &clock);
    let (rotation, first) = (Arc::new(rotation), state.told());
    clock.advance(740 * DAY);
    for (failing, told) in [(Some(AppendError::Unwritable), 1), (Some(AppendError::TimedOut), 1), (None, 2)] {
        log.fail(failing);
        turn(&rotation, &log).await.unwrap();
        assert_eq!((state.told().len(), log.entries().len()), (told, told - first.len()), "{failing:?}");
    }
    assert_eq!(log.entries()[0]["object"], state.told()[1].as_str());
}
