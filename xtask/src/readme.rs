//! The test command that README.md gives, so that the gate runs what a reader would.

use anyhow::{Context, Result, ensure};

/// The heading over the command.
const HEADING: &str = "Test";

/// What the README must say, since it is what this program can run.
const COMMAND: &str = "cargo xtask test";

/// The one command of the first `sh` block under the heading "Test". Fails if it is not `cargo xtask test`.
pub(crate) fn test_command(readme: &str) -> Result<&str> {
    let block = first_block_under(readme, HEADING)
        .with_context(|| format!("README.md has no ```sh block under a heading \"{HEADING}\""))?;
    let commands = block.iter().map(|line| line.trim());
    let mut commands = commands.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let command = commands.next().unwrap_or_default();
    ensure!(
        command == COMMAND && commands.next().is_none(),
        "the ```sh block under \"{HEADING}\" in README.md must be `{COMMAND}` alone, and begins with `{command}`"
    );
    Ok(command)
}

/// The lines of the first `sh` block in the section with this heading, of any level.
fn first_block_under<'a>(text: &'a str, heading: &str) -> Option<Vec<&'a str>> {
    /// Where in the text a line is.
    enum Place {
        OutsideSection,
        InSection,
        /// In a block that is not looked for: what looks like a heading in it is none.
        InOtherBlock {
            of_section: bool,
        },
    }
    let mut place = Place::OutsideSection;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        place = match (place, line.strip_prefix("```"), line.strip_prefix('#')) {
            (Place::InSection, Some("sh"), _) => {
                let mut closed = false;
                let block = lines.take_while(|line| {
                    closed = line.starts_with("```");
                    !closed
                });
                let block = block.collect();
                return closed.then_some(block);
            }
            (Place::InOtherBlock { of_section: true }, Some(_), _) => Place::InSection,
            (Place::InOtherBlock { of_section: false }, Some(_), _) => Place::OutsideSection,
            (Place::InSection, Some(_), _) => Place::InOtherBlock { of_section: true },
            (Place::OutsideSection, Some(_), _) => Place::InOtherBlock { of_section: false },
            (Place::InSection | Place::OutsideSection, None, Some(title)) => {
                match title.trim_start_matches('#').trim() == heading {
                    true => Place::InSection,
                    false => Place::OutsideSection,
                }
            }
            (place, None, _) => place,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_block_under_the_heading_is_the_command() {
        let readme = "\
# Millstream

```sh
cargo xtask demo
# Test
```

## Test

All of them:

```text
# Not a heading, not a command
```

```sh
# needs Java
cargo xtask test
```

```sh
cargo xtask ci
```
";
        assert_eq!(test_command(readme).unwrap(), "cargo xtask test");
    }

    #[test]
    fn another_command_or_a_second_one_is_refused() {
        for block in ["cargo test", "", "cargo xtask test\nrm -r target"] {
            let readme = format!("## Test\n```sh\n{block}\n```\n");
            let error = test_command(&readme).unwrap_err().to_string();
            assert!(
                error.contains("must be `cargo xtask test` alone"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_block_of_the_next_section_does_not_count() {
        for readme in [
            "",
            "## Test\n## Build\n```sh\ncargo xtask test\n```\n",
            "## Testing\n```sh\ncargo xtask test\n```\n",
            "## Test\n```sh\ncargo xtask test\n",
        ] {
            let error = test_command(readme).unwrap_err().to_string();
            assert!(error.contains("no ```sh block"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn the_command_is_found_whatever_is_around_it(before in "[a-z \n]*", after in "[a-z#` \n]*") {
            let readme = format!("{before}\n# Test\n{before}\n```sh\ncargo xtask test\n```\n{after}");
            prop_assert_eq!(test_command(&readme).unwrap(), "cargo xtask test");
        }
    }
}
