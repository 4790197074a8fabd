//! Lists from files and from a server of the tests' own: first read, changed, refused, ended, too old.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use kernel::audit::LeafIndex;
use kernel::ports::Appending;

use super::*;
use crate::login::scripted::Server;
use crate::upstream::dial::Dialler;

#[derive(Debug, Default)]
struct Bench {
    now: AtomicI64,
    entered: AtomicU32,
}

impl Clock for Bench {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn random(&self) -> u64 {
        0
    }
}

impl AuditLog for Bench {
    fn append<'a>(&'a self, _batch: &'a Batch) -> Appending<'a> {
        let entered = self.entered.fetch_add(1, Ordering::SeqCst);
        Appending::Done(Ok(LeafIndex(entered.into())))
    }
}

/// A folder that is gone after the test, and a clock that starts now: files are written by the real one.
struct Scratch {
    path: PathBuf,
    bench: Arc<Bench>,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.path);
    }
}

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("parapet-lists-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let scratch = Self { path, bench: Arc::default() };
        scratch.write("clock", "");
        let written = std::fs::metadata(scratch.path.join("clock")).unwrap().modified().unwrap();
        let now = written.duration_since(UNIX_EPOCH).unwrap().as_millis();
        scratch.bench.now.store(i64::try_from(now).unwrap(), Ordering::SeqCst);
        scratch
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn wait(&self, length: Duration) {
        self.bench.now.fetch_add(i64::try_from(length.as_millis()).unwrap(), Ordering::SeqCst);
    }

    async fn open(&self, place: Place, format: Format) -> Result<ThreatLists, StartError> {
        let settings = ListSettings {
            name: "tor".parse().unwrap(),
            place,
            format,
            max_age: Duration::from_secs(3600),
            most: 1000,
            time: |text| (text == "soon").then(|| Timestamp::from_millis(2_000_000_000_000)),
        };
        let fetcher = Fetcher::new(Dialler::new(), None);
        ThreatLists::open(vec![settings], fetcher, Arc::clone(&self.bench) as _, Arc::clone(&self.bench) as _).await
    }
}

fn names(lists: &ThreatLists, address: &str) -> bool {
    !lists.current().naming(address.parse().unwrap()).is_empty()
}

fn failed(lists: &ThreatLists) -> Option<String> {
    lists.current().lists()[0].failed.as_ref().map(ToString::to_string)
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changes_and_kept_when_it_is_bad() {
    let scratch = Scratch::new("file");
    let path = scratch.write("list", "192.0.2.1\n");
    let mut lists = scratch.open(Place::File(path), Format::Lines).await.unwrap();
    assert!(names(&lists, "192.0.2.1") && !lists.refresh().await);
    scratch.write("list", "192.0.2.2 \n");
    assert!(lists.refresh().await && names(&lists, "192.0.2.2") && !names(&lists, "192.0.2.1"));
    for (bad, why) in [("192.0.2.2\nnonsense\n", "line 2"), ("", "no network at all")] {
        scratch.write("list", bad);
        assert!(lists.refresh().await, "{bad:?}");
        assert!(names(&lists, "192.0.2.2"), "{bad:?} replaced a good list");
        assert!(failed(&lists).unwrap().contains(why), "{:?}", failed(&lists));
        assert!(!lists.refresh().await, "the same text was refused twice");
    }
    scratch.write("list", "192.0.2.3\n");
    assert!(lists.refresh().await && names(&lists, "192.0.2.3") && failed(&lists).is_none());
    assert!(lists.current().stale().is_empty());
    scratch.wait(Duration::from_secs(3601));
    assert!(lists.refresh().await && !lists.current().stale().is_empty() && names(&lists, "192.0.2.3"));
    assert!(!lists.refresh().await, "becoming too old is told once");
    std::fs::remove_file(scratch.path.join("list")).unwrap();
    assert!(lists.refresh().await && names(&lists, "192.0.2.3") && failed(&lists).is_some());
    assert_eq!(scratch.bench.entered.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn what_cannot_be_read_at_the_start_is_an_error() {
    let scratch = Scratch::new("start");
    let missing = scratch.open(Place::File(scratch.path.join("none")), Format::Lines).await.unwrap_err();
    assert!(missing.to_string().starts_with("threat list `tor`: "), "{missing}");
    let page = scratch.write("page", "<html>");
    let refused = scratch.open(Place::File(page), Format::Lines).await.unwrap_err();
    assert!(refused.to_string().contains("line 1"), "{refused}");
    assert!(!refused.to_string().contains("html"), "an error shows what stands in the list: {refused}");
}

#[tokio::test]
async fn entries_end_by_themselves() {
    let scratch = Scratch::new("ends");
    let indicator = |address: &str, until: &str| {
        format!(
            "{{\"type\":\"indicator\",\"pattern_type\":\"stix\",\"pattern\":\"[ipv4-addr:value = '{address}']\"{until}}}"
        )
    };
    let objects = [indicator("192.0.2.1", ",\"valid_until\":\"soon\""), indicator("192.0.2.2", "")].join(",");
    let path = scratch.write("bundle", &format!("{{\"type\":\"bundle\",\"objects\":[{objects}]}}"));
    let mut lists = scratch.open(Place::File(path), Format::Stix).await.unwrap();
    assert!(names(&lists, "192.0.2.1") && names(&lists, "192.0.2.2") && !lists.refresh().await);
    scratch.bench.now.store(2_000_000_000_000, Ordering::SeqCst);
    assert!(lists.refresh().await && !names(&lists, "192.0.2.1") && names(&lists, "192.0.2.2"));
}

#[tokio::test]
async fn a_url_is_fetched_when_it_is_due_and_kept_for_the_next_start() {
    let scratch = Scratch::new("url");
    let server = Server::with_document("192.0.2.1\n").await;
    let place = || Place::Url {
        location: server.location("/list").parse().unwrap(),
        shown: "a server".into(),
        every: Duration::from_secs(600),
        cache: scratch.path.join("cache/tor"),
    };
    let mut lists = scratch.open(place(), Format::Lines).await.unwrap();
    assert!(names(&lists, "192.0.2.1") && !lists.refresh().await);
    server.answer_with_document("192.0.2.2\n");
    assert!(!lists.refresh().await, "it was fetched before its time");
    scratch.wait(Duration::from_secs(601));
    assert!(lists.refresh().await && names(&lists, "192.0.2.2"));
    // The next start needs no server, nor does it forget how old the list is.
    server.answer_with_document("an error page");
    let kept = scratch.open(place(), Format::Lines).await.unwrap();
    assert!(names(&kept, "192.0.2.2"));
    scratch.wait(Duration::from_secs(601));
    assert!(lists.refresh().await && failed(&lists).is_some() && names(&lists, "192.0.2.2"));
}
