//! The sample built into the binary: a council's short code on a laptop, nothing else needed.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// How problems name the files.
pub const SETTINGS_NAME: &str = "built-in sample sms-router.toml";
pub const ROUTES_NAME: &str = "built-in sample routes.toml";
/// The routes as the sample's settings name them; another name is a file of one's own.
pub const ROUTES_FILE: &str = "routes.toml";
pub const SETTINGS: &str = include_str!("sms-router.toml");
pub const ROUTES: &str = include_str!("routes.toml");

/// Bytes in a secret that is made here.
const SECRET_BYTES: usize = 32;

/// Makes a secret file that is not there yet, readable by its owner only. What it holds goes by what
/// will read it: the demo carrier signs with Standard Webhooks, everything else takes any text.
pub fn make_secret(path: &Path) -> std::io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut bytes = [0; SECRET_BYTES];
    rand::fill(&mut bytes).map_err(|_| std::io::Error::other("the system gives no random bytes"))?;
    let is_carrier = path.file_name().is_some_and(|name| name == "demo");
    let secret = if is_carrier { format!("whsec_{}", STANDARD.encode(bytes)) } else { URL_SAFE_NO_PAD.encode(bytes) };
    // Written aside and renamed: a process killed in between leaves no empty secret.
    let aside = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    std::fs::rename(&aside, path)
}
