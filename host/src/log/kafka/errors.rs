//! librdkafka's errors, sorted by what the caller can do about them.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::log::LogError;

/// Whether the broker or the way to it is away for now.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::MessageTimedOut
            | Code::NetworkException
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotEnoughReplicas
            | Code::RebalanceInProgress
            | Code::UnknownBroker
            | Code::ConcurrentTransactions
            | Code::UnstableOffsetCommit
            | Code::Retry
            // The process slept, or a batch took minutes: the next poll joins the group again.
            | Code::PollExceeded
    )
}

/// Whether a newer owner has taken over.
pub(super) fn is_fenced(code: Code) -> bool {
    matches!(
        code,
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::FencedInstanceId
    )
}

/// Sorts an error of anything but a commit.
pub(super) fn log_error(error: &KafkaError) -> LogError {
    if let KafkaError::Transaction(inner) = error
        && inner.is_retriable()
    {
        return LogError::Unavailable(inner.to_string());
    }
    // Of a seek that failed as a whole there is only the name.
    if let KafkaError::Seek(name) = error
        && name.contains("TIMED_OUT")
    {
        return LogError::Unavailable("a seek was not done in time".to_owned());
    }
    let code = match error {
        // librdkafka's wrapper does not tell these codes.
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    };
    match code {
        Some(code) if is_passing(code) => LogError::Unavailable(code.to_string()),
        Some(code) if is_fenced(code) => LogError::Fenced(error.to_string()),
        Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
            LogError::Refused("the log does not have the offset that was asked for".to_owned())
        }
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
            LogError::Refused("a topic or partition does not exist, or may not be seen".to_owned())
        }
        _ => LogError::Refused(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        let passing = [
            KafkaError::AdminOp(Code::OperationTimedOut),
            KafkaError::MetadataFetch(Code::BrokerTransportFailure),
            KafkaError::MessageConsumption(Code::AllBrokersDown),
            KafkaError::Seek("_TIMED_OUT".to_owned()),
            KafkaError::OffsetFetch(Code::UnstableOffsetCommit),
        ];
        for error in passing {
            assert!(log_error(&error).is_retriable(), "{error}");
        }
        let lasting = [
            KafkaError::AdminOp(Code::TopicAuthorizationFailed),
            KafkaError::MessageProduction(Code::MessageSizeTooLarge),
            KafkaError::MessageConsumption(Code::AutoOffsetReset),
        ];
        for error in lasting {
            assert!(matches!(log_error(&error), LogError::Refused(_)), "{error}");
        }
        let fenced = log_error(&KafkaError::MessageProduction(Code::Fenced));
        assert!(matches!(fenced, LogError::Fenced(_)));
    }
}
