//! The layers of the configuration and where they come from: flags over `PARAPET_*` over the project's file over the
//! user's over the system's. This is the one place that reads the environment for configuration.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::config::keys;

/// Who set a value. Later layers win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    /// Nobody: the built-in value.
    Default,
    /// `/etc/parapet/parapet.toml`.
    System,
    /// `$XDG_CONFIG_HOME/parapet/parapet.toml`.
    User,
    /// `./parapet.toml`, or the file that `--config` names.
    Project,
    /// A variable `PARAPET_…`.
    Environment,
    /// `--set KEY=VALUE`.
    Flag,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::System => "system",
            Self::User => "user",
            Self::Project => "project",
            Self::Environment => "environment",
            Self::Flag => "flag",
        })
    }
}

/// One text that sets values: a file, a variable or a flag.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its layer.
    pub(crate) layer: Layer,
    /// What people call it: a path, `$PARAPET_GATEWAY_STATE`, `--set gateway.state`.
    pub(crate) name: String,
    /// Relative paths in it are relative to this folder.
    pub(crate) folder: PathBuf,
    /// TOML.
    pub(crate) text: String,
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which source, by its index; none for a built-in value or for the configuration as a whole.
    pub(crate) source: Option<usize>,
    /// The key, in bytes of the text.
    pub(crate) key: Range<usize>,
    /// The value, in bytes of the text.
    pub(crate) value: Range<usize>,
}

impl Place {
    /// Nowhere: the configuration as a whole.
    pub(crate) const NOWHERE: Self = Self { source: None, key: 0..0, value: 0..0 };
}

/// A source that cannot be used at all.
#[derive(Clone, Debug)]
pub(crate) struct Unreadable {
    /// What people call it.
    pub(crate) name: String,
    /// Why, and what to do.
    pub(crate) why: String,
}

/// Every source, lowest layer first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// Those that could be read.
    pub(crate) list: Vec<Source>,
    /// Those that could not.
    pub(crate) unreadable: Vec<Unreadable>,
    files: Vec<PathBuf>,
}

/// Variables that mean something else than a configuration key.
const OTHER_VARIABLES: [&str; 5] =
    ["PARAPET_ADMIN", "PARAPET_CONFIG", "PARAPET_LOG", "PARAPET_TOKEN", "PARAPET_WORKLOAD_TOKEN"];

impl Sources {
    /// The layers of a real start: `file` stands in for the project's `./parapet.toml`; `settings` are `KEY=VALUE` flags.
    pub(crate) fn discover(file: Option<&Path>, settings: &[String]) -> Self {
        let mut sources = Self::default();
        sources.add_file(Layer::System, Path::new("/etc/parapet/parapet.toml"), false);
        if let Some(folder) = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute()) {
            sources.add_file(Layer::User, &folder.join("parapet/parapet.toml"), false);
        } else if let Some(home) = variable("HOME") {
            sources.add_file(Layer::User, &Path::new(&home).join(".config/parapet/parapet.toml"), false);
        }
        match file {
            Some(file) => sources.add_file(Layer::Project, file, true),
            None => sources.add_file(Layer::Project, Path::new("parapet.toml"), false),
        }
        sources.add_environment(std::env::vars_os().filter_map(|(name, value)| {
            // A variable that is not UTF-8 cannot be one of ours.
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }));
        for setting in settings {
            sources.add_setting(setting);
        }
        sources
    }

    /// One text as the project's file, and nothing else: neither the environment nor the user's files have a part in a
    /// generated configuration.
    pub(crate) fn text(name: &str, folder: &Path, text: &str) -> Self {
        let source =
            Source { layer: Layer::Project, name: name.to_owned(), folder: folder.to_owned(), text: text.to_owned() };
        Self { list: vec![source], ..Self::default() }
    }

    /// Every file that is looked at, there or not, so that a change can be noticed.
    pub(crate) fn files(self) -> Vec<PathBuf> {
        self.files
    }

    /// Adds a file, which may be absent unless it `must_exist`.
    fn add_file(&mut self, layer: Layer, path: &Path, must_exist: bool) {
        let name = path.display().to_string();
        self.files.push(path.to_owned());
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                let folder = std::path::absolute(folder.unwrap_or(Path::new("."))).unwrap_or_default();
                self.list.push(Source { layer, name, folder, text });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {}
            // A file that is there and cannot be read may hold what makes the start safe: it is not skipped.
            Err(error) => self.unreadable.push(Unreadable { name, why: error.kind().to_string() }),
        }
    }

    /// Adds the variables that set configuration keys: `PARAPET_GATEWAY_STATE` sets `gateway.state`.
    pub(crate) fn add_environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        let mut variables: Vec<(String, String)> = variables.filter(|(name, _)| name.starts_with("PARAPET_")).collect();
        variables.sort();
        for (name, value) in variables {
            if OTHER_VARIABLES.contains(&name.as_str()) || is_kubernetes_service(&name) {
                continue;
            }
            match keys::for_variable(&name) {
                Some(key) => self.add_line(Layer::Environment, format!("${name}"), key.path, &value),
                None => {
                    let known = keys::ALL.iter().filter_map(keys::Key::variable);
                    let help = match closest(&name, known) {
                        Some(close) => format!("no key has this variable; did you mean `{close}`?"),
                        None => "no key has this variable; see `parapet config explain`".to_owned(),
                    };
                    self.unreadable.push(Unreadable { name: format!("${name}"), why: help });
                }
            }
        }
    }

    /// Adds a flag `KEY=VALUE`.
    pub(crate) fn add_setting(&mut self, setting: &str) {
        match setting.split_once('=') {
            Some((key, value)) => self.add_line(Layer::Flag, format!("--set {key}"), key, value),
            None => self.unreadable.push(Unreadable {
                name: "--set".to_owned(),
                why: "write it as `--set KEY=VALUE`, such as `--set gateway.drain=10s`".to_owned(),
            }),
        }
    }

    fn add_line(&mut self, layer: Layer, name: String, key: &str, value: &str) {
        // Numbers, booleans and lists are written as in TOML; everything else is text, and needs no quotes.
        let structured = value.starts_with(['[', '{', '"', '\'']) || value == "true" || value == "false";
        let number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let value = if structured || number { value.to_owned() } else { quoted(value) };
        let folder = std::env::current_dir().unwrap_or_default();
        self.list.push(Source { layer, name, folder, text: format!("{key} = {value}") });
    }
}

/// TOML text for a value.
fn quoted(value: &str) -> String {
    toml::Value::String(value.to_owned()).to_string()
}

/// Kubernetes puts variables for every service into every pod: a service named `parapet` or `parapet-admin` would
/// otherwise stop the start.
fn is_kubernetes_service(name: &str) -> bool {
    name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_")
}

/// The known word that an unknown one was probably meant to be.
pub(crate) fn closest<W: AsRef<str>>(unknown: &str, known: impl Iterator<Item = W>) -> Option<W> {
    known
        .map(|word| (strsim::jaro_winkler(unknown, word.as_ref()), word))
        .filter(|(score, _)| *score > 0.78)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, word)| word)
}

/// A variable of the environment that is not a configuration key, such as `HOME`.
#[expect(
    clippy::disallowed_methods,
    reason = "the configuration layers and the client's credential are read here alone"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
