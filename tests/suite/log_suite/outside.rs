//! What is asked of a group, or told to it, from outside.

use millstream::log::{GroupOffset, Log, LogError, Offset, Outbox, Session};

use super::support::{
    at, group_offset, join_alone, membership, new_topic, poll, poll_records, unique, until,
    write_numbers,
};

pub(crate) fn a_group_tells_from_outside_where_it_stands<L: Log>(log: &L) {
    let topic = new_topic(log, 2);
    let group = unique("group");
    let both = [at(&topic, 0), at(&topic, 1)];
    assert_eq!(log.group_offsets(&group, &both).unwrap(), []);
    let mut session = join_alone(log, &membership(&group, 0, &[&topic]), 2);
    let stands = GroupOffset {
        metadata: "watermark 7".to_owned(),
        ..group_offset(&topic, 1, 4)
    };
    session
        .commit(&Outbox::new(), std::slice::from_ref(&stands))
        .unwrap();
    assert_eq!(log.group_offsets(&group, &both).unwrap(), [stands]);
    assert_eq!(log.group_offsets(&group, &both[..1]).unwrap(), []);
    assert_eq!(log.group_offsets(&group, &[]).unwrap(), []);
}

pub(crate) fn a_group_knows_its_members<L: Log>(log: &L) {
    let topic = new_topic(log, 2);
    let group = unique("group");
    assert_eq!(log.members(&group).unwrap(), Vec::<String>::new());
    let memberships = [0, 1].map(|worker| membership(&group, worker, &[&topic]));
    let mut sessions = memberships.each_ref().map(|m| log.join(m).unwrap());
    until("both members", || {
        sessions.iter_mut().for_each(|session| {
            poll(session, &mut Vec::new());
        });
        let mut expected = memberships.each_ref().map(|m| m.transactional_id());
        expected.sort();
        log.members(&group).unwrap() == expected
    });
}

pub(crate) fn offsets_are_set_from_outside_only_while_nobody_is_there<L: Log>(log: &L) {
    let topic = new_topic(log, 1);
    write_numbers(log, &topic, 0, 5);
    let group = unique("group");
    let member = membership(&group, 0, &[&topic]);
    let mut session = join_alone(log, &member, 1);
    session
        .commit(&Outbox::new(), &[group_offset(&topic, 0, 5)])
        .unwrap();
    let set = [GroupOffset {
        metadata: "set by hand".to_owned(),
        ..group_offset(&topic, 0, 3)
    }];
    let refused = log.set_group_offsets(&group, &set).unwrap_err();
    assert!(matches!(refused, LogError::Refused(_)), "{refused:?}");
    let id = member.transactional_id();
    assert!(refused.to_string().contains(&id), "{refused}");
    drop(session);

    until("the member to be missed", || {
        log.members(&group).unwrap().is_empty()
    });
    log.set_group_offsets(&group, &set).unwrap();
    let stands = log.group_offsets(&group, &[at(&topic, 0)]).unwrap();
    assert_eq!(stands, set);
    let mut session = join_alone(log, &member, 1);
    assert_eq!(poll_records(&mut session, 2)[0].offset, Offset(3));
}

pub(crate) fn ending_what_dead_members_left_open_disturbs_nobody_alive<L: Log>(log: &L) {
    let topic = new_topic(log, 1);
    let group = unique("group");
    assert_eq!(log.end_dead_transactions(&group).unwrap(), 0);
    let mut session = join_alone(log, &membership(&group, 0, &[&topic]), 1);
    assert_eq!(log.end_dead_transactions(&group).unwrap(), 0);
    session
        .commit(&Outbox::new(), &[group_offset(&topic, 0, 1)])
        .unwrap();
}
