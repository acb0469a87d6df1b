//! What a component carries beside its code: the files of its sample, each in a custom section of one of its modules. The SDK puts them
//! there.

use std::collections::BTreeMap;

use wasmparser::{Parser, Payload};

/// The files of a sample by their names, such as `input.ndjson`.
pub type SampleFiles = BTreeMap<String, String>;

/// What the names of their sections begin with.
const PREFIX: &str = "millstream:sample/";
/// How large a sample may be in all, in bytes.
const MAX_BYTES: usize = 256 << 10;
/// How many files it may have.
const MAX_FILES: usize = 16;

/// The sample in a component; no files if there is none.
pub(super) fn sample(component: &[u8]) -> Result<SampleFiles, String> {
    let mut files = SampleFiles::new();
    let mut size = 0;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.map_err(|error| format!("not a valid component: {error}"))?;
        let Payload::CustomSection(section) = payload else {
            continue;
        };
        let Some(name) = section.name().strip_prefix(PREFIX) else {
            continue;
        };
        let name = super::sandbox::clip(name, 80);
        size += section.data().len();
        if size > MAX_BYTES || files.len() == MAX_FILES {
            return Err(format!(
                "the sample that it carries is larger than {MAX_FILES} files of {MAX_BYTES} bytes in all"
            ));
        }
        let text = std::str::from_utf8(section.data())
            .map_err(|error| format!("the sample that it carries: {name}: {error}"))?;
        if files.insert(name.to_string(), text.to_owned()).is_some() {
            return Err(format!("it carries {name} of its sample twice"));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module with these custom sections.
    fn module(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        for (name, data) in sections {
            let length = u8::try_from(name.len()).expect("a short name");
            let mut body = vec![length];
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(data);
            bytes.push(0);
            let mut rest = body.len();
            while rest >= 0x80 {
                bytes.push(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
                rest >>= 7;
            }
            bytes.push(u8::try_from(rest).expect("seven bits"));
            bytes.extend(body);
        }
        bytes
    }

    #[test]
    fn files_are_found_by_their_names() {
        let files = sample(&module(&[
            ("producers", b"x"),
            ("millstream:sample/input.ndjson", b"{}\n"),
            ("millstream:sample/expected.ndjson", b""),
        ]))
        .expect("a sample");
        let expected = [("expected.ndjson", ""), ("input.ndjson", "{}\n")];
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        assert_eq!(files, expected);
        assert_eq!(sample(&module(&[])), Ok(SampleFiles::new()));
    }

    #[test]
    fn what_is_too_large_twice_or_no_text_is_refused() {
        let name = "millstream:sample/input.ndjson";
        let told = |sections: &[(&str, &[u8])]| sample(&module(sections)).expect_err("refused");
        let large = vec![b' '; MAX_BYTES + 1];
        assert!(told(&[(name, &large)]).contains("larger"));
        assert!(told(&[(name, b"a"), (name, b"b")]).contains("twice"));
        assert!(told(&[(name, b"\xff")]).contains("input.ndjson"));
    }
}
