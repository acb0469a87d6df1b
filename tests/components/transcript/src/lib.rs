//! Writes down the rows of a window in the order in which it gets them: a row that is missing, there twice or out of order
//! shows, which in a count of distinct things it might not.

use std::borrow::Cow;

use millstream_sdk::prelude::*;

#[derive(Row)]
struct Numbered {
    n: i64,
}

#[derive(Output)]
struct Transcript<'a> {
    text: Cow<'a, str>,
}

#[derive(Default)]
struct WriteDown;

#[window_apply]
impl WindowApply for WriteDown {
    type Row<'a> = Numbered;
    type Output<'a> = Transcript<'a>;

    fn apply<'a>(
        &'a self,
        _: &'a Window,
        rows: Rows<'a, Numbered>,
        out: &mut Collector<Transcript<'a>>,
    ) -> Result<(), Error> {
        let numbers: Vec<String> = rows.map(|row| row.n.to_string()).collect();
        let text = Cow::from(numbers.join(" "));
        out.push(Transcript { text });
        Ok(())
    }
}
