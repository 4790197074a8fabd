//! The authority's key at rest: closed, the same after a start, and followed by another in time.

use std::path::PathBuf;

use super::*;

const DAY: i64 = 86_400_000;
const START: i64 = 1_795_233_600_000;

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("parapet-egress-keys-{name}-{}", std::process::id()));
    let _absent = fs::remove_dir_all(&path);
    path
}

fn master(byte: char) -> MasterKey {
    MasterKey::from_text(&byte.to_string().repeat(64)).unwrap()
}

/// What was opened, and what clients were told to trust.
struct On {
    opened: Opened,
    trusted: String,
}

impl std::ops::Deref for On {
    type Target = Opened;

    fn deref(&self) -> &Opened {
        &self.opened
    }
}

fn on(folder: &Path, day: i64) -> On {
    let mut trusted = String::new();
    let tell = |text: &str| {
        trusted = text.to_owned();
        Ok(())
    };
    let now = Timestamp::from_millis(START + day * DAY);
    let opened = open(folder, &master('a'), now, || format!("{day}"), tell).unwrap();
    On { opened, trusted }
}

fn fails(folder: &Path, master: &MasterKey) -> bool {
    open(folder, master, Timestamp::from_millis(START), String::new, |_trusted| Ok(())).is_err()
}

fn certificates(text: &str) -> usize {
    text.matches("BEGIN CERTIFICATE").count()
}

/// The key in all of the folder's files, as text and as the bytes that the text stands for.
fn stands_in_clear(folder: &Path, key: &str) -> bool {
    let body: Vec<&str> = key.lines().filter(|line| !line.starts_with("-----")).collect();
    fs::read_dir(folder).unwrap().flatten().any(|file| {
        let text = String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned();
        text.contains("PRIVATE KEY") || body.iter().any(|line| text.contains(line))
    })
}

#[test]
fn the_key_is_kept_closed_and_the_same() {
    let folder = folder("closed");
    let first = on(&folder, 0);
    assert!(first.key.contains("PRIVATE KEY") && !stands_in_clear(&folder, &first.key));
    let again = on(&folder, 1);
    assert_eq!((&again.certificate, &*again.key), (&first.certificate, &*first.key));
    assert_eq!(again.trusted, first.certificate);
    // Another master key opens nothing, and makes nothing new in its place.
    let before = fs::read(folder.join(FILE)).unwrap();
    assert!(fails(&folder, &master('b')));
    // Neither does the key of another certificate.
    let mut kept: Vec<Kept> = serde_json::from_slice(&before).unwrap();
    kept[0].certificate = CertificateAuthority::make("x", Timestamp::from_millis(START)).unwrap().certificate;
    fs::write(folder.join(FILE), serde_json::to_vec(&kept).unwrap()).unwrap();
    assert!(fails(&folder, &master('a')));
    for broken in ["", "[", "[{\"certificate\": \"x\", \"wrapped\": \"x\", \"signs_from_ms\": 0}]"] {
        fs::write(folder.join(FILE), broken).unwrap();
        assert!(fails(&folder, &master('a')), "{broken:?}");
        assert_eq!(fs::read(folder.join(FILE)).unwrap(), broken.as_bytes());
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_key_that_stood_in_clear_is_closed() {
    let folder = folder("clear");
    fs::create_dir_all(&folder).unwrap();
    let made = CertificateAuthority::make("old", Timestamp::from_millis(START)).unwrap();
    fs::write(folder.join("ca.pem"), &made.certificate).unwrap();
    fs::write(folder.join("ca.key"), &*made.key).unwrap();
    let opened = on(&folder, 0);
    assert_eq!((&opened.certificate, &*opened.key), (&made.certificate, &*made.key));
    assert!(!folder.join("ca.key").exists() && !stands_in_clear(&folder, &made.key));
    fs::remove_dir_all(folder).unwrap();
}

/// Clients trust the next authority a month before they meet it, and the one before as long as it counts.
#[test]
fn an_authority_is_followed_in_time() {
    let folder = folder("followed");
    let first = on(&folder, 0);
    // Three years, less one.
    assert_eq!(certificates(&on(&folder, 700).trusted), 1);
    let both = on(&folder, 740);
    assert_eq!((certificates(&both.trusted), &both.certificate), (2, &first.certificate));
    assert_eq!(on(&folder, 769).certificate, first.certificate);
    let next = on(&folder, 771);
    assert!(next.certificate != first.certificate && next.trusted.contains(&first.certificate));
    let alone = on(&folder, 3 * 365 + 2);
    assert_eq!((certificates(&alone.trusted), &alone.certificate), (1, &next.certificate));
    // A gateway that slept for all of them begins anew.
    let anew = on(&folder, 3650);
    assert!(certificates(&anew.trusted) == 1 && anew.certificate != next.certificate);
    // One whose clock was wrong for a while has not lost what counts.
    let back = on(&folder, 1000);
    assert!(back.certificate == next.certificate && back.made.is_none() && back.trusted.contains(&first.certificate));
    assert_eq!(certificates(&back.trusted), 2);
    fs::remove_dir_all(folder).unwrap();
}

/// What clients could not be told is not kept either: the month begins when they can know it.
#[test]
fn nobody_is_followed_by_one_that_clients_were_not_told_of() {
    let folder = folder("untold");
    let first = on(&folder, 0);
    let before = fs::read(folder.join(FILE)).unwrap();
    let now = Timestamp::from_millis(START + 740 * DAY);
    assert!(open(&folder, &master('a'), now, String::new, |_trusted| Err(anyhow!("the disk is full"))).is_err());
    assert_eq!(fs::read(folder.join(FILE)).unwrap(), before);
    assert_eq!(on(&folder, 775).certificate, first.certificate);
    assert_eq!(on(&folder, 804).certificate, first.certificate);
    assert!(on(&folder, 806).certificate != first.certificate);
    fs::remove_dir_all(folder).unwrap();
}
