//! Whose fault it was that a record is not on its topic.
//!
//! Comes in: the code of a delivery report, or of a refusal by the client. Goes out: what follows
//! from it. Sources: the error table of the Kafka protocol, and how librdkafka treats each code for
//! an idempotent producer (what it tries again by itself is seen here only as timed out).
//! Always true: only what says that the record itself does not fit is final; of anything unknown a
//! later try is taken to mend it, for a text in dead-letter is a text its department does not have.

use rdkafka::types::RDKafkaErrorCode as Code;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The record does not fit the topic; no later try mends that.
    Record,
    /// Another record of its request did not fit: by itself it may pass.
    Neighbour,
    /// Every text for this topic would fare the same: missing, not allowed, too few replicas, or
    /// settings that cannot work. One is enough to open the breaker.
    Topic,
    /// Our producer's own trouble, which says nothing of the topic.
    Producer,
    /// Brokers or network; it may pass by itself.
    Passing,
}

impl Fault {
    pub(super) fn of(code: Code) -> Self {
        match code {
            // The last one is the whole batch's size, and a record by itself is judged alike.
            Code::MessageSizeTooLarge | Code::InvalidRecord | Code::MessageBatchTooLarge => Self::Record,
            Code::InvalidDifferentRecord => Self::Neighbour,
            // Missing, by name, id or partition.
            Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownTopicId
            | Code::UnknownPartition
            | Code::InvalidTopic
            // Not allowed. Old brokers refuse an idempotent producer as a matter of the cluster.
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::DelegationTokenAuthorizationFailed
            // A broker's policy or validation, which its operator can change.
            | Code::PolicyViolation
            // Too few replicas, or none with a working disk.
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::ISRInsufficient
            | Code::KafkaStorageError
            | Code::LogDirNotFound
            // What broker and client cannot agree on: format, version, compression, acks.
            | Code::UnsupportedForMessageFormat
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
            | Code::UnsupportedCompressionType
            | Code::InvalidRequiredAcks
            | Code::InvalidConfig
            | Code::NotImplemented => Self::Topic,
            // Ids, epochs and sequences; a producer that is closed, or full.
            Code::OutOfOrderSequenceNumber
            | Code::DuplicateSequenceNumber
            | Code::InvalidProducerEpoch
            | Code::InvalidProducerIdMapping
            | Code::UnknownProducerId
            | Code::ProducerFenced
            | Code::InvalidTransactionalState
            | Code::Fenced
            | Code::Fatal
            | Code::GaplessGuarantee
            | Code::Inconsistent
            | Code::State
            | Code::BrokerDestroy
            | Code::PurgeQueue
            | Code::PurgeInflight
            | Code::QueueFull
            | Code::CriticalSystemResource => Self::Producer,
            // Time-outs, leaders on the move, connections, authentication at the door, throttling, a
            // time the broker refuses until a clock is mended, and whatever brokers think of next.
            _ => Self::Passing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fault: Fault, codes: &[Code]) {
        for code in codes {
            assert_eq!(Fault::of(*code), fault, "{code:?}");
        }
    }

    #[test]
    fn only_what_does_not_fit_is_final() {
        check(Fault::Record, &[Code::MessageSizeTooLarge, Code::MessageBatchTooLarge, Code::InvalidRecord]);
        check(Fault::Neighbour, &[Code::InvalidDifferentRecord]);
    }

    #[test]
    fn a_missing_or_forbidden_topic_is_curable_and_opens_its_breaker() {
        check(
            Fault::Topic,
            &[
                Code::UnknownTopicOrPartition,
                Code::UnknownTopic,
                Code::UnknownTopicId,
                Code::UnknownPartition,
                Code::InvalidTopic,
                Code::TopicAuthorizationFailed,
                Code::ClusterAuthorizationFailed,
                Code::TransactionalIdAuthorizationFailed,
                Code::DelegationTokenAuthorizationFailed,
            ],
        );
    }

    #[test]
    fn what_an_operator_can_mend_is_curable_and_opens_its_breaker() {
        check(
            Fault::Topic,
            &[
                Code::PolicyViolation,
                Code::NotEnoughReplicas,
                Code::NotEnoughReplicasAfterAppend,
                Code::ISRInsufficient,
                Code::KafkaStorageError,
                Code::LogDirNotFound,
                Code::UnsupportedForMessageFormat,
                Code::UnsupportedVersion,
                Code::UnsupportedFeature,
                Code::UnsupportedCompressionType,
                Code::InvalidRequiredAcks,
                Code::InvalidConfig,
                Code::NotImplemented,
            ],
        );
    }

    #[test]
    fn a_producers_own_trouble_is_no_topics() {
        check(
            Fault::Producer,
            &[
                Code::OutOfOrderSequenceNumber,
                Code::DuplicateSequenceNumber,
                Code::InvalidProducerEpoch,
                Code::InvalidProducerIdMapping,
                Code::UnknownProducerId,
                Code::ProducerFenced,
                Code::InvalidTransactionalState,
                Code::Fenced,
                Code::Fatal,
                Code::GaplessGuarantee,
                Code::Inconsistent,
                Code::State,
                Code::BrokerDestroy,
                Code::PurgeQueue,
                Code::PurgeInflight,
                Code::QueueFull,
                Code::CriticalSystemResource,
            ],
        );
    }

    #[test]
    fn what_may_pass_by_itself_opens_a_breaker_only_when_it_goes_on() {
        check(
            Fault::Passing,
            &[
                Code::MessageTimedOut,
                Code::OperationTimedOut,
                Code::TimedOutQueue,
                Code::RequestTimedOut,
                Code::BrokerTransportFailure,
                Code::AllBrokersDown,
                Code::NetworkException,
                Code::Resolve,
                Code::SSL,
                Code::Authentication,
                Code::SaslAuthenticationFailed,
                Code::UnsupportedSASLMechanism,
                Code::LeaderNotAvailable,
                Code::NotLeaderForPartition,
                Code::FencedLeaderEpoch,
                Code::UnknownLeaderEpoch,
                Code::BrokerNotAvailable,
                Code::ReplicaNotAvailable,
                Code::CoordinatorLoadInProgress,
                Code::ThrottlingQuotaExceeded,
                Code::WaitCache,
                Code::Retry,
                Code::RebootstrapRequired,
                // A checksum that went wrong on the way; librdkafka sends such a record again.
                Code::InvalidMessage,
                Code::InvalidMessageSize,
                Code::InvalidTimestamp,
                Code::InvalidRequest,
                Code::BadMessage,
                Code::BadCompression,
                Code::InvalidArgument,
                Code::Fail,
                Code::Unknown,
            ],
        );
    }
}
