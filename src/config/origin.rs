//! Where settings come from: a file, or the sample in the binary; the text there and the environment as they were at start.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::{self, Place, Problem};
use super::{SecretsNeeded, sample};

/// The variable that names the settings file when no option does.
const CONFIG_VARIABLE: &str = "SMS_ROUTER_CONFIG";
/// Kubernetes sets this in every container.
const KUBERNETES_VARIABLE: &str = "KUBERNETES_SERVICE_HOST";

/// The environment's variables, read once.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// This process's. Variables that are not UTF-8 cannot be settings and are left out.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// One made of pairs: for tests.
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    pub fn variable(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Which settings are in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    File(PathBuf),
    /// The sample built into the binary: loopback only, data under ./data.
    Sample,
}

/// The settings' text with all that it is understood by. `Debug` shows the file's name only.
pub struct Written {
    pub origin: Origin,
    /// How problems name it.
    pub file: Arc<str>,
    pub text: String,
    pub environment: Environment,
    pub needed: SecretsNeeded,
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Written").field(&self.file).finish()
    }
}

impl Origin {
    /// The option's file, else the variable's, else the sample.
    pub fn choose(option: Option<PathBuf>, environment: &Environment) -> Self {
        option.or_else(|| environment.variable(CONFIG_VARIABLE).map(PathBuf::from)).map_or(Self::Sample, Self::File)
    }

    pub fn is_sample(&self) -> bool {
        *self == Self::Sample
    }

    /// The folder that relative paths in the settings start from.
    pub fn folder(&self) -> PathBuf {
        match self {
            Self::File(file) => file.parent().map(Path::to_path_buf).unwrap_or_default(),
            Self::Sample => PathBuf::new(),
        }
    }

    /// How the settings are called in problems, and their text.
    pub(super) fn read(&self, environment: &Environment) -> Result<(Arc<str>, String), Vec<Problem>> {
        let refuse = |file: &Arc<str>, reason: String| {
            vec![Problem { place: Place { file: file.clone(), line: 0 }, key: String::new(), reason }]
        };
        match self {
            Self::File(path) => {
                let file: Arc<str> = path.display().to_string().into();
                let bytes = std::fs::read(path).map_err(|error| {
                    refuse(&file, format!("cannot be read: {error}; name another file with -c or {CONFIG_VARIABLE}"))
                })?;
                let text = document::text(&file, bytes).map_err(|problem| vec![problem])?;
                Ok((file, text))
            }
            Self::Sample => {
                let file: Arc<str> = sample::SETTINGS_NAME.into();
                if environment.variable(KUBERNETES_VARIABLE).is_some() {
                    let reason = "the sample does not run in Kubernetes: write an sms-router.toml and name it with -c";
                    return Err(refuse(&file, reason.to_owned()));
                }
                Ok((file, sample::SETTINGS.to_owned()))
            }
        }
    }
}
