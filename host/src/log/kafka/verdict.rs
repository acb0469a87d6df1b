//! What becomes of a commit when a step of it fails: one table, without I/O.
//!
//! A transaction goes through the steps in order. Up to the sending of the commit nothing can have been committed, so it can be
//! aborted; from then on only the broker knows, and an abort could tear what it has decided.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// A step of a commit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// The transaction begins, within this process.
    Begin,
    /// Records are sent and acknowledged.
    Produce,
    /// Offsets become part of the transaction.
    SendOffsets,
    /// The broker is asked to commit.
    Commit,
    /// The broker is asked to abort.
    Abort,
}

/// How a step failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// The same call may be made again.
    Retriable,
    /// The same, and the time for it is up.
    TimedOut,
    /// The transaction is of no more use and must be aborted; a new one may succeed.
    Abortable,
    /// The broker refuses what it was sent, and would refuse it again.
    Refused,
    /// The producer's epoch is over: somebody has called for its transactional id, or the broker has ended a transaction that
    /// took too long.
    ProducerFenced,
    /// Another process has joined the group as the same member.
    InstanceFenced,
    /// The producer is of no more use.
    Fatal,
}

/// What is done about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Make the same call again.
    Retry,
    /// Abort, and tell the caller so.
    Abort,
    /// Abort, and tell the caller that trying again is no use.
    AbortAndRefuse,
    /// Tell the caller that somebody else is in its place.
    Fenced,
    /// Tell the caller that joining again will show what has become of it.
    Unknown,
}

/// The table.
pub(super) fn verdict(step: Step, fault: Fault) -> Verdict {
    match (step, fault) {
        // librdkafka goes on with a call that is made again where it had stopped.
        (_, Fault::Retriable) => Verdict::Retry,
        // Whatever the step: two processes that are one member must not take turns for ever.
        (_, Fault::InstanceFenced) => Verdict::Fenced,
        // The one who fenced has decided the transaction by aborting it, or it had been committed before; joining again tells. If there
        // is a second process of the same identity, one of the two will be told so by the group.
        (_, Fault::ProducerFenced) => Verdict::Unknown,
        // A fatal error forbids even the abort.
        (_, Fault::Fatal) => Verdict::Unknown,
        // Nothing has been sent, so all that can be wrong is the producer itself.
        (Step::Begin, _) => Verdict::Unknown,
        // Not committed for certain: it was never asked for.
        (Step::Produce | Step::SendOffsets, Fault::TimedOut | Fault::Abortable) => Verdict::Abort,
        (Step::Produce | Step::SendOffsets, Fault::Refused) => Verdict::AbortAndRefuse,
        // The answer is missing, and the broker may have committed.
        (Step::Commit, Fault::TimedOut) => Verdict::Unknown,
        // The broker has answered that it did not.
        (Step::Commit, Fault::Abortable) => Verdict::Abort,
        // librdkafka did not let it be sent, or the broker said something that can't be made sense of.
        (Step::Commit, Fault::Refused) => Verdict::Unknown,
        // It will be aborted by the next owner of the id, or by the broker in time; who joins again is that owner.
        (Step::Abort, _) => Verdict::Unknown,
    }
}

/// Sorts an error of librdkafka's. `fatal` is what the producer says of itself; `time_is_up` that nothing may be tried again.
pub(super) fn fault(error: &KafkaError, fatal: Option<Code>, time_is_up: bool) -> Fault {
    let code = error.rdkafka_error_code();
    let codes = || code.into_iter().chain(fatal);
    if codes().any(|code| code == Code::FencedInstanceId) {
        return Fault::InstanceFenced;
    }
    if codes().any(is_producer_fenced) {
        return Fault::ProducerFenced;
    }
    if fatal.is_some() || matches!(code, Some(Code::Fatal)) {
        return Fault::Fatal;
    }
    if let KafkaError::Transaction(error) = error {
        if error.is_fatal() {
            return Fault::Fatal;
        }
        if error.is_retriable() {
            return retriable(time_is_up);
        }
        if error.txn_requires_abort() {
            return match is_lasting(error.code()) {
                true => Fault::Refused,
                false => Fault::Abortable,
            };
        }
        return Fault::Refused;
    }
    match code {
        Some(Code::QueueFull) => retriable(time_is_up),
        Some(Code::OperationTimedOut) => retriable(time_is_up),
        Some(code) if !is_lasting(code) => Fault::Abortable,
        _ => Fault::Refused,
    }
}

fn retriable(time_is_up: bool) -> Fault {
    match time_is_up {
        true => Fault::TimedOut,
        false => Fault::Retriable,
    }
}

fn is_producer_fenced(code: Code) -> bool {
    matches!(
        code,
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch
    )
}

/// Whether the broker would say the same of the same transaction.
fn is_lasting(code: Code) -> bool {
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::MessageBatchTooLarge
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::PolicyViolation
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::OffsetMetadataTooLarge
            | Code::UnknownPartition
            | Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::InvalidTopic
            | Code::InvalidRequiredAcks
            | Code::InvalidArgument
            | Code::UnsupportedForMessageFormat
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 5] = [
        Step::Begin,
        Step::Produce,
        Step::SendOffsets,
        Step::Commit,
        Step::Abort,
    ];

    fn by_step(fault: Fault) -> [Verdict; 5] {
        STEPS.map(|step| verdict(step, fault))
    }

    #[test]
    fn a_call_that_may_be_made_again_is() {
        assert_eq!(by_step(Fault::Retriable), [Verdict::Retry; 5]);
    }

    #[test]
    fn only_an_unanswered_commit_and_an_unanswered_abort_leave_the_outcome_open() {
        use Verdict::{Abort, Unknown};
        let expected = [Unknown, Abort, Abort, Unknown, Unknown];
        assert_eq!(by_step(Fault::TimedOut), expected);
    }

    #[test]
    fn what_is_abortable_is_aborted_once_there_is_something_to_abort() {
        use Verdict::{Abort, Unknown};
        let expected = [Unknown, Abort, Abort, Abort, Unknown];
        assert_eq!(by_step(Fault::Abortable), expected);
    }

    #[test]
    fn what_would_be_refused_again_is_not_tried_again() {
        use Verdict::{AbortAndRefuse, Unknown};
        let expected = [Unknown, AbortAndRefuse, AbortAndRefuse, Unknown, Unknown];
        assert_eq!(by_step(Fault::Refused), expected);
    }

    #[test]
    fn a_fenced_producer_joins_again_and_a_fenced_member_ends() {
        assert_eq!(by_step(Fault::ProducerFenced), [Verdict::Unknown; 5]);
        assert_eq!(by_step(Fault::InstanceFenced), [Verdict::Fenced; 5]);
    }

    #[test]
    fn a_fatal_error_is_never_answered_with_an_abort() {
        assert_eq!(by_step(Fault::Fatal), [Verdict::Unknown; 5]);
    }

    #[test]
    fn errors_of_librdkafka_are_sorted() {
        let produced = |code| fault(&KafkaError::MessageProduction(code), None, false);
        assert_eq!(produced(Code::QueueFull), Fault::Retriable);
        assert_eq!(produced(Code::MessageTimedOut), Fault::Abortable);
        assert_eq!(produced(Code::BrokerTransportFailure), Fault::Abortable);
        assert_eq!(produced(Code::MessageSizeTooLarge), Fault::Refused);
        assert_eq!(produced(Code::TopicAuthorizationFailed), Fault::Refused);
        for code in [
            Code::Fenced,
            Code::ProducerFenced,
            Code::InvalidProducerEpoch,
        ] {
            assert_eq!(produced(code), Fault::ProducerFenced);
        }
        assert_eq!(produced(Code::FencedInstanceId), Fault::InstanceFenced);
        let flushed = |time_is_up| {
            let error = KafkaError::Flush(Code::OperationTimedOut);
            fault(&error, None, time_is_up)
        };
        assert_eq!(flushed(false), Fault::Retriable);
        assert_eq!(flushed(true), Fault::TimedOut);
    }

    #[test]
    fn what_a_producer_says_of_itself_outweighs_what_a_call_says() {
        let error = KafkaError::MessageProduction(Code::QueueFull);
        let fault = |fatal| fault(&error, Some(fatal), false);
        assert_eq!(fault(Code::InvalidProducerEpoch), Fault::ProducerFenced);
        assert_eq!(fault(Code::FencedInstanceId), Fault::InstanceFenced);
        assert_eq!(fault(Code::OutOfOrderSequenceNumber), Fault::Fatal);
    }
}
