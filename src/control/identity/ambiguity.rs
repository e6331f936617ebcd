//! Why the machine or the declaration of a report is ambiguous.

use std::fmt;

use crate::model::{NodeName, Serial};

/// The reason. The machine is not installed until an operator has corrected the declarations.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ambiguity {
    /// The identities match several declarations.
    SeveralNodes(Vec<NodeName>),
    /// The serial number matches, the MAC addresses do not.
    SerialOnly(NodeName),
    /// A MAC address matches, this serial number does not.
    MacOnly { node: NodeName, serial: Serial },
    /// Several declarations match the history of one machine.
    SharedHistory(Vec<NodeName>),
    /// Several machines match a declaration without MAC addresses.
    SeveralMachines(NodeName),
}

impl fmt::Display for Ambiguity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ambiguity::SeveralNodes(nodes) => {
                write!(
                    f,
                    "declarations {} match the same machine: add `mac`",
                    joined(nodes)
                )
            }
            Ambiguity::SerialOnly(node) => {
                write!(
                    f,
                    "its serial number matches {node}, its MAC addresses do not: was the board replaced?"
                )
            }
            Ambiguity::MacOnly { node, serial } => {
                write!(
                    f,
                    "its MAC address matches {node}, its serial number `{serial}` does not: was the NIC moved?"
                )
            }
            Ambiguity::SharedHistory(nodes) => {
                write!(
                    f,
                    "declarations {} match the history of one machine: correct their identities",
                    joined(nodes)
                )
            }
            Ambiguity::SeveralMachines(node) => {
                write!(f, "two machines match {node}: add its `mac`")
            }
        }
    }
}

fn joined(nodes: &[NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    names.join(" and ")
}
