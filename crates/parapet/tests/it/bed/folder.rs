//! The folder of one test, below one folder of the whole run. It goes when the test passes, and stays when it fails.
//!
//! It stands in the system's folder for temporary files, not in `target/`: PostgreSQL drops to another user, who may not be
//! able to enter the checkout, and a Unix socket's path is short.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The run's folder. Those of runs that are over are removed first, unless a test failed in them.
pub(crate) static RUN: LazyLock<PathBuf> = LazyLock::new(|| {
    let all = std::env::temp_dir();
    for entry in fs::read_dir(&all).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(process) = name.strip_prefix("parapet-it-") else { continue };
        if !Path::new("/proc").join(process).exists() && !entry.path().join("failed").exists() {
            let _gone_or_not_ours = fs::remove_dir_all(entry.path());
        }
    }
    let run = all.join(format!("parapet-it-{}", std::process::id()));
    make(&run, 0o711);
    run
});

/// Every file below a folder, as bytes: what may stand nowhere is looked for in them.
pub(crate) fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(files_below(&path));
        } else if kind.is_file() {
            match fs::read(&path) {
                Ok(bytes) => found.push((path, bytes)),
                // A running gateway replaces files by new ones that had another name until then.
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{}", path.display()),
            }
        }
    }
    found
}

/// One test's folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A new folder with the test's name.
    pub(crate) fn new(name: &str) -> Self {
        let path = RUN.join(name);
        make(&path, 0o711);
        Self { path }
    }

    /// A folder inside it, for its owner alone.
    pub(crate) fn make(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        make(&path, 0o700);
        path
    }

    /// A path inside it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file inside it, for its owner alone.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

/// Replaces a file as a whole: whoever looks meanwhile sees what stood there or what stands there then, and never a part.
pub(crate) fn replace(path: &Path, text: &str) {
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, text).unwrap();
    if let Ok(there) = fs::metadata(path) {
        fs::set_permissions(&fresh, there.permissions()).unwrap();
    }
    fs::rename(&fresh, path).unwrap();
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _best_effort = fs::write(RUN.join("failed"), "");
            eprintln!("what the test left is in {}", self.path.display());
        } else {
            let _best_effort = fs::remove_dir_all(&self.path);
        }
    }
}

/// Makes a folder with exactly these rights.
pub(crate) fn make(path: &Path, mode: u32) {
    fs::create_dir_all(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
