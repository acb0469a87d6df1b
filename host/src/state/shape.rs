//! What a pipeline's state depends on, and what of it has changed.
//!
//! State can't follow every change of a pipeline file. What a commit's state was made with stands beside it, in
//! the [`Mark`](super::Mark), so that a start with something else is refused, with what differs.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// The most bytes that a text takes in a mark, as JSON; of one that takes more, the digest stands there.
const MOST_TEXT: usize = 512;

/// How many stages settle a window.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stages {
    /// None: the pipeline has no window.
    #[default]
    None,
    /// The task of a source partition settles its windows alone.
    One,
    /// The source tasks' partials go to final tasks.
    Two,
}

/// What a pipeline's state depends on. Texts are canonical: equal where what they say is.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// How many stages settle a window. The rest of the shape says nothing where none does.
    pub stages: Stages,
    /// How many tasks have state: the partitions of the changelog.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub partitions: i32,
    /// The kind of the window function: `aggregate` or `window-apply`.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub kind: String,
    /// Its name.
    #[serde(
        default,
        skip_serializing_if = "str::is_empty",
        serialize_with = "short"
    )]
    pub function: String,
    /// The version of its state, as it declares it.
    #[serde(default, skip_serializing_if = "is_zero_version")]
    pub state_version: u32,
    /// The windows: `tumbling 1m`.
    #[serde(
        default,
        skip_serializing_if = "str::is_empty",
        serialize_with = "short"
    )]
    pub window: String,
    /// The field by whose value rows are gathered apart; empty if they are not.
    #[serde(
        default,
        skip_serializing_if = "str::is_empty",
        serialize_with = "short"
    )]
    pub key: String,
    /// The fields of the rows that are kept for a window-apply: `user_id: text, price: option<float64>`.
    #[serde(
        default,
        skip_serializing_if = "str::is_empty",
        serialize_with = "short"
    )]
    pub reads: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_zero_version(version: &u32) -> bool {
    *version == 0
}

/// A text as it stands in a mark.
fn shortened(text: &str) -> Cow<'_, str> {
    let length = serde_json::to_string(text).map_or(usize::MAX, |json| json.len());
    if length <= MOST_TEXT {
        return Cow::Borrowed(text);
    }
    let digest = Sha256::digest(text.as_bytes());
    Cow::Owned(format!("sha256:{}", hex(&digest)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn short<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shortened(text))
}

impl Shape {
    /// What `now` has that differs from this, each a sentence for an operator. None if state that was made with this can
    /// be gone on with.
    pub fn differences(&self, now: &Shape) -> Vec<String> {
        let mut found = Vec::new();
        if self.stages != now.stages {
            let was = self.stages.words();
            found.push(format!("windows were {was}, now {}", now.stages.words()));
        }
        // Where there was no window, or is none, nothing else can be compared.
        if self.stages == Stages::None || now.stages == Stages::None {
            return found;
        }
        if (&self.kind, shortened(&self.function)) != (&now.kind, shortened(&now.function)) {
            let was = format!("{} {}", self.kind, shortened(&self.function));
            let is = format!("{} {}", now.kind, shortened(&now.function));
            found.push(format!("the function was {was}, now {is}"));
        }
        if self.state_version != now.state_version {
            let (was, is) = (self.state_version, now.state_version);
            found.push(format!("the function's state version was {was}, now {is}"));
        }
        let mut compare = |what: &str, was: &str, is: &str| {
            let (was, is) = (shortened(was), shortened(is));
            if was != is {
                let or_none = |text: &str| match text {
                    "" => "none".to_owned(),
                    text => text.to_owned(),
                };
                found.push(format!("{what} {}, now {}", or_none(&was), or_none(&is)));
            }
        };
        compare("the window was", &self.window, &now.window);
        compare("the key was", &self.key, &now.key);
        compare("the fields kept were", &self.reads, &now.reads);
        if self.partitions != now.partitions {
            let (was, is) = (self.partitions, now.partitions);
            found.push(format!("the partitions with state were {was}, now {is}"));
        }
        found
    }
}

impl Stages {
    fn words(self) -> &'static str {
        match self {
            Stages::None => "absent",
            Stages::One => "settled by one stage",
            Stages::Two => "settled by two stages",
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

    use proptest::prelude::*;

    use super::*;

    pub(in crate::state) fn aggregate() -> Shape {
        Shape {
            stages: Stages::Two,
            partitions: 4,
            kind: "aggregate".to_owned(),
            function: "unique-visitors".to_owned(),
            state_version: 1,
            window: "tumbling 1m".to_owned(),
            key: "country".to_owned(),
            reads: String::new(),
        }
    }

    pub(in crate::state) fn shape() -> impl Strategy<Value = Shape> {
        let stages = prop::sample::select(vec![Stages::None, Stages::One, Stages::Two]);
        let kind = prop::sample::select(vec!["aggregate", "window-apply"]);
        let text = || "\\PC{0,8}".prop_map(|text| text);
        (
            stages,
            0..i32::MAX,
            kind,
            text(),
            any::<u32>(),
            text(),
            text(),
            text(),
        )
            .prop_map(
                |(stages, partitions, kind, function, state_version, window, key, reads)| Shape {
                    stages,
                    partitions,
                    kind: kind.to_owned(),
                    function,
                    state_version,
                    window,
                    key,
                    reads,
                },
            )
    }

    #[test]
    fn each_difference_is_a_sentence_for_an_operator() {
        let was = aggregate();
        let now = Shape {
            stages: Stages::One,
            partitions: 8,
            kind: "window-apply".to_owned(),
            function: "visitors".to_owned(),
            state_version: 2,
            window: "tumbling 5m".to_owned(),
            key: String::new(),
            reads: "user_id: text".to_owned(),
        };
        assert_eq!(
            was.differences(&now),
            [
                "windows were settled by two stages, now settled by one stage",
                "the function was aggregate unique-visitors, now window-apply visitors",
                "the function's state version was 1, now 2",
                "the window was tumbling 1m, now tumbling 5m",
                "the key was country, now none",
                "the fields kept were none, now user_id: text",
                "the partitions with state were 4, now 8",
            ]
        );
        assert_eq!(was.differences(&was), Vec::<String>::new());
    }

    #[test]
    fn a_window_that_came_or_went_is_told_alone() {
        assert_eq!(
            aggregate().differences(&Shape::default()),
            ["windows were settled by two stages, now absent"]
        );
        let other = Shape {
            partitions: 7,
            ..Shape::default()
        };
        assert_eq!(other.differences(&Shape::default()), Vec::<String>::new());
    }

    #[test]
    fn long_texts_are_told_apart_by_their_digests() {
        let long = |end: &str| Shape {
            reads: "field: text, ".repeat(100) + end,
            ..aggregate()
        };
        let json = serde_json::to_string(&long("a")).unwrap();
        assert!(json.contains("\"reads\":\"sha256:"), "{json}");
        let read: Shape = serde_json::from_str(&json).unwrap();
        assert_eq!(read.differences(&long("a")), Vec::<String>::new());
        assert_eq!(read.differences(&long("b")).len(), 1);
    }

    proptest! {
        #[test]
        fn nothing_differs_from_itself_once_it_has_been_stored(shape in shape()) {
            let json = serde_json::to_string(&shape).unwrap();
            let read: Shape = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read.differences(&shape), Vec::<String>::new());
            prop_assert_eq!(read, shape);
        }
    }
}
