//! Why it is not clear which machine sends a report.

use std::fmt;

use crate::model::{NodeName, Serial};

/// An operator has to decide. Until then the machine is not installed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ambiguity {
    /// The identities match several declarations.
    SeveralNodes(Vec<NodeName>),
    /// The serial number matches, the MACs do not.
    SerialOnly(NodeName),
    /// A MAC matches, this serial number does not.
    MacOnly { node: NodeName, serial: Serial },
    /// Several declarations claim the history of one machine.
    SharedHistory(Vec<NodeName>),
    /// Several machines match a declaration without MACs.
    SeveralMachines(NodeName),
}

impl fmt::Display for Ambiguity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ambiguity::SeveralNodes(nodes) => {
                write!(
                    f,
                    "one machine fits {}: tell them apart by `mac`",
                    joined(nodes)
                )
            }
            Ambiguity::SerialOnly(node) => {
                write!(f, "serial fits {node}, its MACs do not: replaced board?")
            }
            Ambiguity::MacOnly { node, serial } => {
                write!(
                    f,
                    "MAC fits {node}, its serial `{serial}` does not: moved card?"
                )
            }
            Ambiguity::SharedHistory(nodes) => {
                write!(
                    f,
                    "one machine's history fits {}: who is it?",
                    joined(nodes)
                )
            }
            Ambiguity::SeveralMachines(node) => {
                write!(f, "two machines fit {node}: declare its `mac`")
            }
        }
    }
}

fn joined(nodes: &[NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    names.join(" and ")
}
