//! What reads things from outside, as functions of bytes that libFuzzer bends: see main.rs. Each returns whether it took them, and
//! panics where what it took is not what it should be.
//!
//! Under seeds/ each has a folder of bytes to begin with. Their names say what becomes of them, and the test below holds them to it.

mod files;
mod records;
mod stored;

/// A function, and the name by which it is asked for.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All of them.
pub const TARGETS: [Target; 9] = [
    ("pipeline-file", files::pipeline_file),
    ("service-file", files::service_file),
    ("compiled-code", millstream::fuzzing::compiled_code),
    ("decode", records::decode),
    ("exchange", records::exchange),
    ("control-topic", millstream::fuzzing::control_topic),
    ("returned", millstream::fuzzing::returned),
    ("state", stored::state),
    ("marks", stored::marks),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn seeds_are_taken_and_refused_as_their_names_say() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
        assert_eq!(fs::read_dir(&seeds).unwrap().count(), TARGETS.len());
        for (name, target) in TARGETS {
            let mut taken = 0;
            for file in fs::read_dir(seeds.join(name)).unwrap() {
                let path = file.unwrap().path();
                let stem = path.file_name().unwrap().to_str().unwrap();
                let is_good = stem.starts_with("taken-");
                assert!(
                    is_good || stem.starts_with("refused-"),
                    "{}",
                    path.display()
                );
                assert_eq!(
                    target(&fs::read(&path).unwrap()),
                    is_good,
                    "{}",
                    path.display()
                );
                taken += usize::from(is_good);
            }
            assert!(taken > 0, "{name}: a seed that is refused leads nowhere");
        }
    }
}
