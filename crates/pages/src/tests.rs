//! What was put stands in the file, at once, and nothing else does.

use std::fs::OpenOptions;
use std::path::PathBuf;

use super::*;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> (Self, File) {
        let path = std::env::temp_dir().join(format!("parapet-pages-{}-{name}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        (Self(path), file)
    }

    fn read(&self) -> Vec<u8> {
        std::fs::read(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

#[test]
fn what_is_put_is_read_at_once() {
    let (scratch, file) = Scratch::new("put");
    let mut pages = Pages::map(&file, 3 * STEP + 10).unwrap();
    let mut expected = Vec::new();
    // Across the ends of pages and of steps, up to the last byte.
    for length in [1, 4095, 2, 0, STEP, STEP - 3, STEP - 4087] {
        let bytes = vec![b'a' + (expected.len() % 7) as u8; length];
        pages.put(expected.len(), &bytes).unwrap();
        expected.extend(bytes);
        let found = scratch.read();
        assert_eq!(found[..expected.len()], expected, "{length}");
        assert!(found[expected.len()..].iter().all(|byte| *byte == 0));
    }
    assert_eq!(expected.len(), 3 * STEP + 8);
    assert_eq!(pages.put(expected.len(), b"abc").unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    pages.put(expected.len(), b"ab").unwrap();
    assert_eq!(scratch.read().len(), 3 * STEP + 10);
}

#[test]
fn a_file_that_is_not_empty_keeps_what_it_holds() {
    use std::io::Write as _;
    let (scratch, mut file) = Scratch::new("keep");
    file.write_all(b"before ").unwrap();
    let mut pages = Pages::map(&file, STEP).unwrap();
    pages.put(7, b"after").unwrap();
    assert_eq!(scratch.read()[..13], *b"before after\0");
}

#[test]
fn a_file_that_may_not_be_written_is_not_mapped() {
    let (scratch, _file) = Scratch::new("read");
    let file = File::open(&scratch.0).unwrap();
    assert!(Pages::map(&file, STEP).is_err());
}
