//! What to do about a chunk that could not be written.

use crate::error::TransferFailure;
use dfs_core::id::NodeId;
use dfs_core::refusal::Refusal;
use dfs_transport::exchange::CallError;

/// What to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Send it to the same primary again, a little later.
    Again,
    /// Ask for another placement, without these nodes.
    Elsewhere {
        /// The nodes whose fault it is, as far as that can be told.
        blamed: Vec<NodeId>,
    },
}

impl Reaction {
    /// What to do about `failure` of a write whose primary is `primary`.
    pub(super) fn to(failure: &TransferFailure, primary: NodeId) -> Reaction {
        match failure {
            TransferFailure::Call(CallError::Refused(refusal)) => match refusal {
                // Also a writer whose transfer broke off and is not yet noticed: an earlier one of this upload.
                Refusal::Overloaded | Refusal::WriteInProgress => Reaction::Again,
                Refusal::TooFewCopies { failed, .. } => Reaction::Elsewhere { blamed: failed.clone() },
                // The node is as good as any; only this epoch is not.
                Refusal::ConflictingContent | Refusal::StaleEpoch { .. } => Reaction::Elsewhere { blamed: Vec::new() },
                _ => Reaction::Elsewhere { blamed: vec![primary] },
            },
            TransferFailure::Conflict => Reaction::Elsewhere { blamed: Vec::new() },
            TransferFailure::Call(_)
            | TransferFailure::Stalled
            | TransferFailure::WrongBytes
            | TransferFailure::TooFewCopies { .. }
            | TransferFailure::NoAddress => Reaction::Elsewhere { blamed: vec![primary] },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_refusal(refusal: Refusal) -> Reaction {
        Reaction::to(&TransferFailure::Call(CallError::Refused(refusal)), NodeId(1))
    }

    #[test]
    fn a_busy_primary_is_asked_again_and_a_broken_one_is_not() {
        assert_eq!(to_refusal(Refusal::Overloaded), Reaction::Again);
        assert_eq!(to_refusal(Refusal::WriteInProgress), Reaction::Again);
        let elsewhere = Reaction::Elsewhere { blamed: vec![NodeId(1)] };
        for refusal in [Refusal::StoreFull, Refusal::StoreFailed, Refusal::Stopping, Refusal::Internal] {
            assert_eq!(to_refusal(refusal), elsewhere);
        }
        assert_eq!(Reaction::to(&TransferFailure::Call(CallError::TimedOut), NodeId(1)), elsewhere);
        assert_eq!(Reaction::to(&TransferFailure::Stalled, NodeId(1)), elsewhere);
    }

    #[test]
    fn a_primary_is_not_blamed_for_its_replicas() {
        let refusal = Refusal::TooFewCopies { needed: 2, durable: 1, failed: vec![NodeId(2), NodeId(3)] };
        assert_eq!(to_refusal(refusal), Reaction::Elsewhere { blamed: vec![NodeId(2), NodeId(3)] });
        assert_eq!(to_refusal(Refusal::ConflictingContent), Reaction::Elsewhere { blamed: vec![] });
    }
}
