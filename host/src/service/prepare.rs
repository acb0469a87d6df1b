//! From what a service remembers of a pipeline to its configuration: components found, folders placed.
//!
//! A file of the pipelines' folder is its operator's: it may name what `millstream run` lets it name. A text that came through
//! the API is somebody's who may deploy, and not read the machine: its plugins are those of the registry, its folders are
//! inside the service's, and of the environment it sees the variables that the service's file lists.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};

use crate::pipeline::config::{self, LogPlace, PipelineConfig};
use crate::plugin::Reference;
use crate::registry::Registry;

/// A pipeline's configuration, ready to be prepared.
#[derive(Debug)]
pub(super) struct Configured {
    /// The configuration, with paths that lead somewhere.
    pub(super) config: PipelineConfig,
    /// The digest of each plugin that is named as `name@version`.
    pub(super) plugins: BTreeMap<String, String>,
}

/// Settings of the Kafka client by which nothing of the machine is read, loaded or run.
const HARMLESS: [&str; 24] = [
    "bootstrap.servers",
    "client.id",
    "client.rack",
    "compression.codec",
    "compression.type",
    "connections.max.idle.ms",
    "fetch.max.bytes",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "linger.ms",
    "max.partition.fetch.bytes",
    "message.max.bytes",
    "metadata.max.age.ms",
    "request.timeout.ms",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.timeout.ms",
    "ssl.ca.pem",
    "ssl.certificate.pem",
    "ssl.key.pem",
];

/// The configuration of a pipeline that came through the API. Its folders are taken relative to `data`.
///
/// # Errors
/// With what is wrong with the text, for whoever has sent it.
pub(super) fn from_text(
    text: &str,
    data: &Path,
    variables: &[String],
    registry: &Registry,
) -> Result<Configured, String> {
    let environment = |name: &str| {
        let listed = variables.iter().any(|variable| variable == name);
        listed.then(|| std::env::var(name).ok()).flatten()
    };
    let no_file = |_: &Path| {
        Err(io::Error::other(
            "a pipeline that is created through the API reads no files of the service's machine",
        ))
    };
    let mut config =
        config::parse(text, &environment, &no_file).map_err(|error| error.to_string())?;
    keeps_to_itself(&config)?;
    config.place_folders(data);
    let is_reference = |component: &Path| {
        Reference::of_component(component).ok_or_else(|| {
            "a pipeline that is created through the API names its plugins as name@version: push them with \
             `millstream plugins push` first"
                .to_owned()
        })
    };
    let mut plugins = BTreeMap::new();
    for function in config.functions_mut() {
        let reference = is_reference(&function.component)
            .map_err(|why| format!("step {}: {why}", function.name))?;
        let (file, digest) = registry
            .resolve(&reference)
            .map_err(|error| format!("step {}: {error}", function.name))?;
        function.component = file;
        plugins.insert(reference.to_string(), digest);
    }
    Ok(Configured { config, plugins })
}

/// The configuration in a file of the pipelines' folder. The file carries the pipeline's name, so that no two have one.
///
/// # Errors
/// With what is wrong with the file.
pub(super) fn from_file(
    file: &Path,
    name: &str,
    registry: &Registry,
) -> Result<Configured, String> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut config =
        config::load(file).map_err(|error| format!("{:#}", anyhow::Error::new(error)))?;
    if config.name != name {
        return Err(format!(
            "{}: name: the pipeline is called {}, and in a service's folder the file has the pipeline's name: call it \
             {}.toml, or the pipeline {name}",
            file.display(),
            config.name,
            config.name
        ));
    }
    let mut plugins = BTreeMap::new();
    for function in config.functions_mut() {
        // What was written, before it was placed in the folder.
        let Ok(written) = function.component.strip_prefix(folder) else {
            continue;
        };
        if let Some(reference) = Reference::of_component(written) {
            let (component, digest) = registry
                .resolve(&reference)
                .map_err(|error| format!("{}: step {}: {error}", file.display(), function.name))?;
            function.component = component;
            plugins.insert(reference.to_string(), digest);
        }
    }
    Ok(Configured { config, plugins })
}

/// Whether a pipeline that came through the API touches nothing of the machine but the service's folder.
fn keeps_to_itself(config: &PipelineConfig) -> Result<(), String> {
    let inside = |key: &str, folder: &Path| {
        let plain = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
        if folder.components().all(plain) {
            Ok(())
        } else {
            Err(format!(
                "{key}: a pipeline that is created through the API keeps its folders inside the service's data folder: \
                 write a relative path without `..`"
            ))
        }
    };
    inside("state.folder", &config.state.folder)?;
    match &config.log.place {
        LogPlace::Embedded(folder) => inside("log.embedded", folder),
        LogPlace::Kafka(settings) => {
            let refused = settings
                .iter()
                .map(|(name, _)| name)
                .find(|name| !HARMLESS.contains(name));
            refused.map_or(Ok(()), |name| {
                Err(format!(
                    "log.kafka: a pipeline that is created through the API can't set `{name}`: put the file into the \
                     service's folder of pipelines, or leave it out"
                ))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;
    use crate::registry::Trust;

    fn told(log: &str, more: &str) -> String {
        let data = tempfile::tempdir().unwrap();
        let registry = Registry::open(&data.path().join("plugins"), Trust::default()).unwrap();
        let text = format!(
            "name = \"p\"\nsource.topic = \"in\"\nsink.topic = \"out\"\ndead_letters.topic = \"dead\"\n{more}\n[log]\n{log}\n"
        );
        match from_text(&text, data.path(), &["LISTED".to_owned()], &registry) {
            Ok(configured) => format!("{:?}", configured.config.log.place)
                .replace(data.path().to_str().unwrap(), "DATA"),
            Err(error) => error,
        }
    }

    #[test]
    fn a_pipeline_from_the_api_keeps_to_the_services_folder() {
        assert_eq!(told("embedded = \"log\"", ""), "Embedded(\"DATA/log\")");
        for folder in ["/etc", "../log", "a/../../b"] {
            let why = told(&format!("embedded = {folder:?}"), "");
            assert!(why.starts_with("log.embedded: "), "{why}");
        }
        let why = told("embedded = \"log\"", "state.folder = \"/tmp\"");
        assert!(why.starts_with("state.folder: "), "{why}");
    }

    #[test]
    fn a_pipeline_from_the_api_reads_nothing_of_the_machine() {
        let why = told("embedded = \"${file:/etc/hostname}\"", "");
        assert!(why.contains("reads no files"), "{why}");
        let why = told("embedded = \"${HOME}\"", "");
        assert!(why.contains("HOME") && !why.contains("DATA"), "{why}");
        let kafka = |setting: &str| {
            told(
                &format!("kafka = {{ \"bootstrap.servers\" = \"h:1\", {setting} }}"),
                "",
            )
        };
        assert!(kafka("\"linger.ms\" = 5").contains("Kafka"));
        for setting in [
            "plugin.library.paths",
            "ssl.ca.location",
            "sasl.kerberos.kinit.cmd",
        ] {
            let why = kafka(&format!("{setting:?} = \"/x\""));
            assert!(why.contains(setting), "{why}");
        }
    }

    #[test]
    fn a_pipeline_from_the_api_names_plugins_of_the_registry() {
        let why = told(
            "embedded = \"log\"",
            "step = [{ filter = \"/etc/f.wasm\" }]",
        );
        assert!(
            why.starts_with("step f: ") && why.contains("name@version"),
            "{why}"
        );
        let why = told(
            "embedded = \"log\"",
            "step = [{ filter = \"bot-filter@1.0.0\" }]",
        );
        assert!(
            why.starts_with("step bot-filter: there is no plugin bot-filter@1.0.0"),
            "{why}"
        );
    }

    #[test]
    fn a_file_has_the_name_of_its_pipeline() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(&folder.path().join("plugins"), Trust::default()).unwrap();
        let file = folder.path().join("clicks.toml");
        let text = "name = \"p\"\nsource.topic = \"in\"\nsink.topic = \"out\"\ndead_letters.topic = \"dead\"\n[log]\nembedded = \"log\"\n";
        std::fs::write(&file, text).unwrap();
        let why = from_file(&file, "clicks", &registry).unwrap_err();
        assert!(
            why.contains("clicks.toml: name: the pipeline is called p"),
            "{why}"
        );
        std::fs::write(&file, text.replace("\"p\"", "\"clicks\"")).unwrap();
        assert!(from_file(&file, "clicks", &registry).is_ok());
    }
}
