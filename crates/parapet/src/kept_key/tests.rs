//! A kept key at rest: closed, the same after a start, and nowhere in clear, whenever the start before it ended.

use super::*;

const SECRET: &[u8] = b"-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----\n";

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("parapet-kept-key-{name}-{}", std::process::id()));
        let _absent = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn key(&self) -> KeptKey {
        KeptKey::new(self.clear(), "a test")
    }

    fn clear(&self) -> PathBuf {
        self.0.join("key.pem")
    }

    /// Does some part of the secret stand in some file?
    fn shows_it(&self) -> bool {
        let parts: Vec<&[u8]> = SECRET.split(|byte| *byte == b'\n').filter(|part| !part.is_empty()).collect();
        fs::read_dir(&self.0).unwrap().flatten().any(|file| {
            let bytes = fs::read(file.path()).unwrap();
            parts.iter().any(|part| bytes.windows(part.len()).any(|window| window == *part))
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _left = fs::remove_dir_all(&self.0);
    }
}

fn master(byte: char) -> MasterKey {
    MasterKey::from_text(&byte.to_string().repeat(64)).unwrap()
}

#[test]
fn it_is_kept_closed_and_opens_for_its_purpose_alone() {
    let folder = Folder::new("closed");
    let (key, right) = (folder.key(), master('a'));
    assert!(key.find(&right).unwrap().is_none());
    assert!(matches!(key.read(&right), Err(KeptKeyError::Absent(path)) if path == key.path()));
    key.keep(&right, SECRET).unwrap();
    assert!(!folder.shows_it());
    assert_eq!(&**key.read(&right).unwrap(), SECRET);
    let closed = fs::read(key.path()).unwrap();
    for (other, master) in [(KeptKey::new(folder.clear(), "another"), &right), (folder.key(), &master('b'))] {
        let error = other.find(master).unwrap_err();
        assert!(matches!(&error, KeptKeyError::Envelope { why: EnvelopeError::DoesNotOpen, .. }), "{error}");
    }
    for broken in [&b""[..], b"\xff", b"AAAA", &closed[1..]] {
        fs::write(key.path(), broken).unwrap();
        assert!(key.find(&right).is_err(), "{broken:?}");
        assert_eq!(fs::read(key.path()).unwrap(), broken, "what does not open is not replaced");
    }
}

#[test]
fn one_in_clear_is_closed_once_and_overwritten() {
    let folder = Folder::new("clear");
    let (key, master) = (folder.key(), master('a'));
    fs::write(folder.clear(), SECRET).unwrap();
    // Another name of the same place on the disk.
    let place = folder.0.join("place");
    fs::hard_link(folder.clear(), &place).unwrap();
    assert_eq!(&**key.read(&master).unwrap(), SECRET);
    assert!(!folder.clear().exists() && !folder.shows_it());
    assert_eq!(fs::read(place).unwrap(), vec![0; SECRET.len()]);
    assert_eq!(&**key.read(&master).unwrap(), SECRET);
}

/// The start before this one closed the key and got no further, or not to the end.
#[test]
fn what_was_interrupted_is_brought_to_its_end() {
    let (front, back) = SECRET.split_at(40);
    let torn = [[&[0; 40], back].concat(), [front, &vec![0; back.len()]].concat()];
    let left = [("same", SECRET), ("zeros", &[0; 40]), ("empty", b""), ("front", &torn[0]), ("back", &torn[1])];
    for (name, left) in left {
        let folder = Folder::new(name);
        let (key, master) = (folder.key(), master('a'));
        key.keep(&master, SECRET).unwrap();
        fs::write(folder.clear(), left).unwrap();
        assert_eq!(&**key.read(&master).unwrap(), SECRET, "{name}");
        assert!(!folder.clear().exists() && !folder.shows_it(), "{name}");
    }
}

#[test]
fn another_key_that_somebody_put_there_is_neither_used_nor_lost() {
    let folder = Folder::new("two");
    let (key, master) = (folder.key(), master('a'));
    key.keep(&master, SECRET).unwrap();
    fs::write(folder.clear(), "mine").unwrap();
    let error = key.find(&master).unwrap_err();
    assert!(matches!(&error, KeptKeyError::Two { .. }) && error.to_string().contains("key.pem"), "{error}");
    assert_eq!(fs::read(folder.clear()).unwrap(), b"mine");
    // One that is made anew takes the place of both.
    key.keep(&master, b"new").unwrap();
    assert_eq!(&**key.read(&master).unwrap(), b"new");
}

#[test]
fn random_ones_are_made_once() {
    let folder = Folder::new("random");
    let (key, master) = (folder.key(), master('a'));
    let first = key.random(&master).unwrap();
    assert_eq!((first.len(), &*key.random(&master).unwrap()), (32, &*first));
    key.keep(&master, b"short").unwrap();
    let error = key.random(&master).unwrap_err().to_string();
    assert!(error.contains("key.wrapped is too short"), "{error}");
}
