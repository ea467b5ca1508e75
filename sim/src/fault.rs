//! The faults that a simulation does to a cluster, as values.
//!
//! A story names them one by one, the random swarm draws them; the stage does them. Each is done, and undone when its
//! time is over.

use crate::cluster::NodeName;
use std::fmt;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A process ends at once.
    Crash,
    /// A machine loses its power.
    PowerCut,
    /// All machines lose their power at once.
    Blackout,
    /// A node is asked to stop, and stops in order.
    Stop,
    /// A process stands still for a while, and goes on.
    Pause,
    /// A node is cut off from all other nodes, though not from users.
    Isolate,
    /// A node is cut off from the other nodes of its role, though from nobody else.
    CutOff,
    /// A node is cut off from everybody.
    Unplug,
    /// What one node sends does not reach another, while the way back is open.
    Mute,
    /// What a node sends users does not reach them, while their requests reach the node.
    LostReplies,
    /// A node's links are slow and narrow.
    SlowLink,
    /// A node's links lose, repeat and reorder many packets.
    BadLink,
    /// A node's disk is slow.
    SlowDisk,
    /// A node's disk stands still now and then.
    StallingDisk,
    /// A node's disk is full.
    FullDisk,
    /// A node's disk does not make durable what it is told to.
    FailingSync,
    /// Some reads of a node's disk fail.
    FailingReads,
    /// Reads of a node's disk come in pieces.
    ShortReads,
    /// Bits of chunks on a node's disk flip.
    Rot,
    /// A node's wall clock jumps.
    ClockJump,
    /// A storage node comes back with its disk as it was some time ago.
    OlderDisk,
    /// A storage node comes back with an empty disk.
    EmptyDisk,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [FaultKind; 22] = [
        FaultKind::Crash,
        FaultKind::PowerCut,
        FaultKind::Blackout,
        FaultKind::Stop,
        FaultKind::Pause,
        FaultKind::Isolate,
        FaultKind::CutOff,
        FaultKind::Unplug,
        FaultKind::Mute,
        FaultKind::LostReplies,
        FaultKind::SlowLink,
        FaultKind::BadLink,
        FaultKind::SlowDisk,
        FaultKind::StallingDisk,
        FaultKind::FullDisk,
        FaultKind::FailingSync,
        FaultKind::FailingReads,
        FaultKind::ShortReads,
        FaultKind::Rot,
        FaultKind::ClockJump,
        FaultKind::OlderDisk,
        FaultKind::EmptyDisk,
    ];

    /// The word for it in reports and traces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Crash => "crash",
            FaultKind::PowerCut => "power-cut",
            FaultKind::Blackout => "blackout",
            FaultKind::Stop => "stop",
            FaultKind::Pause => "pause",
            FaultKind::Isolate => "isolate",
            FaultKind::CutOff => "cut-off",
            FaultKind::Unplug => "unplug",
            FaultKind::Mute => "mute",
            FaultKind::LostReplies => "lost-replies",
            FaultKind::SlowLink => "slow-link",
            FaultKind::BadLink => "bad-link",
            FaultKind::SlowDisk => "slow-disk",
            FaultKind::StallingDisk => "stalling-disk",
            FaultKind::FullDisk => "full-disk",
            FaultKind::FailingSync => "failing-sync",
            FaultKind::FailingReads => "failing-reads",
            FaultKind::ShortReads => "short-reads",
            FaultKind::Rot => "rot",
            FaultKind::ClockJump => "clock-jump",
            FaultKind::OlderDisk => "older-disk",
            FaultKind::EmptyDisk => "empty-disk",
        }
    }

    /// What it does, in a sentence.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            FaultKind::Crash => "A process ends at once, as by SIGKILL; what it wrote stays.",
            FaultKind::PowerCut => "A machine loses its power: what was not synced is lost, torn or kept.",
            FaultKind::Blackout => "All machines lose their power at the same moment.",
            FaultKind::Stop => "A node stops in order, as by SIGTERM, and is started again later.",
            FaultKind::Pause => "A process stands still, as by SIGSTOP, and goes on later.",
            FaultKind::Isolate => "A node is cut off from all other nodes, while users still reach it.",
            FaultKind::CutOff => "A node is cut off from the nodes of its own role, while all others reach it.",
            FaultKind::Unplug => "A node is cut off from everybody.",
            FaultKind::Mute => "What one node sends another is lost, while the way back is open.",
            FaultKind::LostReplies => "What a node sends users is lost, while their requests reach it.",
            FaultKind::SlowLink => "A node's links are long and narrow.",
            FaultKind::BadLink => "A node's links lose, repeat and reorder many packets.",
            FaultKind::SlowDisk => "Every job of a node's disk takes tens of milliseconds.",
            FaultKind::StallingDisk => "A node's disk stands still for seconds now and then.",
            FaultKind::FullDisk => "A node's disk has no space left.",
            FaultKind::FailingSync => "A node's disk fails to make durable what it was given, and says so.",
            FaultKind::FailingReads => "Some reads of a node's disk fail.",
            FaultKind::ShortReads => "Reads of a node's disk come in pieces.",
            FaultKind::Rot => "Bits of the chunks on a storage node's disk flip.",
            FaultKind::ClockJump => "A node's wall clock jumps by up to hours, ahead or back.",
            FaultKind::OlderDisk => "A storage node comes back with its disk as it was some time ago.",
            FaultKind::EmptyDisk => "A storage node comes back with an empty disk.",
        }
    }

    /// Whether it destroys stores for good: what the fault model (DESIGN §1) allows for W − 1 stores of a file.
    #[must_use]
    pub fn destroys(self) -> bool {
        matches!(self, FaultKind::Rot | FaultKind::OlderDisk | FaultKind::EmptyDisk)
    }
}

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is done.
    pub kind: FaultKind,
    /// To whom; nobody in particular for a blackout.
    pub node: NodeName,
    /// The other end, for [`FaultKind::Mute`].
    pub other: NodeName,
}

impl Fault {
    /// A fault of one node.
    #[must_use]
    pub fn new(kind: FaultKind, node: NodeName) -> Fault {
        Fault { kind, node, other: node }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FaultKind::Blackout => write!(f, "{}", self.kind.name()),
            FaultKind::Mute => write!(f, "{} {} > {}", self.kind.name(), self.node, self.other),
            _ => write!(f, "{} {}", self.kind.name(), self.node),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), FaultKind::ALL.len());
    }
}
