//! Files that people write.

use std::io;
use std::path::Path;

use millstream::pipeline::config;
use millstream::service;

/// A pipeline's file, in an environment with a variable and a secret.
pub(crate) fn pipeline_file(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let environment = |name: &str| (name == "TOPIC").then(|| "clicks".to_owned());
    let secret = |path: &Path| match path.to_str() {
        Some("secret") => Ok("hunter2".to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    match config::parse(text, &environment, &secret) {
        Ok(_) => true,
        Err(error) => shown(&error),
    }
}

/// A service's file.
pub(crate) fn service_file(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    match service::parse(text, Path::new("folder/service.toml")) {
        Ok(_) => true,
        Err(error) => shown(&error),
    }
}

/// Shows a mistake as people see it, for which its line is cut out of the text. It is a refusal.
fn shown(mistake: &impl ToString) -> bool {
    assert!(!mistake.to_string().is_empty());
    false
}
