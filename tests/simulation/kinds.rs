//! The kinds of pipelines of which each run draws one.

use crate::pipelines::{Commit, Early, Function, Key, Kind, Time};
use crate::reading::Updates;
use crate::spans::CalendarUnit;

const PLAIN: Kind = Kind {
    function: Function::Visitors,
    key: Key::None,
    bots: false,
    poison: false,
    map: false,
    time: Time::Tumbling,
    is_late: false,
    early: Early::Never,
    updates: Updates::Accumulating,
    idle: false,
    drift: false,
    commit: Commit::Wide,
    small: false,
};

/// All kinds.
pub(crate) const KINDS: [Kind; 65] = [
    PLAIN,
    Kind {
        function: Function::Sum,
        key: Key::Country,
        is_late: true,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Record,
        is_late: true,
        commit: Commit::Tight,
        small: true,
        ..PLAIN
    },
    Kind {
        function: Function::Transcript,
        key: Key::Country,
        is_late: true,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        time: Time::Sliding,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Country,
        time: Time::Sliding,
        commit: Commit::Tight,
        small: true,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Record,
        time: Time::Sliding,
        is_late: true,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::VisitorsByRows,
        key: Key::Country,
        time: Time::Sliding,
        is_late: true,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Country,
        time: Time::Session,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Record,
        time: Time::Session,
        commit: Commit::Tight,
        small: true,
        ..PLAIN
    },
    Kind {
        function: Function::VisitorsByRows,
        key: Key::Country,
        time: Time::Session,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        bots: true,
        commit: Commit::Tight,
        small: true,
        ..PLAIN
    },
    Kind {
        key: Key::Country,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Country,
        commit: Commit::Tight,
        small: true,
        bots: true,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Record,
        small: true,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Country,
        map: true,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Record,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Country,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Record,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Transcript,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Transcript,
        key: Key::Country,
        bots: true,
        ..PLAIN
    },
    Kind {
        function: Function::Transcript,
        key: Key::Record,
        poison: true,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::VisitorsByRows,
        key: Key::Country,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Country,
        poison: true,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Country,
        early: Early::OnUpdate,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Record,
        is_late: true,
        early: Early::Every,
        updates: Updates::Retracting,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Country,
        time: Time::Sliding,
        is_late: true,
        early: Early::OnUpdate,
        updates: Updates::Discarding,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Country,
        is_late: true,
        early: Early::Every,
        updates: Updates::Retracting,
        commit: Commit::Tight,
        small: true,
        ..PLAIN
    },
    Kind {
        function: Function::VisitorsByRows,
        key: Key::Country,
        time: Time::Sliding,
        early: Early::OnUpdate,
        ..PLAIN
    },
    Kind {
        function: Function::Transcript,
        key: Key::Record,
        early: Early::Every,
        updates: Updates::Retracting,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Country,
        time: Time::Session,
        early: Early::OnUpdate,
        updates: Updates::Retracting,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::VisitorsByRows,
        key: Key::Record,
        time: Time::Session,
        early: Early::Every,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Country,
        time: Time::Session,
        early: Early::Every,
        updates: Updates::Discarding,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Country,
        is_late: true,
        updates: Updates::Retracting,
        ..PLAIN
    },
    Kind {
        is_late: true,
        updates: Updates::Discarding,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Country,
        time: Time::Calendar(CalendarUnit::Day),
        drift: true,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Record,
        time: Time::Calendar(CalendarUnit::Day),
        is_late: true,
        early: Early::OnUpdate,
        updates: Updates::Retracting,
        commit: Commit::Tight,
        small: true,
        ..PLAIN
    },
    Kind {
        key: Key::Country,
        time: Time::Calendar(CalendarUnit::Week),
        early: Early::Every,
        updates: Updates::Discarding,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        time: Time::Calendar(CalendarUnit::Month),
        is_late: true,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Transcript,
        key: Key::Record,
        time: Time::Count,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::VisitorsByRows,
        key: Key::Country,
        time: Time::Count,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Record,
        time: Time::GlobalRows,
        updates: Updates::Discarding,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Country,
        time: Time::GlobalRows,
        updates: Updates::Retracting,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Country,
        time: Time::GlobalEvery,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        time: Time::GlobalEvery,
        updates: Updates::Retracting,
        ..PLAIN
    },
    Kind {
        function: Function::VisitorsByRows,
        key: Key::Record,
        time: Time::GlobalEvery,
        updates: Updates::Discarding,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Country,
        idle: true,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Record,
        is_late: true,
        idle: true,
        drift: true,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        is_late: true,
        early: Early::OnUpdate,
        updates: Updates::Retracting,
        idle: true,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Country,
        time: Time::Sliding,
        drift: true,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Transcript,
        key: Key::Country,
        is_late: true,
        early: Early::Every,
        drift: true,
        ..PLAIN
    },
    Kind {
        function: Function::Sum,
        key: Key::Country,
        time: Time::Session,
        is_late: true,
        updates: Updates::Retracting,
        ..PLAIN
    },
    Kind {
        function: Function::VisitorsByRows,
        key: Key::Record,
        time: Time::Session,
        is_late: true,
        early: Early::OnUpdate,
        updates: Updates::Discarding,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Pages,
        key: Key::Country,
        time: Time::Session,
        is_late: true,
        commit: Commit::Tight,
        small: true,
        ..PLAIN
    },
    Kind {
        function: Function::Marked,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Marked,
        key: Key::Country,
        is_late: true,
        ..PLAIN
    },
    Kind {
        function: Function::Marked,
        key: Key::Record,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Marked,
        key: Key::Country,
        time: Time::Sliding,
        is_late: true,
        early: Early::OnUpdate,
        updates: Updates::Retracting,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Marked,
        key: Key::Record,
        time: Time::Session,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Marked,
        key: Key::Country,
        time: Time::Session,
        is_late: true,
        updates: Updates::Retracting,
        ..PLAIN
    },
    Kind {
        function: Function::Marked,
        key: Key::Country,
        bots: true,
        early: Early::Every,
        ..PLAIN
    },
    Kind {
        function: Function::Marked,
        key: Key::Record,
        time: Time::Count,
        commit: Commit::Tight,
        ..PLAIN
    },
    Kind {
        function: Function::Marked,
        key: Key::Country,
        time: Time::GlobalEvery,
        updates: Updates::Discarding,
        ..PLAIN
    },
    Kind {
        function: Function::Marked,
        key: Key::Country,
        poison: true,
        is_late: true,
        idle: true,
        ..PLAIN
    },
];
