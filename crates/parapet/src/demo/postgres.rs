//! The demo's own PostgreSQL: found on this machine, started with a private folder on a free port, ended with the demo.
//! Never a fake, never downloaded.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

/// A running server. Ended when dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
    pub(super) version: String,
    pub(super) binary: PathBuf,
    folder: PathBuf,
    account: Option<(u32, u32)>,
}

/// Where `initdb` and `postgres` are: on the PATH, or where Debian, Ubuntu, Red Hat and Homebrew keep them.
fn binaries() -> anyhow::Result<PathBuf> {
    let mut folders: Vec<PathBuf> =
        crate::config::variable("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    for pattern in ["/usr/lib/postgresql", "/usr/pgsql-18", "/usr/pgsql-17", "/opt/homebrew/opt/postgresql"] {
        let mut versions: Vec<PathBuf> = fs::read_dir(pattern)
            .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
            .unwrap_or_default();
        versions.sort();
        folders.extend(versions.into_iter().rev());
        folders.push(Path::new(pattern).join("bin"));
    }
    folders
        .into_iter()
        .find(|folder| ["initdb", "postgres", "psql"].iter().all(|name| folder.join(name).is_file()))
        .context("no PostgreSQL server was found; install one (Debian, Ubuntu: `apt install postgresql`), or give `--upstream URL`")
        .map(|folder| fs::canonicalize(folder.join("postgres")).ok().and_then(|it| it.parent().map(Path::to_path_buf)).unwrap_or(folder))
}

/// PostgreSQL refuses to run as root: then an account without rights runs it.
fn account() -> anyhow::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let find = |wanted: &str| {
        accounts.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(wanted)).then_some(())?;
            let user = fields.nth(1)?.parse().ok()?;
            Some((user, fields.next()?.parse().ok()?))
        })
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .map(Some)
        .context("no account `postgres` or `nobody` to run PostgreSQL as")
}

impl Server {
    /// Starts a server whose superuser `postgres` has the given password.
    pub(super) fn start(state: &Path, password: &str) -> anyhow::Result<Self> {
        let binary = binaries()?;
        let account = account()?;
        let folder = state.join("postgres");
        fs::create_dir_all(&folder)?;
        if let Some((user, group)) = account {
            // The account must reach its folder through the state folder, which only its owner can list.
            fs::set_permissions(state, fs::Permissions::from_mode(0o711))?;
            std::os::unix::fs::chown(&folder, Some(user), Some(group))?;
        }
        let secret = folder.join("password");
        crate::dev_issuer::write_private(&secret, password.as_bytes())?;
        if let Some((user, group)) = account {
            std::os::unix::fs::chown(&secret, Some(user), Some(group))?;
        }
        let data = folder.join("data");
        let made = command(&binary.join("initdb"), account)
            .args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"])
            .arg(format!("--pwfile={}", secret.display()))
            .arg("-D")
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .context("initdb could not be started")?;
        fs::remove_file(&secret)?;
        if !made.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&made.stderr).trim());
        }
        let version = command(&binary.join("postgres"), account).arg("--version").output()?;
        let version = String::from_utf8_lossy(&version.stdout);
        let version = version.split_whitespace().nth(2).unwrap_or("?").to_owned();
        let mut last = None;
        // A free port can be taken by somebody else before the server has it.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            match Self::run(&binary, &data, &folder, account, port) {
                Ok(child) => return Ok(Self { child, port, version, binary, folder, account }),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("PostgreSQL did not start")))
    }

    fn run(binary: &Path, data: &Path, folder: &Path, account: Option<(u32, u32)>, port: u16) -> anyhow::Result<Child> {
        let log = fs::File::create(folder.join("log"))?;
        let mut child = command(Path::new("/bin/sh"), account)
            .args(["-c", WATCHED, "sh"])
            .arg(binary.join("postgres"))
            .arg("-D")
            .arg(data)
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k"])
            .arg(folder)
            .args(["-c", "fsync=off", "-c", "max_connections=100"])
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the demo: the gateway ends before its upstream.
            .process_group(0)
            .spawn()
            .context("postgres could not be started")?;
        let pid_file = data.join("postmaster.pid");
        // `postmaster.pid` says "ready" in its eighth line.
        for _ in 0..200 {
            if let Some(status) = child.try_wait()? {
                bail!("postgres ended with {status}; its log is {}", folder.join("log").display());
            }
            let text = fs::read_to_string(&pid_file).unwrap_or_default();
            if text.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return Ok(child);
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        end(&mut child);
        bail!("postgres was not ready within 5 s; its log is {}", folder.join("log").display())
    }

    /// Runs SQL as the superuser.
    pub(super) fn run_sql(&self, database: &str, password: &str, sql: &str) -> anyhow::Result<()> {
        let output = command(&self.binary.join("psql"), None)
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres", "-d", database])
            .args(["-v", "ON_ERROR_STOP=1", "-q", "-X", "-c", sql])
            .env("PGPASSWORD", password)
            .stdin(Stdio::null())
            .output()
            .context("psql could not be started")?;
        if !output.status.success() {
            bail!("psql failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
        let _owned = (&self.folder, self.account);
    }
}

/// Runs the server until standard input ends, and then ends it at once (SIGQUIT: its folder goes with the demo). The other
/// end is the demo's: it ends with the demo, also if the demo is killed and can tidy up nothing.
const WATCHED: &str =
    r#"exec 3<&0; "$@" </dev/null 3<&- & server=$!; (read -r _ <&3; kill -QUIT $server) & exec 3<&-; wait $server"#;

/// Ends the server and waits until it has.
fn end(child: &mut Child) {
    drop(child.stdin.take());
    for _ in 0..200 {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    if let Some(group) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
        let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _reaped = child.wait();
}

#[expect(clippy::disallowed_methods, reason = "the demo starts its own PostgreSQL and its clients")]
fn command(program: &Path, account: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = account {
        command.uid(user).gid(group).current_dir("/");
    }
    command
}
