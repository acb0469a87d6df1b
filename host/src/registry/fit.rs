//! Whether a component may take the place of one that runs. Pure; what a deploy asks before it touches anything.
//!
//! The rest of the pipeline was planned for the running component, and its windows hold what that has left there. So the new one is of the same
//! kind, reads no more than is decoded, gives at least what those after it read, and understands what is kept:
//!
//! | kind | what its windows keep | so the new one |
//! |---|---|---|
//! | filter, map | nothing | - |
//! | aggregate | partials | has the same state version, or migrates from it |
//! | window-apply | the rows, with the fields that it reads | reads the same fields in the same order |

use crate::plugin::Kind;
use crate::rows::Field;

/// What counts of a component.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a> {
    /// Its kind.
    pub kind: Kind,
    /// The fields that it reads.
    pub reads: &'a [Field],
    /// The fields that it produces.
    pub produces: &'a [Field],
    /// The version of its partials.
    pub state_version: u32,
    /// The versions of partials that it can turn into its own.
    pub migrates_from: &'a [u32],
}

/// How a component fits in the place of another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fit {
    /// What is kept can stay as it is.
    Same,
    /// It fits once its partials are migrated.
    Migrates {
        /// The version that they have now.
        from: u32,
    },
    /// It does not fit.
    Refused {
        /// Everything that differs, one thing a line, and what to do.
        why: String,
    },
}

/// How `new` fits in the place of `running`.
pub fn fits(running: &Described<'_>, new: &Described<'_>) -> Fit {
    if running.kind != new.kind {
        return Fit::Refused {
            why: format!(
                "it is of kind {}, and what runs is of kind {}: another kind is another step, in the pipeline's file",
                new.kind.world(),
                running.kind.world()
            ),
        };
    }
    let mut differing = Vec::new();
    reads(running, new, &mut differing);
    produces(running, new, &mut differing);
    let (from, to) = (running.state_version, new.state_version);
    let migrates = new.kind == Kind::Aggregate && from != to;
    if migrates && !new.migrates_from.contains(&from) {
        let offered = match new.migrates_from {
            [] => "it migrates from none".to_owned(),
            some => format!("it migrates from {some:?}"),
        };
        differing.push(format!(
            "its windows hold partials of version {from}, and its own are of version {to}; {offered}: offer a migration from {from}, or \
             keep the version if the partials are the same"
        ));
    }
    match (differing.is_empty(), migrates) {
        (true, false) => Fit::Same,
        (true, true) => Fit::Migrates { from },
        (false, _) => Fit::Refused {
            why: differing.join("\n"),
        },
    }
}

fn reads(running: &Described<'_>, new: &Described<'_>, differing: &mut Vec<String>) {
    if new.kind == Kind::WindowApply {
        if running.reads != new.reads {
            differing.push(format!(
                "its windows hold rows of ({}), and it reads ({}): to read others, begin anew with `millstream state reset`",
                list(running.reads),
                list(new.reads)
            ));
        }
        return;
    }
    for field in new.reads {
        match named(running.reads, &field.name) {
            None => differing.push(format!(
                "it reads {field}, which what runs does not: start the pipeline anew with it, so that the field is decoded"
            )),
            Some(known) if known.ty != field.ty || (known.optional && !field.optional) => {
                differing.push(format!(
                    "it reads {field}, and what is decoded is {known}: start the pipeline anew with it"
                ));
            }
            Some(_) => {}
        }
    }
}

fn produces(running: &Described<'_>, new: &Described<'_>, differing: &mut Vec<String>) {
    for known in running.produces {
        match named(new.produces, &known.name) {
            None => differing.push(format!(
                "it no longer produces {known}: what comes after it may read that"
            )),
            Some(field) if known.ty != field.ty || (field.optional && !known.optional) => {
                differing.push(format!(
                    "it produces {field}, and what comes after it was planned for {known}"
                ));
            }
            Some(_) => {}
        }
    }
}

fn named<'a>(fields: &'a [Field], name: &str) -> Option<&'a Field> {
    fields.iter().find(|field| field.name == name)
}

fn list(fields: &[Field]) -> String {
    let fields: Vec<String> = fields.iter().map(Field::to_string).collect();
    fields.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::FieldType;

    fn field(name: &str, ty: FieldType, optional: bool) -> Field {
        Field {
            name: name.to_owned(),
            ty,
            optional,
        }
    }

    fn described<'a>(kind: Kind, reads: &'a [Field], produces: &'a [Field]) -> Described<'a> {
        Described {
            kind,
            reads,
            produces,
            state_version: 1,
            migrates_from: &[],
        }
    }

    fn why(running: &Described<'_>, new: &Described<'_>) -> String {
        match fits(running, new) {
            Fit::Refused { why } => why,
            fit => format!("{fit:?}"),
        }
    }

    #[test]
    fn partials_of_another_version_fit_only_where_they_are_migrated() {
        let running = described(Kind::Aggregate, &[], &[]);
        assert_eq!(fits(&running, &running), Fit::Same);
        let mut new = Described {
            state_version: 3,
            migrates_from: &[2],
            ..running
        };
        let told = why(&running, &new);
        assert!(
            told.contains("partials of version 1") && told.contains("from [2]"),
            "{told}"
        );
        new.migrates_from = &[1, 2];
        assert_eq!(fits(&running, &new), Fit::Migrates { from: 1 });
        // A filter keeps nothing.
        let filter = Described {
            kind: Kind::Filter,
            ..running
        };
        let new = Described {
            state_version: 3,
            ..filter
        };
        assert_eq!(fits(&filter, &new), Fit::Same);
        assert!(why(&running, &filter).contains("it is of kind filter"));
    }

    #[test]
    fn fields_may_be_read_less_strictly_and_no_new_ones() {
        let text = [field("user", FieldType::Text, false)];
        let optional = [field("user", FieldType::Text, true)];
        let number = [field("user", FieldType::Int64, false)];
        let more = [text[0].clone(), field("url", FieldType::Text, true)];
        let map = |reads| described(Kind::Map, reads, &[]);
        assert_eq!(fits(&map(&text), &map(&[])), Fit::Same);
        assert_eq!(fits(&map(&text), &map(&optional)), Fit::Same);
        assert!(why(&map(&optional), &map(&text)).contains("what is decoded is"));
        assert!(why(&map(&text), &map(&number)).contains("what is decoded is"));
        assert!(why(&map(&text), &map(&more)).contains("it reads url"));
        let apply = |reads| described(Kind::WindowApply, reads, &[]);
        assert_eq!(fits(&apply(&text), &apply(&text)), Fit::Same);
        assert!(why(&apply(&more), &apply(&text)).contains("windows hold rows of"));
    }

    #[test]
    fn what_others_read_must_still_come_and_everything_that_differs_is_told() {
        let text = [field("page", FieldType::Text, false)];
        let optional = [field("page", FieldType::Text, true)];
        let more = [text[0].clone(), field("shop", FieldType::Text, true)];
        let map = |produces| described(Kind::Map, &[], produces);
        assert_eq!(fits(&map(&text), &map(&more)), Fit::Same);
        assert_eq!(fits(&map(&optional), &map(&text)), Fit::Same);
        assert!(why(&map(&text), &map(&optional)).contains("was planned for"));
        let told = why(&map(&more), &map(&[]));
        assert_eq!(told.lines().count(), 2, "{told}");
    }
}
